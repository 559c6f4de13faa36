//! A peer that takes no bytes for longer than the write timeout.

use super::relays_with;
use crate::support::frame::{BINARY, Frame};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

const LIMITS: &str = "write_timeout = \"200ms\"\nclose_timeout = \"500ms\"";

fn frame() -> Frame {
    Frame::new(BINARY, vec![b'x'; 60_000])
}

#[tokio::test]
async fn a_client_is_cut_and_the_upstream_is_told() {
    for (relay, upstream) in relays_with(LIMITS).await {
        let (mut client, mut upstream) = relay.link(&upstream).await;
        let told = upstream.flood(&frame()).await;
        assert_eq!(told.closing().map(|(code, _)| code), Some(1001), "{told}");
        client.expect_reset().await;
    }
}

#[tokio::test]
async fn an_upstream_is_cut_and_the_client_is_told() {
    for (relay, upstream) in relays_with(LIMITS).await {
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
