//! Everything that can refuse, refuses in HTTP, before the 101, and before an upstream is dialled.

mod browsers;
mod connection;
mod credential;
mod handshake;
mod limits;
mod metering;
mod negotiation;
mod order;
mod origin;
mod probes;
mod proxies;
mod route;

use crate::support::client::{Client, client};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

/// A relay with one client, `acme`, and one upstream.
async fn relay() -> (Relay, Upstream) {
    let upstream = Upstream::start().await;
    (Relay::to(&upstream).start(), upstream)
}

/// A client that lacks nothing.
fn good(relay: &Relay) -> Client<'_> {
    client(relay).key("key-of-acme").model("gpt-realtime")
}

/// This client gets its link.
async fn opens(asking: Client<'_>, upstream: &Upstream) {
    let asking = asking.ask().await;
    let _leg = upstream.leg().await;
    asking.opened().await;
}
