//! How a link ends, and what each peer is told: the table of endings.

mod boundary;
mod close;
mod deadline;
mod lost;
mod stalled;
mod too_big;
mod violation;

use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

async fn link() -> (Relay, Leg, Leg) {
    link_with("").await
}

/// A link with these limits.
async fn link_with(limits: &str) -> (Relay, Leg, Leg) {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits(limits).start();
    let (client, upstream) = relay.link(&upstream).await;
    (relay, client, upstream)
}

/// Answers the close frame that was read, sees the end of the stream, and hangs up.
async fn answer_and_end(mut leg: Leg, code: u16) {
    leg.close(code, "").await;
    leg.expect_end().await;
}
