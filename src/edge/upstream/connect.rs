//! The connection to an upstream, dialled as a browser would: DNS, then all addresses in a race, then TLS; through a
//! tunnel where a proxy is configured.
//!
//! It refuses to know what is said over it, and to wait: the deadline is its caller's.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::failure::Failure;
use super::{Upstream, proxy};
use crate::edge::conn::Conn;
use crate::edge::shortage::is_shortage;

/// An attempt has this head start before the next one joins it (RFC 8305 section 8, as browsers have it).
pub const HEAD_START: Duration = Duration::from_millis(250);

/// Why a host was not reached.
#[derive(Debug)]
pub enum Unreached {
    /// Its name has no address.
    Dns(io::Error),
    /// No connection to any of its addresses.
    Tcp(io::Error),
    /// There is nothing left on this side to make a connection of.
    Shortage(io::Error),
}

impl From<Unreached> for Failure {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Dns(error) => Self::Dns(error),
            Unreached::Tcp(error) => Self::Tcp(error),
            Unreached::Shortage(error) => Self::Shortage(error),
        }
    }
}

/// Connects to `upstream`.
///
/// Cancel safe: dropped, it closes what it has opened. A name lookup under way is left to its thread, which ends by the
/// resolver's own deadline.
pub async fn connect(upstream: &Upstream) -> Result<Conn, Failure> {
    let url = &upstream.config.url;
    let stream = match &upstream.config.proxy {
        Some(proxy) => Box::pin(proxy::tunnel(proxy, &url.host, url.port)).await?,
        None => reach(&url.host, url.port).await?,
    };
    match &upstream.tls {
        Some(tls) => {
            let stream = Box::pin(tls.connect(&url.host, stream)).await.map_err(Failure::Tls)?;
            Ok(Conn::Tls(Box::new(stream)))
        }
        None => Ok(Conn::Plain(stream)),
    }
}

/// Opens a TCP connection, without Nagle's delay, to the first address of `host` that takes it.
///
/// Cancel safe, as [`connect`].
pub async fn reach(host: &str, port: u16) -> Result<TcpStream, Unreached> {
    let unreached =
        |error, otherwise: fn(_) -> _| if is_shortage(&error) { Unreached::Shortage(error) } else { otherwise(error) };
    let addresses = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = addresses.map_err(|error| unreached(error, Unreached::Dns))?.collect();
    if addresses.is_empty() {
        return Err(Unreached::Dns(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    let stream = race(in_turn(addresses), TcpStream::connect).await;
    let stream = stream.map_err(|error| unreached(error, Unreached::Tcp))?;
    stream.set_nodelay(true).map_err(Unreached::Tcp)?;
    Ok(stream)
}

/// The addresses with both families in turn, IPv6 first, each family in the order it came in (RFC 8305 section 4).
pub fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if addresses.len() < 2 {
        return addresses;
    }
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut turns = Vec::with_capacity(six.len() + four.len());
    while six.len() + four.len() > 0 {
        turns.extend(six.next().into_iter().chain(four.next()));
    }
    turns
}

/// Connects to these addresses one after the other, not waiting for the end of an attempt: the next begins after
/// [`HEAD_START`], or at once when one has failed. The first connection wins, the rest is dropped. The error is the last
/// one, with its address, or a shortage; none were there: `AddrNotAvailable`.
///
/// Cancel safe: dropped, it drops every attempt.
pub async fn race<C, S>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> C) -> io::Result<S>
where
    C: Future<Output = io::Result<S>> + Send + 'static,
    S: Send + 'static,
{
    if let [address] = *addresses {
        return named(address, connect(address).await);
    }
    // Boxed: most have one address, and the state of a race is large.
    Box::pin(race_all(addresses, connect)).await
}

async fn race_all<C, S>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> C) -> io::Result<S>
where
    C: Future<Output = io::Result<S>> + Send + 'static,
    S: Send + 'static,
{
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failed = io::ErrorKind::AddrNotAvailable.into();
    loop {
        if let Some(address) = waiting.next() {
            let attempt = connect(address);
            attempts.spawn(async move { named(address, attempt.await) });
        } else if attempts.is_empty() {
            return Err(failed);
        }
        tokio::select! {
            biased;
            Some(ended) = attempts.join_next() => match ended {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = error,
                Err(panicked) => failed = io::Error::other(panicked),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

/// With the address in its error; but a shortage is no matter of the address, and has to be recognised.
fn named<S>(address: SocketAddr, attempt: io::Result<S>) -> io::Result<S> {
    attempt.map_err(|error| {
        if is_shortage(&error) { error } else { io::Error::new(error.kind(), format!("{address}: {error}")) }
    })
}
