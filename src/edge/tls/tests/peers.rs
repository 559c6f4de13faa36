//! What no honest peer sends is refused, and the peer is told.

use std::io;

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
};
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::record::{Broken, Content, MAX_RECORD};
use super::super::session::Opened;
use super::{Setup, reads, sends};

/// What a peer sends behind `b"before"`, and what it is told of it.
async fn refused(setup: &Setup, records: &[u8]) -> (io::Error, AlertDescription) {
    let (mut ours, mut theirs) = setup.as_server().await;
    sends(&mut theirs, b"before").await;
    theirs.get_mut().0.write_all(records).await.unwrap();
    assert_eq!(reads(&mut ours, 6).await, b"before");
    let refused = ours.read(&mut [0; 100]).await.unwrap_err();
    assert_eq!(ours.read(&mut [0; 100]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    let told = theirs.read(&mut [0; 100]).await.unwrap_err();
    let Some(Error::AlertReceived(alert)) = told.get_ref().and_then(|told| told.downcast_ref()) else {
        panic!("{told}");
    };
    (refused, *alert)
}

#[tokio::test]
async fn what_cannot_be_of_the_peer_is_refused_and_it_is_told() {
    let cases: [(&[u8], Broken, AlertDescription); 7] = [
        (&[23, 3, 3, 0, 30], Broken::Forged, AlertDescription::BadRecordMac),
        (&[23, 3, 3, 0, 16], Broken::Forged, AlertDescription::BadRecordMac),
        (&[23, 3, 3, 0, 0], Broken::Forged, AlertDescription::BadRecordMac),
        (&[23, 3, 3, 0xff, 0xff], Broken::TooLong, AlertDescription::RecordOverflow),
        // An alert, a message and a change of ciphers that nobody enciphered.
        (&[21, 3, 3, 0, 2], Broken::Unexpected, AlertDescription::UnexpectedMessage),
        (&[22, 3, 3, 0, 2], Broken::Unexpected, AlertDescription::UnexpectedMessage),
        (&[20, 3, 3, 0, 1], Broken::Unexpected, AlertDescription::UnexpectedMessage),
    ];
    for (header, broken, alert) in cases {
        let length = usize::from(header[4]).min(30);
        let record = [header, &vec![1; length]].concat();
        let (error, told) = refused(&Setup::new(), &record).await;
        assert_eq!((error.to_string(), told), (broken.to_string(), alert), "{header:?}");
        // In TLS 1.2 what is of which kind is no secret, and who has changed it is seen all the same.
        let broken = if broken == Broken::TooLong { broken } else { Broken::Forged };
        for suite in [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256] {
            let (error, _) = refused(&Setup::speaking(suite), &record).await;
            assert_eq!(error.to_string(), broken.to_string(), "{header:?}");
        }
    }
}

/// What comes of these messages, each in a record of its own, between two of data.
async fn said(setup: &Setup, by: Side, messages: &[(Content, Vec<u8>)]) -> Result<(), Broken> {
    let (client, server) = setup.as_both().await;
    let (mut speaker, mut listener) = if by == Side::Server { (server, client) } else { (client, server) };
    let mut records = Vec::new();
    speaker.session.say(Content::Data, b"before", &mut records);
    for (content, message) in messages {
        speaker.session.say(*content, message, &mut records);
    }
    speaker.session.say(Content::Data, b"behind", &mut records);
    assert_eq!(speaker.socket().try_write(&records).unwrap(), records.len());
    assert_eq!(reads(&mut listener, 6).await, b"before");
    match listener.read_exact(&mut [0; 6]).await {
        Ok(_) => Ok(()),
        Err(error) => Err(*error.get_ref().and_then(|error| error.downcast_ref()).expect("an error of ours")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

#[tokio::test]
async fn a_message_may_come_in_pieces_but_with_nothing_between_them() {
    let setup = Setup::new();
    // Lifetime, salt, nonce, the ticket itself, and no extensions.
    let ticket = [&[4, 0, 0, 17][..], &[0, 0, 1, 0], &[1, 2, 3, 4], &[1, 0], &[0, 3], b"abc", &[0, 0]].concat();
    let piece = |range: std::ops::Range<usize>| (Content::Handshake, ticket[range].to_vec());
    let whole = ticket.len();
    for at in 1..whole {
        assert_eq!(said(&setup, Side::Server, &[piece(0..at), piece(at..whole)]).await, Ok(()), "{at}");
    }
    let alert = (Content::Alert, vec![1, AlertDescription::UserCanceled.into()]);
    let torn = said(&setup, Side::Server, &[piece(0..5), alert, piece(5..whole)]).await;
    assert_eq!(torn, Err(Broken::Unexpected));
    assert_eq!(said(&setup, Side::Server, &[piece(0..5)]).await, Err(Broken::Unexpected));
    let keys = |range: std::ops::Range<usize>| (Content::Handshake, vec![24, 0, 0, 1, 0][range].to_vec());
    assert_eq!(said(&setup, Side::Client, &[keys(0..3), keys(3..5)]).await, Err(Broken::Forged));
    // A server gets no ticket.
    assert_eq!(said(&setup, Side::Client, &[piece(0..whole)]).await, Err(Broken::Unexpected));
}

#[tokio::test]
async fn what_a_peer_says_of_the_connection_is_heeded_or_refused() {
    let (handshake, alert) = (Content::Handshake, Content::Alert);
    let (none, closes): (u8, u8) = (AlertDescription::UserCanceled.into(), AlertDescription::CloseNotify.into());
    let failed = AlertDescription::HandshakeFailure;
    let cases: [(Content, Vec<u8>, Result<(), Broken>); 12] = [
        (alert, vec![1, none], Ok(())),
        (alert, vec![2, failed.into()], Err(Broken::Alerted(failed))),
        // Not even as a warning.
        (alert, vec![1, failed.into()], Err(Broken::Alerted(failed))),
        (alert, vec![1], Err(Broken::Malformed)),
        (alert, vec![1, closes, 0], Err(Broken::Malformed)),
        (handshake, vec![], Err(Broken::Unexpected)),
        (handshake, vec![24, 0, 0, 1, 2], Err(Broken::Illegal)),
        // Taken at its word, while what is behind it has the old key.
        (handshake, vec![24, 0, 0, 1, 0], Err(Broken::Forged)),
        (handshake, vec![24, 0, 0, 2, 0, 0], Err(Broken::Malformed)),
        // Nothing may stand behind a change of keys in its record.
        (handshake, vec![24, 0, 0, 1, 0, 24, 0, 0, 1, 0], Err(Broken::Unexpected)),
        (handshake, vec![4, 1, 0, 0], Err(Broken::TooLong)),
        (handshake, vec![1, 0, 0, 0], Err(Broken::Unexpected)),
    ];
    for (content, message, outcome) in cases {
        for side in [Side::Client, Side::Server] {
            let heard = said(&Setup::new(), side, &[(content, message.clone())]).await;
            assert_eq!(heard, outcome, "{message:?}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_sends_records_without_data_is_not_listened_to_for_ever() {
    for (content, message) in [(Content::Data, vec![]), (Content::Alert, vec![1, 90])] {
        let setup = Setup::new();
        assert_eq!(said(&setup, Side::Client, &vec![(content, message.clone()); 32]).await, Ok(()));
        assert_eq!(said(&setup, Side::Client, &vec![(content, message); 33]).await, Err(Broken::Idle));
    }
}

#[tokio::test]
async fn a_handshake_is_not_made_anew() {
    let setup = Setup::speaking(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    let request = |kind: u8| (Content::Handshake, vec![kind, 0, 0, 0]);
    assert_eq!(said(&setup, Side::Server, &[request(0)]).await, Ok(()));
    assert_eq!(said(&setup, Side::Client, &[request(1)]).await, Err(Broken::Unexpected));
    assert_eq!(said(&setup, Side::Client, &[request(0)]).await, Err(Broken::Unexpected));
    // A warning is none but that.
    let warning = (Content::Alert, vec![1, AlertDescription::NoRenegotiation.into()]);
    assert_eq!(said(&setup, Side::Client, &[warning]).await, Ok(()));
}

#[tokio::test]
async fn nothing_is_said_behind_why_nothing_is_heard() {
    let (mut ours, mut theirs) = Setup::new().as_server().await;
    sends(&mut ours, b"behind the ticket").await;
    reads(&mut theirs, 17).await;
    theirs.get_mut().0.write_all(&[20, 3, 3, 0, 1, 1]).await.unwrap();
    ours.read(&mut [0; 100]).await.unwrap_err();
    assert_eq!(ours.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    ours.shutdown().await.unwrap();
    let mut told = Vec::new();
    theirs.get_mut().0.read_to_end(&mut told).await.unwrap();
    // One record: an alert, its type and its tag.
    assert_eq!(told.len(), 5 + 2 + 1 + 16);
}

/// Whoever can say it has shaken hands, but need not be honest.
#[tokio::test]
async fn whatever_a_peer_says_of_the_connection_is_judged_and_nothing_else_comes_of_it() {
    let setup = Setup::new();
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (client, server) = setup.as_both().await;
        let (mut speaker, mut listener) = if random.bool() { (server, client) } else { (client, server) };
        let mut out = vec![0; MAX_RECORD];
        for _ in 0..40 {
            let mut message: Vec<u8> = (0..random.usize(..12)).map(|_| random.u8(..3)).collect();
            if let Some(kind) = message.first_mut() {
                *kind = random.choice([1, 2, 4, 24]).unwrap();
            }
            let content = random.choice([Content::Alert, Content::Handshake, Content::Data]).unwrap();
            let mut record = Vec::new();
            speaker.session.say(content, &message, &mut record);
            match listener.session.open(&record, &mut out) {
                Ok(Opened::Data(length)) => assert_eq!((content, &out[..length]), (Content::Data, &message[..])),
                Ok(Opened::Nothing) => {}
                Ok(Opened::End) => assert_eq!((content, message.len()), (Content::Alert, 2)),
                Err(_) => break,
            }
        }
    }
}
