//! How a link ends, and what each peer is told: the table of endings.

mod boundary;
mod close;
mod deadline;
mod expired;
mod invalid_text;
mod lost;
mod matrix;
mod silent;
mod stalled;
mod too_big;
mod violation;

use crate::support::authority::Authority;
use crate::support::leg::Leg;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

async fn link() -> (Relay, Leg, Leg) {
    link_with("").await
}

/// A link with these limits.
async fn link_with(limits: &str) -> (Relay, Leg, Leg) {
    link_to(Relay::to, limits).await
}

/// A link on which bytes go on as they come, also those of half a frame.
async fn verbatim_with(limits: &str) -> (Relay, Leg, Leg) {
    link_to(|upstream| Relay::to(upstream).forwarding("verbatim"), limits).await
}

/// A link on which only whole frames go on.
async fn framed_with(limits: &str) -> (Relay, Leg, Leg) {
    link_to(|upstream| Relay::to(upstream).forwarding("framed"), limits).await
}

async fn link_to(setup: impl FnOnce(&Upstream) -> Setup, limits: &str) -> (Relay, Leg, Leg) {
    let upstream = Upstream::start().await;
    let relay = setup(&upstream).limits(limits).start();
    let (client, upstream) = relay.link(&upstream).await;
    (relay, client, upstream)
}

/// Answers the close frame that was read, sees the end of the stream, and hangs up.
async fn answer_and_end(mut leg: Leg, code: u16) {
    leg.close(code, "").await;
    leg.expect_end().await;
}

/// A relay over plain TCP, then one over TLS, each with its upstream and these limits.
async fn relays_with(limits: &str) -> [(Relay, Upstream); 2] {
    relays_from(|setup| setup.limits(limits)).await
}

async fn relays_from(with: impl Fn(Setup) -> Setup) -> [(Relay, Upstream); 2] {
    let plain = Upstream::start().await;
    let (ca, own) = (Authority::new(), Authority::new());
    let trust = format!("ca_file = {:?}", ca.ca_file());
    let secure = Upstream::with_tls(ca).await;
    let first = with(Relay::to(&plain)).start();
    let second = with(Relay::to(&secure)).upstream(&trust).tls(own).start();
    [(first, plain), (second, secure)]
}
