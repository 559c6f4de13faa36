//! The admin listener: whether the process lives and may be sent clients, and how its upstreams do.
//!
//! It refuses to touch a link, and to know where what it tells comes from. The two probes are also answered on the
//! client listener, for load balancers that can only ask there.

mod guard;
mod probe;
mod status;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::http::request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::listener::Door;
use super::refusal::{REQUEST_ID, Refusal, request_id};
use crate::control::config::Secret;
use guard::Guard;

pub use probe::probe;
pub use status::{BreakerState, LinkStatus, LinkUsage, UpstreamStatus};

/// Whoever has not sent its request by then is cut.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the admin listener asks for, and what it tells.
#[derive(Debug)]
pub struct Admin<F> {
    /// What an operator must show. Without one only a loopback listener answers.
    pub token: Option<Secret>,
    /// How the upstreams do at this moment.
    pub status: F,
}

/// Answers on the admin listener until dropped. Runs on a runtime that takes local tasks.
pub async fn serve<F>(listener: TcpListener, admin: Admin<F>)
where
    F: Fn() -> Vec<UpstreamStatus> + 'static,
{
    // An address that the system does not tell is treated as one that everybody reaches.
    let loopback = listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
    let desk = Rc::new(Desk { guard: Guard::new(admin.token.as_ref(), loopback), status: admin.status });
    let mut door = Door::new(listener);
    loop {
        let (stream, _) = door.next().await;
        tokio::task::spawn_local(serve_connection(stream, desk.clone()));
    }
}

async fn serve_connection<F: Fn() -> Vec<UpstreamStatus>>(stream: TcpStream, desk: Rc<Desk<F>>) {
    let service = service_fn(async |request| Ok::<_, Infallible>(desk.answer(request)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection failed");
    }
}

/// Where operators are answered.
struct Desk<F> {
    guard: Guard,
    status: F,
}

impl<F: Fn() -> Vec<UpstreamStatus>> Desk<F> {
    fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>> {
        if let Some(response) = probe(&request) {
            return response;
        }
        let (head, _) = request.into_parts();
        let request_id = request_id(head.headers.get(REQUEST_ID));
        match self.tell(&head) {
            Ok(body) => json(body, request_id),
            Err(refusal) => refusal.response(&request_id),
        }
    }

    /// The guard comes first: a stranger does not even learn what there is.
    fn tell(&self, head: &request::Parts) -> Result<Vec<u8>, Refusal> {
        self.guard.check(head)?;
        match head.uri.path() {
            "/upstreams" => {
                only_read(head)?;
                let told = serde_json::to_vec(&(self.status)());
                told.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "untold", error.to_string()))
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here; try /upstreams")),
        }
    }
}

fn only_read(head: &request::Parts) -> Result<(), Refusal> {
    if matches!(head.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this can only be read, with GET");
    Err(refusal.with_header(ALLOW, READING))
}

/// The methods of what can only be read.
const READING: HeaderValue = HeaderValue::from_static("GET, HEAD");

fn json(body: Vec<u8>, request_id: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(REQUEST_ID, request_id);
    response
}
