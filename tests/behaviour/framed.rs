//! Behind the 101, where only whole frames go on: each as it was meant, built anew.

use std::collections::HashSet;

use crate::support::frame::{BINARY, Frame, MASK, TEXT, header};
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

async fn link() -> (Relay, Leg, Leg) {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).forwarding("framed").start();
    let (client, upstream) = relay.link(&upstream).await;
    (relay, client, upstream)
}

/// One of each kind, and of each form of length.
fn every_kind() -> Vec<Frame> {
    let euro = "€".as_bytes();
    vec![
        Frame::text("{\"type\":\"session.update\"}"),
        Frame::text(""),
        Frame::new(BINARY, [0, 159, 146, 150]),
        Frame::text(&euro[..1]).more(),
        Frame::ping("between fragments"),
        Frame::continuation("").more(),
        Frame::continuation(&euro[1..]),
        Frame::new(TEXT, "x".repeat(125)),
        Frame::new(TEXT, "x".repeat(126)),
        Frame::new(BINARY, "x".repeat(65_535)),
        Frame::new(BINARY, "x".repeat(65_536)),
        Frame::pong("unasked"),
        Frame::ping("x".repeat(125)),
    ]
}

#[tokio::test]
async fn frames_of_every_kind_arrive_as_they_were_meant() {
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&every_kind()).await;
    upstream.send(&every_kind()).await;
    for frame in every_kind() {
        upstream.expect(frame.clone()).await;
        client.expect(frame).await;
    }
}

#[tokio::test]
async fn frames_that_come_in_single_bytes_arrive_whole() {
    let (_relay, mut client, mut upstream) = link().await;
    let frames: Vec<_> = every_kind().into_iter().filter(|frame| frame.payload.len() < 200).collect();
    for byte in client.encoded(&frames) {
        client.raw(&[byte]).await;
    }
    for byte in upstream.encoded(&frames) {
        upstream.raw(&[byte]).await;
    }
    for frame in frames {
        upstream.expect(frame.clone()).await;
        client.expect(frame).await;
    }
}

#[tokio::test]
async fn a_clients_frames_leave_under_masks_of_the_relays_own() {
    let (_relay, mut client, mut upstream) = link().await;
    let mut masks = HashSet::new();
    for _ in 0..20 {
        client.text("again").await;
        masks.insert(upstream.next().await.mask.unwrap());
    }
    assert!(masks.len() > 15 && !masks.contains(&MASK), "{masks:?}");
}

#[tokio::test]
async fn half_a_frame_goes_on_only_with_its_rest() {
    let (_relay, mut client, mut upstream) = link().await;
    let bytes = client.encoded(&[Frame::text("x".repeat(100_000))]);
    let (front, back) = bytes.split_at(90_000);
    client.raw(&[&client.encoded(&[Frame::ping("first")]), front].concat()).await;
    upstream.expect(Frame::ping("first")).await;
    upstream.text("meanwhile").await;
    client.expect_text("meanwhile").await;
    assert_eq!(upstream.arrived(), b"");
    client.raw(back).await;
    upstream.expect_text(&"x".repeat(100_000)).await;
}

#[tokio::test]
async fn megabytes_go_both_ways_at_once() {
    let (_relay, mut client, mut upstream) = link().await;
    let frame = Frame::new(BINARY, "0123456789abcdef".repeat(4096));
    let frames = vec![frame; 64];
    let (up, down) = (client.encoded(&frames), upstream.encoded(&frames));
    let (from_client, from_upstream) = tokio::join!(upstream.swap(&down, up.len()), client.swap(&up, down.len()));
    assert!(from_upstream == down, "the client is sent the same bytes");
    let mut rest = &from_client[..];
    for frame in frames {
        let (length, came) = crate::support::frame::decode(rest).expect("a frame");
        assert!(Frame { mask: None, ..came } == frame, "the upstream is sent the same frames");
        rest = &rest[length..];
    }
    client.text("still here").await;
    upstream.expect_text("still here").await;
}

#[tokio::test]
async fn a_frame_that_is_only_announced_does_not_go_on() {
    let (_relay, mut client, mut upstream) = link().await;
    client
        .raw(&[Frame::ping("first").masked().bytes(), header(true, TEXT, true, 20 << 20), MASK.to_vec()].concat())
        .await;
    upstream.expect(Frame::ping("first")).await;
    client.hang_up().await;
    upstream.expect_close_code(1001).await;
}

#[tokio::test]
async fn another_way_to_forward_counts_for_the_links_that_come_later() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).forwarding("verbatim").start();
    let (mut former, mut former_upstream) = relay.link(&upstream).await;
    assert_eq!(relay.reload(|setup| setup.forwarding("framed")).await.status, 202);
    let (mut later, mut later_upstream) = relay.link(&upstream).await;
    former.text("as it is").await;
    assert_eq!(former_upstream.next().await.mask, Some(MASK));
    later.text("anew").await;
    assert_ne!(later_upstream.next().await.mask, Some(MASK));
}
