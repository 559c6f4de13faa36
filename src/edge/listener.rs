//! Accepts clients, and gives them away.
//!
//! It refuses to read a byte of them, and to know the workers.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::Client;

/// How long to rest when the process has run out of what an accepted socket needs: the first time, doubled up to the
/// last. Trying again at once would only burn the core; those who wait are queued by the system meanwhile.
const FIRST_REST: Duration = Duration::from_millis(10);
const LAST_REST: Duration = Duration::from_millis(500);
/// Clients that are accepted before the links of the same thread have their turn: some 50 µs of work.
const AT_ONCE: usize = 16;
/// Without a failure for so long, it is over. At the edge, where every client that leaves makes room for one more, it
/// would else begin and end with each of them.
const CALM: Duration = Duration::from_secs(1);

/// Accepts until dropped, and gives each client to `hand_over` on a socket that does not block, sends at once (no Nagle's delay),
/// and belongs to no runtime.
///
/// Cancel safe: a connection is either still queued by the system or handed over.
pub async fn accept(mut accepting: Accepting, hand_over: impl Fn(TcpStream, Client)) {
    loop {
        for _ in 0..AT_ONCE {
            let (stream, address) = accepting.next().await;
            hand_over(stream, Client { address: address.into() });
        }
        yield_now().await;
    }
}

/// Gives away whoever is queued by the system at this moment; for a listener that is about to be closed, as closing it
/// resets their connections.
pub fn take_queued(listener: &TcpListener, hand_over: impl Fn(TcpStream, Client)) -> io::Result<()> {
    loop {
        match accept_one(listener) {
            Ok((stream, address)) => {
                send_at_once(&stream);
                hand_over(stream, Client { address: address.into() });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A listening socket on the runtime of the thread that accepts, which goes on, whatever happens. It says once when it can
/// accept nobody, and once when it can again.
///
/// What is accepted is on no runtime: it may go to another thread's, and to register it with two would cost two system
/// calls for nothing.
#[derive(Debug)]
pub struct Accepting {
    listener: AsyncFd<Arc<TcpListener>>,
    inherits: Inherits,
    trouble: Option<Trouble>,
}

/// Whether what is accepted has inherited from the listening socket that it sends at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inherits {
    /// What was queued before that was set has not.
    NotYet,
    /// The queue has been empty since.
    Yes,
}

/// Accepting has failed of late.
#[derive(Debug)]
struct Trouble {
    /// How long it rested after the last failure.
    rest: Duration,
    /// Unless it fails again, the trouble is over then.
    over: Instant,
}

impl Accepting {
    /// A socket that does not block. Fails where the system watches no more of them.
    pub fn new(listener: Arc<TcpListener>) -> io::Result<Self> {
        SockRef::from(&listener).set_tcp_nodelay(true)?;
        #[expect(
            deprecated,
            reason = "what follows it is unsafe, for types that may lose their descriptor; this one does not"
        )]
        Ok(Self { listener: AsyncFd::new(listener)?, inherits: Inherits::NotYet, trouble: None })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.get_ref().local_addr()
    }

    /// The next connection.
    ///
    /// Cancel safe: a connection is either still queued by the system or returned.
    pub(super) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            let inherits = &mut self.inherits;
            let accept = |listener: &Arc<TcpListener>| {
                let accepted = accept_one(listener);
                match &accepted {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => *inherits = Inherits::Yes,
                    Ok((stream, _)) if *inherits == Inherits::NotYet => send_at_once(stream),
                    _ => {}
                }
                accepted
            };
            let accepted = tokio::select! {
                biased; // as long as somebody waits, it is not over
                accepted = self.listener.async_io(Interest::READABLE, accept) => accepted,
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
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{SocketFlags, acceptfrom_with};
        // In one system call, where the standard library's way takes two.
        let (stream, address) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let address = address.and_then(|address| SocketAddr::try_from(address).ok());
        Ok((stream.into(), address.ok_or(io::ErrorKind::Unsupported)?))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (stream, address) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok((stream, address))
    }
}

/// Tells an accepted socket by itself. One that takes no option is gone, which whoever serves it will see.
fn send_at_once(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_and_whoever_was_there_before_is_sent_to_at_once_and_blocks_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = vec![TcpStream::connect(address).unwrap()];
        let mut accepting = Accepting::new(Arc::new(listener)).unwrap();
        for inherits in [Inherits::NotYet, Inherits::Yes, Inherits::Yes] {
            let (mut accepted, _) = accepting.next().await;
            assert!(accepted.nodelay().unwrap());
            assert_eq!(accepted.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert_eq!(accepting.inherits, inherits);
            let next = accepting.next();
            let mut next = std::pin::pin!(next);
            assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx).is_pending())).await);
            clients.push(TcpStream::connect(address).unwrap());
        }
    }
}
