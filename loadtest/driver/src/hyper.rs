//! The least that a proxy can be that reads HTTP with hyper: the head of the client's request goes to the upstream as it is,
//! the head of its answer comes back as it is, and behind a 101 `tokio::io::copy_bidirectional` knows nothing of what goes
//! through. It chooses nothing, admits everybody, and records nothing.
//!
//! For set-ups: its buffers are small, as each link gets its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client;
use hyper::server;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

/// What is read at once behind the 101.
const BUFFER: usize = 1 << 10;

/// Serves on one thread.
pub fn serve(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let Ok((client, _)) = listener.accept().await else { continue };
            tokio::task::spawn_local(async move {
                // How a link ends is not its business.
                let _ = link(client, upstream).await;
            });
        }
    })
}

async fn link(client: TcpStream, upstream: SocketAddr) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let leg = Rc::new(Cell::new(None));
    let service = service_fn(|request| {
        let leg = leg.clone();
        async move {
            let (response, upstream) = ask(request, upstream).await?;
            leg.set(upstream);
            anyhow::Ok(response.map(|_| Empty::<Bytes>::new()))
        }
    });
    let mut connection =
        server::conn::http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(client), service);
    (&mut connection).await?;
    let parts = connection.into_parts();
    let mut client = parts.io.into_inner();
    if let Some((mut upstream, early)) = leg.take() {
        client.write_all(&early).await?;
        upstream.write_all(&parts.read_buf).await?;
        copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await?;
    }
    Ok(())
}

/// The upstream's answer, and behind a 101 its connection, with what of it has been read.
async fn ask(
    request: Request<Incoming>,
    upstream: SocketAddr,
) -> anyhow::Result<(Response<Incoming>, Option<(TcpStream, Bytes)>)> {
    let upstream = TcpStream::connect(upstream).await?;
    upstream.set_nodelay(true)?;
    let (mut asking, mut connection) = client::conn::http1::handshake(TokioIo::new(upstream)).await?;
    let mut answer = pin!(asking.send_request(request.map(|_| Empty::<Bytes>::new())));
    let mut driving = poll_fn(|cx| connection.poll_without_shutdown(cx));
    let response = tokio::select! {
        biased;
        driven = &mut driving => {
            driven?;
            answer.await?
        }
        answer = &mut answer => answer?,
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok((response, None));
    }
    let parts = connection.into_parts();
    Ok((response, Some((parts.io.into_inner(), parts.read_buf))))
}
