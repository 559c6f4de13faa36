//! The ledger's thread: gathers records into groups, commits them, and keeps what the disk refuses until it takes it.
//! Between the groups it looks for what other processes wrote, and deletes what is too old. Refuses to know SQL and who
//! records.
//!
//! A record is in one place at any time: in the queue, in `group`, in the ledger, or in what [`Writer::run`] returns.

use std::time::{Duration, SystemTime};

use rusqlite::ErrorCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::health::Sign;
use super::observer::Observer;
use super::record::{Record, unix_ms};
use super::recorder::{Queued, Stored};
use super::store::Store;
use super::{Accounts, Question};
use crate::control::config::OnFailure;
use crate::memory;

/// The most records of one transaction.
const GROUP: usize = 1024;
/// How often the rows of other processes are looked for. They count within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How soon a step of deleting is followed by the next: while there is more to delete, and else.
const SWEEP_EVERY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_mins(1));
/// How long another process, or an operator's shell, may hold the lock before that is a failure.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// The wait between two attempts at a failing disk, first and longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the writer tries to write what is left when nobody said how long it may.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How the writer goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// How long a record waits for others to share its commit.
    pub(super) company: Duration,
    pub(super) lock_patience: Duration,
    pub(super) on_failure: OnFailure,
    pub(super) retention: Option<Duration>,
}

/// The thread's own.
pub(super) struct Writer<O> {
    pub(super) store: Store,
    pub(super) queue: mpsc::Receiver<Queued>,
    /// Answered between two commits.
    pub(super) questions: mpsc::UnboundedReceiver<Question>,
    /// Comes with the moment until which what is left may be written.
    pub(super) stop: oneshot::Receiver<Instant>,
    pub(super) sign: Sign,
    pub(super) manner: Manner,
    pub(super) observer: O,
    pub(super) group: Vec<Queued>,
    pub(super) trouble: Option<Trouble>,
    pub(super) calendar: Calendar,
}

/// The disk refuses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    since: Instant,
    wait: Duration,
}

/// What is done at its time, while no record waits.
pub(super) struct Calendar {
    look_at: Instant,
    sweep_at: Instant,
    /// Something has been written since it was last looked for what others wrote.
    has_committed: bool,
    /// The same moment on both clocks.
    began: (SystemTime, Instant),
}

impl Calendar {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            look_at: now + LOOK_EVERY,
            sweep_at: now + LOOK_EVERY,
            has_committed: false,
            began: (SystemTime::now(), now),
        }
    }

    fn next(&self) -> Instant {
        self.look_at.min(self.sweep_at)
    }

    /// The time of day, unless the clock has jumped forward meanwhile: a wrong clock must not delete anything.
    fn safe_now(&self) -> SystemTime {
        let (wall, steady) = self.began;
        SystemTime::now().min(wall + steady.elapsed())
    }
}

/// Why the writer woke up.
enum Woken {
    ToWork,
    /// It is to end. `None`: nobody is left to say when.
    ToStop(Option<Instant>),
}

impl<O: Observer> Writer<O> {
    /// Writes until it is stopped. Returns what could not be written.
    pub(super) async fn run(mut self) -> Vec<Record> {
        let deadline = loop {
            match self.gather().await {
                Woken::ToStop(deadline) => break deadline,
                Woken::ToWork if !self.group.is_empty() => self.commit(),
                Woken::ToWork => {}
            }
            if self.group.is_empty() {
                self.look_around();
            }
            while let Ok(question) = self.questions.try_recv() {
                question(&Accounts(&self.store));
            }
        };
        self.finish(deadline.unwrap_or_else(|| Instant::now() + LAST_WORDS)).await;
        self.group.into_iter().map(|queued| *queued.record).collect()
    }

    /// Waits until there is something to do: a group to commit, what the calendar says, or the end.
    async fn gather(&mut self) -> Woken {
        if self.group.is_empty() {
            tokio::select! {
                biased;
                deadline = &mut self.stop => return Woken::ToStop(deadline.ok()),
                count = self.queue.recv_many(&mut self.group, GROUP) => {
                    if count == 0 {
                        return Woken::ToStop(None);
                    }
                }
                Some(question) = self.questions.recv() => {
                    question(&Accounts(&self.store));
                    return Woken::ToWork;
                }
                () = sleep_until(self.calendar.next()) => return Woken::ToWork,
            }
        }
        // Whoever came first decides: it has waited since it was recorded, also while the last group was committed.
        let ready_at = match self.trouble {
            Some(trouble) => Instant::now() + trouble.wait,
            None => self.group[0].since + self.manner.company,
        };
        let stopped = timeout_at(ready_at, &mut self.stop).await;
        self.fill();
        stopped.map_or(Woken::ToWork, |deadline| Woken::ToStop(deadline.ok()))
    }

