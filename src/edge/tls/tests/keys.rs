//! Keys are renewed when the peer asks for it, and before they are worn.

use rustls::crypto::aws_lc_rs::cipher_suite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::record::Broken;
use super::{Setup, numbered, reads, sends};

#[tokio::test]
async fn keys_of_the_peer_that_it_renews_are_followed_and_answered() {
    let (mut ours, mut theirs) = Setup::new().as_server().await;
    for _ in 0..100 {
        // It may ask more than once before it is answered.
        for _ in 0..2 {
            theirs.get_mut().1.refresh_traffic_keys().unwrap();
            sends(&mut theirs, b"under the next key").await;
            assert_eq!(reads(&mut ours, 18).await, b"under the next key");
        }
        // Ours were renewed too, as it asked for it, and one record stands behind that.
        sends(&mut ours, b"so is this").await;
        assert_eq!(ours.session.sealed(), 1);
        assert_eq!(reads(&mut theirs, 10).await, b"so is this");
    }
}

#[tokio::test]
async fn keys_that_are_worn_are_renewed() {
    let (mut ours, mut theirs) = Setup::speaking(TLS13_AES_128_GCM_SHA256).as_client().await;
    assert_eq!(ours.session.limit, 1 << 24);
    ours.session.limit = 3;
    let sent = numbered(1 << 20);
    let (come, ()) = tokio::join!(reads(&mut theirs, sent.len()), sends(&mut ours, &sent));
    assert!(come == sent && ours.session.sealed() <= 3);
}

#[tokio::test]
async fn nothing_is_sealed_with_keys_that_are_worn_where_tls_has_no_others() {
    let (mut ours, _theirs) = Setup::speaking(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256).as_client().await;
    ours.session.limit = 3;
    // The end of the handshake was the first.
    ours.write_all(b"the second").await.unwrap();
    let refused = ours.write_all(b"the third").await.unwrap_err();
    assert_eq!(refused.to_string(), Broken::Worn.to_string());
}

#[tokio::test]
async fn what_is_sealed_before_keys_are_worn_goes_out() {
    let (mut ours, mut theirs) = Setup::speaking(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256).as_client().await;
    ours.session.limit = 3;
    // Three records, of which one is left.
    let sent = numbered(40_000);
    assert_eq!(ours.write(&sent).await.unwrap(), 16_384);
    ours.write(&sent).await.unwrap_err();
    ours.shutdown().await.unwrap();
    let mut come = Vec::new();
    theirs.read_to_end(&mut come).await.unwrap();
    assert!(come == sent[..16_384]);
}
