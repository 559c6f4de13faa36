//! The opening handshake of RFC 6455, both sides of it, by hand.
//!
//! It refuses to know who may connect and to what: it reads and writes the headers of an upgrade, no more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{
    AsHeaderName, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::http::request;
use hyper::{Method, StatusCode, Version};
use sha1::{Digest, Sha1};

use super::refusal::Refusal;

/// The only version there is (RFC 6455 section 4.1).
pub const VERSION: HeaderValue = HeaderValue::from_static("13");
/// The value of `Upgrade`, both ways.
pub const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// RFC 6455 section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// RFC 6455 section 4.1: the key is 16 random bytes.
const NONCE: usize = 16;
/// A digest of SHA-1 in base64.
const ACCEPT: usize = 28;

/// The headers of one side of a handshake, however they are kept.
pub trait Headers {
    /// The values of the lines of this name.
    fn values<'h>(&'h self, name: &HeaderName) -> impl Iterator<Item = &'h [u8]>;
}

impl Headers for HeaderMap {
    fn values<'h>(&'h self, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
        self.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }
}

/// As they were read.
impl Headers for [httparse::Header<'_>] {
    fn values<'h>(&'h self, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
        let named = self.iter().filter(|line| line.name.eq_ignore_ascii_case(name.as_str()));
        named.map(|line| line.value)
    }
}

/// Checks that a request is an upgrade to WebSocket, and gives what `Sec-WebSocket-Accept` must say.
pub fn check_upgrade(head: &request::Parts) -> Result<HeaderValue, Refusal> {
    if head.method != Method::GET {
        let refusal =
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "a WebSocket upgrade is a GET");
        return Err(refusal.with_header(hyper::header::ALLOW, HeaderValue::from_static("GET")));
    }
    let headers = &head.headers;
    if head.version != Version::HTTP_11
        || !lists(headers, &UPGRADE, "websocket")
        || !lists(headers, &CONNECTION, "upgrade")
    {
        let message = "this is a WebSocket endpoint: send HTTP/1.1 with `Upgrade: websocket` and `Connection: Upgrade`";
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
        return Err(refusal.with_header(UPGRADE, WEBSOCKET));
    }
    if only(headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        let message = "only `Sec-WebSocket-Version: 13` is spoken here";
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "unsupported_websocket_version", message);
        return Err(refusal.with_header(SEC_WEBSOCKET_VERSION, VERSION));
    }
    let key = only(headers, SEC_WEBSOCKET_KEY).filter(|key| is_nonce(key.as_bytes()));
    let Some(key) = key else {
        let message = "`Sec-WebSocket-Key` must be there once, with 16 bytes in base64";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "invalid_websocket_key", message));
    };
    let has_length = headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
    if has_length || headers.contains_key(TRANSFER_ENCODING) {
        let message = "an upgrade request has no body";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "unexpected_body", message));
    }
    Ok(HeaderValue::from_bytes(&accept(key.as_bytes())).expect("base64 is visible ASCII"))
}

/// What `Sec-WebSocket-Accept` says for this key (RFC 6455 section 4.2.2).
pub fn accept(key: &[u8]) -> [u8; ACCEPT] {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
    let mut accept = [0; ACCEPT];
    STANDARD.encode_slice(digest, &mut accept).expect("a digest has 20 bytes");
    accept
}

fn is_nonce(key: &[u8]) -> bool {
    // Room for what 24 digits may hold, padding not counted.
    matches!(STANDARD.decode_slice(key, &mut [0; 18]), Ok(NONCE))
}

/// A fresh `Sec-WebSocket-Key`.
pub fn new_key() -> String {
    STANDARD.encode(uuid::Uuid::new_v4().as_bytes())
}

/// Checks the headers of an upstream's 101 against what was asked of it (RFC 6455 section 4.1). The error says what is wrong.
pub fn verify_switch(headers: &(impl Headers + ?Sized), key: &str, offered: &[String]) -> Result<(), &'static str> {
    if !lists(headers, &UPGRADE, "websocket") {
        return Err("its 101 does not upgrade to websocket");
    }
    if !lists(headers, &CONNECTION, "upgrade") {
        return Err("its 101 has no `Connection: Upgrade`");
    }
    if sole(headers.values(&SEC_WEBSOCKET_ACCEPT)) != Some(&accept(key.as_bytes())) {
        return Err("its 101 carries the wrong `Sec-WebSocket-Accept`");
    }
    if headers.values(&SEC_WEBSOCKET_EXTENSIONS).next().is_some() {
        return Err("its 101 has an extension that nobody offered");
    }
    let mut selected = headers.values(&SEC_WEBSOCKET_PROTOCOL).peekable();
    if selected.peek().is_some() {
        let selected = sole(selected);
        if !selected.is_some_and(|selected| offered.iter().any(|offer| offer.as_bytes() == selected)) {
            return Err("its 101 selects a subprotocol that nobody offered");
        }
    }
    Ok(())
}

/// Whether a header that is a list, maybe over several lines, holds `item` in any case (RFC 9110 section 5.6.1). What else
/// stands there hides nothing, be it no text at all.
pub fn lists(headers: &(impl Headers + ?Sized), name: &HeaderName, item: &str) -> bool {
    let is_it = |there: &[u8]| there.trim_ascii().eq_ignore_ascii_case(item.as_bytes());
    // Mostly it stands there alone.
    headers.values(name).any(|line| is_it(line) || line.split(|byte| *byte == b',').any(is_it))
}

/// The items of a header that is a list.
pub fn items(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// The value of a header that must not be repeated; `None` where it is, or is not there.
pub fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    sole(headers.get_all(name).iter())
}

fn sole<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    values.next().filter(|_| values.next().is_none())
}
