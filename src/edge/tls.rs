//! The byte streams of both legs, plain or TLS, and how TLS is begun on each.
//!
//! It refuses to know what is said over them.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::ahead::Ahead;
use super::liveness;
use crate::control::config::TlsIdentity;
use crate::relay::link::Limits;
use crate::relay::stream::Stream;

/// Ciphertext that rustls queues for a socket: more than one read of the other leg gives, 63 KiB, so that it goes out in one
/// write and not in one for each record of 16 KiB. A leg that is idle, or that keeps up, owns none of it.
const QUEUE_LIMIT: usize = 64 << 10;

/// For what more follows, and as always without a signal. Where the system has no word for it, the end is a packet of its own.
#[cfg(target_os = "linux")]
const MORE: libc::c_int = libc::MSG_MORE | libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const MORE: libc::c_int = 0;

/// The only protocol spoken: an upgrade needs HTTP/1.1 (RFC 7301 names it).
const ALPN: &[u8] = b"http/1.1";

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

/// A leg's byte stream.
#[derive(Debug)]
pub enum Conn {
    /// TCP alone.
    Plain(TcpStream),
    /// The same, and its end follows what is written. Boxed: a link that goes on should not pay for this one's size.
    Ending(Box<TcpStream>),
    /// TLS over TCP, as server or as client. Boxed: a plain link should not pay for its size.
    Tls(Box<TlsStream<Ahead>>),
    /// Closed.
    Gone,
}

impl Conn {
    /// The socket below.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Ending(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_ref().0.socket()),
            Self::Gone => None,
        }
    }
}

/// Begins TLS on the client leg. All workers share it: a session that one of them began, another can resume.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    /// The chain that it shows.
    shown: Vec<CertificateDer<'static>>,
}

/// What all workers begin TLS with at this moment; empty: clients speak none. Whoever has begun goes on with what there was.
pub type CurrentAcceptor = ArcSwapOption<Acceptor>;

/// Begins TLS on the upstream leg.
#[derive(Clone)]
pub struct Connector(TlsConnector);

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
        Ok(Self { tls: TlsAcceptor::from(Arc::new(config)), shown: identity.certificates.clone() })
    }

    /// Whether it shows this certificate.
    pub fn shows(&self, identity: &TlsIdentity) -> bool {
        self.shown == identity.certificates
    }

    /// Shakes hands with a client.
    ///
    /// Not cancel safe: dropped, it closes the connection.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Conn> {
        let stream = self.tls.accept_with(Ahead::new(stream), |tls| tls.set_buffer_limit(Some(QUEUE_LIMIT))).await?;
        Ok(Conn::Tls(Box::new(stream.into())))
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
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with the server of this name.
    ///
    /// Not cancel safe: dropped, it closes the connection.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<Conn> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream =
            self.0.connect_with(name, Ahead::new(stream), |tls| tls.set_buffer_limit(Some(QUEUE_LIMIT))).await?;
        Ok(Conn::Tls(Box::new(stream.into())))
    }
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

impl Stream for Conn {
    fn abort(&mut self) {
        if let Some(socket) = self.tcp() {
            // Fails only on a socket that is gone already.
            let _ = socket.set_zero_linger();
        }
        self.hang_up();
    }

    fn probe(&self, limits: &Limits) {
        if let Some(Err(error)) = self.tcp().map(|socket| liveness::watch(socket, limits)) {
            // A socket that is gone already takes no option; the link will say so.
            tracing::debug!(%error, "a socket takes no keepalive");
        }
    }

    fn end_follows(&mut self) {
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Plain(stream) => Self::Ending(Box::new(stream)),
            other => other,
        };
    }

    fn ends_by_closing(&self) -> bool {
        matches!(self, Self::Plain(_) | Self::Ending(_))
    }

    fn has_unread(&self) -> bool {
        let unread = self.tcp().map(|socket| SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]));
        // Neither the end nor a failure is anything to be read.
        unread.is_some_and(|unread| unread.is_ok_and(|bytes| bytes > 0))
    }

    fn hang_up(&mut self) {
        *self = Self::Gone;
    }
}

/// Writes what more follows: the system may wait for it.
fn poll_write_more(stream: &TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    let send = || SockRef::from(stream).send_with_flags(bytes, MORE);
    loop {
        ready!(stream.poll_write_ready(cx))?;
        match stream.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
    }
}

impl AsyncRead for Conn {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Ending(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Conn {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Ending(stream) => poll_write_more(stream, cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Ending(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Ending(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_not_read_is_seen_and_an_end_is_not_taken_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let conn = Conn::Plain(listener.accept().await.unwrap().0);
        assert!(!conn.has_unread());
        peer.write_all(b"a").await.unwrap();
        conn.tcp().unwrap().readable().await.unwrap();
        assert!(conn.has_unread());
        conn.tcp().unwrap().try_read(&mut [0]).unwrap();
        drop(peer);
        conn.tcp().unwrap().ready(Interest::READABLE).await.unwrap();
        assert!(!conn.has_unread());
    }
}
