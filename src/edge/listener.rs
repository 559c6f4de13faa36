//! Accepts clients, and gives them away.
//!
//! It refuses to read a byte of them, and to know the workers.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep, sleep_until};

use super::Client;

/// How long to rest when the process has run out of what an accepted socket needs: the first time, doubled up to the
/// last. Trying again at once would only burn the core; those who wait are queued by the system meanwhile.
const FIRST_REST: Duration = Duration::from_millis(10);
const LAST_REST: Duration = Duration::from_millis(500);
/// Without a failure for so long, it is over. At the edge, where every client that leaves makes room for one more, it
/// would else begin and end with each of them.
const CALM: Duration = Duration::from_secs(1);

/// A listening socket that does not block, on the runtime of the thread that accepts. What is accepted there is not: it goes
/// to another thread's runtime at once, and to register it with two would cost two system calls for nothing.
pub type Listener = AsyncFd<TcpListener>;

/// Accepts until dropped, and gives each client to `hand_over` on a socket that belongs to no runtime.
///
/// Cancel safe: a connection is either still queued by the system or handed over.
pub async fn accept(listener: Rc<Listener>, hand_over: impl Fn(TcpStream, Client)) {
    let mut door = Door::new(listener);
    loop {
        let (stream, address) = door.next().await;
        hand_over(stream, Client { address: address.into() });
    }
}

/// Gives away whoever is queued by the system at this moment; for a listener that is about to be closed, as closing it
/// resets their connections.
pub fn take_queued(listener: &Listener, hand_over: impl Fn(TcpStream, Client)) -> io::Result<()> {
    loop {
        match accept_one(listener.get_ref()) {
            Ok((stream, address)) => hand_over(stream, Client { address: address.into() }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A listener that goes on, whatever happens. It says once when it can accept nobody, and once when it can again.
pub(super) struct Door {
    listener: Rc<Listener>,
    trouble: Option<Trouble>,
}

/// Accepting has failed of late.
struct Trouble {
    /// How long it rested after the last failure.
    rest: Duration,
    /// Unless it fails again, the trouble is over then.
    over: Instant,
}

impl Door {
    pub(super) fn new(listener: Rc<Listener>) -> Self {
        Self { listener, trouble: None }
    }

    /// The next connection.
    ///
    /// Cancel safe: a connection is either still queued by the system or returned.
    pub(super) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = tokio::select! {
                biased; // as long as somebody waits, it is not over
                accepted = self.listener.async_io(Interest::READABLE, accept_one) => accepted,
                () = end_of(self.trouble.as_ref()) => {
                    tracing::info!("connections are accepted again");
                    self.trouble = None;
                    continue;
                }
            };
            match accepted {
                Ok(accepted) => return accepted,
                Err(error) => self.rest_after(&error).await,
            }
        }
    }

    async fn rest_after(&mut self, error: &io::Error) {
        if is_of_one_client(error) {
            return;
        }
        let rest = if let Some(trouble) = &self.trouble {
            (trouble.rest * 2).min(LAST_REST)
        } else {
            tracing::warn!(%error, "cannot accept connections; trying on");
            FIRST_REST
        };
        self.trouble = Some(Trouble { rest, over: Instant::now() + rest + CALM });
        sleep(rest).await;
    }
}

/// The next connection that is queued by the system, on a socket that does not block.
fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((stream, address))
}

async fn end_of(trouble: Option<&Trouble>) {
    match trouble {
        Some(trouble) => sleep_until(trouble.over).await,
        None => std::future::pending().await,
    }
}

/// Whether an accept failed for a client that went away meanwhile, which is its own affair.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
