//! The certificate that clients are shown is replaced, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls_pki_types::CertificateDer;
use tokio::task::JoinSet;

use super::expect_alive;
use crate::support::authority::Authority;
use crate::support::client::client;
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

const LINKS: usize = 200;
const STREAMS: usize = 4;

/// Opens one link after the other until told to stop, and says something on each: the certificates that were shown.
async fn stream(relay: Arc<Relay>, stop: Arc<AtomicBool>) -> Vec<CertificateDer<'static>> {
    let mut shown = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let mut ours = client(&relay).key("key-of-acme").model("gpt-realtime").open().await;
        shown.push(ours.certificate().expect("a certificate"));
        ours.text("up").await;
        ours.expect_text("up").await;
        ours.close(1000, "").await;
        ours.expect_close_code(1000).await;
    }
    shown
}

async fn certificate(relay: &Relay) -> CertificateDer<'static> {
    client(relay).key("key-of-acme").model("gpt-realtime").open().await.certificate().expect("a certificate")
}

/// Waits until clients are shown this one.
async fn until_shown(relay: &Relay, expected: &CertificateDer<'static>) {
    within("the new certificate", async { while certificate(relay).await != *expected {} }).await;
}

#[tokio::test]
async fn it_is_noticed_and_shown_under_two_hundred_links_and_a_stream_of_new_ones_of_which_none_fails() {
    let upstream = Upstream::start().await;
    let authority = Arc::new(Authority::new());
    let relay = Arc::new(Relay::to(&upstream).workers(2).tls(authority.clone()).start());
    let former = authority.certificate();
    let mut links: Vec<(Leg, Leg)> = Vec::new();
    for _ in 0..LINKS {
        links.push(relay.link(&upstream).await);
    }
    let _echoes = upstream.echoes();
    let stop = Arc::<AtomicBool>::default();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(stream(relay.clone(), stop.clone()));
    }
    assert_eq!(certificate(&relay).await, former);
    let latter = authority.renew();
    until_shown(&relay, &latter).await;
    stop.store(true, Ordering::Relaxed);
    let mut shown = Vec::new();
    while let Some(stream) = streams.join_next().await {
        let stream = stream.expect("no link fails");
        // Each stream sees the former one, and from some moment on the latter.
        assert!(stream.iter().is_sorted_by_key(|certificate| **certificate == *latter), "none goes back");
        shown.extend(stream);
    }
    assert!(shown.contains(&former) && shown.iter().all(|one| [&former, &latter].contains(&one)));
    for link in &mut links {
        expect_alive(link).await;
    }
}

#[tokio::test]
async fn it_is_shown_at_once_after_a_reload() {
    let upstream = Upstream::start().await;
    let _links = upstream.links();
    let authority = Arc::new(Authority::new());
    let mut relay = Relay::to(&upstream).tls(authority.clone()).start();
    let latter = authority.renew();
    super::reload(&mut relay, |setup| setup).await;
    assert_eq!(certificate(&relay).await, latter);
}

#[tokio::test]
async fn one_that_is_damaged_is_not_taken_and_its_repair_is_noticed() {
    let upstream = Upstream::start().await;
    let _links = upstream.links();
    let authority = Arc::new(Authority::new());
    let relay = Relay::to(&upstream).tls(authority.clone()).start();
    let former = authority.certificate();
    std::fs::write(authority.cert_file(), "no certificate").unwrap();
    assert_eq!(certificate(&relay).await, former);
    let latter = authority.renew();
    until_shown(&relay, &latter).await;
}
