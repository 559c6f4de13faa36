//! Metrics: what the process counts, under the names by which Prometheus knows it.
//!
//! Workers count for themselves, in [`Measures`], and publish when they are asked; the ledger's thread counts what was
//! used, in [`Counted`]; how things stand at the moment of asking comes as a [`Moment`]. Every label is bounded: keys and
//! upstreams are named by the configuration, codes and endings by the code, models as `models` says. It refuses to know
//! who asks, and where what it is told comes from.

mod books;
mod families;
mod measures;
mod models;
mod moment;
mod reloads;
#[cfg(test)]
mod tests;
mod usage;
mod work;

use std::sync::Arc;

use prometheus::{Registry, TextEncoder};

use super::config::Config;
use books::Books;
use families::Lasting;
use models::Models;
use reloads::Reloads;
use work::Work;

pub use measures::{Measures, Stage};
pub use moment::{Moment, UpstreamNow, WorkerNow};
pub use usage::Counted;

/// What [`Metrics::text`] is, as a media type.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of one process. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    work: Arc<Work>,
    books: Arc<Books>,
    reloads: Arc<Reloads>,
    models: Models,
}

impl Metrics {
    /// Nothing was counted yet, of what this configuration names.
    pub fn new(config: &Config) -> Self {
        let registry = Registry::new();
        let lasting = Lasting(&registry);
        #[cfg(target_os = "linux")]
        lasting.register(prometheus::process_collector::ProcessCollector::for_self());
        let (work, books) = (Arc::new(Work::new(&lasting)), Arc::new(Books::new(&lasting)));
        let reloads = Arc::new(Reloads::new(&lasting));
        let metrics = Self { registry, work, books, reloads, models: Models::default() };
        metrics.know(config);
        metrics
    }

    /// From now on the names of this configuration are told apart. What was counted under others stays.
    pub fn know(&self, config: &Config) {
        self.models.know(config);
        for upstream in &config.upstreams {
            self.work.begin_upstream(&upstream.name);
        }
    }

    /// The configuration was read again.
    pub fn reloaded(&self, succeeded: bool) {
        self.reloads.count(succeeded);
    }

    /// All that was counted and published, and how things stand, in the text format 0.0.4. Reads the process's own
    /// figures from the system, which takes some milliseconds where it has many sockets.
    pub fn text(&self, moment: &Moment) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(moment.families()?);
        families.sort_by(|one, other| one.name().cmp(other.name()));
        TextEncoder::new().encode_to_string(&families)
    }
}
