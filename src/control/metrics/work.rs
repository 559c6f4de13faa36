//! What workers count: names, labels, and what they mean, for those who read them.
//!
//! It refuses to count.

use prometheus::{CounterVec, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::Stage;
use super::families::Lasting;
use crate::relay::ending::Ending;

/// Of the time that a part of setting up a link takes, in seconds: from a request that needs nothing but this process to
/// one for which clients do not wait any longer.
const SETUP_SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The families of all workers.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) links: IntGaugeVec,
    pub(super) opened: IntCounterVec,
    pub(super) ended: IntCounterVec,
    pub(super) unsettled: IntCounterVec,
    pub(super) refusals: IntCounterVec,
    pub(super) tls_failures: IntCounter,
    pub(super) setup: HistogramVec,
    pub(super) attempts: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) passed_over: IntCounterVec,
    pub(super) warm_legs_used: IntCounterVec,
    pub(super) frames: IntCounterVec,
    pub(super) bytes: IntCounterVec,
    pub(super) busy: CounterVec,
}

impl Work {
    pub(super) fn new(lasting: &Lasting<'_>) -> Self {
        let work = Self {
            links: lasting.gauges("links", &["key", "upstream"], "Links that are open, by the key of the client."),
            opened: lasting.counters(
                "links_opened_total",
                &["key", "upstream"],
                "Links that began: a client was answered 101.",
            ),
            ended: lasting.counters(
                "links_ended_total",
                &["upstream", "ending"],
                "Links that are over, by what ended them. `panic` is a fault of the relay itself.",
            ),
            unsettled: lasting.counters(
                "links_unsettled_total",
                &["upstream"],
                "Links that were over before the upstream told what a response under way had used. It bills that, and \
                 the ledger does not have it.",
            ),
            refusals: lasting.counters(
                "refusals_total",
                &["code"],
                "Requests that got no link, by the code their client was told.",
            ),
            tls_failures: lasting.counter(
                "client_tls_failures_total",
                "Connections of clients that failed to begin TLS, or took too long.",
            ),
            setup: lasting.histograms(
                "setup_seconds",
                &["stage"],
                &SETUP_SECONDS,
                "Time to set up a link, by stage: admission (the request is judged), dial (from DNS to the 101 of the \
                 upstream that took it), first_event (until that one has spoken). A warm leg has neither of the last \
                 two.",
            ),
            attempts: lasting.counters(
                "upstream_attempts_total",
                &["upstream"],
                "Attempts to open a leg to the upstream, those for warm legs included.",
            ),
            failures: lasting.counters(
                "upstream_failures_total",
                &["upstream", "kind"],
                "Attempts that gave no leg, by where they failed: dns, tcp, tls, proxy, timeout, not_http, answer \
                 (another status than 101), first_event; for reasons of this side: shortage, unsendable_key, \
                 unsendable_target.",
            ),
            passed_over: lasting.counters(
                "upstream_passed_over_total",
                &["upstream", "reason"],
                "Times that the upstream was not called for a client or a warm leg: its breaker was open \
                 (breaker_open), or it carried all the links it may (full).",
            ),
            warm_legs_used: lasting.counters(
                "warm_legs_used_total",
                &["upstream"],
                "Links that got a leg opened ahead.",
            ),
            frames: lasting.counters(
                "frames_total",
                &["direction"],
                "Frames forwarded: up to upstreams, down to clients.",
            ),
            bytes: lasting.counters(
                "bytes_total",
                &["direction"],
                "Bytes forwarded, frame headers included: up to upstreams, down to clients.",
            ),
            busy: lasting.sums(
                "worker_busy_seconds_total",
                &["worker"],
                "Time in which the worker did anything but wait.",
            ),
        };
        // A series that appears only with its first event hides that event from `rate`: what can be named beforehand
        // begins at zero.
        for stage in Stage::ALL {
            work.setup.with_label_values(&[stage.name()]);
        }
        work
    }

    /// The same for an upstream.
    pub(super) fn begin_upstream(&self, name: &str) {
        for of_upstream in [&self.attempts, &self.warm_legs_used, &self.unsettled] {
            of_upstream.with_label_values(&[name]);
        }
        for ending in Ending::NAMES {
            self.ended.with_label_values(&[name, ending]);
        }
    }
}
