//! The desk: where an operator's request is read, and answered.
//!
//! It refuses to know how anything is found out or done, and to wait for it for ever: that is up to [`Operations`].

use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::guard::Guard;
use super::{LinkStatus, READING, UpstreamStatus, probe};
use crate::control::config::Secret;
use crate::control::ledger::By;
use crate::control::metrics;
use crate::edge::refusal::{REQUEST_ID, Refusal, request_id};

/// The one path whose answer is no JSON.
const METRICS: &str = "/metrics";

/// What the desk has done elsewhere. Nothing of it takes longer than an operator waits: a few seconds.
pub trait Operations: 'static {
    /// Why no new client should be sent here; `None`: all are welcome.
    fn unready(&self) -> Option<&'static str>;

    /// Begins the drain. Asked for once more, nothing changes.
    fn drain(&self);

    /// Reads the configuration again, and puts it in force.
    fn reload(&self) -> impl Future<Output = Result<(), NotReloaded>>;

    /// What an operator must show.
    fn token(&self) -> Option<Secret>;

    /// How the upstreams do at this moment.
    fn upstreams(&self) -> Vec<UpstreamStatus>;

    /// How the links do, all of them or none.
    fn links(&self) -> impl Future<Output = Result<Vec<LinkStatus>, Unanswered>>;

    /// Ends this link. False: there is none.
    fn end_link(&self, id: Uuid) -> impl Future<Output = Result<bool, Unanswered>>;

    /// What is counted, in the text format of Prometheus. Fails with what is wrong.
    fn metrics(&self) -> impl Future<Output = Result<String, String>>;

    /// What was used `since`, summed up: an array. Fails with what is wrong with the ledger.
    fn usage(&self, by: By, since: Option<SystemTime>) -> impl Future<Output = Result<Value, String>>;
}

/// A worker did not answer in time. What the others said would be half the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a worker did not answer in time; ask again")]
pub struct Unanswered;

/// Why the configuration is what it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotReloaded {
    /// This is wrong with it, all of it.
    #[error("{0}")]
    Wrong(String),
    /// It cannot be put in force at the moment.
    #[error("{0}")]
    NotNow(String),
}

/// Where operators are answered.
pub(super) struct Desk<O> {
    /// Whether only this machine reaches the listener.
    loopback: bool,
    operations: O,
}

/// What came of a request.
enum Done {
    /// This was asked for, as JSON.
    Told(Vec<u8>),
    /// This was asked for, as Prometheus reads it.
    Measured(String),
    /// It is under way.
    Begun,
}

impl<O: Operations> Desk<O> {
    pub(super) fn new(loopback: bool, operations: O) -> Self {
        Self { loopback, operations }
    }

    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        if let Some(response) = probe(&request, self.operations.unready()) {
            return response;
        }
        let (head, _) = request.into_parts();
        let request_id = request_id(head.headers.get(REQUEST_ID));
        match self.attend(&head).await {
            Ok(done) => done.response(request_id),
            Err(refusal) => refusal.response(&request_id),
        }
    }

    /// The guard comes first: a stranger does not even learn what there is.
    async fn attend(&self, head: &request::Parts) -> Result<Done, Refusal> {
        let guard = Guard::new(self.operations.token().as_ref(), self.loopback);
        if head.uri.path() == METRICS {
            guard.check_reader(head)?;
            only_read(head)?;
            let failed = |error: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", error);
            return Ok(Done::Measured(self.operations.metrics().await.map_err(failed)?));
        }
        guard.check(head)?;
        match head.uri.path() {
            "/upstreams" => {
                only_read(head)?;
                tell(&self.operations.upstreams())
            }
            "/links" => {
                only_read(head)?;
                tell(&self.operations.links().await.map_err(unanswered)?)
            }
            "/usage" => {
                only_read(head)?;
                let (by, since) = usage_query(head.uri.query().unwrap_or_default())?;
                let failed = |error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", error);
                tell(&self.operations.usage(by, since).await.map_err(failed)?)
            }
            "/drain" => {
                only(head, &[Method::POST], HeaderValue::from_static("POST"))?;
                self.operations.drain();
                Ok(Done::Begun)
            }
            "/reload" => {
                only(head, &[Method::POST], HeaderValue::from_static("POST"))?;
                self.operations.reload().await.map(|()| Done::Begun).map_err(not_reloaded)
            }
            path => match path.strip_prefix("/links/").and_then(|id| Uuid::try_parse(id).ok()) {
                Some(id) => self.end_link(head, id).await,
                None => {
                    Err(not_found("there is nothing here; try /upstreams, /links, /usage, /metrics, /reload or /drain"))
                }
            },
        }
    }

    async fn end_link(&self, head: &request::Parts, id: Uuid) -> Result<Done, Refusal> {
        only(head, &[Method::DELETE], HeaderValue::from_static("DELETE"))?;
        if self.operations.end_link(id).await.map_err(unanswered)? {
            Ok(Done::Begun)
        } else {
            Err(not_found("no link of this id runs here"))
        }
    }
}

