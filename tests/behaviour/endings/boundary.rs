//! Our own words stand only where they may: the message under way may finish first.

use super::{answer_and_end, framed_with, link, link_with, verbatim_with};
use crate::support::frame::{Frame, TEXT, header};

/// What ends a link by the client's fault.
const OFFENCE: &[u8] = &[0xff, 0xff];

#[tokio::test]
async fn the_upstreams_message_may_finish_before_the_client_is_told() {
    let (_relay, mut client, mut upstream) = verbatim_with("").await;
    let message = Frame::text("an answer in the making").bytes();
    upstream.raw(&message[..8]).await;
    client.expect_bytes(&message[..8]).await;
    client.raw(OFFENCE).await;
    upstream.expect_close_code(1001).await;
    upstream.raw(&message[8..]).await;
    upstream.text("not this one").await;
    client.expect_bytes(&message[8..]).await;
    client.expect_close_code(1002).await;
    answer_and_end(upstream, 1001).await;
    answer_and_end(client, 1002).await;
}

#[tokio::test]
async fn all_fragments_of_the_upstreams_message_may_finish() {
    let (_relay, mut client, mut upstream) = link().await;
    let fragments = [Frame::text("one").more(), Frame::continuation("two").more(), Frame::continuation("three")];
    upstream.send(&fragments[..1]).await;
    client.expect(fragments[0].clone()).await;
    client.raw(OFFENCE).await;
    upstream.expect_close_code(1001).await;
    upstream.send(&fragments[1..]).await;
    client.expect(fragments[1].clone()).await;
    client.expect(fragments[2].clone()).await;
    client.expect_close_code(1002).await;
}

#[tokio::test]
async fn the_clients_message_may_finish_before_the_upstream_is_told() {
    let (_relay, mut client, mut upstream) = verbatim_with("").await;
    let message = Frame::text("a question in the making").masked().bytes();
    client.raw(&message[..12]).await;
    upstream.expect_bytes(&message[..12]).await;
    upstream.raw(OFFENCE).await;
    client.expect_event("upstream_protocol_error").await;
    client.expect_close_code(1011).await;
    client.raw(&message[12..]).await;
    upstream.expect_bytes(&message[12..]).await;
    upstream.expect_close_code(1002).await;
}

#[tokio::test]
async fn a_peer_that_closes_instead_of_finishing_is_heard() {
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&[Frame::text("begun").more()]).await;
    client.expect(Frame::text("begun").more()).await;
    client.raw(OFFENCE).await;
    upstream.expect_close_code(1001).await;
    upstream.close(1001, "").await;
    // The upstream's own close would say nothing of what the client did.
    client.expect_close_code(1002).await;
    client.close(1002, "").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn between_fragments_only_the_close_is_sent_when_the_rest_does_not_come() {
    let (_relay, mut client, mut upstream) = link_with("close_timeout = \"200ms\"").await;
    upstream.send(&[Frame::text("begun").more()]).await;
    client.expect(Frame::text("begun").more()).await;
    client.raw(OFFENCE).await;
    client.expect_close_code(1002).await;
    client.expect_gone().await;
    upstream.expect_close_code(1001).await;
    upstream.expect_gone().await;
}

#[tokio::test]
async fn inside_a_frame_the_client_is_cut_when_the_rest_does_not_come() {
    let (_relay, mut client, mut upstream) = verbatim_with("close_timeout = \"200ms\"").await;
    let half = [header(true, TEXT, false, 10), b"half".to_vec()].concat();
    upstream.raw(&half).await;
    client.expect_bytes(&half).await;
    client.raw(OFFENCE).await;
    assert_eq!(client.expect_reset().await, b"");
    upstream.expect_close_code(1001).await;
    upstream.expect_gone().await;
}

#[tokio::test]
async fn where_only_whole_frames_go_on_the_message_under_way_may_finish_too() {
    let (_relay, mut client, mut upstream) = framed_with("").await;
    let message = Frame::text("an answer in the making").bytes();
    upstream.raw(&[&Frame::ping("first").bytes(), &message[..8]].concat()).await;
    client.expect(Frame::ping("first")).await;
    client.raw(OFFENCE).await;
    upstream.expect_close_code(1001).await;
    upstream.raw(&message[8..]).await;
    upstream.text("not this one").await;
    client.expect_text("an answer in the making").await;
    client.expect_close_code(1002).await;
    answer_and_end(upstream, 1001).await;
    answer_and_end(client, 1002).await;
}

#[tokio::test]
async fn where_only_whole_frames_go_on_a_rest_that_does_not_come_keeps_nothing_from_being_said() {
    let limits = "close_timeout = \"200ms\"\nsettle_timeout = \"10ms\"";
    let (_relay, mut client, mut upstream) = framed_with(limits).await;
    let half = Frame::text("a question in the making").masked().bytes();
    client.raw(&[&Frame::ping("first").masked().bytes(), &half[..12]].concat()).await;
    upstream.expect(Frame::ping("first")).await;
    upstream.raw(OFFENCE).await;
    client.expect_event("upstream_protocol_error").await;
    client.expect_close_code(1011).await;
    upstream.expect_close_code(1002).await;
    upstream.expect_gone().await;
}
