//! How a family is made: under our name, and registered, so that it is told.
//!
//! It refuses to know any.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Stands before every name of ours.
const NAMESPACE: &str = "realtime_relay";

/// Where families are registered that last as long as the process. A name that is taken, or that Prometheus does not
/// allow, is a mistake that no process survives its first moment with.
pub(super) struct Lasting<'r>(pub(super) &'r Registry);

impl Lasting<'_> {
    pub(super) fn register(&self, family: impl Collector + 'static) {
        self.0.register(Box::new(family)).expect("names are unique");
    }

    fn made<F: Collector + Clone + 'static>(&self, family: prometheus::Result<F>) -> F {
        let family = family.expect("a name and labels that Prometheus allows");
        self.register(family.clone());
        family
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.made(IntCounter::with_opts(opts(name, help)))
    }

    pub(super) fn counters(&self, name: &str, labels: &[&str], help: &str) -> IntCounterVec {
        self.made(IntCounterVec::new(opts(name, help), labels))
    }

    /// Counters of what is not counted in whole numbers.
    pub(super) fn sums(&self, name: &str, labels: &[&str], help: &str) -> CounterVec {
        self.made(CounterVec::new(opts(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.made(IntGauge::with_opts(opts(name, help)))
    }

    pub(super) fn gauges(&self, name: &str, labels: &[&str], help: &str) -> IntGaugeVec {
        self.made(IntGaugeVec::new(opts(name, help), labels))
    }

    pub(super) fn moment(&self, name: &str, help: &str) -> Gauge {
        self.made(Gauge::with_opts(opts(name, help)))
    }

    pub(super) fn histogram(&self, name: &str, bounds: &[f64], help: &str) -> Histogram {
        self.made(Histogram::with_opts(buckets(name, bounds, help)))
    }

    pub(super) fn histograms(&self, name: &str, labels: &[&str], bounds: &[f64], help: &str) -> HistogramVec {
        self.made(HistogramVec::new(buckets(name, bounds, help), labels))
    }
}

pub(super) fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

fn buckets(name: &str, bounds: &[f64], help: &str) -> HistogramOpts {
    HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(bounds.to_vec())
}
