//! Text that is not UTF-8, where only whole frames go on.

use super::{answer_and_end, framed_with, verbatim_with};
use crate::support::frame::{BINARY, CLOSE, Frame, TEXT};
use crate::support::leg::Leg;
use crate::support::relay::Relay;

/// What no peer may send, and what of it goes on.
fn offences() -> Vec<(Vec<Frame>, usize)> {
    let text = "größe €uro 𝄞".as_bytes();
    vec![
        (vec![Frame::new(TEXT, b"\xff")], 0),
        (vec![Frame::new(TEXT, [text, b"\xed\xa0\x80"].concat())], 0),
        (vec![Frame::new(TEXT, b"\xc3").more(), Frame::continuation(b"\x28").more()], 1),
        (vec![Frame::new(TEXT, &text[..3]).more(), Frame::ping([0xff]), Frame::continuation(b"")], 2),
        (vec![Frame::new(TEXT, b"").more(), Frame::continuation(&text[..text.len() - 1])], 1),
        (vec![Frame::new(CLOSE, b"\x03\xe8\xc3\x28")], 0),
    ]
}

async fn link() -> (Relay, Leg, Leg) {
    framed_with("settle_timeout = \"10ms\"").await
}

#[tokio::test]
async fn of_a_client_is_refused_with_1007() {
    for (offence, go_on) in offences() {
        println!("{offence:?}");
        let (_relay, mut client, mut upstream) = link().await;
        client.send(&[&[Frame::text("before")], &offence[..]].concat()).await;
        upstream.expect_text("before").await;
        for frame in offence.into_iter().take(go_on) {
            upstream.expect(frame).await;
        }
        upstream.expect_close_code(1001).await;
        client.expect_close_code(1007).await;
        answer_and_end(upstream, 1001).await;
        answer_and_end(client, 1007).await;
    }
}

#[tokio::test]
async fn of_an_upstream_is_told_to_the_client() {
    for (offence, go_on) in offences() {
        println!("{offence:?}");
        let (_relay, mut client, mut upstream) = link().await;
        upstream.send(&[&[Frame::text("before")], &offence[..]].concat()).await;
        client.expect_text("before").await;
        let is_inside = go_on > 0;
        for frame in offence.into_iter().take(go_on) {
            client.expect(frame).await;
        }
        if !is_inside {
            client.expect_event("upstream_protocol_error").await;
        }
        client.expect_close_code(1011).await;
        upstream.expect_close_code(1007).await;
        answer_and_end(upstream, 1007).await;
        answer_and_end(client, 1011).await;
    }
}

#[tokio::test]
async fn goes_through_where_bytes_go_on_as_they_are() {
    let (_relay, mut client, mut upstream) = verbatim_with("").await;
    client.send(&[Frame::new(TEXT, b"\xff")]).await;
    upstream.expect(Frame::new(TEXT, b"\xff")).await;
}

#[tokio::test]
async fn is_no_offence_where_it_is_called_binary() {
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&[Frame::new(BINARY, b"\xff").more(), Frame::continuation(b"\xfe")]).await;
    upstream.expect(Frame::new(BINARY, b"\xff").more()).await;
    upstream.expect(Frame::continuation(b"\xfe")).await;
}
