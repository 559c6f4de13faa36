//! One request by hyper, after which a connection speaks HTTP no more: for a tunnel through a proxy, and for an upgrade that
//! was answered with something else than a 101.
//!
//! It refuses to know which answer is a good one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The head of an answer may be this long.
const MAX_HEAD: usize = 64 << 10;
/// All that is read before the exchange is over. Interim answers, of which there may be any number, have no other bound, and who
/// sends nothing else would keep a worker busy with them.
const MAX_READ: usize = 512 << 10;

/// Sends `request`, lets `judge` look at the answer, and gives, if it lets it pass, that answer, the stream behind it,
/// and the bytes of that which have been read already. `judge` lets pass only what switches: a 200 to CONNECT.
///
/// Not cancel safe: dropped, it closes the connection.
pub async fn exchange<S, E>(
    stream: S,
    request: Request<Empty<Bytes>>,
    judge: impl AsyncFnOnce(Response<Incoming>) -> Result<Response<Incoming>, E>,
) -> Result<(Response<Incoming>, S, Bytes), E>
where
    S: AsyncRead + AsyncWrite + Unpin,
    E: From<hyper::Error>,
{
    let bounded = TokioIo::new(Bounded { stream, left: MAX_READ });
    let (mut sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(bounded).await?;
    let mut connection = std::pin::pin!(connection.without_shutdown());
    let mut answer = std::pin::pin!(async { judge(sender.send_request(request).await?).await });
    let mut parts = None;
    // The connection only moves while it is polled, and it may end before the answer has been looked at.
    let response = loop {
        tokio::select! {
            biased;
            response = &mut answer => break response?,
            ended = &mut connection, if parts.is_none() => parts = Some(ended?),
        }
    };
    let parts = match parts {
        Some(parts) => parts,
        None => connection.await?,
    };
    Ok((response, parts.io.into_inner().stream, parts.read_buf))
}

/// A stream of which so much is read and no more.
struct Bounded<S> {
    stream: S,
    left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, left } = self.get_mut();
        if *left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the answer does not end")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buffer))?;
        *left = left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
