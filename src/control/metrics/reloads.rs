//! What became of the configuration since the process began.
//!
//! It refuses to know what a configuration says.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounterVec, IntGauge};

use super::families::Lasting;

/// How each attempt to put another configuration in force went.
#[derive(Debug)]
pub(super) struct Reloads {
    all: IntCounterVec,
    last_succeeded: IntGauge,
    in_force_since: Gauge,
}

impl Reloads {
    pub(super) fn new(lasting: &Lasting<'_>) -> Self {
        let help = "Times that the configuration was read again: it is in force, or nothing has changed.";
        let reloads = Self {
            all: lasting.counters("config_reloads_total", &["outcome"], help),
            last_succeeded: lasting.gauge(
                "config_last_reload_successful",
                "Whether the configuration came into force when it was last read; 0: the relay goes on with what it had.",
            ),
            in_force_since: lasting
                .moment("config_in_force_since_timestamp_seconds", "When what is in force was read, as Unix time."),
        };
        for outcome in ["success", "failure"] {
            reloads.all.with_label_values(&[outcome]);
        }
        reloads.succeeded();
        reloads
    }

    /// What was read is in force.
    pub(super) fn succeeded(&self) {
        self.last_succeeded.set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.in_force_since.set(now.as_secs_f64());
    }

    pub(super) fn count(&self, succeeded: bool) {
        self.all.with_label_values(&[if succeeded { "success" } else { "failure" }]).inc();
        if succeeded {
            self.succeeded();
        } else {
            self.last_succeeded.set(0);
        }
    }
}
