//! A private certificate authority with its files in a folder, and TLS on either side of a connection.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::wire::Wire;
use super::within;

/// An authority, and one certificate of it for 127.0.0.1.
pub struct Authority {
    folder: TempDir,
    root: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    /// One for all connections, so that sessions can be resumed.
    acceptor: TlsAcceptor,
}

impl Authority {
    pub fn new() -> Self {
        Self::certifying("127.0.0.1")
    }

    /// The certificate has been out of date for years.
    pub fn expired() -> Self {
        let mut leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        leaf.not_before = date_time_ymd(2000, 1, 1);
        leaf.not_after = date_time_ymd(2001, 1, 1);
        Self::signing(&leaf)
    }

    /// The certificate is for this name.
    pub fn certifying(name: &str) -> Self {
        Self::signing(&CertificateParams::new([name.to_owned()]).unwrap())
    }

    fn signing(leaf: &CertificateParams) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        let (leaf, key) = issue(leaf, &issuer, folder.path());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![leaf], key).unwrap();
        Self { root: root.der().clone(), issuer, folder, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// Another certificate stands in the files from now on, with another key: that one.
    pub fn renew(&self) -> CertificateDer<'static> {
        let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        issue(&leaf, &self.issuer, self.folder.path()).0
    }

    /// What a peer must trust.
    pub fn ca_file(&self) -> String {
        self.file("ca.pem")
    }

    /// What a server shows.
    pub fn cert_file(&self) -> String {
        self.file("cert.pem")
    }

    /// What a server keeps.
    pub fn key_file(&self) -> String {
        self.file("key.pem")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The server's side of TLS. `None`: the client wanted none.
    pub async fn accept(&self, stream: TcpStream) -> Option<Wire> {
        Some(Wire::new(within("a TLS handshake", self.acceptor.accept(stream)).await.ok()?))
    }

    /// The certificate that stands in the files.
    pub fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.cert_file()).unwrap()
    }

    /// The client's side of TLS, of one who was never here before.
    pub async fn connect(&self, stream: TcpStream) -> Wire {
        connect_as(&self.newcomer(), stream).await
    }

    /// A client that trusts this authority, and has no session to resume yet.
    pub fn newcomer(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }
}

/// This client's side of TLS.
pub async fn connect_as(client: &TlsConnector, stream: TcpStream) -> Wire {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    Wire::new(within("a TLS handshake", client.connect(name, stream)).await.unwrap())
}

/// Writes a certificate, then its key, as those do who know nothing of who reads them.
fn issue(
    leaf: &CertificateParams,
    issuer: &Issuer<'static, KeyPair>,
    folder: &Path,
) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, issuer).unwrap();
    std::fs::write(folder.join("cert.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    (leaf.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
}
