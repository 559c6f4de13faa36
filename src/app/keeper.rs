//! The thread that keeps the house: it has clients and operators let in, and stays until the house is empty.
//!
//! It refuses to know what a drain consists of, and what becomes of those who were let in.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;

use super::house::{OpenHouse, Openings};
use crate::control::drain::Schedule;
use crate::control::ledger::{Accountant, FlushError, Ledger, Record};

/// How long the ledger may take for the last records. A disk that has not taken them by then takes none.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The handle of the thread. Dropped, it stops, and with it all workers.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: Option<oneshot::Sender<()>>,
    over: oneshot::Receiver<Result<(), FlushError>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Opens the house. When it returns, connections are accepted.
    pub(super) fn start(openings: Openings, schedule: Schedule, ledger: Ledger) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell_over, over) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let metering = openings.in_force.common.metering.clone();
        let accountant = ledger.accountant();
        let thread = std::thread::Builder::new().name("keeper".to_owned()).spawn(move || {
            match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => run(runtime, openings, accountant, schedule, &ready, stopped),
                Err(error) => drop(ready.send(Err(error))),
            }
            // Every worker is gone, and whatever it had to record is on its way. What comes after this may find the
            // process gone.
            let flushed = with_left(ledger.flush(Instant::now() + FLUSH_TIMEOUT), metering.take_left());
            if let Err(FlushError::Unwritten { records, .. }) = &flushed {
                leave_on_stderr(records);
            }
            let _ = tell_over.send(flushed);
        })?;
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the keeper did not start")))?;
        Ok(Self { stop: Some(stop), over, thread: Some(thread) })
    }

    /// Ready when the thread, and all workers, have done what they had to do. Fails where something is not recorded.
    ///
    /// Cancel safe.
    pub(super) async fn finished(&mut self) -> anyhow::Result<()> {
        let flushed = (&mut self.over).await.context("the keeper failed")?;
        Ok(flushed?)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the keeper panicked");
        }
    }
}

/// With the records that found no room in the ledger.
fn with_left(flushed: Result<(), FlushError>, left: Vec<Record>) -> Result<(), FlushError> {
    match flushed {
        flushed if left.is_empty() => flushed,
        Err(FlushError::Unwritten { records, error }) => {
            Err(FlushError::Unwritten { records: [records, left].concat(), error })
        }
        Ok(()) => Err(FlushError::Unwritten { records: left, error: "its queue was full".to_owned() }),
        Err(other) => {
            leave_on_stderr(&left);
            Err(other)
        }
    }
}

/// For those who must put them in by hand: a line of JSON each.
fn leave_on_stderr(records: &[Record]) {
    for record in records {
        eprintln!("{}", record.to_json());
    }
}

fn run(
    runtime: LocalRuntime,
    openings: Openings,
    accountant: Accountant,
    schedule: Schedule,
    ready: &mpsc::Sender<io::Result<()>>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let drain = openings.in_force.common.drain.clone();
        let house = match OpenHouse::open(openings, accountant).await {
            Ok(house) => house,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        tokio::select! {
            biased;
            _ = stopped => {}
            () = drain.see_through(schedule, &house) => {}
        }
    });
    // The tasks of this thread hold the workers too: now those end, and with them what they still carry. Who reads the
    // ledger for an operator is not waited for.
    runtime.shutdown_background();
}
