//! Another configuration for a relay that runs: what it changes, for whom, and what goes on as it was.

mod certificate;
mod keys;
mod quotas;
mod upstreams;
mod wrong;

use crate::support::client::client;
use crate::support::leg::Leg;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

/// Has the relay take this up, which is right.
async fn reload(relay: &mut Relay, change: impl FnOnce(Setup) -> Setup) {
    let answer = relay.reload(change).await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
}

/// A link with this key: both its peers.
async fn link(relay: &Relay, key: &str, upstream: &Upstream) -> (Leg, Leg) {
    let asking = client(relay).key(key).model("gpt-realtime").ask().await;
    let theirs = upstream.leg().await;
    (asking.opened().await, theirs)
}

/// The link carries what is said, both ways.
async fn expect_alive((ours, theirs): &mut (Leg, Leg)) {
    ours.text("up").await;
    theirs.expect_text("up").await;
    theirs.text("down").await;
    ours.expect_text("down").await;
}

/// The link ends because its key is valid no more, and in order.
async fn expect_revoked((mut ours, mut theirs): (Leg, Leg)) {
    ours.expect_error("permission_error", "key_revoked").await;
    ours.expect_close_code(1008).await;
    ours.close(1008, "").await;
    theirs.expect_close_code(1000).await;
    theirs.close(1000, "").await;
    ours.expect_end().await;
    theirs.expect_end().await;
}
