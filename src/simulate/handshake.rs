//! The upgrade: whether a request is one, and the head that answers it.
//!
//! It refuses to know the connection that it comes on.

use super::fault::Fault;
use super::refusal::{self, Refusal};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{self, AsHeaderName, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use sha1::{Digest, Sha1};
use std::fmt::Write;

/// RFC 6455, section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const PROTOCOL: &str = "realtime";
const KEY_PROTOCOL: &str = "openai-insecure-api-key.";

/// The model of a request that names none, because it joins a call.
const MODEL_OF_A_CALL: &str = "gpt-realtime";

/// A request that will be answered with 101, or with a fault.
pub(super) struct Asked {
    /// None for a session that only transcribes.
    pub(super) model: Option<String>,
    /// How to misbehave.
    pub(super) fault: Option<Fault>,
    accept: String,
    protocol: Option<&'static str>,
    request_id: String,
}

impl Asked {
    /// Judges a request. `key` is the only one that is good, if there is one.
    pub(super) fn from_request<B>(request: &Request<B>, key: Option<&str>, request_id: &str) -> Result<Self, Refusal> {
        if !request.uri().path().ends_with("/realtime") {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path."));
        }
        let headers = request.headers();
        let websocket_key = websocket_key(request.method(), headers).ok_or_else(|| {
            let message = "You must use the WebSocket protocol to connect to this endpoint.";
            Refusal::new(StatusCode::BAD_REQUEST, "websocket_upgrade_required", message)
        })?;
        let query = Query::of(request.uri().query().unwrap_or_default());
        let named = query.model.as_deref().unwrap_or_default();
        let mut fault = Fault::of(named)
            .map_err(|message| Refusal::new(StatusCode::BAD_REQUEST, "unknown_fault", message).about("model"))?;
        if let Some(Fault::Http(status)) = fault {
            return Err(refusal::of_status(status, named));
        }
        if key.is_some_and(|key| !carries(headers, key)) {
            // What the live service does: it opens, and only then refuses.
            fault = Some(Fault::Close(3_000));
        }
        let protocol = offers(headers, PROTOCOL).then_some(PROTOCOL);
        let (accept, request_id) = (accept(websocket_key), request_id.to_owned());
        Ok(Self { model: query.into_model()?, fault, accept, protocol, request_id })
    }

    /// The head of the 101, with its fault if it has one.
    pub(super) fn switching_protocols(&self) -> Vec<u8> {
        let accept = if self.fault == Some(Fault::WrongAccept) { accept(b"another key") } else { self.accept.clone() };
        let protocol = if self.fault == Some(Fault::UnofferedProtocol) { Some("chat") } else { self.protocol };
        let extension = (self.fault == Some(Fault::Extension)).then_some("permessage-deflate");
        let mut head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n"
        );
        let optional = [("Sec-WebSocket-Protocol", protocol), ("Sec-WebSocket-Extensions", extension)];
        // Writing to a string cannot fail.
        for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(head, "x-request-id: {}\r\n\r\n", self.request_id);
        head.into_bytes()
    }
}

struct Query {
    model: Option<String>,
    transcribes: bool,
    joins_a_call: bool,
}

impl Query {
    fn of(query: &str) -> Self {
        let mut found = Self { model: None, transcribes: false, joins_a_call: false };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*name, &*value) {
                ("model" | "deployment", value) if !value.is_empty() => found.model = Some(value.to_owned()),
                ("intent", "transcription") => found.transcribes = true,
                ("call_id", value) if !value.is_empty() => found.joins_a_call = true,
                _ => {}
            }
        }
        found
    }

    fn into_model(self) -> Result<Option<String>, Refusal> {
        match self.model {
            _ if self.transcribes => Ok(None),
            Some(model) => Ok(Some(model)),
            None if self.joins_a_call => Ok(Some(MODEL_OF_A_CALL.to_owned())),
            None => {
                let message = "You must provide a model parameter.";
                Err(Refusal::new(StatusCode::BAD_REQUEST, "missing_model", message).about("model"))
            }
        }
    }
}

/// The key of a request that is a legal upgrade.
fn websocket_key<'a>(method: &Method, headers: &'a HeaderMap) -> Option<&'a [u8]> {
    let is_upgrade = *method == Method::GET
        && lists(headers, header::UPGRADE, "websocket")
        && lists(headers, header::CONNECTION, "upgrade")
        && lists(headers, header::SEC_WEBSOCKET_VERSION, "13");
    headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_upgrade).map(HeaderValue::as_bytes)
}

fn accept(websocket_key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(websocket_key).chain_update(ACCEPT_GUID).finalize())
}

/// Whether the key is in one of the places where clients carry it.
fn carries(headers: &HeaderMap, key: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    text("authorization").and_then(|value| value.strip_prefix("Bearer ")) == Some(key)
        || text("api-key") == Some(key)
        || offers(headers, &format!("{KEY_PROTOCOL}{key}"))
}

fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    items(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|item| item == protocol)
}

fn lists(headers: &HeaderMap, name: impl AsHeaderName, wanted: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(wanted))
}

fn items(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::{Asked, Fault, Request, accept};

    fn ask(query: &str, key: Option<&str>) -> Result<Asked, u16> {
        let request = Request::get(format!("/v1/realtime?{query}"))
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", "realtime, openai-insecure-api-key.good")
            .body(())
            .expect("a request");
        Asked::from_request(&request, key, "req_1").map_err(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn accept_is_the_one_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn the_query_decides_what_is_opened() {
        let model = |query| ask(query, None).map(|asked| asked.model);
        assert_eq!(model("model=gpt-realtime"), Ok(Some("gpt-realtime".to_owned())));
        assert_eq!(model("api-version=x&deployment=mine"), Ok(Some("mine".to_owned())));
        assert_eq!(model("intent=transcription"), Ok(None));
        assert_eq!(model("call_id=rtc_1"), Ok(Some("gpt-realtime".to_owned())));
        assert_eq!(model(""), Err(400));
        assert_eq!(model("model=fault-http-503"), Err(503));
        assert_eq!(model("model=fault-unheard-of"), Err(400));
    }

    #[test]
    fn a_wrong_key_is_let_in_and_then_refused() {
        let fault = |key| ask("model=gpt-realtime", Some(key)).map(|asked| asked.fault);
        assert_eq!(fault("good"), Ok(None));
        assert_eq!(fault("better"), Ok(Some(Fault::Close(3_000))));
    }

    #[test]
    fn realtime_is_selected_because_it_was_offered() {
        let head = ask("model=m", None).expect("an upgrade").switching_protocols();
        let head = String::from_utf8(head).expect("ASCII");
        assert!(head.contains("Sec-WebSocket-Protocol: realtime\r\n"), "{head}");
        assert!(head.ends_with("x-request-id: req_1\r\n\r\n"), "{head}");
    }
}
