//! The connection that carries a request: how long it may take, how much it may hold, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::net::TcpStream;

use super::{good, opens, relay};
use crate::support::authority::{Authority, connect_as};
use crate::support::client::connect;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

#[tokio::test]
async fn a_refusal_arrives_although_the_client_has_sent_more() {
    let (relay, _upstream) = relay().await;
    let more = vec![b'x'; 1 << 20];
    let refused = good(&relay).path("/nowhere").behind(&more).refused().await;
    refused.expect(404, "not_found", "invalid_request_error");
    let upload = good(&relay).method("POST").header("Content-Length", &more.len().to_string()).behind(&more);
    upload.refused().await.expect(405, "method_not_allowed", "invalid_request_error");
}

#[tokio::test]
async fn a_refused_client_is_not_asked_for_a_second_request() {
    let (relay, upstream) = relay().await;
    let second = good(&relay).bytes();
    good(&relay).path("/nowhere").behind(&second).refused().await.expect(404, "not_found", "invalid_request_error");
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_head_of_up_to_16_kib_is_read() {
    let (relay, upstream) = relay().await;
    opens(good(&relay).header("X-Filler", &"x".repeat(15 << 10)), &upstream).await;
}

#[tokio::test]
async fn a_head_over_16_kib_is_answered_431() {
    let (relay, upstream) = relay().await;
    let refused = good(&relay).header("X-Filler", &"x".repeat(16 << 10)).refused().await;
    assert_eq!(refused.status, 431);
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_cut() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("handshake_timeout = \"200ms\"").start();
    let request = good(&relay).bytes();
    for sent in [&b""[..], b"GET", &request[..request.len() - 2]] {
        let mut wire = connect(&relay).await;
        wire.send(sent).await;
        let (answer, _) = wire.rest().await;
        assert!(!answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_client_that_does_not_begin_tls_is_cut() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("handshake_timeout = \"200ms\"").tls(Authority::new()).start();
    let stream = TcpStream::connect(relay.address()).await.unwrap();
    let (answer, _) = crate::support::wire::Wire::new(stream).rest().await;
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn a_slow_head_over_tls_is_cut_too() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("handshake_timeout = \"300ms\"").tls(Authority::new()).start();
    let mut wire = connect(&relay).await;
    wire.send(b"GET /v1/realtime HTTP/1.1\r\n").await;
    let (answer, _) = wire.rest().await;
    assert!(!answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn clients_are_served_and_refused_over_tls() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).tls(Authority::new()).start();
    opens(good(&relay), &upstream).await;
    good(&relay).path("/nowhere").refused().await.expect(404, "not_found", "invalid_request_error");
}

#[tokio::test]
async fn a_session_that_one_worker_began_another_resumes_until_the_certificate_changes() {
    let upstream = Upstream::start().await;
    let authority = Arc::new(Authority::new());
    let mut relay = Relay::to(&upstream).workers(2).tls(authority.clone()).start();
    let client = authority.newcomer();
    let come = async |relay: &Relay| {
        let mut wire = connect_as(&client, TcpStream::connect(relay.address()).await.unwrap()).await;
        // The ticket comes with the answer.
        wire.send(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(wire.head().await.unwrap().status(), 404);
        wire
    };
    // Each stays, so that the next goes to the other worker.
    let mut stay = vec![come(&relay).await];
    assert_eq!(stay[0].handshake(), Some(HandshakeKind::Full));
    for _ in 0..5 {
        stay.push(come(&relay).await);
        assert_eq!(stay.last().unwrap().handshake(), Some(HandshakeKind::Resumed));
    }
    authority.renew();
    assert_eq!(relay.reload(|setup| setup).await.status, 202);
    assert_eq!(come(&relay).await.handshake(), Some(HandshakeKind::Full));
}

#[tokio::test]
async fn a_link_outlives_the_handshake_timeout() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("handshake_timeout = \"100ms\"").start();
    let (mut client, mut upstream) = relay.link(&upstream).await;
    // A client that only begins its head now is cut when the deadline of the link's own is long over.
    let mut late = connect(&relay).await;
    let _ = late.rest().await;
    client.text("up").await;
    upstream.expect_text("up").await;
    upstream.text("down").await;
    client.expect_text("down").await;
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_all_the_same() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("handshake_timeout = \"200ms\"").start();
    let mut wire = connect(&relay).await;
    wire.send(b"GET /v1/realtime HTTP/1.1\r\nX-Filler: ").await;
    let trickle = async {
        let mut cut = false;
        while !cut {
            let answered = tokio::time::timeout(Duration::from_millis(20), wire.fill("the end")).await;
            cut = answered.is_ok() || wire.try_send(b"x").await.is_err();
        }
    };
    within("the relay to hang up", trickle).await;
    upstream.expect_no_connection().await;
}
