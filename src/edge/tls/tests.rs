//! TLS beside that of rustls, over real sockets; what no honest peer says, said by ours.

mod bytes;
mod handshakes;
mod keys;
mod peers;

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::handshake;
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
