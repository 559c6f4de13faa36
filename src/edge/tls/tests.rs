//! TLS beside that of rustls, over real sockets; what no honest peer says, said by ours.

use std::io::{self, Write};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256,
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::StoresServerSessions;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore, ServerConfig,
    ServerConnection, SupportedCipherSuite,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::handshake;
use super::record::{Broken, Content, MAX_RECORD};
use super::session::Opened;
use super::stream::TlsStream;

/// More than all buffers on the way hold.
const MUCH: usize = 12 << 20;

/// How both sides of a connection are set up.
struct Setup {
    certificate: CertificateDer<'static>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Setup {
    fn new() -> Self {
        Self::with(aws_lc_rs::default_provider(), 0)
    }

    /// Both sides speak TLS with this cipher alone.
    fn speaking(suite: SupportedCipherSuite) -> Self {
        Self::with(CryptoProvider { cipher_suites: vec![suite], ..aws_lc_rs::default_provider() }, 0)
    }

    /// The server shows so many bytes of certificates more than it has to.
    fn showing(bytes: usize) -> Self {
        Self::with(aws_lc_rs::default_provider(), bytes)
    }

    fn with(provider: CryptoProvider, ballast: usize) -> Self {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = certified.cert.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let mut chain = vec![certificate.clone()];
        if ballast > 0 {
            chain.push(CertificateDer::from(vec![b'b'; ballast]));
        }
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(provider);
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS12, &TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12, &TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::in_memory_sessions(8);
        (client.enable_secret_extraction, server.enable_secret_extraction) = (true, true);
        Self { certificate, client: Arc::new(client), server: Arc::new(server) }
    }

    /// We are the client, rustls' own stream the server.
    async fn as_client(&self) -> (TlsStream, tokio_rustls::server::TlsStream<TcpStream>) {
        let (ours, theirs) = sockets().await;
        let theirs = TlsAcceptor::from(self.server.clone()).accept(theirs);
        let (ours, theirs) = tokio::join!(handshake::connect(self.client.clone(), name(), ours), theirs);
        (ours.unwrap(), theirs.unwrap())
    }

    /// We are the server, rustls' own stream the client.
    async fn as_server(&self) -> (TlsStream, tokio_rustls::client::TlsStream<TcpStream>) {
        let (theirs, ours) = sockets().await;
        let theirs = TlsConnector::from(self.client.clone()).connect(name(), theirs);
        let (ours, theirs) = tokio::join!(handshake::accept(self.server.clone(), ours), theirs);
        (ours.unwrap(), theirs.unwrap())
    }

    /// We are both: client and server.
    async fn as_both(&self) -> (TlsStream, TlsStream) {
        let (client, server) = sockets().await;
        let client = handshake::connect(self.client.clone(), name(), client);
        let (client, server) = tokio::join!(client, handshake::accept(self.server.clone(), server));
        (client.unwrap(), server.unwrap())
    }
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let server = listener.accept().await.unwrap().0;
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// Bytes of which none can take another's place unseen.
fn numbered(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_be_bytes).take(length).collect()
}

async fn sends(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}

async fn reads(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// What comes of it without waiting.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

/// Each sends the other much, and says that it is all.
async fn exchange(one: impl AsyncRead + AsyncWrite + Unpin, other: impl AsyncRead + AsyncWrite + Unpin) {
    tokio::join!(sends_and_reads_much(one), sends_and_reads_much(other));
}

async fn sends_and_reads_much(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let (much, mut come) = (numbered(MUCH), Vec::new());
    let send = async {
        sends(&mut to, &much).await;
        to.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(from.read_to_end(&mut come), send);
    assert_eq!(read.unwrap(), MUCH);
    assert!(come == much);
}

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
    let connector = super::Connector::new("one", Some(&roots)).unwrap();
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
async fn a_ticket_may_come_in_pieces_but_with_nothing_between_them() {
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
    // A server gets none.
    assert_eq!(said(&setup, Side::Client, &[piece(0..whole)]).await, Err(Broken::Unexpected));
}

#[tokio::test]
async fn what_a_peer_says_of_the_connection_is_heeded_or_refused() {
    let (handshake, alert) = (Content::Handshake, Content::Alert);
    let (none, closes): (u8, u8) = (AlertDescription::UserCanceled.into(), AlertDescription::CloseNotify.into());
    let failed = AlertDescription::HandshakeFailure;
    let cases: [(Content, Vec<u8>, Result<(), Broken>); 11] = [
        (alert, vec![1, none], Ok(())),
        (alert, vec![2, failed.into()], Err(Broken::Alerted(failed))),
        // Not even as a warning.
        (alert, vec![1, failed.into()], Err(Broken::Alerted(failed))),
        (alert, vec![1], Err(Broken::Malformed)),
        (alert, vec![1, closes, 0], Err(Broken::Malformed)),
        (handshake, vec![], Err(Broken::Unexpected)),
        (handshake, vec![24, 0, 0, 1, 2], Err(Broken::Malformed)),
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
