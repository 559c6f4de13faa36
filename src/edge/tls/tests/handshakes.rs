//! Hands are shaken with whoever is honest, and with nobody else.

use std::io::{self, Write};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::cipher_suite::{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS13_AES_128_GCM_SHA256};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::StoresServerSessions;
use rustls::version::TLS13;
use rustls::{AlertDescription, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::super::stream::TlsStream;
use super::super::{Connector, handshake};
use super::{Setup, exchange, name, reads, sends, sockets};

#[tokio::test]
async fn bytes_right_behind_the_handshake_are_read() {
    let setup = Setup::new();
    let (theirs, ours) = sockets().await;
    let mut client = ClientConnection::new(setup.client.clone(), name()).unwrap();
    let theirs = async {
        let mut socket = theirs;
        while client.is_handshaking() {
            let mut said = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut said).unwrap();
            }
            socket.write_all(&said).await.unwrap();
            let mut come = vec![0; 65_536];
            let read = socket.read(&mut come).await.unwrap();
            let mut come = &come[..read];
            while !come.is_empty() {
                client.read_tls(&mut come).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        client.writer().write_all(b"at once").unwrap();
        let mut last = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut last).unwrap();
        }
        socket.write_all(&last).await.unwrap();
        socket
    };
    let (ours, _socket) = tokio::join!(handshake::accept(setup.server.clone(), ours), theirs);
    assert_eq!(reads(&mut ours.unwrap(), 7).await, b"at once");
}

/// Records of a handshake that are longer than what is read at once, and messages that are longer than a record.
#[tokio::test]
async fn reads_a_chain_of_certificates_that_is_longer_than_a_record() {
    let (ours, theirs) = Setup::showing(40_000).as_client().await;
    exchange(ours, theirs).await;
}

#[tokio::test]
async fn what_is_no_tls_at_all_is_refused_without_waiting_for_more() {
    let (mut theirs, ours) = sockets().await;
    theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let refused = handshake::accept(Setup::new().server, ours).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    let mut alert = Vec::new();
    theirs.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert[..], [21, 3, 3, 0, 2, 2, AlertDescription::DecodeError.into()]);
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_server_says_so() {
    let (ours, theirs) = sockets().await;
    let ours = handshake::connect(Setup::new().client, name(), ours);
    let theirs = TlsAcceptor::from(Setup::new().server).accept(theirs);
    let (ours, theirs) = tokio::join!(ours, theirs);
    assert!(ours.unwrap_err().to_string().contains("invalid peer certificate"));
    assert!(theirs.unwrap_err().to_string().contains("received fatal alert"));
}

#[tokio::test]
async fn a_session_is_resumed() {
    for suite in [TLS13_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256] {
        let setup = Setup::speaking(suite);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut ours, mut theirs) = setup.as_client().await;
            assert_eq!(theirs.get_ref().1.handshake_kind(), Some(kind));
            sends(&mut theirs, b"behind the tickets").await;
            reads(&mut ours, 18).await;
            exchange(ours, theirs).await;
        }
        let setup = Setup::speaking(suite);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (mut ours, mut theirs) = setup.as_server().await;
            assert_eq!(theirs.get_ref().1.handshake_kind(), Some(kind));
            sends(&mut ours, b"behind the tickets").await;
            reads(&mut theirs, 18).await;
            exchange(ours, theirs).await;
        }
    }
}

/// A server that remembers something else of a session than was agreed on.
#[derive(Debug)]
struct Forgetful(Arc<dyn StoresServerSessions>);