    fn fill(&mut self) {
        while self.group.len() < GROUP
            && let Ok(queued) = self.queue.try_recv()
        {
            self.group.push(queued);
        }
    }

    /// Commits the group. It stays where it is if the disk refuses.
    fn commit(&mut self) {
        let begun = Instant::now();
        match self.store.commit(self.group.iter().map(|queued| &*queued.record)) {
            Ok(commit) => {
                self.observer.has_committed(begun.elapsed());
                self.calendar.has_committed = true;
                self.trouble = None;
                if self.sign.mend() {
                    tracing::info!("the ledger takes records again");
                }
                commit.others.iter().for_each(|new| self.observer.is_new(new));
                for (queued, new) in self.group.drain(..).zip(commit.new) {
                    settle(queued, if new { Stored::New } else { Stored::Duplicate }, &mut self.observer);
                }
            }
            Err(error) => self.refused(&error),
        }
    }

    fn refused(&mut self, error: &rusqlite::Error) {
        let now = Instant::now();
        let Trouble { since, wait } = self.trouble.unwrap_or(Trouble { since: now, wait: Duration::ZERO });
        let locked = matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked));
        if locked && now - since < self.manner.lock_patience {
            self.trouble = Some(Trouble { since, wait: Duration::ZERO }); // the attempt was a wait already
            return;
        }
        self.trouble = Some(Trouble { since, wait: (wait * 2).clamp(BACK_OFF.0, BACK_OFF.1) });
        if self.sign.fail(error.to_string()) {
            tracing::error!(ledger = %self.store.path.display(), %error, "the ledger takes no records");
        }
        if self.manner.on_failure == OnFailure::Log {
            self.log();
        }
        self.observer.has_failed(self.group.len());
    }

    /// The log takes what the disk does not.
    fn log(&mut self) {
        for queued in self.group.drain(..) {
            tracing::error!(record = %queued.record.to_json(), "not in the ledger");
            settle(queued, Stored::Logged, &mut self.observer);
        }
    }

    /// Does what the calendar says. No record is at stake, so failures only wait for the next time.
    fn look_around(&mut self) {
        let now = Instant::now();
        if now >= self.calendar.look_at {
            self.calendar.look_at = now + LOOK_EVERY;
            if std::mem::take(&mut self.calendar.has_committed) {
                self.tidy_up();
            }
            match self.store.others() {
                Ok(others) => others.iter().for_each(|new| self.observer.is_new(new)),
                Err(error) => tracing::debug!(%error, "cannot look for what other processes recorded"),
            }
        }
        if now >= self.calendar.sweep_at {
            let more = self.sweep().unwrap_or_else(|error| {
                tracing::debug!(%error, "cannot delete what is too old");
                false
            });
            self.calendar.sweep_at = now + if more { SWEEP_EVERY.0 } else { SWEEP_EVERY.1 };
        }
    }

    /// Has the system get back what the last commits have used for that.
    fn tidy_up(&self) {
        if let Err(error) = self.store.shrink() {
            tracing::debug!(%error, "the ledger keeps what it has in memory");
        }
        memory::give_back();
    }

    /// Deletes some of what is too old. Whether there is more.
    fn sweep(&mut self) -> rusqlite::Result<bool> {
        let oldest = self.manner.retention.and_then(|kept| self.calendar.safe_now().checked_sub(kept));
        oldest.map_or(Ok(false), |oldest| self.store.sweep(unix_ms(oldest)))
    }

    /// Writes what is left, until `deadline`.
    async fn finish(&mut self, deadline: Instant) {
        self.queue.close();
        loop {
            self.fill();
            if self.group.is_empty() {
                return;
            }
            self.commit();
            if self.group.is_empty() {
                continue;
            }
            if Instant::now() >= deadline {
                break;
            }
            let wait = self.trouble.map_or(Duration::ZERO, |trouble| trouble.wait);
            sleep_until(deadline.min(Instant::now() + wait)).await;
        }
        // What was never tried is as unwritten as what was.
        while let Ok(queued) = self.queue.try_recv() {
            self.group.push(queued);
        }
    }
}

/// The ledger is done with a record.
fn settle(queued: Queued, stored: Stored, observer: &mut impl Observer) {
    if let (Record::Usage(row), Stored::New | Stored::Logged) = (&*queued.record, stored) {
        observer.is_new(&row.as_new());
    }
    observer.is_stored(&queued.record, stored);
    if let Some(done) = queued.done {
        let _ = done.send(stored); // whoever waited may have given up
    }
}
