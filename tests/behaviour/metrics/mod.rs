//! What an operator's monitoring is told: every figure moves by what went over the sockets, and by no more.

// Every value is a whole number, or written as it was counted.
#![allow(clippy::float_cmp, clippy::cast_precision_loss)]

mod links;
mod scrape;
mod setup;
mod upstreams;
mod usage;

use crate::support::client::{Client, client};
use crate::support::relay::Relay;

/// A client that is admitted.
fn good(relay: &Relay) -> Client<'_> {
    client(relay).key("secret").model("gpt-realtime")
}
