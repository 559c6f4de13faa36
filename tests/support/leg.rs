//! A scripted peer's end of a leg, behind the 101.

use std::io;
use std::net::SocketAddr;

use rustls_pki_types::CertificateDer;
use serde_json::Value;

use super::frame::{CLOSE, Frame, PING, TEXT, decode};
use super::head::Head;
use super::wire::Wire;
use super::within;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Client,
    Upstream,
}

pub struct Leg {
    /// What the relay sent to open it: to an upstream its request, to a client its 101.
    pub head: Head,
    role: Role,
    wire: Wire,
}

impl Leg {
    pub fn new(role: Role, head: Head, wire: Wire) -> Self {
        Self { head, role, wire }
    }

    /// Sends frames in one write, masked if a client sends.
    pub async fn send(&mut self, frames: &[Frame]) {
        let bytes = self.encoded(frames);
        self.raw(&bytes).await;
    }

    pub async fn text(&mut self, text: &str) {
        self.send(&[Frame::text(text)]).await;
    }

    pub async fn close(&mut self, code: u16, reason: &str) {
        self.send(&[Frame::close(code, reason)]).await;
    }

    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.wire.send(bytes).await;
    }

    /// What this peer sends for these frames.
    pub fn encoded(&self, frames: &[Frame]) -> Vec<u8> {
        let encode = |frame: &Frame| match self.role {
            Role::Client => frame.clone().masked().bytes(),
            Role::Upstream => frame.bytes(),
        };
        frames.iter().flat_map(encode).collect()
    }

    /// Ends this side's stream without a close frame.
    pub async fn hang_up(&mut self) {
        self.wire.finish().await;
    }

    pub fn reset(self) {
        self.wire.reset();
    }

    /// The next frame, which must be masked if a client is said to have sent it, else not.
    pub async fn next(&mut self) -> Frame {
        loop {
            if let Some((length, frame)) = decode(self.wire.unread()) {
                self.wire.take(length).await;
                assert_eq!(frame.mask.is_some(), self.role == Role::Upstream, "a mask where one belongs: {frame}");
                return frame;
            }
            let read = self.wire.fill("a frame").await;
            let unread = self.wire.unread().len();
            assert!(matches!(read, Ok(1..)), "{read:?} where the {:?} awaited a frame; unread: {unread}", self.role);
        }
    }

    /// The next frame, however long it takes to come; `None`: the relay is gone.
    pub async fn next_or_end(&mut self) -> Option<Frame> {
        loop {
            if let Some((length, frame)) = decode(self.wire.unread()) {
                self.wire.take(length).await;
                return Some(frame);
            }
            if !matches!(self.wire.next_read().await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Sends frames in one write, unless the relay is gone.
    pub async fn try_send(&mut self, frames: &[Frame]) -> bool {
        let bytes = self.encoded(frames);
        self.wire.try_send(&bytes).await.is_ok()
    }

    /// Sends bytes as they are, unless the relay is gone.
    pub async fn try_raw(&mut self, bytes: &[u8]) -> bool {
        self.wire.try_send(bytes).await.is_ok()
    }

    /// Ends this side's stream without a close frame, unless the relay is gone.
    pub async fn try_hang_up(&mut self) -> bool {
        self.wire.try_finish().await.is_ok()
    }

    pub async fn expect(&mut self, frame: Frame) {
        let next = self.next().await;
        let mask = next.mask;
        assert_eq!(next, Frame { mask, ..frame }, "the {:?} is sent {next}", self.role);
    }

    pub async fn expect_text(&mut self, text: &str) {
        self.expect(Frame::text(text)).await;
    }

    /// A close frame with this code and reason.
    pub async fn expect_close(&mut self, code: u16, reason: &str) {
        let next = self.next().await;
        assert_eq!(next.closing(), Some((code, reason.to_owned())), "the {:?} is sent {next}", self.role);
    }

    /// A close frame with this code and any reason.
    pub async fn expect_close_code(&mut self, code: u16) {
        let next = self.next().await;
        assert_eq!(next.closing().map(|(code, _)| code), Some(code), "the {:?} is sent {next}", self.role);
    }

    /// An `error` event about the upstream, of the relay's own, in its exact shape.
    pub async fn expect_event(&mut self, code: &str) {
        self.expect_error("upstream_error", code).await;
    }

    /// An `error` event of the relay's own, in its exact shape. Its message.
    pub async fn expect_error(&mut self, error_type: &str, code: &str) -> String {
        let frame = self.next().await;
        assert_eq!((frame.opcode, frame.fin), (TEXT, true), "{frame}");
        let text = String::from_utf8(frame.payload).unwrap();
        assert!(text.starts_with(r#"{"type":"error","event_id":"event_"#), "`type` stands first: {text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&event), ["type", "event_id", "error"], "{text}");
        let error = &event["error"];
        assert_eq!(keys(error), ["type", "code", "message", "param", "event_id"], "{text}");
        assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some(error_type), Some(code)), "{text}");
        assert!(error["param"].is_null() && error["event_id"].is_null(), "{text}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("(request id: req_"), "{text}");
        message.to_owned()
    }

    /// Answers pings until a close frame with this code comes; tells how many there were.
    pub async fn answer_pings_until_close(&mut self, code: u16) -> usize {
        for pings in 0.. {
            let next = self.next().await;
            if next.opcode != PING {
                assert_eq!(next.closing().map(|(code, _)| code), Some(code), "the {:?} is sent {next}", self.role);
                return pings;
            }
            self.send(&[Frame::pong(&next.payload)]).await;
        }
        unreachable!("a range without end")
    }

    /// These bytes and no others come next.
    pub async fn expect_bytes(&mut self, bytes: &[u8]) {
        assert_eq!(self.wire.take(bytes.len()).await, bytes, "the {:?} is sent the same bytes", self.role);
    }

    /// The stream ends in order, and nothing comes before that.
    pub async fn expect_end(&mut self) {
        let (bytes, end) = self.wire.rest().await;
        assert!(end.is_ok() && bytes.is_empty(), "the {:?} sees {bytes:?}, then {end:?}", self.role);
    }

    /// The connection is cut: its stream ends in a reset. What came before that.
    pub async fn expect_reset(&mut self) -> Vec<u8> {
        let (bytes, end) = self.wire.rest().await;
        let end = end.expect_err("a reset, not an orderly end").kind();
        assert_eq!(end, io::ErrorKind::ConnectionReset, "the {:?} is cut", self.role);
        bytes
    }

    /// The stream ends, in order or not. What came before that.
    pub async fn expect_gone(&mut self) -> Vec<u8> {
        self.wire.rest().await.0
    }

    /// Waits until there is something to read, however long that takes.
    pub async fn awaken(&mut self) {
        if self.wire.unread().is_empty() {
            let read = self.wire.next_read().await;
            assert!(matches!(read, Ok(1..)), "{read:?} where the {:?} awaited a frame", self.role);
        }
    }

    /// Says back what it is told, until the relay closes or goes; a close is answered too.
    pub async fn echo(mut self) {
        loop {
            while let Some((length, frame)) = decode(self.wire.unread()) {
                self.wire.take(length).await;
                let answer = self.encoded(&[Frame { mask: None, ..frame.clone() }]);
                if self.wire.try_send(&answer).await.is_err() || frame.opcode == CLOSE {
                    return self.rest().await;
                }
            }
            if !matches!(self.wire.next_read().await, Ok(1..)) {
                return;
            }
        }
    }

    /// Stays, and says nothing, until the stream ends, however long that takes.
    pub async fn rest(mut self) {
        while matches!(self.wire.next_read().await, Ok(1..)) {}
    }

    /// The certificate that the relay has shown.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.wire.certificate()
    }

    /// Our address, and the relay's.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        self.wire.addresses()
    }

    /// What has arrived by now.
    pub fn arrived(&mut self) -> &[u8] {
        self.wire.arrived()
    }

    /// Sends these bytes while so many come in.
    pub async fn swap(&mut self, sent: &[u8], count: usize) -> Vec<u8> {
        self.wire.exchange(sent, count).await
    }

    /// Sends these bytes while those come in.
    pub async fn exchange(&mut self, sent: &[u8], expected: &[u8]) {
        let received = self.swap(sent, expected.len()).await;
        assert!(received == expected, "the {:?} is sent the same bytes", self.role);
    }

    /// Sends a frame over and over, and reads nothing, until the connection takes no more.
    pub async fn flood_until_gone(&mut self, frame: &Frame) {
        let bytes = self.encoded(std::slice::from_ref(frame));
        within("the relay to hang up", async { while self.wire.try_send(&bytes).await.is_ok() {} }).await;
    }

    /// Sends a frame over and over until one comes back.
    pub async fn flood(&mut self, frame: &Frame) -> Frame {
        let bytes = self.encoded(std::slice::from_ref(frame));
        self.wire.flood(&bytes).await
    }
}
