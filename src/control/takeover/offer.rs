//! The predecessor's side: a unix socket on which a successor asks, and what is said to it. Only a process of the same
//! user, or of root, is answered. Refuses to know which sockets there are.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::wire::{Wire, wrong};
use super::{GREETING, LET_GO, Label, READY};

/// Whoever has not asked by then is not a successor.
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// After a failed accept.
const REST: Duration = Duration::from_millis(100);

/// A place for successors to ask, not yet to be found by them.
#[derive(Debug)]
pub struct Offer {
    listener: std_unix::UnixListener,
    /// Where it is for now.
    file: SocketFile,
    path: PathBuf,
    replaces: Option<PathBuf>,
}

/// A place where successors ask. Its file goes with it, unless somebody else's has taken its place.
#[derive(Debug)]
pub struct Offering {
    listener: UnixListener,
    _file: SocketFile,
}

/// Why successors cannot be offered anything.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum OfferError {
    #[error(
        "another process listens on {}; take its place with `serve --takeover`, or configure another takeover_socket",
        .0.display()
    )]
    Taken(PathBuf),
    #[error("{} is there, and is no socket; remove it, or configure another takeover_socket", .0.display())]
    NoSocket(PathBuf),
    #[error("cannot listen on {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl Offer {
    /// Prepares a place that will be at `path`. `replaces` is where the predecessor of this process listens: that one may
    /// be replaced while it lives.
    pub fn prepare(path: &Path, replaces: Option<&Path>) -> Result<Self, OfferError> {
        let failed = |error| OfferError::Io { path: path.to_owned(), error };
        // Nobody finds it by this name, and nobody but this process has it.
        let temporary = path.with_file_name(format!(".relay-{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        let listener = std_unix::UnixListener::bind(&temporary).map_err(failed)?;
        let file = SocketFile::at(temporary).map_err(failed)?;
        fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, file, path: path.to_owned(), replaces: replaces.map(Path::to_owned) })
    }

    /// Moves to its path, in place of what a former process left there: there is no moment without one. Needs a runtime.
    pub fn open(self) -> Result<Offering, OfferError> {
        let Self { listener, mut file, path, replaces } = self;
        let failed = |error| OfferError::Io { path: path.clone(), error };
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        if !replaces.is_some_and(|replaced| is_same(&replaced, &path)) {
            check_vacant(&path)?;
        }
        fs::rename(&file.path, &path).map_err(failed)?;
        file.path.clone_from(&path);
        Ok(Offering { listener, _file: file })
    }
}

fn check_vacant(path: &Path) -> Result<(), OfferError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(OfferError::Io { path: path.to_owned(), error }),
        Ok(found) if !found.file_type().is_socket() => Err(OfferError::NoSocket(path.to_owned())),
        Ok(_) => match std_unix::UnixStream::connect(path) {
            // Left by a process that is gone.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
            Err(error) => Err(OfferError::Io { path: path.to_owned(), error }),
            Ok(_) => Err(OfferError::Taken(path.to_owned())),
        },
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    identity(one).ok().zip(identity(other).ok()).is_some_and(|(one, other)| one == other)
}

/// Which file this is, whatever it is called.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Offering {
    /// The next process that asks for the sockets.
    ///
    /// Cancel safe, but for a process that was about to ask.
    pub async fn successor(&self) -> Successor {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match greet(stream).await {
                    Ok(successor) => return successor,
                    Err(error) => tracing::debug!(%error, "somebody at the takeover socket is no successor"),
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a successor");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

async fn greet(stream: UnixStream) -> io::Result<Successor> {
    let peer = stream.peer_cred()?;
    if peer.uid() != 0 && peer.uid() != geteuid().as_raw() {
        tracing::warn!(uid = peer.uid(), "a process of another user asks for the listening sockets; it gets none");
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut wire = Wire::new(stream);
    match timeout(GREETING_TIMEOUT, wire.line()).await?? {
        line if line == GREETING => Ok(Successor { wire, process: peer.pid() }),
        _ => Err(wrong("another greeting")),
    }
}

/// A process that is about to take over.
#[derive(Debug)]
pub struct Successor {
    wire: Wire,
    /// Its id, where the system tells it.
    pub process: Option<i32>,
}

impl Successor {
    /// Gives it these sockets, which this process has too.
    pub async fn hand(&mut self, labels: &[Label], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.wire.say(GREETING).await?;
        self.wire.hand(&serde_json::to_string(labels)?, sockets).await
    }

    /// Ready when it accepts connections. An error: it never will.
    ///
    /// There is no deadline: a successor that hangs is ended by whoever started it, and with it its connection.
    pub async fn is_ready(&mut self) -> io::Result<()> {
        match self.wire.line().await? {
            line if line == READY => Ok(()),
            _ => Err(wrong("no word of being ready")),
        }
    }

    /// Tells it that this process accepts no more. A successor that is gone by now need not know.
    pub async fn let_go(mut self) {
        let _ = self.wire.say(LET_GO).await;
    }
}

/// A socket's file. Removed when dropped, if it is still this socket's.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: PathBuf) -> io::Result<Self> {
        identity(&path).map(|identity| Self { path, identity })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
