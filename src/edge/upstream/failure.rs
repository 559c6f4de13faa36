//! What went wrong with an upstream, and what the client is told of it.
//!
//! It refuses to know how it was found out. A message names the upstream and what happened, never its key or address.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

use crate::edge::refusal::{ROOM_PATIENCE, Refusal};
use crate::relay::scan::Violation;

/// Why an upstream leg does not stand.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its name has no address.
    #[error("its name could not be resolved")]
    Dns(#[source] io::Error),
    /// No connection to any of its addresses.
    #[error("no connection: {}", .0.kind())]
    Tcp(#[source] io::Error),
    /// This side has no socket left for a connection.
    #[error("the relay has no socket left for it")]
    Shortage(#[source] io::Error),
    /// No TLS with it. What is wrong with a certificate names the host, so it is for the operator alone.
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    /// The proxy in front of it gave no tunnel.
    #[error(transparent)]
    Proxy(#[from] ProxyFailure),
    /// Nothing came in time.
    #[error("no answer within {}", humantime::format_duration(in_millis(*.0)))]
    Timeout(Duration),
    /// It answered, but neither with a valid 101 nor with another HTTP status.
    #[error("{0}")]
    NotHttp(&'static str),
    /// It answered with another status than 101.
    #[error("it answered {status}")]
    Answer {
        /// The status.
        status: StatusCode,
        /// Its `Retry-After`.
        retry_after: Option<HeaderValue>,
        /// Its body, where that is JSON.
        body: Option<Bytes>,
    },
    /// It switched protocols, and then said something else than a client can use.
    #[error(transparent)]
    FirstEvent(#[from] FirstWord),
    /// The client's own key cannot stand in a header.
    #[error("the client's key cannot stand in a header")]
    UnsendableKey,
    /// What the client asks for is too long to ask for.
    #[error("what the client asks for is too long")]
    UnsendableTarget,
}

/// Why a proxy gave no tunnel. Only the operator knows that there is a proxy, so its name stays unsaid too.
#[derive(Debug, thiserror::Error)]
pub enum ProxyFailure {
    /// Its name has no address.
    #[error("the name of the proxy could not be resolved")]
    Dns(#[source] io::Error),
    /// No connection to any of its addresses.
    #[error("no connection to the proxy: {}", .0.kind())]
    Tcp(#[source] io::Error),
    /// This side has no socket left for a connection.
    #[error("the relay has no socket left for it")]
    Shortage(#[source] io::Error),
    /// It answered, or ended, without HTTP.
    #[error("the proxy does not answer in HTTP")]
    NotHttp(#[from] hyper::Error),
    /// It refused the tunnel. Whether it could not reach the upstream or did not want to, only its status tells.
    #[error("the proxy answered {0}")]
    Refused(StatusCode),
    /// It spoke through the tunnel, where nobody but the upstream may, and that one not before it was asked.
    #[error("the proxy sent bytes behind its answer")]
    EarlyBytes,
    /// The name of the upstream cannot stand in a request for a tunnel.
    #[error("the proxy cannot be asked for this upstream")]
    Unaskable,
}

/// A first word of an upstream that ends a link before it has begun.
#[derive(Debug, thiserror::Error)]
pub enum FirstWord {
    /// It ended or failed.
    #[error("it closed the connection before its first event")]
    Ended,
    /// It broke RFC 6455.
    #[error("its first frame is illegal: {0}")]
    Illegal(#[from] Violation),
    /// It does not take the credential: close 3000, or the error `invalid_api_key`.
    #[error("it does not take the credential")]
    Credential {
        /// In its own words, which may repeat the credential: only for whom it belongs to.
        reason: String,
    },
    /// An `error` event of another kind.
    #[error("it answered with the error {}", .error["code"].as_str().unwrap_or("without a code"))]
    Error {
        /// The `error` object of the event.
        error: Value,
    },
    /// A close frame of another kind.
    #[error("it closed with {code}")]
    Close {
        /// 1005 where it carried none.
        code: u16,
        /// In its own words.
        reason: String,
    },
}

/// What a failure means for the next candidate and for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The upstream's fault: it counts, and the next candidate is tried.
    Counts,
    /// The upstream asked to be left alone for so long (`None`: it did not say). The next candidate is tried.
    RateLimited(Option<Duration>),
    /// Our credential's fault: the next candidate is tried.
    CredentialRejected,
    /// What the client asked for is at fault, or its own credential: every candidate would say the same.
    ClientsOwn,
    /// The relay cannot dial, whichever candidate.
    OurOwn,
}

/// What was left of a deadline has nanoseconds, and nobody wants to read them.
fn in_millis(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl From<hyper::Error> for Failure {
    fn from(_: hyper::Error) -> Self {
        Self::NO_HTTP
    }
}

impl Failure {
    /// Neither a 101 nor another status can be made of what it answered.
    pub const NO_HTTP: Self = Self::NotHttp("its answer is no HTTP");

    /// One word for machines: at which stage it failed.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dns(_) => "dns",
            Self::Tcp(_) => "tcp",
            Self::Shortage(_) | Self::Proxy(ProxyFailure::Shortage(_)) => "shortage",
            Self::Tls(_) => "tls",
            Self::Proxy(_) => "proxy",
            Self::Timeout(_) => "timeout",
            Self::NotHttp(_) => "not_http",
            Self::Answer { .. } => "answer",
            Self::FirstEvent(_) => "first_event",
            Self::UnsendableKey => "unsendable_key",
            Self::UnsendableTarget => "unsendable_target",
        }
    }

    /// What follows from it. With `passthrough` the credential is the client's own, and so is the answer to it.
    pub fn verdict(&self, passthrough: bool) -> Verdict {
        match self {
            Self::Shortage(_) | Self::Proxy(ProxyFailure::Shortage(_)) => Verdict::OurOwn,
            Self::Dns(_) | Self::Tcp(_) | Self::Tls(_) | Self::Proxy(_) | Self::Timeout(_) | Self::NotHttp(_) => {
                Verdict::Counts
            }
            Self::UnsendableKey | Self::UnsendableTarget => Verdict::ClientsOwn,
            Self::Answer { status, retry_after, .. } => match *status {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if passthrough => {
                    Verdict::ClientsOwn
                }
                StatusCode::TOO_MANY_REQUESTS => Verdict::RateLimited(retry_after.as_ref().and_then(wait)),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Verdict::CredentialRejected,
                status if status.is_client_error() => Verdict::ClientsOwn,
                _ => Verdict::Counts,
            },
            Self::FirstEvent(word) => match word {
                FirstWord::Credential { .. } if passthrough => Verdict::ClientsOwn,
                FirstWord::Credential { .. } => Verdict::CredentialRejected,
                word if word.is_clients_own() => Verdict::ClientsOwn,
                _ => Verdict::Counts,
            },
        }
    }

    /// Whether it is a 429.
    pub fn is_rate_limit(&self) -> bool {
        matches!(self, Self::Answer { status: StatusCode::TOO_MANY_REQUESTS, .. })
    }

    /// What the client is told, with this message. With `passthrough` the credential is the client's own, and so is the
    /// answer to it.
    pub fn refusal(self, message: String, passthrough: bool) -> Refusal {
        let bad_gateway = |code| Refusal::new(StatusCode::BAD_GATEWAY, code, message.clone());
        match self {
            Self::Shortage(_) | Self::Proxy(ProxyFailure::Shortage(_)) => {
                let message = "the relay is at the limit of its open files";
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "at_capacity", message).with_retry_after(ROOM_PATIENCE)
            }
            Self::Dns(_) | Self::Tcp(_) | Self::Tls(_) | Self::Proxy(_) => bad_gateway("upstream_unreachable"),
            Self::Timeout(_) => Refusal::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", message),
            Self::NotHttp(_) => bad_gateway("upstream_refused"),
            Self::UnsendableKey => Refusal::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message),
            Self::UnsendableTarget => Refusal::new(StatusCode::BAD_REQUEST, "invalid_query", message),
            Self::Answer { status, retry_after, body } => {
                let refusal = answer(status, body, passthrough, message);
                match retry_after.filter(|_| refusal.status != StatusCode::BAD_GATEWAY) {
                    Some(after) => refusal.with_header(RETRY_AFTER, after),
                    None => refusal,
                }
            }
            Self::FirstEvent(word) => first_word(word, passthrough, message),
        }
    }
}

impl FirstWord {
    /// Whether it answers what the client asked for, and not the state of the upstream.
    fn is_clients_own(&self) -> bool {
        match self {
            Self::Error { error } => error.is_object() && error["type"] != "server_error",
            Self::Close { code, .. } => (4000..=4999).contains(code),
            Self::Ended | Self::Illegal(_) | Self::Credential { .. } => false,
        }
    }
}

/// What a `Retry-After` asks for: seconds, or a date (RFC 9110 section 10.2.3).
fn wait(retry_after: &HeaderValue) -> Option<Duration> {
    let text = retry_after.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    }
}

fn answer(status: StatusCode, body: Option<Bytes>, passthrough: bool, message: String) -> Refusal {
    let own_answer = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => passthrough,
        StatusCode::TOO_MANY_REQUESTS if !passthrough => {
            return Refusal::new(status, "upstream_rate_limited", message);
        }
        status => status.is_client_error(),
    };
    if !own_answer {
        return Refusal::new(StatusCode::BAD_GATEWAY, "upstream_refused", message);
    }
    let refusal = Refusal::new(status, "upstream_refused", message);
    match body {
        Some(body) => refusal.with_body(body),
        None => refusal,
    }
}

fn first_word(word: FirstWord, passthrough: bool, message: String) -> Refusal {
    let refused = |message| Refusal::new(StatusCode::BAD_GATEWAY, "upstream_refused", message);
    let error = match word {
        FirstWord::Credential { reason } if passthrough => {
            return Refusal::new(StatusCode::UNAUTHORIZED, "invalid_api_key", reason);
        }
        word if !word.is_clients_own() => return refused(message),
        FirstWord::Error { error } => error,
        FirstWord::Close { reason, .. } => {
            // `invalid_request_error.model_not_found`: type and code, as OpenAI writes them.
            let code = reason.rsplit('.').next().filter(|code| !code.is_empty() && !code.contains(' '));
            json!({ "type": "invalid_request_error", "code": code, "message": message, "param": null })
        }
        _ => return refused(message),
    };
    let is_unknown_model = error["code"].as_str().is_some_and(|code| code.contains("model_not_found"));
    let status = if is_unknown_model { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
    let body = json!({ "error": error }).to_string().into();
    Refusal::new(status, "upstream_refused", message).with_body(body)
}
