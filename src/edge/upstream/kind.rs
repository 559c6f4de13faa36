//! How each kind of upstream wants to be asked: URL, headers, subprotocols.
//!
//! What goes upstream is built here from nothing; nothing of the client's request comes along that is not named. It
//! refuses to know how the request travels and what is answered.

use std::fmt;

use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::failure::Failure;
use super::{Candidate, Wanted};
use crate::control::config::{self, Kind, Secret};
use crate::edge::handshake::{self, VERSION, WEBSOCKET};
use crate::edge::query::Route;

/// The header by which an upstream's operator finds the client's request again.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");
/// Who we are.
const PRODUCT: HeaderValue = HeaderValue::from_static(concat!("realtime-relay/", env!("CARGO_PKG_VERSION")));
/// Everything but the unreserved characters (RFC 3986 section 2.3) is escaped in the name of a model or a call.
const RESERVED: AsciiSet = percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Most heads of requests have room in so many bytes.
const USUAL_HEAD: usize = 1 << 10;

/// The longest target that is asked for, in bytes: what usual servers read. Encoded anew, what a client asks for may have grown
/// to nine times its size, and servers refuse too long a target in their own ways, some by hanging up: that would look like
/// their fault.
const MAX_TARGET: usize = 8 << 10;

/// How one upstream is asked: what every request to it says, written once.
pub struct Asking {
    /// Lines of the head.
    lines: Vec<u8>,
    /// The headers that stand there.
    names: Vec<HeaderName>,
    /// The subprotocols that are offered.
    offered: Vec<String>,
    /// Path and query of its URL, with a gap for each time that the name of the model stands there.
    target: Vec<String>,
}

/// An upgrade request, with what is needed to verify its answer.
pub struct Ask {
    /// Its head, which is all of it.
    pub head: Vec<u8>,
    /// Its `Sec-WebSocket-Key`.
    pub key: String,
}

impl Asking {
    /// How the upstream is asked that is configured so.
    pub fn new(upstream: &config::Upstream) -> Self {
        let offered = offered(&upstream.kind);
        let mut headers: HeaderMap = upstream.headers.iter().cloned().collect();
        // It is another in each request.
        headers.remove(CLIENT_REQUEST_ID);
        headers.insert(HOST, value(upstream.url.authority()));
        headers.insert(USER_AGENT, PRODUCT);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        if !offered.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value(offered.join(", ")));
        }
        if upstream.beta_header {
            headers.insert("openai-beta", HeaderValue::from_static("realtime=v1"));
        }
        if let Kind::OpenAi { organization, project } = &upstream.kind {
            let named = [("openai-organization", organization), ("openai-project", project)];
            headers
                .extend(named.into_iter().filter_map(|(n, value)| Some((HeaderName::from_static(n), value.clone()?))));
        }
        if let Some(secret) = &upstream.key {
            let (name, text) = credential(&upstream.kind, secret);
            headers.insert(name, value(text));
        }
        let mut lines = Vec::new();
        headers.iter().for_each(|(name, value)| write_line(&mut lines, name, value.as_bytes()));
        let target = upstream.url.path_and_query.split("{model}").map(str::to_owned).collect();
        Self { lines, names: headers.keys().cloned().collect(), offered, target }
    }

    /// The subprotocols that are offered.
    pub fn offered(&self) -> &[String] {
        &self.offered
    }
}

/// Among its lines is the credential.
impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("names", &self.names).field("offered", &self.offered).finish_non_exhaustive()
    }
}