impl Done {
    fn response(self, request_id: HeaderValue) -> Response<Full<Bytes>> {
        let mut response = match self {
            Self::Told(json) => {
                let mut response = Response::new(Full::from(json));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Self::Measured(text) => {
                let mut response = Response::new(Full::from(text));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::TEXT));
                response
            }
            Self::Begun => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(REQUEST_ID, request_id);
        response
    }
}

fn tell(what: &impl Serialize) -> Result<Done, Refusal> {
    let told = serde_json::to_vec(what);
    told.map(Done::Told).map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "untold", error.to_string()))
}

/// `by` and `since`, as the command `usage` takes them.
fn usage_query(query: &str) -> Result<(By, Option<SystemTime>), Refusal> {
    let (mut by, mut since) = (By::Key, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "by" => by = By::parse(&value).ok_or_else(|| invalid("by", "one of key, model, upstream, day"))?,
            "since" => {
                let time = humantime::parse_duration(&value).map_err(|_| invalid("since", "a time such as 24h"))?;
                since = SystemTime::now().checked_sub(time);
            }
            _ => return Err(invalid(&name, "nothing: there are `by` and `since`")),
        }
    }
    Ok((by, since))
}

fn invalid(name: &str, expected: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", format!("`{name}` should be {expected}"))
}

fn only_read(head: &request::Parts) -> Result<(), Refusal> {
    only(head, &[Method::GET, Method::HEAD], READING)
}

/// Only these methods; `allow` names them.
fn only(head: &request::Parts, methods: &[Method], allow: HeaderValue) -> Result<(), Refusal> {
    if methods.contains(&head.method) {
        return Ok(());
    }
    let message = format!("this takes {} alone", methods.iter().map(Method::as_str).collect::<Vec<_>>().join(" and "));
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
    Err(refusal.with_header(ALLOW, allow))
}

fn not_found(message: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", message)
}

fn not_reloaded(error: NotReloaded) -> Refusal {
    match error {
        NotReloaded::Wrong(what) => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration", what),
        NotReloaded::NotNow(what) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not_reloaded", what),
    }
}

fn unanswered(unanswered: Unanswered) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "unanswered", unanswered.to_string())
}

#[cfg(test)]
mod tests {
    use hyper::header::HOST;

    use super::*;

    /// A process whose workers are all too busy.
    struct Stuck;

    impl Operations for Stuck {
        fn unready(&self) -> Option<&'static str> {
            None
        }

        fn drain(&self) {}

        async fn reload(&self) -> Result<(), NotReloaded> {
            Err(NotReloaded::NotNow("no ledger".to_owned()))
        }

        fn token(&self) -> Option<Secret> {
            None
        }

        fn upstreams(&self) -> Vec<UpstreamStatus> {
            Vec::new()
        }

        async fn links(&self) -> Result<Vec<LinkStatus>, Unanswered> {
            Err(Unanswered)
        }

        async fn end_link(&self, _: Uuid) -> Result<bool, Unanswered> {
            Err(Unanswered)
        }

        async fn metrics(&self) -> Result<String, String> {
            Ok(String::new())
        }

        async fn usage(&self, _: By, _: Option<SystemTime>) -> Result<Value, String> {
            Err("no ledger".to_owned())
        }
    }

    #[tokio::test]
    async fn what_a_worker_does_not_answer_is_not_told_by_half() {
        let desk = Desk::new(true, Stuck);
        for (method, path) in [
            ("POST", "/reload"),
            ("GET", "/links"),
            ("GET", "/usage"),
            ("DELETE", "/links/67e55044-10b1-426f-9247-bb680e5fe0c8"),
        ] {
            let request = Request::builder().method(method).uri(path).header(HOST, "localhost").body(()).unwrap();
            assert_eq!(desk.answer(request).await.status(), 503, "{method}");
        }
    }
}
