//! The client's 101 waits for the upstream's first event.

use std::time::{Duration, Instant};

use super::{asked, good};
use crate::support::client::Asking;
use crate::support::frame::{BINARY, Frame};
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

/// A relay that waits, a client on its way, and a leg that stands.
async fn waiting() -> (Relay, Asking, Leg) {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let leg = asked.switch().await;
    (relay, asking, leg)
}

#[tokio::test]
async fn the_101_comes_with_the_first_event_and_not_before() {
    let (_relay, mut asking, mut upstream) = waiting().await;
    upstream.send(&[Frame::ping("are you there")]).await;
    upstream.expect(Frame::pong("are you there")).await;
    assert_eq!(asking.arrived(), b"", "a ping is no first event");
    upstream.send(&[Frame::pong("unasked"), Frame::text("{\"type\":\"session.created\"}")]).await;
    let mut client = asking.opened().await;
    client.expect(Frame::pong("unasked")).await;
    client.expect_text("{\"type\":\"session.created\"}").await;
    client.text("up").await;
    upstream.expect_text("up").await;
}

#[tokio::test]
async fn pings_before_the_first_event_are_answered_and_not_delivered() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let mut upstream = asked.switch_with(&[Frame::ping("1"), Frame::ping(""), Frame::text("first")]).await;
    upstream.expect(Frame::pong("1")).await;
    upstream.expect(Frame::pong("")).await;
    let mut client = asking.opened().await;
    client.expect_text("first").await;
}

#[tokio::test]
async fn a_first_event_in_pieces_arrives_in_the_same_pieces() {
    let (_relay, asking, mut upstream) = waiting().await;
    let frames = [
        Frame::text("{\"type\":").more(),
        Frame::pong("between"),
        Frame::continuation("\"session.created\"").more(),
        Frame::continuation("}"),
        Frame::text("second"),
    ];
    for byte in upstream.encoded(&frames) {
        upstream.raw(&[byte]).await;
    }
    let mut client = asking.opened().await;
    client.expect_bytes(&upstream.encoded(&frames)).await;
}

#[tokio::test]
async fn a_first_event_of_more_than_64_kib_is_no_refusal() {
    let (_relay, asking, mut upstream) = waiting().await;
    let text = format!("{{\"type\":\"error\",\"filler\":\"{}", "x".repeat(70 << 10));
    let (begin, end) = (Frame::text(&text).more(), Frame::continuation("\"}"));
    upstream.send(std::slice::from_ref(&begin)).await;
    let mut client = asking.opened().await;
    upstream.send(std::slice::from_ref(&end)).await;
    client.expect(begin).await;
    client.expect(end).await;
}

#[tokio::test]
async fn a_first_event_that_is_no_json_is_no_refusal() {
    for frame in [Frame::text("hello"), Frame::new(BINARY, [0, 255]), Frame::text(""), Frame::text("[1]")] {
        let (_relay, asking, mut upstream) = waiting().await;
        upstream.send(std::slice::from_ref(&frame)).await;
        asking.opened().await.expect(frame).await;
    }
}

#[tokio::test]
async fn a_silent_upstream_gets_its_link_after_two_seconds() {
    let begin = Instant::now();
    let (_relay, asking, mut upstream) = waiting().await;
    let mut client = asking.opened().await;
    assert!(begin.elapsed() >= Duration::from_secs(2));
    client.text("up").await;
    upstream.expect_text("up").await;
    upstream.text("down").await;
    client.expect_text("down").await;
}

#[tokio::test]
async fn a_silent_upstream_gets_its_link_at_once_where_nobody_waits() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let begin = Instant::now();
    relay.link(&upstream).await;
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_wait() {
    let (_relay, asking, mut upstream) = waiting().await;
    upstream.send(&[Frame::ping("x")]).await;
    upstream.expect(Frame::pong("x")).await;
    asking.leave();
    upstream.expect_gone().await;
}

#[tokio::test]
async fn all_attempts_together_have_a_deadline() {
    let upstream = Upstream::start().await;
    let limits = "dial_timeout = \"200ms\"\nadmission_timeout = \"300ms\"";
    let relay = Relay::to(&upstream).awaits_first_event().limits(limits).start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let mut leg = asked.switch().await;
    asking.refused().await.expect(504, "upstream_timeout", "upstream_error");
    leg.expect_gone().await;
}
