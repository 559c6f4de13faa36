//! The data plane: what runs once per frame.
//!
//! A pump has one of two forwarders: by the verbatim one bytes go on as they come, by the framed one only whole frames do.
//!
//! It knows two streams and the rules of RFC 6455 between them. It refuses to know HTTP, TLS, configuration, keys and
//! logs: limits come in as [`link::Limits`], what it saw goes out through a [`tap::Tap`] and as a [`link::LinkReport`].

pub mod ending;
pub mod events;
mod forwarder;
mod framed;
mod front;
pub mod inject;
mod judge;
pub mod link;
mod parting;
mod pending;
pub mod pump;
pub mod scan;
mod scratch;
mod settle;
mod side;
pub mod stream;
pub mod table;
pub mod tap;
mod utf8;
pub mod verbatim;
mod watch;

/// One of the two peers of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Who connected to us. Its frames are masked.
    Client,
    /// Whom we connected to. Its frames are not masked.
    Upstream,
}

impl Peer {
    /// The word for it in logs and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
        }
    }
}
