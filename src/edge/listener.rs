//! Accepts clients, and gives them away.
//!
//! It refuses to read a byte of them, and to know the workers.

use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::Client;

/// How long to rest when the process has run out of what an accepted socket needs.
const REST: Duration = Duration::from_millis(100);

/// Accepts until dropped, and gives each client to `hand_over` on a socket that belongs to no runtime.
///
/// Cancel safe: a connection is either still queued by the system or handed over.
pub async fn accept(listener: Rc<TcpListener>, hand_over: impl Fn(TcpStream, Client)) {
    loop {
        match listener.accept().await.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
            Ok((stream, address)) => hand_over(stream, Client { address }),
            Err(error) => rest_after(&error).await,
        }
    }
}

/// Gives away whoever is queued by the system at this moment; for a listener that is about to be closed, as closing it
/// resets their connections. The listener must not block.
pub fn take_queued(listener: &std::net::TcpListener, hand_over: impl Fn(TcpStream, Client)) -> io::Result<()> {
    loop {
        match listener.accept().and_then(|(stream, address)| stream.set_nonblocking(true).map(|()| (stream, address))) {
            Ok((stream, address)) => hand_over(stream, Client { address }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// After a failed accept: says so, and rests where trying again at once would only burn the core.
pub(super) async fn rest_after(error: &io::Error) {
    if is_of_one_client(error) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections");
    tokio::time::sleep(REST).await;
}

/// Whether an accept failed for a client that went away meanwhile, which is its own affair.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
