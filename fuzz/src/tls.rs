//! What comes out of a TLS connection is what its peer has sealed, in any pieces, up to the first record that was touched on
//! its way; and it ends in order exactly if the peer has said so before that. The peer is rustls itself.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use realtime_relay::control::config::TlsIdentity;
use realtime_relay::edge::tls::{Acceptor, Connector, TlsStream};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, Connection, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::input::Recipe;
use super::net::{self, pair};

/// The relay is the client, not the server.
const CLIENT: u8 = 0;
/// TLS 1.2, not 1.3.
const OLDER: u8 = 1;
/// More records without data would be refused.
const MOST_ACTS: usize = 24;
/// The longest content of a record.
const CONTENT: usize = 1 << 14;
/// A header, and the begin of what is enciphered.
const FRONT: usize = 16;

/// Both sides, for both roles.
struct Sides {
    acceptor: Acceptor,
    connector: Connector,
    client: [Arc<ClientConfig>; 2],
    server: [Arc<ServerConfig>; 2],
}

/// A record on its way.
#[derive(Clone)]
struct Record {
    wire: Vec<u8>,
    content: Content,
    /// Its place by right.
    number: usize,
    altered: bool,
}

#[derive(Clone)]
enum Content {
    Data(Vec<u8>),
    End,
    Other,
}

/// Holds the claim against what these bytes have the peer do, and whoever is on the way.
pub fn holds(input: &[u8]) {
    let Some((recipe, acts)) = Recipe::of(input) else { return };
    net::run(async {
        let (stream, peer, mut connection) = shake_hands(recipe.flag(CLIENT), recipe.flag(OLDER)).await;
        let records = records(&mut connection, acts);
        let wire: Vec<u8> = records.iter().flat_map(|record| &record.wire).copied().collect();
        let ((come, ended), _peer) = tokio::join!(read(stream, &recipe), send(peer, &wire, &recipe));
        let (expected, ends) = expected(&records);
        assert!(come == expected, "{} bytes came, {} should have", come.len(), expected.len());
        assert_eq!(ended.is_ok(), ends, "{ended:?}");
    });
}

/// What is to come, and whether it is all.
fn expected(records: &[Record]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    for (_, record) in (0..).zip(records).take_while(|(place, record)| record.number == *place && !record.altered) {
        match &record.content {
            Content::Data(bytes) => data.extend_from_slice(bytes),
            Content::End => return (data, true),
            Content::Other => {}
        }
    }
    (data, false)
}

/// What the peer seals, and what becomes of it.
fn records(peer: &mut Connection, acts: &[u8]) -> Vec<Record> {
    let (mut records, mut sealed) = (Vec::new(), 0);
    let mut bytes = (0_u32..).flat_map(u32::to_be_bytes);
    for act in acts.as_chunks::<3>().0.iter().take(MOST_ACTS) {
        let [kind, which, how] = *act;
        let place = usize::from(which).checked_rem(records.len());
        match (kind % 7, place) {
            (0, _) => {
                let length = usize::from(u16::from_be_bytes([which, how])) % (2 * CONTENT);
                let data: Vec<u8> = bytes.by_ref().take(length).collect();
                std::io::Write::write_all(&mut peer.writer(), &data).expect("there is room");
                let mut content = data.chunks(CONTENT).map(|part| Content::Data(part.to_vec()));
                seal(peer, &mut records, &mut sealed, || content.next().unwrap_or(Content::Other));
            }
            (1, _) => {
                // TLS 1.2 has no such thing.
                let _ = peer.refresh_traffic_keys();
                seal(peer, &mut records, &mut sealed, || Content::Other);
            }
            (2, _) => {
                peer.send_close_notify();
                seal(peer, &mut records, &mut sealed, || Content::End);
            }
            (3, Some(place)) => alter(&mut records[place], usize::from(how), which >> 5),
            (4, Some(place)) => drop(records.remove(place)),
            (5, Some(place)) => records.insert(place, records[place].clone()),
            (6, Some(place)) => records[place..].rotate_right(1),
            _ => {}
        }
    }
    records
}

