//! How each kind of upstream wants to be asked: URL, headers, subprotocols.
//!
//! What goes upstream is built here from nothing; nothing of the client's request comes along that is not named. It
//! refuses to know how the request travels and what is answered.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use hyper::{Request, Uri};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::failure::Failure;
use super::{Candidate, Wanted};
use crate::control::config::{Kind, Secret};
use crate::edge::handshake::{self, VERSION, WEBSOCKET};
use crate::edge::query::Route;

/// The header by which an upstream's operator finds the client's request again.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");
/// Who we are.
const PRODUCT: HeaderValue = HeaderValue::from_static(concat!("realtime-relay/", env!("CARGO_PKG_VERSION")));
/// Everything but the unreserved characters (RFC 3986 section 2.3) is escaped in the name of a model or a call.
const RESERVED: AsciiSet = percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An upgrade request, with what is needed to verify its answer.
#[derive(Debug)]
pub struct Ask {
    /// The request.
    pub request: Request<Empty<Bytes>>,
    /// Its `Sec-WebSocket-Key`.
    pub key: HeaderValue,
    /// The subprotocols it offers.
    pub offered: Vec<String>,
}

/// The longest target that is asked for, in bytes: what usual servers read. Encoded anew, what a client asks for may have grown
/// to nine times its size, and servers refuse too long a target in their own ways, some by hanging up: that would look like
/// their fault.
const MAX_TARGET: usize = 8 << 10;

/// The request that opens a leg at this candidate.
pub fn ask(candidate: &Candidate, wanted: &Wanted) -> Result<Ask, Failure> {
    let target = target(candidate, wanted).ok_or(Failure::UnsendableTarget)?;
    asking(target, candidate, wanted).ok_or(Failure::UnsendableKey)
}

/// The same with this target. `None`: the client's own key holds characters that no header may.
fn asking(target: Uri, candidate: &Candidate, wanted: &Wanted) -> Option<Ask> {
    let upstream = &candidate.upstream.config;
    let key = handshake::new_key();
    let offered = offered(&upstream.kind);
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    headers.extend(candidate.forwarded.clone());
    for (name, value) in &upstream.headers {
        headers.insert(name, value.clone());
    }
    headers.insert(HOST, HeaderValue::try_from(upstream.url.authority()).ok()?);
    headers.insert(USER_AGENT, PRODUCT);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
    headers.insert(SEC_WEBSOCKET_KEY, key.clone());
    headers.insert(CLIENT_REQUEST_ID, wanted.request_id.clone());
    if !offered.is_empty() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::try_from(offered.join(", ")).ok()?);
    }
    if upstream.beta_header {
        headers.insert("openai-beta", HeaderValue::from_static("realtime=v1"));
    }
    if let Kind::OpenAi { organization, project } = &upstream.kind {
        let named = [("openai-organization", organization), ("openai-project", project)];
        headers.extend(named.into_iter().filter_map(|(n, value)| Some((HeaderName::from_static(n), value.clone()?))));
    }
    if let Some(secret) = wanted.passed_key.as_ref().or(upstream.key.as_ref()) {
        let (name, value) = credential(&upstream.kind, secret)?;
        headers.insert(name, value);
    }
    Some(Ask { request, key, offered })
}

fn offered(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::OpenAi { .. } | Kind::Azure { .. } => vec!["realtime".to_owned()],
        Kind::Compatible { subprotocols, .. } => subprotocols.clone(),
    }
}

fn credential(kind: &Kind, secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let with_scheme = |scheme: &str| format!("{scheme} {}", secret.expose());
    let (name, value) = match kind {
        Kind::OpenAi { .. } => (AUTHORIZATION, with_scheme("Bearer")),
        Kind::Azure { .. } => (HeaderName::from_static("api-key"), secret.expose().to_owned()),
        Kind::Compatible { auth_header, auth_scheme: Some(scheme), .. } => (auth_header.clone(), with_scheme(scheme)),
        Kind::Compatible { auth_header, auth_scheme: None, .. } => (auth_header.clone(), secret.expose().to_owned()),
    };
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Path and query of the request. `None`: they are too long.
fn target(candidate: &Candidate, wanted: &Wanted) -> Option<Uri> {
    let upstream = &candidate.upstream.config;
    let base = &upstream.url.path_and_query;
    let model = escaped(&candidate.model_sent);
    let route = |model_parameter: &str| match &wanted.route {
        Route::Model(_) => format!("{model_parameter}={model}"),
        Route::Transcription => "intent=transcription".to_owned(),
        Route::Call(id) => format!("call_id={}", escaped(id)),
    };
    let target = match &upstream.kind {
        Kind::OpenAi { .. } => with_query(&joined(base, &route("model")), &wanted.query),
        Kind::Azure { api_version: None } => format!("{base}/openai/v1/realtime?{}", route("model")),
        Kind::Azure { api_version: Some(version) } => {
            format!("{base}/openai/realtime?api-version={version}&{}", route("deployment"))
        }
        Kind::Compatible { .. } => {
            // The URL says where the model stands; of the other routes it knows nothing.
            let base = base.replace("{model}", &model);
            let is_model = matches!(wanted.route, Route::Model(_));
            let asked = if is_model { base } else { joined(&base, &route("model")) };
            with_query(&asked, &wanted.query)
        }
    };
    Uri::try_from(target).ok().filter(|target| target.path().len() + target.query().map_or(0, str::len) < MAX_TARGET)
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, &RESERVED).to_string()
}

/// Appends the client's other parameters, encoded anew.
fn with_query(target: &str, query: &[(String, String)]) -> String {
    if query.is_empty() {
        return target.to_owned();
    }
    let mut rest = form_urlencoded::Serializer::new(String::new());
    rest.extend_pairs(query);
    joined(target, &rest.finish())
}

fn joined(target: &str, parameters: &str) -> String {
    let joint = if target.contains('?') { '&' } else { '?' };
    format!("{target}{joint}{parameters}")
}
