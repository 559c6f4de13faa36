//! What is used is recorded, and kept to quotas: what operators find in the ledger of what goes over the sockets.

mod delivery;
mod links;
mod prices;
mod quota;
mod responses;
mod sums;

use crate::support::client::client;
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

/// A response that used 412 tokens, which cost 9 724 800 nano-dollars with `gpt-realtime`.
const DONE: &str = include_str!("../../wire/response_done_ga.json");

/// The same with this id.
fn done(id: &str) -> String {
    DONE.replace("resp_A1", id)
}

/// The row that it makes, in the columns `COLUMNS`.
const DONE_ROW: &str = "response|resp_A1|completed|140|120|0|128|64|0|40|112||9724800";

/// What a row of usage says.
const COLUMNS: &str = "kind, response_id, status, input_text, input_audio, input_image, cached_text, cached_audio, \
                       cached_image, output_text, output_audio, seconds, cost_nano_usd";

/// A link on this query: both its peers.
async fn link(relay: &Relay, upstream: &Upstream, query: &str) -> (Leg, Leg) {
    let asking = client(relay).key("key-of-acme").query(query).ask().await;
    let theirs = upstream.leg().await;
    (asking.opened().await, theirs)
}

/// The client closes, the upstream answers, and both are gone.
async fn close(ours: &mut Leg, theirs: &mut Leg) {
    ours.close(1000, "").await;
    theirs.expect_close(1000, "").await;
    theirs.close(1000, "").await;
    theirs.hang_up().await;
    ours.expect_close(1000, "").await;
    ours.expect_end().await;
    ours.hang_up().await;
}

/// The id of its request, which its row has.
fn request_id(ours: &Leg) -> String {
    ours.head.header("x-request-id").unwrap().to_owned()
}
