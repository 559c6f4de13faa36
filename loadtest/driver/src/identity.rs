//! A private authority and one certificate of it, ECDSA on P-256: for the upstream, and for every proxy alike.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::conn::NAME;

/// The files, and what the driver needs of them.
pub struct Identity {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both in one file, as `HAProxy` wants it.
    pub both: PathBuf,
    /// For clients of the proxy. They resume no session: each is another customer.
    pub client: Arc<ClientConfig>,
    /// For the upstream, which resumes sessions.
    pub upstream: Arc<ServerConfig>,
}

impl Identity {
    /// Makes one, with its files in this folder.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Whoever has the same name as its issuer passes for self-signed, with OpenSSL.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let root_key = KeyPair::generate()?;
        let root = params.self_signed(&root_key)?;
        let leaf_key = KeyPair::generate()?;
        let names = [NAME.to_owned(), "127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)?.signed_by(&leaf_key, &Issuer::new(params, root_key))?;
        let write = |name: &str, text: String| -> anyhow::Result<PathBuf> {
            let path = folder.join(name);
            fs::write(&path, text)?;
            Ok(path)
        };
        Ok(Self {
            authority: write("authority.pem", root.pem())?,
            certificate: write("certificate.pem", leaf.pem())?,
            key: write("key.pem", leaf_key.serialize_pem())?,
            both: write("both.pem", leaf.pem() + &leaf_key.serialize_pem())?,
            client: Arc::new(client(root.der())?),
            upstream: Arc::new(upstream(leaf.der(), PrivateKeyDer::Pkcs8(leaf_key.serialize_der().into()))?),
        })
    }
}

fn client(root: &CertificateDer<'static>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let config = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn upstream(leaf: &CertificateDer<'static>, key: PrivateKeyDer<'static>) -> anyhow::Result<ServerConfig> {
    let config = ServerConfig::builder_with_protocol_versions(&[&TLS13]).with_no_client_auth();
    let mut config = config.with_single_cert(vec![leaf.clone()], key)?;
    config.ticketer = Ticketer::new()?;
    Ok(config)
}
