//! What others want of a worker, and how that gets there.
//!
//! It refuses to know what the worker does about it.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::control::config::Config;
use crate::edge::admin::LinkStatus;
use crate::edge::links::Which;
use crate::edge::load::{Load, Slot};
use crate::edge::tls::TlsError;
use crate::edge::{Client, Common};
use crate::relay::ending::Decision;

/// What others want of a worker.
#[derive(Debug)]
pub enum Mail {
    /// Let clients in.
    LetIn(Entrance),
    /// Serve a client.
    Serve(Accepted),
    /// Tell that you come to your mail.
    Answer(oneshot::Sender<()>),
    /// Tell how each link does.
    Snapshot(oneshot::Sender<Vec<LinkStatus>>),
    /// Publish what was counted, and say when that is done.
    Publish(oneshot::Sender<()>),
    /// End some links, and tell how many there were.
    End {
        /// Which.
        which: Which,
        /// Why.
        decision: Decision,
        /// Where the number goes.
        ended: oneshot::Sender<usize>,
    },
    /// End all links, in the course of this time.
    EndAll(Decision, Duration),
    /// Have all links gone at once.
    CutAll(Decision),
    /// Serve whoever comes from now on by another configuration, and tell when that is so.
    Renew(Renewal, oneshot::Sender<Result<(), TlsError>>),
    /// Nobody comes any more.
    CloseUp,
}

/// Another configuration, and what is common to all workers under it.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// What is configured.
    pub config: Arc<Config>,
    /// What was made of it.
    pub common: Common,
}

/// A way to a worker that does not keep it: who has this one only may find it gone.
#[derive(Debug, Clone)]
pub struct Mailbox {
    pub(super) mailbox: mpsc::WeakUnboundedSender<Mail>,
    pub(super) load: Arc<Load>,
}

impl Mailbox {
    /// Tells the worker something, if it is still there.
    pub fn mail(&self, mail: Mail) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            let _ = mailbox.send(mail); // it may be on its way out
        }
    }

    /// Whether the worker is still there.
    fn is_read(&self) -> bool {
        self.mailbox.upgrade().is_some_and(|mailbox| !mailbox.is_closed())
    }

    /// A way to a worker that a test plays.
    #[cfg(test)]
    pub(crate) fn to(mailbox: &mpsc::UnboundedSender<Mail>) -> Self {
        Self { mailbox: mailbox.downgrade(), load: Arc::default() }
    }
}

/// Where a worker is to let clients in.
#[derive(Debug)]
pub struct Entrance {
    /// A listening socket that does not block.
    pub listener: Arc<TcpListener>,
    /// To whom they are handed.
    pub workers: Arc<[Mailbox]>,
    /// What the worker is to do there; kept until it has left. Whose sender is dropped is to leave.
    pub orders: watch::Receiver<Order>,
    /// Brings that the worker is there, or why it cannot be.
    pub told: oneshot::Sender<io::Result<()>>,
}

/// What a worker is to do at a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Be ready.
    Wait,
    /// Let clients in.
    LetIn,
    /// Let nobody in any more.
    Leave,
}

/// A client on its way to its worker.
#[derive(Debug)]
pub struct Accepted {
    pub(super) stream: TcpStream,
    pub(super) client: Client,
    pub(super) slot: Slot,
}

/// Hands a client, on a non-blocking socket, to the one of `workers` (there is at least one) with the fewest links and
/// admissions.
pub fn hand_over(workers: &[Mailbox], stream: TcpStream, client: Client) {
    if let Some((worker, accepted)) = assign(workers, stream, client) {
        worker.mail(Mail::Serve(accepted));
    }
}

/// Finds that worker for a client. `None`: no worker is left.
pub(super) fn assign(workers: &[Mailbox], stream: TcpStream, client: Client) -> Option<(&Mailbox, Accepted)> {
    // One whose thread is gone carries nothing, and would get everybody.
    let alive = workers.iter().filter(|worker| worker.is_read());
    let Some(worker) = alive.min_by_key(|worker| worker.load.taken()) else {
        tracing::error!("no worker is left: a client is turned away");
        return None;
    };
    Some((worker, Accepted { stream, client, slot: worker.load.take() }))
}