/// Adds the records that the peer has ready; `sealed` counts them.
fn seal(peer: &mut Connection, records: &mut Vec<Record>, sealed: &mut usize, mut content: impl FnMut() -> Content) {
    let mut wire = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut wire).expect("into memory");
    }
    while let Some(&[_, _, _, high, low]) = wire.first_chunk() {
        let rest = wire.split_off(5 + usize::from(u16::from_be_bytes([high, low])));
        let wire = std::mem::replace(&mut wire, rest);
        records.push(Record { wire, content: content(), number: *sealed, altered: false });
        *sealed += 1;
    }
}

/// Changes a bit of a byte at the front, or counted from the end.
fn alter(record: &mut Record, at: usize, bit: u8) {
    let length = record.wire.len();
    let at = at.checked_sub(FRONT).map_or(at, |back| length - 1 - back % length) % length;
    // Twice would be not at all.
    if !record.altered {
        record.wire[at] ^= 1 << bit;
        record.altered = true;
    }
}

/// All that comes, and whether it ends in order. Whoever has ended, or failed, stays so.
async fn read(mut stream: TlsStream, recipe: &Recipe) -> (Vec<u8>, std::io::Result<()>) {
    let mut come = Vec::new();
    let mut rooms = recipe.sizes().filter(|room| *room > 0);
    let ended = loop {
        let mut part = vec![0; rooms.next().unwrap_or(1).min(4 * CONTENT)];
        match stream.read(&mut part).await {
            Ok(0) => break Ok(()),
            Ok(length) => come.extend_from_slice(&part[..length]),
            Err(error) => break Err(error),
        }
    };
    let again = stream.read(&mut [0; 64]).await;
    assert!(matches!((&ended, &again), (Ok(()), Ok(0)) | (Err(_), Err(_))), "first {ended:?}, then {again:?}");
    (come, ended)
}

/// The relay may have gone before the end.
async fn send(mut peer: TcpStream, wire: &[u8], recipe: &Recipe) -> TcpStream {
    let parts = recipe.cut(wire);
    let (single, rest) = parts.split_at(parts.len().min(64));
    for part in single.iter().map(|part| part.to_vec()).chain([rest.concat()]) {
        let _ = peer.write_all(&part).await;
        tokio::task::yield_now().await;
    }
    let _ = peer.shutdown().await;
    peer
}

/// The relay's end of a connection, and the peer's: its socket, and its TLS.
async fn shake_hands(is_client: bool, older: bool) -> (TlsStream, TcpStream, Connection) {
    static SIDES: LazyLock<Sides> = LazyLock::new(Sides::new);
    let (peer, relay) = pair().await;
    let version = usize::from(older);
    if is_client {
        let theirs = TlsAcceptor::from(SIDES.server[version].clone()).accept(peer);
        let (ours, theirs) = tokio::join!(SIDES.connector.connect("localhost", relay), theirs);
        let (socket, connection) = theirs.expect("a client").into_inner();
        (ours.expect("a server"), socket, connection.into())
    } else {
        let name = ServerName::try_from("localhost").expect("a name");
        let theirs = TlsConnector::from(SIDES.client[version].clone()).connect(name, peer);
        let (ours, theirs) = tokio::join!(SIDES.acceptor.accept(relay), theirs);
        let (socket, connection) = theirs.expect("a server").into_inner();
        (ours.expect("a client"), socket, connection.into())
    }
}

impl Sides {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certificates = vec![made.cert.der().clone()];
        let key = || PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(certificates[0].clone()).expect("an authority");
        let client = |version: &'static SupportedProtocolVersion| {
            let config = ClientConfig::builder_with_protocol_versions(&[version]);
            Arc::new(config.with_root_certificates(roots.clone()).with_no_client_auth())
        };
        let server = |version: &'static SupportedProtocolVersion| {
            let config = ServerConfig::builder_with_protocol_versions(&[version]).with_no_client_auth();
            Arc::new(config.with_single_cert(certificates.clone(), key()).expect("its key"))
        };
        let (cert_file, key_file) = (PathBuf::new(), PathBuf::new());
        let identity = TlsIdentity { certificates: certificates.clone(), key: key(), cert_file, key_file };
        Self {
            acceptor: Acceptor::new(&identity).expect("an acceptor"),
            connector: Connector::new("u", Some(&certificates)).expect("a connector"),
            client: [client(&TLS13), client(&TLS12)],
            server: [server(&TLS13), server(&TLS12)],
        }
    }
}
