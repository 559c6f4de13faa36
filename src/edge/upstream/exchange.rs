//! One request, after which a connection speaks HTTP no more: an upgrade, or a tunnel through a proxy.
//!
//! It refuses to know which answer is a good one.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The head of an answer may be this long.
const MAX_HEAD: usize = 64 << 10;

/// Sends `request`, lets `judge` look at the answer, and gives, if it lets it pass, that answer, the stream behind it,
/// and the bytes of that which have been read already. `judge` lets pass only what switches: a 101, or a 200 to CONNECT.
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
    let (mut sender, connection) = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
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
    Ok((response, parts.io.into_inner(), parts.read_buf))
}
