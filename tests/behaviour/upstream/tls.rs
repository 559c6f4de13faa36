//! TLS with the upstream, and on both legs.

use rustls::HandshakeKind;

use super::{asked, expect_discreet, good};
use crate::support::authority::Authority;
use crate::support::frame::Frame;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::{Asked, Upstream};

/// A relay that trusts the upstream's own authority.
fn trusting(upstream: &Upstream) -> Setup {
    let ca_file = upstream.authority().ca_file();
    Relay::to(upstream).upstream(&format!("ca_file = {ca_file:?}"))
}

#[tokio::test]
async fn a_private_authority_is_trusted_where_it_is_configured() {
    let upstream = Upstream::with_tls(Authority::new()).await;
    let relay = trusting(&upstream).start();
    let (mut client, mut upstream) = relay.link(&upstream).await;
    client.text("up").await;
    upstream.expect_text("up").await;
    upstream.text("down").await;
    client.expect_text("down").await;
}

#[tokio::test]
async fn both_legs_may_be_encrypted() {
    let upstream = Upstream::with_tls(Authority::new()).await;
    let relay = trusting(&upstream).awaits_first_event().tls(Authority::new()).start();
    let early = Frame::text("from the client").masked();
    let (asking, asked) = asked(good(&relay).behind(&early.bytes()), &upstream).await;
    let large = "x".repeat(1 << 20);
    let mut upstream = asked.switch_with(&[Frame::text("first"), Frame::text(&large)]).await;
    let mut client = asking.opened().await;
    client.expect_text("first").await;
    client.expect_text(&large).await;
    upstream.expect(early).await;
    upstream.close(1000, "done").await;
    client.expect_close(1000, "done").await;
    client.close(1000, "done").await;
    upstream.expect_close(1000, "done").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

#[tokio::test]
async fn an_unknown_authority_is_unreachable() {
    let upstream = Upstream::with_tls(Authority::new()).await;
    let other = Authority::new();
    let by_other = Relay::to(&upstream).upstream(&format!("ca_file = {:?}", other.ca_file()));
    for relay in [by_other.start(), Relay::to(&upstream).start()] {
        let asking = good(&relay).ask().await;
        assert!(upstream.accept_wire().await.is_none(), "the relay does not shake hands");
        let refused = asking.refused().await;
        refused.expect(502, "upstream_unreachable", "upstream_error");
        expect_discreet(&refused, &upstream);
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_unreachable_and_names_stay_unsaid() {
    let upstream = Upstream::with_tls(Authority::certifying("internal.example.com")).await;
    let relay = trusting(&upstream).start();
    let asking = good(&relay).ask().await;
    assert!(upstream.accept_wire().await.is_none(), "the relay does not shake hands");
    let refused = asking.refused().await;
    refused.expect(502, "upstream_unreachable", "upstream_error").expect_without("internal.example.com");
    assert!(refused.message().contains("TLS failed"), "{}", refused.message());
    expect_discreet(&refused, &upstream);
}

#[tokio::test]
async fn a_certificate_out_of_date_is_unreachable() {
    let upstream = Upstream::with_tls(Authority::expired()).await;
    let relay = trusting(&upstream).start();
    let asking = good(&relay).ask().await;
    assert!(upstream.accept_wire().await.is_none(), "the relay does not shake hands");
    let refused = asking.refused().await;
    refused.expect(502, "upstream_unreachable", "upstream_error");
    assert!(refused.message().contains("TLS failed"), "{}", refused.message());
    expect_discreet(&refused, &upstream);
}

#[tokio::test]
async fn the_second_link_resumes_the_tls_session_of_the_first() {
    let upstream = Upstream::with_tls(Authority::new()).await;
    let relay = trusting(&upstream).start();
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let asking = good(&relay).ask().await;
        let wire = upstream.accept_wire().await.expect("the relay trusts the certificate");
        assert_eq!(wire.handshake(), Some(expected));
        let _upstream = Asked::read(wire).await.switch().await;
        asking.opened().await;
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_to_tls_is_given_up_in_time() {
    let plain = Upstream::start().await;
    let url = format!("wss://127.0.0.1:{}/", plain.port());
    let relay = Relay::to_url(&url).limits("dial_timeout = \"200ms\"").start();
    let asking = good(&relay).ask().await;
    let _silent = plain.accept_wire().await;
    asking.refused().await.expect(504, "upstream_timeout", "upstream_error");
}
