//! The attacks that broke other upgrade proxies, and those that are aimed at this one: each is a test over real sockets that
//! fails where the defence is gone, and behind each the relay still serves an honest client.
//!
//! Linux only: that is where a process tells what it holds. Which test stands for which attack is listed in
//! `tests/attacks/README.md`, and `corpus` holds that list to the sources.
#![cfg(target_os = "linux")]

mod breaker;
mod corpus;
mod floods;
mod frames;
mod handshake;
mod keys;
mod leaving;
mod lengths;
mod pages;
#[allow(dead_code)] // the tests of the process use the rest of it
#[path = "../process/relay.rs"]
mod process;
mod requests;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod switched;
mod upstream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use support::client::{Client, client};
use support::frame::{Frame, decode};
use support::relay::Relay;
use support::upstream::Upstream;
use support::within;

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;

/// A client that lacks nothing.
fn good(relay: &Relay) -> Client<'_> {
    client(relay).key("key-of-acme").model("gpt-realtime")
}

/// An honest client gets its link, is heard, and hears.
async fn serves(relay: &Relay, upstream: &Upstream) {
    let (mut client, mut upstream) = relay.link(upstream).await;
    client.text("up").await;
    upstream.expect_text("up").await;
    upstream.text("down").await;
    client.expect_text("down").await;
}

impl process::Link {
    /// Is heard, and hears.
    async fn speaks(&mut self) {
        let (up, down) = (Frame::text("up"), Frame::text("down"));
        self.client.write_all(&up.clone().masked().bytes()).await.unwrap();
        let mut heard = vec![0; up.clone().masked().bytes().len()];
        within("a frame up", self.upstream.read_exact(&mut heard)).await.unwrap();
        assert_eq!(decode(&heard).map(|(_, frame)| frame.payload), Some(up.payload));
        self.upstream.write_all(&down.bytes()).await.unwrap();
        let mut heard = vec![0; down.bytes().len()];
        within("a frame down", self.client.read_exact(&mut heard)).await.unwrap();
        assert_eq!(heard, down.bytes());
    }
}

/// Waits until something holds that nobody tells.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    within(what, wait).await;
}

/// Waits until each of these links costs less than so many bytes more than `before`; what it costs. What handshakes needed is given
/// back a while after the last of them.
async fn costs_less(than: i64, links: i64, relay: &process::Relay, before: i64) -> i64 {
    let each = || (relay.pss() - before) / links;
    until(&format!("a link to cost less than {than} bytes"), || each() < than).await;
    each()
}