/// The request that opens a leg at this candidate.
pub fn ask(candidate: &Candidate, wanted: &Wanted) -> Result<Ask, Failure> {
    let Candidate { upstream, forwarded, .. } = candidate;
    let target = target(candidate, wanted);
    if target.len() > MAX_TARGET {
        return Err(Failure::UnsendableTarget);
    }
    let passed = wanted.passed_key.as_ref().map(|secret| credential(&upstream.config.kind, secret));
    if passed.as_ref().is_some_and(|(_, text)| HeaderValue::from_bytes(text.as_bytes()).is_err()) {
        return Err(Failure::UnsendableKey);
    }
    let key = handshake::new_key();
    let mut head = Vec::with_capacity(USUAL_HEAD);
    for part in [b"GET ", target.as_bytes(), b" HTTP/1.1\r\n", &upstream.asking.lines] {
        head.extend_from_slice(part);
    }
    let is_passed = |name: &HeaderName| passed.as_ref().is_some_and(|(passed, _)| passed == name);
    let is_ours =
        |name: &HeaderName| *name == CLIENT_REQUEST_ID || upstream.asking.names.contains(name) || is_passed(name);
    for (name, value) in forwarded.iter().filter(|(name, _)| !is_ours(name)) {
        write_line(&mut head, name, value.as_bytes());
    }
    write_line(&mut head, &CLIENT_REQUEST_ID, wanted.request_id.as_bytes());
    write_line(&mut head, &SEC_WEBSOCKET_KEY, key.as_bytes());
    if let Some((name, text)) = &passed {
        write_line(&mut head, name, text.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    Ok(Ask { head, key })
}

fn write_line(head: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// The value of a header, of what the configuration has judged to be one.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("the configuration lets nothing else pass")
}

fn offered(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::OpenAi { .. } | Kind::Azure { .. } => vec!["realtime".to_owned()],
        Kind::Compatible { subprotocols, .. } => subprotocols.clone(),
    }
}

/// The header that carries a key, and what stands there.
fn credential(kind: &Kind, secret: &Secret) -> (HeaderName, String) {
    let with_scheme = |scheme: &str| format!("{scheme} {}", secret.expose());
    match kind {
        Kind::OpenAi { .. } => (AUTHORIZATION, with_scheme("Bearer")),
        Kind::Azure { .. } => (HeaderName::from_static("api-key"), secret.expose().to_owned()),
        Kind::Compatible { auth_header, auth_scheme: Some(scheme), .. } => (auth_header.clone(), with_scheme(scheme)),
        Kind::Compatible { auth_header, auth_scheme: None, .. } => (auth_header.clone(), secret.expose().to_owned()),
    }
}

/// Path and query of the request.
fn target(candidate: &Candidate, wanted: &Wanted) -> String {
    let upstream = &candidate.upstream.config;
    let base = &upstream.url.path_and_query;
    let model = escaped(&candidate.model_sent);
    let route = |model_parameter: &str| match &wanted.route {
        Route::Model(_) => format!("{model_parameter}={model}"),
        Route::Transcription => "intent=transcription".to_owned(),
        Route::Call(id) => format!("call_id={}", escaped(id)),
    };
    match &upstream.kind {
        Kind::OpenAi { .. } => with_query(joined(base, &route("model")), &wanted.query),
        Kind::Azure { api_version: None } => format!("{base}/openai/v1/realtime?{}", route("model")),
        Kind::Azure { api_version: Some(version) } => {
            format!("{base}/openai/realtime?api-version={version}&{}", route("deployment"))
        }
        Kind::Compatible { .. } => {
            // The URL says where the model stands; of the other routes it knows nothing.
            let base = candidate.upstream.asking.target.join(&model);
            let is_model = matches!(wanted.route, Route::Model(_));
            let asked = if is_model { base } else { joined(&base, &route("model")) };
            with_query(asked, &wanted.query)
        }
    }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, &RESERVED).to_string()
}

/// Appends the client's other parameters, encoded anew.
fn with_query(target: String, query: &[(String, String)]) -> String {
    if query.is_empty() {
        return target;
    }
    let mut rest = form_urlencoded::Serializer::new(String::new());
    rest.extend_pairs(query);
    joined(&target, &rest.finish())
}

fn joined(target: &str, parameters: &str) -> String {
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{parameters}")
}
