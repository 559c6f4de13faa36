//! A peer that takes no bytes for longer than the write timeout.

use crate::support::authority::Authority;
use crate::support::frame::{BINARY, Frame};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

const LIMITS: &str = "write_timeout = \"200ms\"\nclose_timeout = \"500ms\"";

/// A relay over plain TCP, then one over TLS, each with its upstream.
async fn relays() -> [(Relay, Upstream); 2] {
    let plain = Upstream::start().await;
    let (ca, own) = (Authority::new(), Authority::new());
    let trust = format!("ca_file = {:?}", ca.ca_file());
    let secure = Upstream::with_tls(ca).await;
    let relays =
        [Relay::to(&plain).limits(LIMITS).start(), Relay::to(&secure).limits(LIMITS).upstream(&trust).tls(own).start()];
    let [first, second] = relays;
    [(first, plain), (second, secure)]
}

fn frame() -> Frame {
    Frame::new(BINARY, vec![b'x'; 60_000])
}

#[tokio::test]
async fn a_client_is_cut_and_the_upstream_is_told() {
    for (relay, upstream) in relays().await {
        let (mut client, mut upstream) = relay.link(&upstream).await;
        let told = upstream.flood(&frame()).await;
        assert_eq!(told.closing().map(|(code, _)| code), Some(1001), "{told}");
        client.expect_reset().await;
    }
}

#[tokio::test]
async fn an_upstream_is_cut_and_the_client_is_told() {
    for (relay, upstream) in relays().await {
        let (mut client, mut upstream) = relay.link(&upstream).await;
        let told = client.flood(&frame()).await;
        assert_eq!(told.closing().map(|(code, _)| code), Some(1001), "{told}");
        upstream.expect_reset().await;
    }
}

#[tokio::test]
async fn a_link_without_traffic_is_not_stalled() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("write_timeout = \"50ms\"").start();
    let (mut idle, mut idle_upstream) = relay.link(&upstream).await;
    idle.text("before").await;
    idle_upstream.expect_text("before").await;
    // Another link stalls meanwhile, which takes longer.
    let (_client, mut busy_upstream) = relay.link(&upstream).await;
    busy_upstream.flood(&frame()).await;
    idle.text("after").await;
    idle_upstream.expect_text("after").await;
}
