//! Behind the 101: frames of all kinds go through byte for byte, in both directions, unless they are to go on only as whole
//! frames (see `framed`).

use crate::support::frame::{BINARY, Frame, MASK, TEXT, header, masked};
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

async fn link() -> (Relay, Leg, Leg) {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (client, upstream) = relay.link(&upstream).await;
    (relay, client, upstream)
}

async fn verbatim() -> (Relay, Leg, Leg) {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).forwarding("verbatim").start();
    let (client, upstream) = relay.link(&upstream).await;
    (relay, client, upstream)
}

/// One of each kind, and of each form of length.
fn every_kind() -> Vec<Frame> {
    vec![
        Frame::text("{\"type\":\"session.update\"}"),
        Frame::text(""),
        Frame::new(BINARY, [0, 159, 146, 150]),
        Frame::text("not \u{fffd} valid").more(),
        Frame::ping("between fragments"),
        Frame::continuation("").more(),
        Frame::continuation([0xff, 0xfe]),
        Frame::new(TEXT, "x".repeat(125)),
        Frame::new(TEXT, "x".repeat(126)),
        Frame::new(BINARY, "x".repeat(65_535)),
        Frame::new(BINARY, "x".repeat(65_536)),
        Frame::pong("unasked"),
        Frame::ping(""),
        Frame::ping("x".repeat(125)),
    ]
}

#[tokio::test]
async fn frames_of_every_kind_arrive_byte_for_byte() {
    let (_relay, mut client, mut upstream) = verbatim().await;
    let (up, down) = (client.encoded(&every_kind()), upstream.encoded(&every_kind()));
    client.raw(&up).await;
    upstream.expect_bytes(&up).await;
    upstream.raw(&down).await;
    client.expect_bytes(&down).await;
}

#[tokio::test]
async fn frames_that_come_in_single_bytes_arrive_byte_for_byte() {
    let (_relay, mut client, mut upstream) = verbatim().await;
    let frames: Vec<_> = every_kind().into_iter().filter(|frame| frame.payload.len() < 200).collect();
    let (up, down) = (client.encoded(&frames), upstream.encoded(&frames));
    for byte in &up {
        client.raw(&[*byte]).await;
    }
    upstream.expect_bytes(&up).await;
    for byte in &down {
        upstream.raw(&[*byte]).await;
    }
    client.expect_bytes(&down).await;
}

#[tokio::test]
async fn a_ping_is_answered_by_the_other_peer() {
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&[Frame::ping("whole path?")]).await;
    upstream.expect(Frame::ping("whole path?")).await;
    upstream.send(&[Frame::pong("whole path?")]).await;
    client.expect(Frame::pong("whole path?")).await;
    upstream.send(&[Frame::ping("and back?")]).await;
    client.expect(Frame::ping("and back?")).await;
    client.send(&[Frame::pong("and back?")]).await;
    upstream.expect(Frame::pong("and back?")).await;
}

#[tokio::test]
async fn a_frame_is_sent_on_before_it_is_whole() {
    let (_relay, mut client, mut upstream) = verbatim().await;
    let head = [header(true, TEXT, true, 15 << 20), MASK.to_vec()].concat();
    client.raw(&head).await;
    upstream.expect_bytes(&head).await;
    let part: Vec<u8> = masked(&vec![b'x'; 1 << 20], MASK).collect();
    for _ in 0..15 {
        client.raw(&part).await;
        upstream.expect_bytes(&part).await;
    }
    client.text("next").await;
    upstream.expect_text("next").await;
}

#[tokio::test]
async fn a_control_frame_is_sent_on_only_when_it_is_whole() {
    let (_relay, mut client, mut upstream) = link().await;
    let ping = client.encoded(&[Frame::ping("x".repeat(100))]);
    let (front, back) = ping.split_at(50);
    client.raw(front).await;
    upstream.text("meanwhile").await;
    client.expect_text("meanwhile").await;
    assert_eq!(upstream.arrived(), b"");
    client.raw(back).await;
    upstream.expect(Frame::ping("x".repeat(100))).await;
}

#[tokio::test]
async fn a_message_of_as_many_bytes_as_allowed_goes_through() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("max_message_bytes = \"64KiB\"").start();
    let (mut client, mut upstream) = relay.link(&upstream).await;
    let half = "x".repeat(32 << 10);
    for frames in [vec![Frame::text(half.repeat(2))], vec![Frame::text(&half).more(), Frame::continuation(&half)]] {
        client.send(&frames).await;
        upstream.send(&frames).await;
        for frame in frames {
            upstream.expect(frame.clone()).await;
            client.expect(frame).await;
        }
    }
}

#[tokio::test]
async fn megabytes_go_both_ways_at_once() {
    let (_relay, mut client, mut upstream) = verbatim().await;
    let frame = Frame::new(BINARY, "0123456789abcdef".repeat(4096));
    let (up, down) = (client.encoded(&vec![frame.clone(); 64]), upstream.encoded(&vec![frame; 64]));
    tokio::join!(client.exchange(&up, &down), upstream.exchange(&down, &up));
    client.text("still here").await;
    upstream.expect_text("still here").await;
}
