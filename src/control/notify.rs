//! What a service manager is told of this process, in the words of `sd_notify(3)`: that it serves, reloads, stops, and is
//! alive. Where no manager asks (`NOTIFY_SOCKET`), nothing is said.
//!
//! It refuses to know why something happens, and whether workers answer.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

/// Of the time within which the manager wants to hear of the process, the part after which it does. One answer that
/// comes late is then not the end.
const PINGS_IN_TIME: u32 = 3;

/// The line to the service manager. All threads share it.
#[derive(Debug, Default)]
pub struct Notify {
    /// Another process speaks for the service now.
    relieved: AtomicBool,
}

impl Notify {
    /// Clients are served. Whoever has taken the place of another process says its own id: the manager knows the other
    /// one (and must listen to all processes of the service: `NotifyAccess=all`).
    pub fn ready(&self, status: &str) {
        self.say(&[NotifyState::MainPid(std::process::id()), NotifyState::Status(status), NotifyState::Ready]);
    }

    /// What is configured is read again. Until the value is dropped, the manager waits.
    #[must_use = "it is over when this is dropped"]
    pub fn reloading(&self) -> Reloading<'_> {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.say(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "there is no monotonic clock"),
        }
        Reloading(self)
    }

    /// The process is on its way out.
    pub fn stopping(&self, status: &str) {
        self.say(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// A successor has taken the sockets. What this process does from now on is not what the service does: that it stops
    /// would be taken for the end of both.
    pub fn fall_silent(&self) {
        self.relieved.store(true, Ordering::Relaxed);
    }

    /// How often the manager wants to be told that the process is alive; `None`: it does not.
    pub fn watchdog(&self) -> Option<Duration> {
        sd_notify::watchdog_enabled().map(|within| within / PINGS_IN_TIME).filter(|every| !every.is_zero())
    }

    /// The process is alive. Said even of one that is relieved: in a unit of its own it would be killed otherwise, and its
    /// links with it.
    pub fn alive(&self) {
        log(sd_notify::notify(&[NotifyState::Watchdog]));
    }

    fn say(&self, what: &[NotifyState<'_>]) {
        if !self.relieved.load(Ordering::Relaxed) {
            log(sd_notify::notify(what));
        }
    }
}

/// A reload that is under way.
#[derive(Debug)]
pub struct Reloading<'n>(&'n Notify);

impl Drop for Reloading<'_> {
    fn drop(&mut self) {
        self.0.say(&[NotifyState::Ready]);
    }
}

/// A manager that does not listen changes nothing here.
fn log(said: io::Result<()>) {
    if let Err(error) = said {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
