//! Bytes and departures that come earlier than they are wanted.

use super::{asked, good};
use crate::support::frame::Frame;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn what_comes_with_the_upstreams_101_is_delivered_first() {
    let upstream = Upstream::start().await;
    for relay in [Relay::to(&upstream).start(), Relay::to(&upstream).awaits_first_event().start()] {
        let (asking, asked) = asked(good(&relay), &upstream).await;
        let early = [Frame::text("first"), Frame::text("x".repeat(3000)), Frame::ping("third")];
        let mut upstream = asked.switch_with(&early).await;
        upstream.text("late").await;
        let mut client = asking.opened().await;
        for frame in early {
            client.expect(frame).await;
        }
        client.expect_text("late").await;
    }
}

#[tokio::test]
async fn half_a_frame_with_the_upstreams_101_is_completed_later() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let mut switching = asked.switching("").into_bytes();
    let (frame, text) = (Frame::text("x".repeat(300)), "x".repeat(300));
    switching.extend(&frame.bytes()[..3]);
    let mut upstream = asked.begin_switch(&switching).await;
    let mut client = asking.opened().await;
    upstream.raw(&frame.bytes()[3..]).await;
    client.expect_text(&text).await;
}

#[tokio::test]
async fn what_comes_with_the_clients_request_waits_for_the_upstreams_101() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let early = [Frame::text("first").masked(), Frame::text("y".repeat(3000)).masked()];
    let bytes: Vec<u8> = early.iter().flat_map(Frame::bytes).collect();
    let (asking, mut asked) = asked(good(&relay).behind(&bytes), &upstream).await;
    // The one worker has served another client since: what it wanted to send on would be here.
    good(&relay).path("/nowhere").refused().await;
    assert_eq!(asked.arrived(), b"", "nothing of the client's before the 101");
    let mut upstream = asked.switch().await;
    let mut client = asking.opened().await;
    client.text("late").await;
    upstream.expect_text("first").await;
    upstream.expect_text(&"y".repeat(3000)).await;
    upstream.expect_text("late").await;
}

#[tokio::test]
async fn what_comes_with_the_clients_request_is_lost_with_a_refusal() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let smuggled = b"POST /v1/admin HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let (asking, mut asked) = asked(good(&relay).behind(smuggled), &upstream).await;
    good(&relay).path("/nowhere").refused().await;
    assert_eq!(asked.arrived(), b"");
    asked.answer("200 OK", "Connection: keep-alive\r\n", "ok").await;
    asking.refused().await.expect(502, "upstream_refused", "upstream_error");
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_dial() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    asking.leave();
    asked.expect_gone().await;
}

#[tokio::test]
async fn an_upstream_connection_that_carried_an_attempt_is_not_used_again() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for _ in 0..2 {
        let (asking, asked) = asked(good(&relay), &upstream).await;
        let kept = asked.answer("404 No", "Connection: keep-alive\r\n", "{}").await;
        assert_eq!(asking.refused().await.status, 404);
        kept.expect_gone().await;
    }
}

#[tokio::test]
async fn what_the_client_sends_while_its_upstream_is_dialled_is_kept() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let (mut asking, asked) = asked(good(&relay).behind(&Frame::text("with it").masked().bytes()), &upstream).await;
    let (second, third) = ("y".repeat(10_000), "z".repeat(100_000));
    asking.send(&Frame::text(&second).masked().bytes()).await;
    let mut upstream = asked.switch().await;
    upstream.send(&[Frame::ping("x")]).await;
    upstream.expect(Frame::pong("x")).await;
    asking.send(&Frame::text(&third).masked().bytes()).await;
    upstream.text("first").await;
    let mut client = asking.opened().await;
    client.expect_text("first").await;
    for text in ["with it", &second, &third] {
        upstream.expect_text(text).await;
    }
}

#[tokio::test]
async fn an_interim_answer_is_not_the_answer() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let switching = format!("{interim}{}", asked.switching("Sec-WebSocket-Protocol: realtime\r\n"));
    let mut upstream = asked.begin_switch(switching.as_bytes()).await;
    let mut client = asking.opened().await;
    client.text("up").await;
    upstream.expect_text("up").await;
}
