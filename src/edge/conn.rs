//! A leg's byte stream, plain or TLS.
//!
//! It refuses to know what is said over it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;

use super::liveness;
use super::tls::TlsStream;
use crate::relay::link::Limits;
use crate::relay::stream::Stream;

/// For what more follows, and as always without a signal. Where the system has no word for it, the end is a packet of its own.
#[cfg(target_os = "linux")]
const MORE: libc::c_int = libc::MSG_MORE | libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
const MORE: libc::c_int = 0;

/// A leg's byte stream.
#[derive(Debug)]
pub enum Conn {
    /// TCP alone.
    Plain(TcpStream),
    /// The same, and its end follows what is written. Boxed: a link that goes on should not pay for this one's size.
    Ending(Box<TcpStream>),
    /// TLS over TCP, as server or as client. Boxed: a plain link should not pay for its size.
    Tls(Box<TlsStream>),
    /// Closed.
    Gone,
}

impl Conn {
    /// The socket below.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Ending(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.socket()),
            Self::Gone => None,
        }
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

    fn has_ended(&self) -> bool {
        let Self::Plain(socket) = self else { return false };
        let ready = pin!(socket.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop()));
        // Once all was read that had come, and the end came before that.
        matches!(ready, Poll::Ready(Ok(Ready::READ_CLOSED)))
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

    #[tokio::test]
    async fn an_end_that_came_is_known_as_soon_as_all_before_it_was_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut conn = Conn::Plain(listener.accept().await.unwrap().0);
        assert!(!conn.has_ended());
        peer.write_all(b"ab").await.unwrap();
        assert_eq!(conn.read(&mut [0; 1]).await.unwrap(), 1);
        drop(peer);
        while !conn.tcp().unwrap().ready(Interest::READABLE).await.unwrap().is_read_closed() {
            tokio::task::yield_now().await;
        }
        assert!(!conn.has_ended(), "a byte is left");
        assert_eq!(conn.read(&mut [0; 2]).await.unwrap(), 1);
        assert!(conn.has_ended());
    }
}
