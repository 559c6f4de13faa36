//! A peer that breaks RFC 6455.

use super::{answer_and_end, link, link_with};
use crate::support::frame::{CLOSE, Frame};
use crate::support::offence::offences;

#[tokio::test]
async fn a_client_is_told_1002_and_its_upstream_1001() {
    for (offence, bytes) in offences(true) {
        println!("{offence}");
        let (_relay, mut client, mut upstream) = link_with("settle_timeout = \"10ms\"").await;
        let legal = client.encoded(&[Frame::text("legal"), Frame::ping("legal too")]);
        client.raw(&[legal, bytes].concat()).await;
        upstream.expect_text("legal").await;
        upstream.expect(Frame::ping("legal too")).await;
        upstream.expect_close_code(1001).await;
        client.expect_close_code(1002).await;
        answer_and_end(upstream, 1001).await;
        answer_and_end(client, 1002).await;
    }
}

/// A response may be under way, so the relay answers the close itself: not with the code of a frame that is illegal.
#[tokio::test]
async fn a_client_whose_reason_to_close_is_no_text_is_told_1007() {
    let (_relay, mut client, mut upstream) = link_with("settle_timeout = \"10ms\"").await;
    client.send(&[Frame::new(CLOSE, [&1000_u16.to_be_bytes()[..], b"caf\xc3"].concat())]).await;
    upstream.expect_close_code(1001).await;
    client.expect_close_code(1007).await;
    answer_and_end(upstream, 1001).await;
    answer_and_end(client, 1007).await;
}

#[tokio::test]
async fn an_upstream_is_told_1002_and_its_client_gets_an_event() {
    for (offence, bytes) in offences(false) {
        println!("{offence}");
        let (_relay, mut client, mut upstream) = link().await;
        let legal = upstream.encoded(&[Frame::text("legal"), Frame::ping("legal too")]);
        upstream.raw(&[legal, bytes].concat()).await;
        client.expect_text("legal").await;
        client.expect(Frame::ping("legal too")).await;
        client.expect_event("upstream_protocol_error").await;
        client.expect_close_code(1011).await;
        upstream.expect_close_code(1002).await;
        answer_and_end(upstream, 1002).await;
        answer_and_end(client, 1011).await;
    }
}

#[tokio::test]
async fn a_message_inside_a_message_breaks_the_protocol() {
    let frames = [Frame::text("one").more(), Frame::text("two")];
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&frames).await;
    upstream.expect(frames[0].clone()).await;
    upstream.expect_close_code(1001).await;
    client.expect_close_code(1002).await;
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&frames).await;
    client.expect(frames[0].clone()).await;
    client.expect_close_code(1011).await;
    upstream.expect_close_code(1002).await;
}

#[tokio::test]
async fn what_follows_the_offence_is_read_and_thrown_away() {
    let (_relay, mut client, mut upstream) = link().await;
    client.raw(&Frame::text("not masked").bytes()).await;
    client.raw(&vec![0x55; 1 << 20]).await;
    client.expect_close_code(1002).await;
    client.hang_up().await;
    client.expect_end().await;
    upstream.expect_close_code(1001).await;
    answer_and_end(upstream, 1001).await;
}

#[tokio::test]
async fn an_offence_in_single_bytes_is_found_all_the_same() {
    let (_relay, mut client, mut upstream) = link().await;
    for byte in client.encoded(&[Frame::text("legal"), Frame::close(1006, "forged")]) {
        client.raw(&[byte]).await;
    }
    upstream.expect_text("legal").await;
    upstream.expect_close_code(1001).await;
    client.expect_close_code(1002).await;
}

#[tokio::test]
async fn an_offence_behind_the_request_is_found_when_the_link_begins() {
    use crate::support::client::client;
    use crate::support::relay::Relay;
    use crate::support::upstream::Upstream;
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let early = Frame::text("not masked").bytes();
    let asking = client(&relay).key("key-of-acme").model("m").behind(&early).ask().await;
    let mut upstream = upstream.leg().await;
    asking.opened().await.expect_close_code(1002).await;
    upstream.expect_close_code(1001).await;
}
