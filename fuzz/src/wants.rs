//! What a client has to show for a link, of the stage's one configuration, read off its head by the rules as they are
//! written down. It refuses to know how the relay checks them.

use super::head::Head;
use super::stage::KEY;

/// Whether this head asks for a link, rightly.
pub fn may_have_a_link(head: &Head<'_>) -> bool {
    let Some(target) = target(head) else { return false };
    let (path, query) = path_and_query(target);
    let query = decoded(query);
    ["/v1/realtime", "/openai/v1/realtime", "/openai/realtime"].contains(&path)
        && head.lists("upgrade", "websocket")
        && head.lists("connection", "upgrade")
        && head.only("sec-websocket-version") == Some(b"13")
        && head.only("sec-websocket-key").is_some_and(is_nonce)
        && head.all("content-length").all(|length| length == b"0")
        && head.all("transfer-encoding").next().is_none()
        && head.all("origin").all(|origin| origin.iter().all(|byte| *byte == b'\t' || (b' '..0x7f).contains(byte)))
        && key(head, &query).is_some_and(|key| key.trim() == KEY)
        && asks_for_a_route(&query)
}

/// Whether its target is such as anybody may write.
pub fn has_a_plain_target(head: &Head<'_>) -> bool {
    target(head).is_some_and(|target| target.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%/?&=+:".contains(&b)))
}

fn target<'h>(head: &'h Head<'_>) -> Option<&'h str> {
    let target = head.first.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    (!target.contains(' ')).then_some(target)
}

/// Of a target in any form (RFC 9112 section 3.2).
fn path_and_query(target: &str) -> (&str, &str) {
    let target = target.split('#').next().unwrap_or_default();
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => &rest[rest.find(['/', '?']).unwrap_or(rest.len())..],
        _ => target,
    };
    target.split_once('?').unwrap_or((target, ""))
}

/// `application/x-www-form-urlencoded`.
fn decoded(query: &str) -> Vec<(String, String)> {
    let text = |part: &str| {
        let bytes = part.as_bytes();
        let (mut text, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let hex = bytes.get(at + 1..at + 3).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            match (bytes[at], hex.and_then(|hex| str::from_utf8(hex).ok())) {
                (b'%', Some(hex)) => {
                    text.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
                    at += 2;
                }
                (b'+', _) => text.push(b' '),
                (byte, _) => text.push(byte),
            }
            at += 1;
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

/// Sixteen bytes in base64.
fn is_nonce(text: &[u8]) -> bool {
    let Some(digits) = text.strip_suffix(b"==") else { return false };
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    digits.len() == 22 && digits.iter().all(is_digit) && b"AQgw".contains(&digits[21])
}

/// The key that counts: of the first of four places that has one.
fn key(head: &Head<'_>, query: &[(String, String)]) -> Option<String> {
    let visible = |value: &&[u8]| value.iter().all(|byte| *byte == b'\t' || (b' '..0x7f).contains(byte));
    let header = |name| head.only(name).filter(visible).map(|value| String::from_utf8_lossy(value).into_owned());
    let subprotocols = head.items("sec-websocket-protocol");
    let in_subprotocol = subprotocols.iter().find_map(|item| item.strip_prefix("openai-insecure-api-key."));
    let bearer = header("authorization").filter(|value| value.to_ascii_lowercase().starts_with("bearer "));
    in_subprotocol
        .map(str::to_owned)
        .or_else(|| bearer.map(|value| value["bearer ".len()..].to_owned()))
        .or_else(|| header("api-key"))
        .or_else(|| query.iter().find(|(name, _)| name == "api-key").map(|(_, key)| key.clone()))
}

/// Whether the query names one route.
fn asks_for_a_route(query: &[(String, String)]) -> bool {
    let all =
        |wanted: &str| query.iter().filter(|(name, _)| name == wanted).map(|(_, v)| v.as_str()).collect::<Vec<_>>();
    let [model, deployment, intent, call] = ["model", "deployment", "intent", "call_id"].map(all);
    if [&model, &deployment, &intent, &call].iter().any(|values| values.len() > 1) {
        return false;
    }
    let [model, deployment, intent, call] = [model, deployment, intent, call].map(|values| values.concat());
    match (intent.as_str(), call.as_str()) {
        ("", "") if model.is_empty() || deployment.is_empty() => model != deployment,
        ("", "") => model == deployment,
        ("transcription", "") | ("", _) => true,
        _ => false,
    }
}
