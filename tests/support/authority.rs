//! A private certificate authority with its files in a folder, and TLS on either side of a connection.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
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
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(params, key)).unwrap();
        let write = |file: &str, text| std::fs::write(folder.path().join(file), text).unwrap();
        write("ca.pem", root.pem());
        write("cert.pem", leaf.pem());
        write("key.pem", leaf_key.serialize_pem());
        let key = PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![leaf.der().clone()], key).unwrap();
        Self { root: root.der().clone(), folder, acceptor: TlsAcceptor::from(Arc::new(config)) }
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

    /// The client's side of TLS.
    pub async fn connect(&self, stream: TcpStream) -> Wire {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        Wire::new(within("a TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap())
    }
}
