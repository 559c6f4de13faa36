//! How the relay asks an upstream for a leg, and what a client is told when it gets none.

mod attempts;
mod balance;
mod breaker;
mod connect;
mod early;
mod failure;
mod first_event;
mod passthrough;
mod proxy;
mod request;
mod tls;
mod verdict;
mod warm;

use crate::support::client::{Asking, Client, Refused, client};
use crate::support::relay::{Relay, UPSTREAM_KEY};
use crate::support::upstream::{Asked, Upstream};

/// Limits under which a name server that does not answer can be asked twice.
const PATIENT: &str = "dial_timeout = \"8s\"\nadmission_timeout = \"9s\"";

/// A client that is admitted.
fn good(relay: &Relay) -> Client<'_> {
    client(relay).key("key-of-acme").model("gpt-realtime")
}

/// A client's request, and what the relay made of it.
async fn asked(asking: Client<'_>, upstream: &Upstream) -> (Asking, Asked) {
    let asking = asking.ask().await;
    (asking, upstream.accept().await)
}

/// The answer tells neither the credential nor the address of the upstream.
#[track_caller]
fn expect_discreet(refused: &Refused, upstream: &Upstream) {
    refused.expect_without(UPSTREAM_KEY).expect_without("127.0.0.1").expect_without(&format!(":{}", upstream.port()));
}