impl StoresServerSessions for Forgetful {
    fn put(&self, key: Vec<u8>, mut value: Vec<u8>) -> bool {
        // Behind its length, which is 48, stands the secret.
        let secret = value.iter().position(|byte| *byte == 48).unwrap() + 1;
        value[secret] ^= 1;
        self.0.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_resumed_is_not_tried_again() {
    let setup = Setup::speaking(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256);
    let mut server = ServerConfig::clone(&setup.server);
    server.session_storage = Arc::new(Forgetful(server.session_storage));
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let roots = [setup.certificate.clone()];
    let connector = Connector::new("one", Some(&roots)).unwrap();
    let mut shaken = Vec::new();
    for _ in 0..3 {
        let (ours, theirs) = sockets().await;
        let (ours, _theirs) = tokio::join!(connector.connect("localhost", ours), acceptor.accept(theirs));
        shaken.push(ours.is_ok());
    }
    assert_eq!(shaken, [true, false, true]);
}

#[tokio::test]
async fn a_server_that_asks_for_another_hello_is_given_one() {
    let setup = Setup::new();
    let mut server = ServerConfig::clone(&setup.server);
    let groups = vec![aws_lc_rs::kx_group::SECP384R1];
    let provider = CryptoProvider { kx_groups: groups, ..aws_lc_rs::default_provider() };
    server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(server.cert_resolver);
    let (ours, theirs) = sockets().await;
    let theirs = TlsAcceptor::from(Arc::new(server)).accept(theirs);
    let (ours, theirs) = tokio::join!(handshake::connect(setup.client.clone(), name(), ours), theirs);
    let theirs = theirs.unwrap();
    assert_eq!(theirs.get_ref().1.handshake_kind(), Some(HandshakeKind::FullWithHelloRetryRequest));
    exchange(ours.unwrap(), theirs).await;
}

/// A hello that is announced to be of 60 kB, in records that hold a byte of it each, and then in nothing but headers.
#[tokio::test]
async fn a_handshake_without_end_is_not_kept() {
    let begin: &[u8] = &[22, 3, 1, 0, 4, 1, 0, 0xea, 0x60];
    for (more, why) in [(&[22, 3, 1, 0, 1, 0][..], "longer than one may be"), (&[22, 3, 1, 0, 0], "an empty record")] {
        let (mut theirs, ours) = sockets().await;
        let endless = async {
            theirs.write_all(begin).await?;
            loop {
                theirs.write_all(&more.repeat(1_000)).await?;
            }
        };
        let accept = handshake::accept(Setup::new().server, ours);
        let refused = tokio::select! {
            shaken = accept => shaken.unwrap_err(),
            failed = endless => Result::<TlsStream, io::Error>::unwrap_err(failed),
        };
        assert!(refused.to_string().contains(why), "{refused}");
    }
}

/// Each byte of what a server says at first, changed: nobody waits for what will not come, and nobody believes it.
#[tokio::test]
async fn a_handshake_that_was_tampered_with_fails() {
    let setup = Setup::new();
    let mut at = 0;
    loop {
        let (ours, mut theirs) = sockets().await;
        let shaking = handshake::connect(setup.client.clone(), name(), ours);
        let tampering = async {
            let mut server = ServerConnection::new(setup.server.clone()).unwrap();
            let mut said = Vec::new();
            while said.is_empty() {
                let mut hello = vec![0; 65_536];
                let read = theirs.read(&mut hello).await.unwrap();
                server.read_tls(&mut &hello[..read]).unwrap();
                server.process_new_packets().unwrap();
                while server.wants_write() {
                    server.write_tls(&mut said).unwrap();
                }
            }
            let matters = !is_version(&said, at);
            if let Some(byte) = said.get_mut(at) {
                *byte ^= 1 << (at % 8);
            }
            theirs.write_all(&said).await.unwrap();
            theirs.shutdown().await.unwrap();
            (at < said.len(), matters, theirs)
        };
        let (shaken, (tampered, matters, _theirs)) = tokio::join!(shaking, tampering);
        if !tampered {
            shaken.unwrap();
            break;
        }
        assert!(shaken.is_err() || !matters, "{at}");
        at += 1;
    }
    assert!(at > 500, "{at}");
}

/// Whether this byte is what a record says of its version, which means nothing (RFC 8446 section 5.1).
fn is_version(records: &[u8], at: usize) -> bool {
    let mut from = 0;
    while from <= at && from < records.len() {
        if (from + 1..from + 3).contains(&at) {
            return true;
        }
        from += 5 + usize::from(u16::from_be_bytes([records[from + 3], records[from + 4]]));
    }
    false
}
