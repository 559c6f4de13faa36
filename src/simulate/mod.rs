//! The simulated upstream: the Realtime API on loopback, with faults on request.
//!
//! It speaks the protocol as the live service does: events, order, pace and usage, from the same seed the same bytes.
//! Tests, load tests and whoever evaluates the relay use it. It refuses to know the relay: nothing of this project is
//! imported here.
//!
//! ```text
//!  socket → http ─ handshake ─ refusal        once per connection: a request is refused, or becomes an upgrade
//!             └→ connection ─ wire ─ fault    the 101, frames, and what goes wrong with them
//!                  └→ conversation            client events in, server events out; no socket, no clock
//!                       ├ session             what session.update changes
//!                       ├ items               what was said
//!                       ├ input ─ vad         what is being said by the client
//!                       └ responses ─ response ─ script ─ answer, melody     what is being said to the client
//!  ids, events, usage, format: the vocabulary of all of them
//! ```

use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

mod answer;
mod connection;
mod conversation;
mod events;
mod fault;
mod format;
mod handshake;
mod http;
mod ids;
mod input;
mod items;
mod melody;
mod refusal;
mod response;
mod responses;
mod script;
mod session;
mod usage;
mod vad;
mod wire;

pub use fault::{Fault, help as fault_help, table as fault_table};

/// The live service sends audio about this much faster than it is spoken.
pub const DEFAULT_PACE: f64 = 6.0;

/// When the process is out of descriptors, waiting is all that helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Decides every id, note and phrase, together with the number of the connection.
    pub seed: u64,
    /// The only key that is good, as a bearer token, in `api-key`, or in a browser's subprotocol. Without one, all are.
    pub key: Option<String>,
    /// Speed of an answer relative to real time; `f64::INFINITY` for no pacing at all.
    pub pace: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, key: None, pace: DEFAULT_PACE }
    }
}

/// Serves connections for ever. Dropping the future aborts them all.
///
/// Returns only when the listener itself is broken; a connection that fails to be accepted is not that.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    let options = Arc::new(options);
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    number += 1;
                    connections.spawn(attend(stream, Arc::clone(&options), number));
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn attend(stream: TcpStream, options: Arc<Options>, number: u64) {
    if let Some(upgrade) = http::welcome(stream, &options, number).await {
        // The only error is a peer that has gone.
        let _ = connection::run(upgrade, &options, number).await;
    }
}
