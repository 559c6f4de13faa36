//! Which headers an upstream may be configured to get, and which are the relay's own business. Refuses to know when they
//! are sent.

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::document::Entry;
use super::mistake::Spot;
use super::outside::Outside;
use super::table::{Given, Table, as_text, mismatch};

/// What concerns one connection alone (RFC 9110, and what proxies made of it), or frames a body.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a client says about itself to the relay, or the relay to the upstream.
const OURS: [&str; 3] = ["host", "cookie", "origin"];

/// What the relay writes itself, and so cannot be where the key stands.
const WRITTEN: [&str; 3] = ["user-agent", "openai-beta", "x-client-request-id"];

/// `headers`: sent with every upgrade. A value may be `env:NAME` or `file:PATH`, and is never printed.
pub(super) fn fixed(table: &mut Table<'_>, outside: &Outside<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let Some(Given { value: entries, spot }) = table.entries("headers") else { return Vec::new() };
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for Entry { key, node, .. } in entries {
        let spot = Spot { place: node.place, path: format!("{}.\"{key}\"", spot.path) };
        let value = as_text(node.value).map_err(|other| mismatch("a string", &other));
        let value = value.and_then(|value| outside.secret(&value)).and_then(|value| {
            HeaderValue::from_str(value.expose()).map_err(|_| "has a character that no header may hold".to_owned())
        });
        let name = permitted(&key, "use `key`, with auth_header where it goes elsewhere");
        match (name, value) {
            (Ok(name), Ok(_)) if headers.iter().any(|(other, _)| *other == name) => {
                table.note(&spot, "written twice, in different letter case; leave one out");
            }
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.push((name, value));
            }
            (name, value) => {
                name.err().into_iter().chain(value.err()).for_each(|what| table.note(&spot, what));
            }
        }
    }
    headers
}

/// `forward_headers`: what of the client's goes on.
pub(super) fn forwarded(table: &mut Table<'_>) -> Vec<HeaderName> {
    let Some(texts) = table.texts("forward_headers") else {
        return vec![HeaderName::from_static("openai-safety-identifier")];
    };
    let mut names = Vec::new();
    for Given { value, spot } in texts.value {
        match permitted(&value, "a client's credential is never forwarded; leave it out") {
            Ok(name) if names.contains(&name) => table.note(&spot, "listed twice; leave one out"),
            Ok(name) => names.push(name),
            Err(what) => table.note(&spot, what),
        }
    }
    names
}

/// The name of a header that may carry the key.
pub(super) fn for_credential(text: &str) -> Result<HeaderName, String> {
    let name = header_name(text)?;
    let written = WRITTEN.contains(&name.as_str()).then_some("is written by the relay itself");
    match reserved(&name).or(written) {
        Some(why) => Err(format!("`{text}` {why}; write Authorization, api-key or another")),
        None => Ok(name),
    }
}

/// A token of RFC 9110: one word without separators.
pub(super) fn is_token(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok() // a field name is a token, and nothing else is
}

fn permitted(text: &str, credential_hint: &str) -> Result<HeaderName, String> {
    let name = header_name(text)?;
    if let Some(why) = reserved(&name) {
        return Err(format!("`{text}` {why}; leave it out"));
    }
    if name == AUTHORIZATION || name == "api-key" {
        return Err(format!("`{text}` carries a credential; {credential_hint}"));
    }
    if name == "openai-beta" {
        return Err(format!("`{text}` makes OpenAI end the session; for others, use beta_header = true"));
    }
    Ok(name)
}

fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is not the name of a header"))
}

/// Why a header is out of the configuration's hands.
fn reserved(name: &HeaderName) -> Option<&'static str> {
    if HOP_BY_HOP.contains(&name.as_str()) {
        Some("concerns one connection alone")
    } else if OURS.contains(&name.as_str()) {
        Some("is between one peer and the relay")
    } else if name.as_str().starts_with("sec-websocket-") {
        Some("belongs to the WebSocket handshake")
    } else {
        None
    }
}
