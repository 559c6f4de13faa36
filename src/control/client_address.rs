//! Where a client is: its end of the connection, or what a proxy in front of the relay said of it. Refuses to know whether
//! that proxy was to be believed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Serialize, Serializer};

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// With the port that it connected from.
    Socket(SocketAddr),
    /// Its host alone: whoever told of it said no port.
    Host(IpAddr),
}

impl ClientAddress {
    /// The host.
    pub fn ip(self) -> IpAddr {
        match self {
            Self::Socket(socket) => socket.ip(),
            Self::Host(ip) => ip,
        }
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(socket: SocketAddr) -> Self {
        Self::Socket(socket)
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(ip: IpAddr) -> Self {
        Self::Host(ip)
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Host(ip) => ip.fmt(f),
        }
    }
}

impl Serialize for ClientAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_made_up() {
        let shown = |address: ClientAddress| (address.to_string(), serde_json::to_value(address).unwrap());
        let socket: SocketAddr = "[2001:db8::1]:4711".parse().unwrap();
        assert_eq!(shown(socket.into()), ("[2001:db8::1]:4711".to_owned(), "[2001:db8::1]:4711".into()));
        assert_eq!(shown(socket.ip().into()), ("2001:db8::1".to_owned(), "2001:db8::1".into()));
    }
}
