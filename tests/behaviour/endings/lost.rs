//! A peer whose connection ends without a close frame.

use super::{answer_and_end, framed_with, link, verbatim_with};
use crate::support::authority::Authority;
use crate::support::client::client;
use crate::support::frame::{Frame, TEXT, header};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn an_upstream_that_ends_its_stream_is_told_to_the_client() {
    let (_relay, mut client, mut upstream) = link().await;
    upstream.text("last").await;
    upstream.hang_up().await;
    client.expect_text("last").await;
    client.expect_event("upstream_connection_lost").await;
    client.expect_close_code(1011).await;
    answer_and_end(client, 1011).await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn an_upstream_that_resets_is_told_to_the_client() {
    let (_relay, mut client, upstream) = link().await;
    upstream.reset();
    client.expect_event("upstream_connection_lost").await;
    client.expect_close_code(1011).await;
    answer_and_end(client, 1011).await;
}

#[tokio::test]
async fn the_event_names_the_request() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let asking = client(&relay).key("key-of-acme").model("m").header("X-Request-Id", "req_of-mine").ask().await;
    upstream.leg().await.reset();
    let mut client = asking.opened().await;
    let event = String::from_utf8(client.next().await.payload).unwrap();
    assert!(event.contains("(request id: req_of-mine)"), "{event}");
}

#[tokio::test]
async fn between_the_fragments_of_a_message_there_is_no_event() {
    let (_relay, mut client, mut upstream) = link().await;
    upstream.send(&[Frame::text("begun").more()]).await;
    upstream.hang_up().await;
    client.expect(Frame::text("begun").more()).await;
    client.expect_close_code(1011).await;
    answer_and_end(client, 1011).await;
}

#[tokio::test]
async fn inside_a_frame_the_client_is_cut() {
    let (_relay, mut client, mut upstream) = verbatim_with("").await;
    upstream.raw(&[header(true, TEXT, false, 10), b"half".to_vec()].concat()).await;
    client.expect_bytes(b"\x81\x0ahalf").await;
    upstream.hang_up().await;
    assert_eq!(client.expect_reset().await, b"");
}

#[tokio::test]
async fn where_half_a_frame_never_goes_on_the_event_stands() {
    let (_relay, mut client, mut upstream) = framed_with("").await;
    upstream.raw(&[header(true, TEXT, false, 10), b"half".to_vec()].concat()).await;
    upstream.hang_up().await;
    client.expect_event("upstream_connection_lost").await;
    client.expect_close_code(1011).await;
    answer_and_end(client, 1011).await;
}

#[tokio::test]
async fn half_a_header_was_never_sent_on_so_the_event_stands() {
    for half in [vec![0x81], header(true, TEXT, false, 300)[..3].to_vec(), Frame::ping("whole").bytes()[..4].to_vec()] {
        let (_relay, mut client, mut upstream) = link().await;
        upstream.raw(&half).await;
        upstream.hang_up().await;
        client.expect_event("upstream_connection_lost").await;
        client.expect_close_code(1011).await;
    }
}

#[tokio::test]
async fn a_client_that_ends_its_stream_is_told_to_the_upstream() {
    let (_relay, mut client, mut upstream) = link().await;
    client.text("last").await;
    client.hang_up().await;
    upstream.expect_text("last").await;
    upstream.expect_close_code(1001).await;
    answer_and_end(upstream, 1001).await;
    client.expect_end().await;
}

#[tokio::test]
async fn a_client_that_resets_is_told_to_the_upstream() {
    let (_relay, client, mut upstream) = link().await;
    client.reset();
    upstream.expect_close_code(1001).await;
    answer_and_end(upstream, 1001).await;
}

#[tokio::test]
async fn a_client_lost_between_fragments_is_told_to_the_upstream() {
    let (_relay, mut client, mut upstream) = link().await;
    client.send(&[Frame::text("begun").more()]).await;
    client.hang_up().await;
    upstream.expect(Frame::text("begun").more()).await;
    upstream.expect_close_code(1001).await;
}

#[tokio::test]
async fn where_half_a_frame_never_goes_on_a_lost_client_is_told_to_the_upstream() {
    let (_relay, mut client, mut upstream) = framed_with("").await;
    client.raw(&Frame::text("half of it").masked().bytes()[..10]).await;
    client.hang_up().await;
    upstream.expect_close_code(1001).await;
    answer_and_end(upstream, 1001).await;
}

#[tokio::test]
async fn a_client_lost_inside_a_frame_cuts_the_upstream() {
    let (_relay, mut client, mut upstream) = verbatim_with("").await;
    client.raw(&Frame::text("half of it").masked().bytes()[..10]).await;
    upstream.expect_bytes(&Frame::text("half of it").masked().bytes()[..10]).await;
    client.hang_up().await;
    assert_eq!(upstream.expect_reset().await, b"");
}

#[tokio::test]
async fn over_tls_the_same_is_told() {
    let (ca, own) = (Authority::new(), Authority::new());
    let trust = format!("ca_file = {:?}", ca.ca_file());
    let upstream = Upstream::with_tls(ca).await;
    let relay = Relay::to(&upstream).upstream(&trust).tls(own).start();
    for orderly in [true, false] {
        let (mut client, mut lost) = relay.link(&upstream).await;
        if orderly {
            lost.hang_up().await;
        } else {
            lost.reset();
        }
        client.expect_event("upstream_connection_lost").await;
        client.expect_close_code(1011).await;
        answer_and_end(client, 1011).await;
        let (mut lost, mut upstream) = relay.link(&upstream).await;
        if orderly {
            lost.hang_up().await;
        } else {
            lost.reset();
        }
        upstream.expect_close_code(1001).await;
        answer_and_end(upstream, 1001).await;
    }
}

#[tokio::test]
async fn all_that_was_sent_before_is_delivered_first() {
    let (_relay, mut client, mut upstream) = link().await;
    let frame = Frame::text("x".repeat(100_000));
    let down = upstream.encoded(&vec![frame.clone(); 160]);
    let sending = async {
        upstream.raw(&down).await;
        upstream.hang_up().await;
    };
    tokio::join!(sending, client.expect_bytes(&down));
    client.expect_event("upstream_connection_lost").await;
    client.expect_close_code(1011).await;
    let (_relay, mut client, mut upstream) = link().await;
    let up = client.encoded(&vec![frame.clone(); 160]);
    let sending = async {
        client.raw(&up).await;
        client.close(1000, "all said").await;
    };
    let receiving = async {
        for _ in 0..160 {
            upstream.expect(frame.clone()).await;
        }
    };
    tokio::join!(sending, receiving);
    upstream.expect_close(1000, "all said").await;
}
