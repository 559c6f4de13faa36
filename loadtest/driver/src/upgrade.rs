//! The opening handshake of a WebSocket, both ends of it, as short as the relay accepts it.

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// No head is longer.
pub const MAX_HEAD: usize = 16 << 10;
/// RFC 6455 section 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The model that a client asks for is the number of its link: every proxy passes it on.
const MODEL: &str = "model=m";

/// What the client of this link asks.
pub fn request(link: u64) -> Vec<u8> {
    let headers = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    format!("GET /v1/realtime?{MODEL}{link} HTTP/1.1\r\n{headers}").into_bytes()
}

/// Where the head ends, if it is whole.
pub fn end_of_head(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
    if end.is_none() && bytes.len() > MAX_HEAD {
        bail!("a head of more than {MAX_HEAD} bytes");
    }
    Ok(end)
}

/// Which link this request is for, and what an upstream answers.
pub fn answer(request: &[u8]) -> anyhow::Result<(u64, Vec<u8>)> {
    let request = std::str::from_utf8(request).context("a request that is no text")?;
    let link = request.split_once(MODEL).and_then(|(_, rest)| rest.split([' ', '&']).next()?.parse().ok());
    let link = link.with_context(|| format!("no link: {request}"))?;
    let key = request.lines().filter_map(|line| line.split_once(':'));
    let key = key.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key")).map(|(_, key)| key.trim()).next();
    let key = key.with_context(|| format!("no upgrade: {request}"))?;
    let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize());
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    Ok((link, format!("{head}Sec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes()))
}

/// Fails unless this answer is a 101.
pub fn check(answer: &[u8]) -> anyhow::Result<()> {
    if answer.starts_with(b"HTTP/1.1 101 ") {
        return Ok(());
    }
    bail!("refused: {}", String::from_utf8_lossy(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_a_key_as_the_rfc_does() {
        let (link, answer) = answer(&request(17)).unwrap();
        assert_eq!(link, 17);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    }
}
