//! A whole link between two scripted peers in memory, by a clock that stands still while nobody waits: deadlines are
//! exact, and take no time.

mod decided;
mod hold;
mod panic;
mod settle;
mod silence;

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use realtime_relay::relay::Peer;
use realtime_relay::relay::link::{Leg, Limits, Link, LinkReport, Traffic};
use realtime_relay::relay::table::{Orders, Table};
use realtime_relay::relay::tap::{EventTap, Tap};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;

use crate::frame::decode;
use crate::pump::Forwarder;
use crate::wire::{Frame, PING, TEXT};

/// The defaults of the documentation.
const LIMITS: Limits = Limits {
    max_message_bytes: 24 << 20,
    write_timeout: Duration::from_secs(30),
    close_timeout: Duration::from_secs(5),
    settle_timeout: Duration::from_secs(5),
    ping_interval: Duration::from_secs(25),
    idle_timeout: Some(Duration::from_mins(15)),
    max_link: Duration::from_hours(1),
};

/// Timers are as exact as this.
const TICK: Duration = Duration::from_millis(2);

/// Runs a link while `script` plays its peers, and gives the report.
async fn link(limits: Limits, script: impl AsyncFnOnce(End, End, Rc<Orders>)) -> LinkReport {
    link_with_tap(limits, EventTap::new(|_| ()), script).await
}

async fn link_with_tap(limits: Limits, tap: impl Tap, script: impl AsyncFnOnce(End, End, Rc<Orders>)) -> LinkReport {
    // As `tests/support/relay.rs` has it.
    let framed = std::env::var("RELAY_SERVER__FORWARDING").is_ok_and(|forwarding| forwarding == "framed");
    link_by(if framed { Forwarder::Framed } else { Forwarder::Verbatim }, limits, tap, script).await
}

/// The same, where a claim is about one forwarder.
async fn link_by(
    forwarder: Forwarder,
    limits: Limits,
    tap: impl Tap,
    script: impl AsyncFnOnce(End, End, Rc<Orders>),
) -> LinkReport {
    let (client, client_leg) = tokio::io::duplex(1 << 20);
    let (upstream, upstream_leg) = tokio::io::duplex(1 << 20);
    let leg = |stream| Leg { stream, early: Bytes::new() };
    let mut link = Link::new(leg(client_leg), leg(upstream_leg), tap, Rc::new(limits), &Traffic::default());
    if forwarder == Forwarder::Framed {
        link = link.framed();
    }
    let table = Rc::<Table<u8, ()>>::default();
    let registered = table.register(0, Rc::new(()));
    let ends = (End::new(Peer::Client, client), End::new(Peer::Upstream, upstream));
    let script = script(ends.0, ends.1, registered.orders.clone());
    tokio::join!(link.run(&registered.orders, "req_test"), script).0
}

/// A peer's end of its leg.
struct End {
    peer: Peer,
    stream: DuplexStream,
    unread: Vec<u8>,
    begun: Instant,
    answers_pings: bool,
}

impl End {
    fn new(peer: Peer, stream: DuplexStream) -> Self {
        Self { peer, stream, unread: Vec::new(), begun: Instant::now(), answers_pings: true }
    }

    /// Takes pings as frames like any other.
    fn without_pongs(mut self) -> Self {
        self.answers_pings = false;
        self
    }

    async fn send(&mut self, frame: Frame) {
        let frame = if self.peer == Peer::Client { frame.masked() } else { frame };
        self.raw(&frame.bytes()).await;
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Says that a response has begun.
    async fn create(&mut self, id: &str) {
        self.send(created(id)).await;
    }

    /// Says that a response has ended.
    async fn finish(&mut self, id: &str) {
        self.send(done(id)).await;
    }

    /// The next frame. Pings that are answered are not shown.
    async fn next(&mut self) -> Frame {
        loop {
            if let Some((length, frame)) = decode(&self.unread) {
                self.unread.drain(..length);
                if frame.opcode == PING && self.answers_pings {
                    self.send(Frame::pong(&frame.payload)).await;
                    continue;
                }
                return Frame { mask: None, ..frame };
            }
            assert_ne!(self.read().await, 0, "the {:?} awaited a frame, and has {:?}", self.peer, self.unread);
        }
    }

    async fn expect(&mut self, frame: Frame) {
        assert_eq!(self.next().await, frame, "the {:?} is sent this", self.peer);
    }

    /// A close frame with this code.
    async fn expect_close(&mut self, code: u16) {
        let next = self.next().await;
        assert_eq!(next.closing().map(|(code, _)| code), Some(code), "the {:?} is sent {next}", self.peer);
    }

    /// An `error` event of this code and type.
    async fn expect_event(&mut self, code: &str, error_type: &str) {
        let next = self.next().await;
        assert_eq!(next.opcode, TEXT, "{next}");
        let event: Value = serde_json::from_slice(&next.payload).unwrap();
        assert_eq!(event["type"], "error", "{next}");
        assert_eq!((event["error"]["code"].as_str(), event["error"]["type"].as_str()), (Some(code), Some(error_type)));
    }

    /// The connection is closed, and nothing comes before that but answered pings.
    async fn expect_end(&mut self) {
        assert_eq!((self.read().await, self.unread.len()), (0, 0), "the {:?} sees the end", self.peer);
    }

    /// Nothing comes for so long, but pings that are answered.
    async fn expect_silence(&mut self, time: Duration) {
        let next = tokio::time::timeout(time, self.next()).await;
        assert!(next.is_err(), "the {:?} is sent {}", self.peer, next.unwrap());
    }

    /// By the clock so much time has passed since the link began.
    fn expect_age(&self, age: Duration) {
        let now = self.begun.elapsed();
        assert!(now >= age && now <= age + TICK, "the {:?} sees this after {now:?}, not {age:?}", self.peer);
    }

    async fn read(&mut self) -> usize {
        self.stream.read_buf(&mut self.unread).await.unwrap()
    }
}

fn created(id: &str) -> Frame {
    Frame::text(format!(r#"{{"type":"response.created","response":{{"id":"{id}"}}}}"#))
}

fn done(id: &str) -> Frame {
    Frame::text(format!(r#"{{"type":"response.done","response":{{"id":"{id}","status":"cancelled"}}}}"#))
}

fn cancel(id: &str) -> Frame {
    Frame::text(format!(r#"{{"type":"response.cancel","response_id":"{id}"}}"#))
}
