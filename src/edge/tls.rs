//! TLS on either leg: whom it trusts, what it shows, and how it is begun.
//!
//! rustls shakes hands, keeps the secrets and remembers tickets. What is behind the handshake is ours (`rustls::kernel` is made
//! for that): records are deciphered into the buffer that a pump reads to and enciphered out of it, so that nothing is copied
//! but what is left of a record, and a connection that waits has no buffer.
//!
//! It refuses to know what is said over it.

mod handshake;
mod record;
mod session;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

pub use self::stream::TlsStream;
use crate::control::config::TlsIdentity;

/// The only protocol spoken: an upgrade needs HTTP/1.1 (RFC 7301 names it).
const ALPN: &[u8] = b"http/1.1";

/// Sessions that are kept for each upstream, as many as rustls does by itself.
const SESSIONS: usize = 256;

/// Why TLS cannot be set up with what the configuration gives.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate and the key of the client listener.
    #[error("server.tls_cert, server.tls_key: {0}; the key must belong to the first certificate of the file")]
    Identity(#[source] rustls::Error),
    /// The secret under which tickets are sealed.
    #[error("no secret for TLS session tickets can be made: {0}")]
    Tickets(#[source] rustls::Error),
    /// An upstream's private authority.
    #[error("upstreams.{upstream}.ca_file: {source}; it must hold certificates of authorities")]
    Authority {
        /// The upstream's name.
        upstream: String,
        /// What rustls says of it.
        source: rustls::Error,
    },
}

/// Begins TLS on the client leg. All workers share it: a session that one of them began, another can resume.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    /// The chain that it shows.
    shown: Vec<CertificateDer<'static>>,
}

/// What all workers begin TLS with at this moment; empty: clients speak none. Whoever has begun goes on with what there was.
pub type CurrentAcceptor = ArcSwapOption<Acceptor>;

/// Begins TLS on the upstream leg.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    /// Those that can be resumed; the configuration has them, too.
    sessions: Arc<ClientSessionMemoryCache>,
}

impl Acceptor {
    /// An acceptor that shows this certificate.
    pub fn new(identity: &TlsIdentity) -> Result<Self, TlsError> {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(identity.certificates.clone(), identity.key.clone_key())
            .map_err(TlsError::Identity)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A ticket holds the session itself, sealed, so nothing is kept here of a client that may never come again.
        config.ticketer = Ticketer::new().map_err(TlsError::Tickets)?;
        // One is enough to resume, and each costs the handshake.
        config.send_tls13_tickets = 1;
        config.enable_secret_extraction = true;
        Ok(Self { config: Arc::new(config), shown: identity.certificates.clone() })
    }

    /// Whether it shows this certificate.
    pub fn shows(&self, identity: &TlsIdentity) -> bool {
        self.shown == identity.certificates
    }

    /// Shakes hands with a client.
    ///
    /// Not cancel safe: dropped, it closes the connection.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream> {
        handshake::accept(self.config.clone(), stream).await
    }
}

impl Connector {
    /// A connector that trusts these authorities, or the public ones. Its sessions resume only if it is kept.
    pub fn new(upstream: &str, authorities: Option<&[CertificateDer<'static>]>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        match authorities {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(authorities) => {
                for authority in authorities {
                    roots
                        .add(authority.clone())
                        .map_err(|source| TlsError::Authority { upstream: upstream.to_owned(), source })?;
                }
            }
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_secret_extraction = true;
        let sessions = Arc::new(ClientSessionMemoryCache::new(SESSIONS));
        config.resumption = Resumption::store(sessions.clone());
        Ok(Self { config: Arc::new(config), sessions })
    }

    /// Shakes hands with the server of this name.
    ///
    /// Not cancel safe: dropped, it closes the connection.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let shaken = handshake::connect(self.config.clone(), name.clone(), stream).await;
        // A session of TLS 1.2 stays when it is resumed. If it was another for the server, so it would be for ever.
        if shaken.as_ref().is_err_and(is_undecipherable) {
            self.sessions.remove_tls12_session(&name);
        }
        shaken
    }
}

fn is_undecipherable(error: &io::Error) -> bool {
    error.get_ref().and_then(|error| error.downcast_ref()) == Some(&rustls::Error::DecryptError)
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}
