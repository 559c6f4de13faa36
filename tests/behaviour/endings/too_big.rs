//! A message over the limit.

use super::{answer_and_end, link_with};
use crate::support::frame::{Frame, MASK, TEXT, header};
use crate::support::leg::Leg;
use crate::support::relay::Relay;

async fn link() -> (Relay, Leg, Leg) {
    link_with("max_message_bytes = \"64KiB\"").await
}

const LIMIT: usize = 64 << 10;

#[tokio::test]
async fn of_a_client_is_refused_with_1009() {
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&[Frame::text("before"), Frame::text("x".repeat(LIMIT + 1))]).await;
    upstream.expect_text("before").await;
    upstream.expect_close_code(1001).await;
    client.expect_close_code(1009).await;
    answer_and_end(upstream, 1001).await;
    answer_and_end(client, 1009).await;
}

#[tokio::test]
async fn of_an_upstream_is_told_to_the_client() {
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&[Frame::text("before"), Frame::text("x".repeat(LIMIT + 1))]).await;
    client.expect_text("before").await;
    client.expect_event("upstream_message_too_big").await;
    client.expect_close_code(1011).await;
    upstream.expect_close_code(1009).await;
    answer_and_end(upstream, 1009).await;
    answer_and_end(client, 1011).await;
}

#[tokio::test]
async fn is_known_from_its_header_alone() {
    let (_relay, mut client, mut upstream) = link().await;
    client.raw(&[header(true, TEXT, true, 1 << 40), MASK.to_vec()].concat()).await;
    client.expect_close_code(1009).await;
    upstream.expect_close_code(1001).await;
}

#[tokio::test]
async fn is_the_sum_of_its_fragments() {
    let (whole, rest) = (Frame::text("x".repeat(LIMIT)).more(), Frame::continuation("y"));
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&[whole.clone(), rest.clone()]).await;
    upstream.expect(whole.clone()).await;
    upstream.expect_close_code(1001).await;
    client.expect_close_code(1009).await;
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&[whole.clone(), rest]).await;
    client.expect(whole).await;
    client.expect_close_code(1011).await;
    upstream.expect_close_code(1009).await;
}
