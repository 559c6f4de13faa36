//! The successor's side: asks for the sockets, and says when they are in use. Refuses to use them.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::wire::{Wire, wrong};
use super::{GREETING, LET_GO, Label, Labelled, READY};

/// How long a predecessor may take to answer. It does nothing for that but answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The process whose place is being taken. Dropped before it is relieved, it goes on as if nothing had happened.
#[derive(Debug)]
pub struct Predecessor {
    wire: Wire,
}

/// Why nothing can be taken over.
#[derive(Debug, Error)]
#[error("nothing can be taken over at {}: {error}; without a running relay there, start without --takeover", path.display())]
pub struct TakeoverError {
    path: PathBuf,
    error: io::Error,
}

impl Predecessor {
    /// Asks the process that offers its sockets at `path`.
    pub async fn meet(path: &Path) -> Result<(Self, Vec<Labelled>), TakeoverError> {
        let met = timeout(ANSWER_TIMEOUT, ask(path)).await;
        let met = met.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")));
        met.map_err(|error| TakeoverError { path: path.to_owned(), error })
    }

    /// Tells it that connections are accepted here; ready when it accepts none any more. An error: it did not say so, and
    /// may be gone.
    pub async fn relieve(mut self) -> io::Result<()> {
        let relieving = async {
            self.wire.say(READY).await?;
            match self.wire.line().await? {
                line if line == LET_GO => Ok(()),
                _ => Err(wrong("no word of letting go")),
            }
        };
        timeout(ANSWER_TIMEOUT, relieving).await?
    }
}

async fn ask(path: &Path) -> io::Result<(Predecessor, Vec<Labelled>)> {
    let mut wire = Wire::new(UnixStream::connect(path).await?);
    wire.say(GREETING).await?;
    if wire.line().await? != GREETING {
        return Err(wrong("another greeting: it is of another version"));
    }
    let labels: Vec<Label> = serde_json::from_str(&wire.line().await?)?;
    let sockets = std::mem::take(&mut wire.sockets);
    if labels.len() != sockets.len() {
        return Err(wrong("more, or fewer, sockets than it said"));
    }
    let labelled = labels.into_iter().zip(sockets.into_iter().map(TcpListener::from));
    let labelled = labelled.map(|(label, listener)| {
        listener.set_nonblocking(true)?;
        Ok(Labelled { label, listener })
    });
    Ok((Predecessor { wire }, labelled.collect::<io::Result<_>>()?))
}
