//! What the ledger's thread counts: names, labels, and what they mean, for those who read them.
//!
//! It refuses to count.

use prometheus::{CounterVec, Histogram, IntCounter, IntCounterVec, IntGauge};

use super::families::Lasting;

/// Of the time that a commit takes, in seconds: from a page cache to a disk that stalls.
const COMMIT_SECONDS: [f64; 12] = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The families of the ledger, and of what it takes.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) commits: Histogram,
    pub(super) commit_failures: IntCounter,
    pub(super) refused_records: IntGauge,
    pub(super) records: IntCounterVec,
    pub(super) usage_records: IntCounterVec,
    pub(super) tokens: IntCounterVec,
    pub(super) seconds: CounterVec,
    pub(super) cost: CounterVec,
    pub(super) unpriced: IntCounterVec,
    pub(super) unreadable: IntCounterVec,
}

impl Books {
    pub(super) fn new(lasting: &Lasting<'_>) -> Self {
        let books = Self {
            commits: lasting.histogram(
                "ledger_commit_seconds",
                &COMMIT_SECONDS,
                "Time that the disk took to commit a group of records.",
            ),
            commit_failures: lasting.counter("ledger_commit_failures_total", "Commits that the disk refused."),
            refused_records: lasting.gauge(
                "ledger_refused_records",
                "Records that the disk has refused, and that are kept to be tried again.",
            ),
            records: lasting.counters(
                "ledger_records_total",
                &["outcome"],
                "Records that the ledger is done with: new, duplicate (the response was there already), logged (the \
                 disk refused it, and only the log has it).",
            ),
            usage_records: lasting.counters(
                "usage_records_total",
                &["model", "kind"],
                "Responses and transcriptions recorded.",
            ),
            tokens: lasting.counters(
                "tokens_total",
                &["model", "kind"],
                "Tokens recorded. cached_* are part of input_*.",
            ),
            seconds: lasting.sums(
                "transcription_seconds_total",
                &["model"],
                "Seconds of audio recorded whose transcription is billed by time.",
            ),
            cost: lasting.sums(
                "cost_dollars_total",
                &["key", "model"],
                "What the usage recorded costs, in US dollars; without what has no price.",
            ),
            unpriced: lasting.counters(
                "usage_unpriced_total",
                &["model"],
                "Responses and transcriptions recorded without a cost, because there is no price.",
            ),
            unreadable: lasting.counters(
                "usage_unreadable_total",
                &["kind"],
                "Responses and transcriptions that could not be read: nobody knows what they used.",
            ),
        };
        for outcome in ["new", "duplicate", "logged"] {
            books.records.with_label_values(&[outcome]);
        }
        for kind in ["response", "transcription"] {
            books.unreadable.with_label_values(&[kind]);
        }
        books
    }
}
