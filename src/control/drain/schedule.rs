//! How long each part of a drain may take. Refuses to wait itself.

use std::fmt;
use std::time::Duration;

use super::Limits;

/// The parts of a drain, as configured.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// How long clients are still admitted.
    pub grace: Duration,
    /// How long links may then go on; `None`: for ever.
    pub timeout: Option<Duration>,
    /// Over how long the endings of the others are spread.
    pub spread: Duration,
    /// How long the end of one link may take: what is under way settles, then both peers are told.
    pub farewell: Duration,
}

impl Schedule {
    /// The schedule that a configuration asks for.
    pub fn of(limits: &Limits) -> Self {
        Self {
            grace: limits.drain_grace,
            timeout: limits.drain_timeout,
            spread: limits.drain_spread,
            farewell: limits.settle_timeout + limits.close_timeout,
        }
    }

    /// From the first link that is ended to the last that is gone.
    pub fn ending(&self) -> Duration {
        self.spread + self.farewell
    }

    /// From the signal to the exit; `None`: there is no telling.
    pub fn worst_case(&self) -> Option<Duration> {
        Some(self.grace + self.timeout? + self.ending())
    }
}

/// What whoever runs the process has to know of it.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worst_case() {
            Some(worst) => write!(
                f,
                "SIGTERM drains: at most {worst:?} to exit; whoever kills this process after a while must wait longer"
            ),
            None => f.write_str(
                "SIGTERM drains, and waits for ever for links to end (drain_timeout is 0); whoever kills this process after \
                 a while cuts them",
            ),
        }
    }
}
