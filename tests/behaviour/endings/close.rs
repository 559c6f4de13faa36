//! A close frame goes to the other peer as it is, and so does the answer.

use super::{answer_and_end, link, link_with, verbatim_with};
use crate::support::frame::{CLOSE, Frame};

const EMPTY: &[u8] = b"";

#[tokio::test]
async fn of_a_client_goes_upstream_verbatim_and_the_answer_comes_back() {
    let (_relay, mut client, mut upstream) = verbatim_with("").await;
    let close = client.encoded(&[Frame::close(4321, "größe")]);
    client.raw(&close).await;
    upstream.expect_bytes(&close).await;
    upstream.close(4322, "theirs").await;
    client.expect_close(4322, "theirs").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn of_an_upstream_goes_to_the_client_verbatim_and_the_answer_comes_back() {
    let (_relay, mut client, mut upstream) = verbatim_with("").await;
    upstream.close(4321, "Your session hit the maximum duration of 60 minutes.").await;
    client.expect_close(4321, "Your session hit the maximum duration of 60 minutes.").await;
    let answer = client.encoded(&[Frame::close(4321, "mine")]);
    client.raw(&answer).await;
    upstream.expect_bytes(&answer).await;
    client.expect_end().await;
    upstream.expect_end().await;
}

/// Behind it a client has nothing more to say (RFC 6455 section 5.5.1): nobody waits until it closes its connection.
#[tokio::test]
async fn of_a_client_is_the_last_that_is_awaited_of_it() {
    let (relay, mut client, mut upstream) = link_with("close_timeout = \"10m\"").await;
    client.close(1000, "").await;
    upstream.expect_close(1000, "").await;
    answer_and_end(upstream, 1000).await;
    client.expect_close(1000, "").await;
    relay.ledger().until_count("link", 1).await;
    client.expect_end().await;
}

#[tokio::test]
async fn without_a_code_stays_without_a_code() {
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&[Frame::new(CLOSE, EMPTY)]).await;
    upstream.expect(Frame::new(CLOSE, EMPTY)).await;
    upstream.send(&[Frame::new(CLOSE, EMPTY)]).await;
    client.expect(Frame::new(CLOSE, EMPTY)).await;
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&[Frame::new(CLOSE, EMPTY)]).await;
    client.expect(Frame::new(CLOSE, EMPTY)).await;
    client.close(1000, "").await;
    upstream.expect_close(1000, "").await;
}

#[tokio::test]
async fn may_have_any_code_that_may_be_sent() {
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let (_relay, mut client, mut upstream) = link().await;
        upstream.close(code, &"r".repeat(123)).await;
        client.expect_close(code, &"r".repeat(123)).await;
        client.close(code, "").await;
        upstream.expect_close(code, "").await;
    }
}

#[tokio::test]
async fn stands_behind_all_that_was_sent_before() {
    let (_relay, mut client, mut upstream) = link_with("settle_timeout = \"50ms\"").await;
    client.send(&[Frame::text("last"), Frame::text("words").more(), Frame::close(1000, "mine")]).await;
    upstream.expect_text("last").await;
    upstream.expect(Frame::text("words").more()).await;
    upstream.expect_close(1000, "mine").await;
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&[Frame::text("last"), Frame::text("words").more(), Frame::close(1000, "mine")]).await;
    client.expect_text("last").await;
    client.expect(Frame::text("words").more()).await;
    client.expect_close(1000, "mine").await;
    client.close(1000, "").await;
    upstream.expect_close(1000, "").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn is_the_last_that_goes_on() {
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&[Frame::close(1000, ""), Frame::text("too late"), Frame::close(4000, "")]).await;
    upstream.expect_close(1000, "").await;
    upstream.send(&[Frame::close(1000, ""), Frame::text("too late")]).await;
    client.expect_close(1000, "").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn may_cross_another() {
    let (_relay, mut client, mut upstream) = link().await;
    tokio::join!(client.close(4001, "client"), upstream.close(4002, "upstream"));
    upstream.expect_close(4001, "client").await;
    client.expect_close(4002, "upstream").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn is_answered_by_the_relay_where_the_other_peer_goes_without_an_answer() {
    let (_relay, mut client, mut upstream) = link().await;
    client.close(4001, "client").await;
    upstream.expect_close(4001, "client").await;
    drop(upstream);
    client.expect_close(4001, "").await;
    client.expect_end().await;
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&[Frame::new(CLOSE, EMPTY)]).await;
    client.expect(Frame::new(CLOSE, EMPTY)).await;
    client.reset();
    upstream.expect(Frame::new(CLOSE, EMPTY)).await;
    upstream.expect_end().await;
}
