//! How things stand at the moment when somebody asks: gauges that nobody keeps, so that none is left of an upstream or a
//! key that is gone.
//!
//! It refuses to find anything out.

use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Registry, Result};

use super::families::opts;
use crate::control::drain::Phase;

/// What one breaker can be.
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];

const PHASES: [(Phase, &str); 4] =
    [(Phase::Serving, "serving"), (Phase::Grace, "grace"), (Phase::Draining, "draining"), (Phase::Ending, "ending")];

/// How things stand.
#[derive(Debug)]
pub struct Moment {
    /// Whether new clients should be sent here.
    pub ready: bool,
    /// How far the process is on its way out.
    pub phase: Phase,
    /// By their numbers.
    pub workers: Vec<WorkerNow>,
    /// Those of the configuration.
    pub upstreams: Vec<UpstreamNow>,
    /// Whether the disk takes records.
    pub ledger_is_well: bool,
    /// Records that wait, and how many may.
    pub ledger_queue: (usize, usize),
    /// Of each key that has a quota, the part that is used; more than 1 where it was overrun.
    pub quotas: Vec<(String, f64)>,
}

/// How a worker does.
#[derive(Debug, Clone, Copy)]
pub struct WorkerNow {
    /// Whether it has published what it counted.
    pub answered: bool,
    /// Connections of clients.
    pub carried: usize,
}

/// How an upstream does.
#[derive(Debug)]
pub struct UpstreamNow {
    /// What the configuration calls it.
    pub name: String,
    /// `closed`, `open` or `half_open`.
    pub breaker: &'static str,
    /// Links, and attempts under way.
    pub links: usize,
    /// Legs that wait.
    pub warm: usize,
    /// How often it did not take our credential.
    pub credential_rejected: u64,
}

impl Moment {
    /// As families, sorted; none is empty.
    pub(super) fn families(&self) -> Result<Vec<MetricFamily>> {
        let registry = Registry::new();
        self.tell_of_process(&registry)?;
        self.tell_of_workers(&registry)?;
        self.tell_of_upstreams(&registry)?;
        self.tell_of_metering(&registry)?;
        Ok(registry.gather())
    }

    fn tell_of_process(&self, registry: &Registry) -> Result<()> {
        let build = gauges(registry, "build_info", &["version"], "Constant 1, with the version of the relay.")?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        single(registry, "ready", "Whether new clients should be sent here, as /readyz answers.", self.ready)?;
        let help = "How far the process is on its way out: 1 for the phase it is in.";
        let phase = gauges(registry, "drain_phase", &["phase"], help)?;
        for (each, name) in PHASES {
            phase.with_label_values(&[name]).set((each == self.phase).into());
        }
        Ok(())
    }

    fn tell_of_workers(&self, registry: &Registry) -> Result<()> {
        let help = "Whether the worker has published for this scrape; 0: what it counted is as of an earlier one.";
        let answered = gauges(registry, "worker_answered", &["worker"], help)?;
        let help = "Connections of clients that the worker carries: admissions, links, refusals on their way.";
        let carried = gauges(registry, "worker_connections", &["worker"], help)?;
        for (number, worker) in self.workers.iter().enumerate() {
            let number = number.to_string();
            answered.with_label_values(&[&number]).set(worker.answered.into());
            carried.with_label_values(&[&number]).set(whole(worker.carried));
        }
        Ok(())
    }

    fn tell_of_upstreams(&self, registry: &Registry) -> Result<()> {
        let help = "Links to the upstream, and attempts under way.";
        let links = gauges(registry, "upstream_links", &["upstream"], help)?;
        let help = "Legs to the upstream that wait for a client.";
        let warm = gauges(registry, "upstream_warm_legs", &["upstream"], help)?;
        let help = "The circuit breaker of the upstream: 1 for the state it is in.";
        let breaker = gauges(registry, "upstream_breaker_state", &["upstream", "state"], help)?;
        let help = "Attempts at which the upstream did not take the relay's own credential.";
        let rejected = IntCounterVec::new(opts("upstream_credential_rejected_total", help), &["upstream"])?;
        registry.register(Box::new(rejected.clone()))?;
        for upstream in &self.upstreams {
            let name = upstream.name.as_str();
            links.with_label_values(&[name]).set(whole(upstream.links));
            warm.with_label_values(&[name]).set(whole(upstream.warm));
            for state in BREAKER_STATES {
                breaker.with_label_values(&[name, state]).set((state == upstream.breaker).into());
            }
            rejected.with_label_values(&[name]).inc_by(upstream.credential_rejected);
        }
        Ok(())
    }

    fn tell_of_metering(&self, registry: &Registry) -> Result<()> {
        let (waiting, capacity) = self.ledger_queue;
        single(registry, "ledger_up", "Whether the ledger takes records.", self.ledger_is_well)?;
        let help = "Records that wait for the ledger's thread.";
        single(registry, "ledger_queue_records", help, whole(waiting))?;
        let help = "Records that may wait. When so many do, links wait for room.";
        single(registry, "ledger_queue_capacity_records", help, whole(capacity))?;
        let help = "The part of a key's quota that is used in its present period; its links end at 1.";
        let quotas = GaugeVec::new(opts("quota_used_ratio", help), &["key"])?;
        registry.register(Box::new(quotas.clone()))?;
        for (key, ratio) in &self.quotas {
            quotas.with_label_values(&[key]).set(*ratio);
        }
        Ok(())
    }
}

fn gauges(registry: &Registry, name: &str, labels: &[&str], help: &str) -> Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(opts(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

/// One without labels.
fn single(registry: &Registry, name: &str, help: &str, value: impl Into<i64>) -> Result<()> {
    gauges(registry, name, &[], help)?.with_label_values(&[] as &[&str]).set(value.into());
    Ok(())
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
