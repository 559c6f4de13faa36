//! Bytes go both ways whole and in their order, and end where the peer says so.

use std::io;

use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::record::{Broken, Content, MAX_RECORD};
use super::{MUCH, Setup, at_once, exchange, numbered, reads, sends};

#[tokio::test]
async fn carries_all_bytes_both_ways_with_every_cipher_and_ends_as_tls_does() {
    for suite in aws_lc_rs::ALL_CIPHER_SUITES {
        // The certificate is of the other kind.
        if format!("{suite:?}").contains("RSA") {
            continue;
        }
        let setup = Setup::speaking(*suite);
        let (ours, theirs) = setup.as_client().await;
        exchange(ours, theirs).await;
        let (ours, theirs) = setup.as_server().await;
        exchange(ours, theirs).await;
    }
}

#[tokio::test]
async fn what_a_reader_has_no_room_for_comes_next() {
    let (mut ours, mut theirs) = Setup::new().as_server().await;
    let sent = numbered(100_000);
    let reading = async {
        let mut come = Vec::new();
        for room in (1..300).cycle() {
            let mut piece = vec![0; room];
            let read = ours.read(&mut piece).await.unwrap();
            come.extend_from_slice(&piece[..read]);
            if come.len() == sent.len() {
                return come;
            }
        }
        unreachable!()
    };
    let (come, ()) = tokio::join!(reading, sends(&mut theirs, &sent));
    assert!(come == sent);
}

#[tokio::test]
async fn keeps_nothing_of_what_has_gone_on() {
    let (mut ours, mut theirs) = Setup::new().as_server().await;
    let sent = numbered(100_000);
    tokio::join!(sends(&mut theirs, &sent), reads(&mut ours, sent.len()));
    tokio::join!(sends(&mut ours, &sent), reads(&mut theirs, sent.len()));
    assert_eq!(ours.kept(), 0);
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_waited_for_and_misses_nothing() {
    let (mut ours, mut theirs) = Setup::new().as_server().await;
    let sent = numbered(MUCH);
    let mut taken = 0;
    while let Some(written) = at_once(ours.write(&sent[taken..])).await {
        taken += written.unwrap();
    }
    assert!(taken < MUCH && ours.kept() <= 4 * MAX_RECORD, "{taken}, {}", ours.kept());
    let ((), come) = tokio::join!(sends(&mut ours, &sent[taken..]), reads(&mut theirs, MUCH));
    assert!(come == sent);
}

/// One left out, one changed, one sent twice: in each version and form.
#[tokio::test]
async fn records_are_taken_in_their_order_and_as_they_were_sent() {
    for suite in aws_lc_rs::ALL_CIPHER_SUITES.iter().filter(|suite| !format!("{suite:?}").contains("RSA")) {
        for fault in 0..3 {
            let (mut speaker, mut listener) = Setup::speaking(*suite).as_both().await;
            let mut records = [Vec::new(), Vec::new(), Vec::new()];
            for record in &mut records {
                speaker.session.say(Content::Data, b"word", record);
            }
            let [first, mut second, third] = records;
            let wrong = match fault {
                0 => third,
                1 => {
                    *second.last_mut().unwrap() ^= 1;
                    second
                }
                _ => first.clone(),
            };
            let sent = [first, wrong].concat();
            assert_eq!(speaker.socket().try_write(&sent).unwrap(), sent.len());
            let mut come = Vec::new();
            let refused = listener.read_to_end(&mut come).await.unwrap_err();
            assert_eq!((&come[..], refused.to_string()), (&b"word"[..], Broken::Forged.to_string()));
        }
    }
}

#[tokio::test]
async fn an_end_that_the_peer_has_not_said_is_no_end() {
    let (mut ours, mut theirs) = Setup::new().as_server().await;
    sends(&mut theirs, b"all?").await;
    theirs.get_mut().0.shutdown().await.unwrap();
    let mut come = Vec::new();
    let cut = ours.read_to_end(&mut come).await.unwrap_err();
    assert_eq!((&come[..], cut.kind()), (&b"all?"[..], io::ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn nothing_is_read_behind_the_end_that_the_peer_has_said() {
    let (mut ours, mut theirs) = Setup::new().as_server().await;
    sends(&mut theirs, b"all").await;
    theirs.shutdown().await.unwrap();
    let mut come = Vec::new();
    ours.read_to_end(&mut come).await.unwrap();
    assert_eq!(come, b"all");
    // It still hears us.
    sends(&mut ours, b"well").await;
    assert_eq!(reads(&mut theirs, 4).await, b"well");
}
