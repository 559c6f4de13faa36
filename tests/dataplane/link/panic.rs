//! A fault of the relay's own ends one link.

use realtime_relay::relay::scan::Piece;
use realtime_relay::relay::tap::Tap;

use super::{LIMITS, link_with_tap};
use crate::wire::Frame;

/// Fails at the first message that it sees.
struct Faulty;

impl Tap for Faulty {
    fn see(&mut self, _: &Piece<'_>) {
        panic!("a fault, as this test wants it");
    }
}

#[tokio::test(start_paused = true)]
async fn is_reported_as_an_ending_and_both_connections_are_cut() {
    let report = link_with_tap(LIMITS, Faulty, async |mut client, mut upstream, _| {
        upstream.send(Frame::text("seen")).await;
        client.expect_end().await;
        upstream.expect_end().await;
    })
    .await;
    assert_eq!(report.ending.name(), "panic");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_a_link_is_reported_as_well() {
    let report = link_with_tap(LIMITS, Faulty, async |mut client, mut upstream, _| {
        client.send(Frame::close(1000, "")).await;
        upstream.expect_close(1000).await;
        upstream.send(Frame::text("seen")).await;
        client.expect_end().await;
    })
    .await;
    assert_eq!(report.ending.name(), "panic");
}

#[tokio::test(start_paused = true)]
async fn does_not_touch_the_links_that_come_after_it() {
    is_one_fault().await;
    let report = super::link(LIMITS, async |mut client, mut upstream, _| {
        upstream.send(Frame::text("as ever")).await;
        client.expect(Frame::text("as ever")).await;
        client.send(Frame::close(1000, "")).await;
        upstream.expect_close(1000).await;
    })
    .await;
    assert_eq!(report.ending.name(), "client_close");
}

async fn is_one_fault() {
    link_with_tap(LIMITS, Faulty, async |mut client, mut upstream, _| {
        upstream.send(Frame::text("seen")).await;
        client.expect_end().await;
    })
    .await;
}
