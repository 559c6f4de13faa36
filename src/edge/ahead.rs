//! The socket under TLS. rustls asks a quiet connection for 4 KiB and then, as a record seldom ends there, for the rest, which
//! would be one system call for each; here one read takes the whole record.
//!
//! It refuses to know what the bytes say.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The longest record (RFC 8446 section 5.2: a header of 5 bytes, 2^14 of payload, and 256 at most around them).
const RECORD: usize = 5 + (1 << 14) + 256;

thread_local! {
    /// Where records are read to. In the same poll they are copied out, what rustls did not ask for too.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECORD].into_boxed_slice());
}

/// A socket, and what was read of it beyond what was asked for.
#[derive(Debug)]
pub struct Ahead {
    socket: TcpStream,
    /// Empty, and without memory, whenever the connection is quiet. Less than a record stays while nobody reads on.
    rest: Vec<u8>,
    /// So much of it has been taken.
    taken: usize,
}

impl Ahead {
    /// A socket of which nothing has been read ahead.
    pub fn new(socket: TcpStream) -> Self {
        Self { socket, rest: Vec::new(), taken: 0 }
    }

    /// The socket itself. Whoever reads from it misses what was read ahead.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Hands out what was read before.
    fn take_rest(&mut self, buffer: &mut ReadBuf<'_>) {
        let rest = &self.rest[self.taken..];
        let now = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..now]);
        self.taken += now;
        if self.taken == self.rest.len() {
            (self.rest, self.taken) = (Vec::new(), 0);
        }
    }
}

impl AsyncRead for Ahead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.rest.is_empty() {
            this.take_rest(buffer);
            return Poll::Ready(Ok(()));
        }
        let room = buffer.remaining();
        if room > RECORD / 2 {
            // A busy one: the buffer that rustls has for it has grown.
            return Pin::new(&mut this.socket).poll_read(cx, buffer);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut scratch = ReadBuf::new(scratch);
            ready!(Pin::new(&mut this.socket).poll_read(cx, &mut scratch))?;
            let (now, later) = scratch.filled().split_at(room.min(scratch.filled().len()));
            buffer.put_slice(now);
            this.rest.extend_from_slice(later);
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for Ahead {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    /// A single record, which is what nearly all writes are, goes the shorter way through the system.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = Pin::new(&mut self.get_mut().socket);
        if let [piece] = pieces { socket.poll_write(cx, piece) } else { socket.poll_write_vectored(cx, pieces) }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// What rustls asks a quiet connection for.
    const FIRST: usize = 4_096;

    /// The peer of a socket that has sent this, which is there as a whole.
    async fn sent(bytes: &[u8]) -> (TcpStream, Ahead) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        peer.write_all(bytes).await.unwrap();
        while socket.peek(&mut vec![0; bytes.len() + 1]).await.unwrap() < bytes.len() {}
        (peer, Ahead::new(socket))
    }

    async fn read(ahead: &mut Ahead, room: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; room];
        let read = ahead.read(&mut bytes).await?;
        bytes.truncate(read);
        Ok(bytes)
    }

    #[tokio::test]
    async fn what_nobody_asked_for_comes_before_what_came_after() {
        let (mut peer, mut ahead) = sent(&[b'a'; FIRST + 26]).await;
        assert_eq!(read(&mut ahead, FIRST).await.unwrap(), [b'a'; FIRST]);
        peer.write_all(b"bbb").await.unwrap();
        assert_eq!(read(&mut ahead, 10).await.unwrap(), [b'a'; 10]);
        assert_eq!(read(&mut ahead, 2 * RECORD).await.unwrap(), [b'a'; 16]);
        assert_eq!(ahead.rest.capacity(), 0);
        assert_eq!(read(&mut ahead, 2 * RECORD).await.unwrap(), b"bbb");
    }

    #[tokio::test]
    async fn the_end_comes_behind_all_of_it() {
        let (peer, mut ahead) = sent(&[b'a'; FIRST + 26]).await;
        drop(peer);
        assert_eq!(read(&mut ahead, FIRST).await.unwrap().len(), FIRST);
        assert_eq!(read(&mut ahead, FIRST).await.unwrap().len(), 26);
        assert_eq!(read(&mut ahead, FIRST).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn so_does_a_reset() {
        let (peer, mut ahead) = sent(&[b'a'; FIRST + 26]).await;
        assert_eq!(read(&mut ahead, FIRST).await.unwrap().len(), FIRST);
        peer.set_zero_linger().unwrap();
        drop(peer);
        assert_eq!(read(&mut ahead, FIRST).await.unwrap().len(), 26);
        assert_eq!(read(&mut ahead, FIRST).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
