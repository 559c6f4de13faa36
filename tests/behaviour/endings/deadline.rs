//! Within the close timeout both connections go, always.

use super::{link, link_with};
use crate::support::frame::Frame;

const SHORT: &str = "close_timeout = \"200ms\"";

#[tokio::test]
async fn an_upstream_that_does_not_answer_a_close_is_not_waited_for() {
    let (_relay, mut client, mut upstream) = link_with(SHORT).await;
    client.close(4001, "bye").await;
    upstream.expect_close(4001, "bye").await;
    client.expect_close(4001, "").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_a_close_is_not_waited_for() {
    let (_relay, mut client, mut upstream) = link_with(SHORT).await;
    upstream.close(4001, "bye").await;
    client.expect_close(4001, "bye").await;
    upstream.expect_close(4001, "").await;
    upstream.expect_end().await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_our_close_is_not_waited_for() {
    let (_relay, mut client, mut upstream) = link_with(SHORT).await;
    upstream.hang_up().await;
    client.expect_event("upstream_connection_lost").await;
    client.expect_close_code(1011).await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_our_close_is_not_waited_for() {
    let (_relay, mut client, mut upstream) = link_with(SHORT).await;
    client.hang_up().await;
    upstream.expect_close_code(1001).await;
    upstream.expect_end().await;
    client.expect_end().await;
}

#[tokio::test]
async fn an_upstream_that_goes_on_and_on_is_cut() {
    let (_relay, mut client, mut upstream) = link_with(SHORT).await;
    client.close(1000, "").await;
    upstream.expect_close(1000, "").await;
    let more = Frame::text("x".repeat(1000));
    tokio::join!(upstream.flood_until_gone(&more), client.expect_gone());
}

#[tokio::test]
async fn a_client_that_goes_on_and_on_is_cut() {
    let (_relay, mut client, mut upstream) = link_with(SHORT).await;
    upstream.close(1000, "").await;
    client.expect_close(1000, "").await;
    let more = Frame::text("x".repeat(1000));
    tokio::join!(client.flood_until_gone(&more), upstream.expect_gone());
}

#[tokio::test]
async fn a_close_that_is_answered_is_not_delayed() {
    let begin = std::time::Instant::now();
    let (_relay, mut client, mut upstream) = link().await;
    client.close(1000, "").await;
    upstream.expect_close(1000, "").await;
    upstream.close(1000, "").await;
    client.expect_close(1000, "").await;
    client.expect_end().await;
    upstream.expect_end().await;
    assert!(begin.elapsed() < std::time::Duration::from_secs(2), "the default is 5 s");
}
