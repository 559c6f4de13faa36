//! The ledger: who used how much, and how each link went, in two tables of an SQLite file that anyone can query.
//!
//! The data plane never waits for the disk. It gives rows to a [`Recorder`], which has room or has none; one thread writes
//! them in groups. No row is dropped: what the disk refuses is kept and tried again, and [`Health`] tells. Several
//! processes may write to one ledger while links are handed over, and each hears of what the others write. It refuses to
//! know quotas, prices and what a row is for.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::config::{Durability, Metering, OnFailure};

mod health;
mod observer;
mod open;
mod record;
mod recorder;
mod report;
mod schema;
mod store;
mod sum;
#[cfg(test)]
mod tests;
mod writer;

pub use health::Health;
pub use observer::Observer;
pub use open::LedgerError;
pub use record::{LinkRow, NewUsage, Record, UsageKind, UsageRow, Used, unix_ms};
pub use recorder::{Full, Recorder, Stored, Ticket};
pub use report::{By, Group, report};

use health::Sign;
use store::Store;
use writer::{Calendar, LOCK_PATIENCE, Manner, Writer};

/// The commit of a record begins within this time, if the disk is done with the one before it.
pub const COMMIT_WITHIN: Duration = Duration::from_millis(20);
/// How long a record waits for others to share its commit, where no client waits for it. The rest of [`COMMIT_WITHIN`] is
/// for a thread that gets its turn late.
const COMPANY: Duration = Duration::from_millis(10);
/// Records that may wait; some megabytes. Whoever brings more waits for room.
const QUEUE: usize = 8192;
/// What the writer may take beyond its deadline: the attempt that it has begun.
const GRACE: Duration = Duration::from_secs(1);

/// What of the configuration a ledger needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file.
    pub path: PathBuf,
    /// Whether a commit waits for the disk, and a client for the commit.
    pub durability: Durability,
    /// What becomes of records while the disk fails.
    pub on_failure: OnFailure,
    /// How long records are kept; `None`: for ever.
    pub retention: Option<Duration>,
}

impl From<&Metering> for Settings {
    fn from(metering: &Metering) -> Self {
        let Metering { ledger, durability, on_failure, retention, .. } = metering;
        Self { path: ledger.clone(), durability: *durability, on_failure: *on_failure, retention: *retention }
    }
}

/// A ledger that is open, and not yet written to. Rows of other processes that come from now on are told to the observer.
#[derive(Debug)]
pub struct Opened {
    store: Store,
    manner: Manner,
    room: usize,
}

/// What is asked of the ledger's thread.
type Question = Box<dyn FnOnce(&Accounts<'_>) + Send>;

/// A way to look at the ledger from its own thread, between two commits, where nothing is half told to the observer.
#[derive(Clone, Debug)]
pub struct Accountant(mpsc::UnboundedSender<Question>);

/// The ledger between two commits.
pub struct Accounts<'s>(&'s Store);

/// A ledger that takes records. Dropped, it takes no more, and its thread goes on for some seconds with what it has; end a
/// process with [`Ledger::flush`].
#[derive(Debug)]
pub struct Ledger {
    recorder: Recorder,
    stop: oneshot::Sender<tokio::time::Instant>,
    unwritten: Receiver<Vec<Record>>,
    accountant: Accountant,
    on_failure: OnFailure,
}

/// Something that was recorded is not in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The disk did not take these records in time. Whoever ends the process prints them.
    #[error("{} records are not in the ledger: {error}", .records.len())]
    Unwritten {
        /// Each with [`Record::to_json`] for those who must put it in by hand.
        records: Vec<Record>,
        /// What the disk said last.
        error: String,
    },
    /// The disk neither takes records nor refuses them.
    #[error("the disk does not answer, and what it was given last may not be in the ledger")]
    Stuck,
    /// The thread has panicked.
    #[error("the ledger's thread has panicked, and what it was given last may not be in the ledger")]
    Panicked,
}

impl Opened {
    /// Opens the ledger; makes one where there is none, brings an older one up to date.
    pub fn new(settings: &Settings) -> Result<Self, LedgerError> {
        let Settings { path, durability, on_failure, retention } = settings;
        let (synchronous, company) = match durability {
            Durability::Async => ("NORMAL", COMPANY),
            Durability::BeforeDelivery => ("FULL", Duration::ZERO), // a client waits
        };
        let store = Store::open(path, synchronous)?;
        let (on_failure, retention) = (*on_failure, *retention);
        Ok(Self { store, manner: Manner { company, lock_patience: LOCK_PATIENCE, on_failure, retention }, room: QUEUE })
    }

