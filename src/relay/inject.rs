//! Builds the frames that the relay itself originates. It refuses to know when they may be sent.

use fastwebsockets::{Frame, OpCode, Payload};

use super::Peer;
use super::pump::PingPayload;

/// RFC 6455 section 5.5: 125 bytes of control payload, two of which are the code.
const MAX_REASON: usize = 123;

/// The bytes of a close frame to `to`. A longer reason is cut at a character.
pub fn close(to: Peer, code: u16, reason: &str) -> Vec<u8> {
    encode(to, Frame::close(code, &reason.as_bytes()[..reason.floor_char_boundary(MAX_REASON)]))
}

/// The bytes of a close frame without code and reason.
pub fn empty_close(to: Peer) -> Vec<u8> {
    encode(to, Frame::close_raw(Payload::Borrowed(&[])))
}

/// The bytes of a text message in one frame to `to`.
pub fn text(to: Peer, text: &str) -> Vec<u8> {
    encode(to, Frame::text(Payload::Borrowed(text.as_bytes())))
}

/// The bytes of a ping to `to`.
pub fn ping(to: Peer, payload: PingPayload) -> Vec<u8> {
    encode(to, Frame::new(true, OpCode::Ping, None, Payload::Borrowed(&payload)))
}

/// The bytes of the pong that answers a ping with this payload (not masked).
pub fn pong(to: Peer, payload: &[u8]) -> Vec<u8> {
    encode(to, Frame::pong(Payload::Borrowed(payload)))
}

/// The bytes of a frame: masked with a fresh random key where `to` is a server (RFC 6455 section 5.3).
fn encode(to: Peer, mut frame: Frame<'_>) -> Vec<u8> {
    debug_assert!(frame.opcode != OpCode::Continuation, "only whole messages are injected");
    if to == Peer::Upstream {
        frame.mask();
    }
    let mut bytes = Vec::new();
    let length = frame.write(&mut bytes).len();
    bytes.truncate(length);
    bytes
}
