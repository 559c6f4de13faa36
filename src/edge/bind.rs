//! Binds the sockets on which connections are accepted.
//!
//! It refuses to know who connects to them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How many connections the system queues until they are accepted; it clips this to its own limit (`net.core.somaxconn`,
/// 4096 on Linux). When a load balancer moves its clients over they come at once, and what finds no place in the queue
/// tries again a second later.
const BACKLOG: i32 = 4096;

/// Whether others may listen on the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    Alone,
    /// Other processes of the same user that say so too: the system spreads connections over all of them.
    WithOthers,
}

/// Listens on `address`, with a socket that does not block. A port of 0 is chosen by the system.
pub fn bind(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // As std does it on Unix: connections of a former process that are still in TIME_WAIT do not keep the port.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::WithOthers {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    const ANY_PORT: &str = "127.0.0.1:0";

    #[test]
    fn an_address_is_shared_only_where_both_say_so() {
        let first = bind(ANY_PORT.parse().unwrap(), Sharing::WithOthers).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(bind(address, Sharing::Alone).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(address, Sharing::WithOthers).unwrap().local_addr().unwrap(), address);

        let alone = bind(ANY_PORT.parse().unwrap(), Sharing::Alone).unwrap();
        let address = alone.local_addr().unwrap();
        assert_eq!(bind(address, Sharing::WithOthers).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    #[cfg(target_os = "linux")] // elsewhere the system may clip it to less
    fn more_clients_are_queued_than_by_a_usual_listener() {
        let listener = bind(ANY_PORT.parse().unwrap(), Sharing::Alone).unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts. Of std's own 128 one more than that is queued, and the next one would wait for ever.
        let queued: Result<Vec<_>, _> =
            (0..200).map(|_| TcpStream::connect_timeout(&address, std::time::Duration::from_secs(5))).collect();
        assert_eq!(queued.unwrap().len(), 200);
    }
}