    /// What a key has used in a time, in Unix milliseconds: exactly what the observer will not be told.
    pub fn used(&self, key: &str, time: &Range<i64>) -> Result<Used, LedgerError> {
        self.store.used(key, time).map_err(LedgerError::of(&self.store.path))
    }

    /// Starts the thread that writes. On it, `observer` is told once of every usage row that is new to the ledger, whichever
    /// process wrote it: that is what a quota counts. It must not block.
    pub fn start(self, observer: impl Observer + Send + 'static) -> Result<Ledger, LedgerError> {
        let Self { store, manner, room } = self;
        let (sender, queue) = mpsc::channel(room);
        let (stop, stopped) = oneshot::channel();
        let (finished, unwritten) = sync_channel(1);
        let sign = Sign::default();
        let (ask, questions) = mpsc::unbounded_channel();
        let writer = Writer {
            store,
            queue,
            questions,
            stop: stopped,
            sign: sign.clone(),
            manner,
            observer,
            group: Vec::new(),
            trouble: None,
            calendar: Calendar::new(),
        };
        let runtime = Builder::new_current_thread().enable_time().build().map_err(LedgerError::Thread)?;
        let alarm = Alarm(sign.clone());
        let written = move || {
            let _alarm = alarm;
            let left = runtime.block_on(writer.run());
            if let Err(unclaimed) = finished.send(left) {
                unclaimed.0.iter().for_each(|record| tracing::error!(record = %record.to_json(), "not in the ledger"));
            }
        };
        thread::Builder::new().name("ledger".to_owned()).spawn(written).map_err(LedgerError::Thread)?;
        let (recorder, accountant) = (Recorder::new(sender, sign), Accountant(ask));
        Ok(Ledger { recorder, stop, unwritten, accountant, on_failure: manner.on_failure })
    }
}

impl Ledger {
    /// A ledger that is opened and started, where nobody counts what was used.
    pub fn start(settings: &Settings) -> Result<Self, LedgerError> {
        Opened::new(settings)?.start(|_: &NewUsage| {})
    }

    /// A way to the writer, for one link.
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// A way to look at it.
    pub fn accountant(&self) -> Accountant {
        self.accountant.clone()
    }

    /// Whether it takes records.
    pub fn health(&self) -> Arc<Health> {
        self.recorder.health()
    }

    /// Whether no link may begin, since what it uses could not be recorded.
    pub fn refuses_links(&self) -> bool {
        self.on_failure == OnFailure::Stall && *self.health() != Health::Ok
    }

    /// Records that wait.
    pub fn waiting(&self) -> usize {
        self.recorder.waiting()
    }

    /// Writes everything that was recorded, and ends. Records that come later find no room. Blocks its thread, a second
    /// beyond `deadline` at the longest.
    pub fn flush(self, deadline: Instant) -> Result<(), FlushError> {
        let _ = self.stop.send(deadline.into()); // where the writer is gone, the next line says so
        let patience = deadline.saturating_duration_since(Instant::now()) + GRACE;
        match self.unwritten.recv_timeout(patience) {
            Ok(records) if records.is_empty() => Ok(()),
            Ok(records) => {
                let error = match &*self.recorder.health() {
                    Health::Failing { error, .. } => error.clone(),
                    Health::Ok => "there was not enough time".to_owned(),
                };
                Err(FlushError::Unwritten { records, error })
            }
            Err(RecvTimeoutError::Timeout) => Err(FlushError::Stuck),
            Err(RecvTimeoutError::Disconnected) => Err(FlushError::Panicked),
        }
    }
}

impl Accountant {
    /// Looks at the ledger, on its thread, which may take as long as a commit does. `None`: the ledger has ended.
    ///
    /// Cancel safe: whoever stops waiting is answered for nothing, and `look` runs unless it has not begun.
    pub async fn ask<T: Send + 'static>(&self, look: impl FnOnce(&Accounts<'_>) -> T + Send + 'static) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let question: Question = Box::new(move |accounts| {
            if !tell.is_closed() {
                let _ = tell.send(look(accounts)); // whoever asked may have stopped to wait meanwhile
            }
        });
        self.0.send(question).ok()?;
        told.await.ok()
    }
}

impl Accounts<'_> {
    /// What a key has used in a time, in Unix milliseconds, as far as the ledger has it: what the observer has been told, but
    /// for what went to the log while the disk failed.
    pub fn used(&self, key: &str, time: &Range<i64>) -> Result<Used, LedgerError> {
        self.0.used(key, time).map_err(LedgerError::of(&self.0.path))
    }
}

/// Rings if the writer panics: nothing is recorded any more, and nobody else would notice.
struct Alarm(Sign);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("the ledger's thread has panicked".to_owned());
        }
    }
}
