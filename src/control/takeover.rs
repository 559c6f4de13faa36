//! Handing the listening sockets from one process to the next, so that no connection waits or fails.
//!
//! ```text
//!  successor                                   predecessor
//!      │ ── asks ─────────────────────────────▶     │  goes on accepting
//!      │ ◀── the sockets, and what each is for ──   │
//!  starts, accepts, offers them itself              │
//!      │ ── is ready ─────────────────────────▶     │  accepts no more, and drains
//!      │ ◀── has let go ───────────────────────     │
//! ```
//! The queue of connections belongs to the socket, not to a process, so nothing in it is touched. Until the successor
//! says that it is ready, nothing has happened to the predecessor: if it does not come to that, the predecessor goes on.
//!
//! It refuses to know what the sockets are used for, and how a process drains.

mod offer;
mod predecessor;
mod wire;

use std::net::{SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};

pub use offer::{Offer, OfferError, Offering, Successor};
pub use predecessor::{Predecessor, TakeoverError};

/// The first line of either side. Another version is another protocol.
const GREETING: &str = "realtime-relay takeover 1";
const READY: &str = "ready";
const LET_GO: &str = "let go";

/// Whom a listening socket serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serves {
    /// Those who want a link.
    Clients,
    /// Those who want to know, and decide.
    Operators,
}

/// What a listening socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Whom it serves.
    pub serves: Serves,
    /// Its address as configured, where a port may be 0.
    pub configured: SocketAddr,
    /// Whether a service manager holds it too, so that closing it here resets nobody.
    pub kept: bool,
}

/// A listening socket, and what it is for. It does not block.
#[derive(Debug)]
pub struct Labelled {
    /// What it is for.
    pub label: Label,
    /// The socket.
    pub listener: TcpListener,
}
