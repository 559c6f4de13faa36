//! Brings records to the writer without ever blocking: there is room or there is none, and who waits for room is woken.
//! Refuses to know what becomes of a record, but for the word that comes back on its ticket.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc::error::{SendError, TrySendError};
use tokio::sync::mpsc::{OwnedPermit, Sender};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::health::{Health, Sign};
use super::record::Record;

/// A way to the writer. A clone has its own place in the line for room, so whoever waits has a clone of its own.
#[derive(Debug)]
pub struct Recorder {
    queue: Sender<Queued>,
    sign: Sign,
    room: Room,
}

/// A record on its way.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: Box<Record>,
    pub(super) since: Instant,
    /// Whom to tell; most records are waited for by nobody.
    pub(super) done: Option<oneshot::Sender<Stored>>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is in the ledger.
    New,
    /// It was there already: the same response of the same link.
    Duplicate,
    /// The disk failed, and it went to the log, as `on_failure = "log"` asks.
    Logged,
    /// The process is about to end with a failing disk; whoever ends it has the record.
    Unwritten,
}

/// There was no room for this record. Wait with [`Recorder::poll_room`].
#[derive(Debug, thiserror::Error)]
#[error("the ledger's queue is full")]
pub struct Full(pub Box<Record>);

/// Resolves when a record is committed. Cancel safe: a ticket that is dropped changes nothing.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Stored>);

type Reserving = Pin<Box<dyn Future<Output = Result<OwnedPermit<Queued>, SendError<()>>> + Send>>;

enum Room {
    Unknown,
    Awaited(Reserving),
    Held(OwnedPermit<Queued>),
}

impl Recorder {
    pub(super) fn new(queue: Sender<Queued>, sign: Sign) -> Self {
        Self { queue, sign, room: Room::Unknown }
    }

    /// Gives a record to the writer. Its commit begins within [`super::COMMIT_WITHIN`].
    pub fn try_record(&mut self, record: impl Into<Box<Record>>) -> Result<Ticket, Full> {
        let (done, ticket) = oneshot::channel();
        self.put(record.into(), Some(done)).map(|()| Ticket(ticket))
    }

    /// The same, for who waits for no commit.
    pub fn try_leave(&mut self, record: impl Into<Box<Record>>) -> Result<(), Full> {
        self.put(record.into(), None)
    }

    fn put(&mut self, record: Box<Record>, done: Option<oneshot::Sender<Stored>>) -> Result<(), Full> {
        let queued = Queued { record, since: Instant::now(), done };
        match std::mem::replace(&mut self.room, Room::Unknown) {
            Room::Held(permit) => drop(permit.send(queued)),
            room => match self.queue.try_send(queued) {
                Ok(()) => {} // and the place in the line is given up
                Err(TrySendError::Full(queued) | TrySendError::Closed(queued)) => {
                    self.room = room;
                    return Err(Full(queued.record));
                }
            },
        }
        Ok(())
    }

    /// Waits for room. Once ready, the next record is taken, whoever else brings one. Once the ledger is flushed or dropped
    /// there is never room again. Cancel safe: whoever stops asking keeps the place in the line until this is dropped.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.room {
                Room::Held(_) => return Poll::Ready(()),
                Room::Unknown => self.room = Room::Awaited(Box::pin(self.queue.clone().reserve_owned())),
                Room::Awaited(awaited) => {
                    let permit = ready!(awaited.as_mut().poll(cx));
                    let never = || Room::Awaited(Box::pin(std::future::pending()));
                    self.room = permit.map_or_else(|SendError(())| never(), Room::Held);
                }
            }
        }
    }

    /// Records that wait, of everyone.
    pub fn waiting(&self) -> usize {
        self.room_for() - self.queue.capacity()
    }

    /// Records that may wait.
    pub fn room_for(&self) -> usize {
        self.queue.max_capacity()
    }

    /// Whether the ledger takes records.
    pub fn health(&self) -> Arc<Health> {
        self.sign.read()
    }
}

impl Clone for Recorder {
    fn clone(&self) -> Self {
        Self::new(self.queue.clone(), self.sign.clone())
    }
}

impl Future for Ticket {
    type Output = Stored;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Stored> {
        Pin::new(&mut self.0).poll(cx).map(|stored| stored.unwrap_or(Stored::Unwritten))
    }
}

impl From<super::UsageRow> for Box<Record> {
    fn from(row: super::UsageRow) -> Self {
        Self::new(Record::Usage(row))
    }
}

impl From<super::LinkRow> for Box<Record> {
    fn from(row: super::LinkRow) -> Self {
        Self::new(Record::Link(row))
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Awaited(_) => "Awaited",
            Self::Held(_) => "Held",
        })
    }
}
