//! What was used, and how the ledger does, counted on the ledger's own thread as it learns what is new: a response that
//! comes twice counts once, one that only the log has counts as well.
//!
//! It refuses to know the disk and the quotas. What was used is counted since this process began, and what other
//! processes recorded is theirs to tell.

use std::sync::Arc;
use std::time::Duration;

use super::Metrics;
use super::books::Books;
use super::models::Models;
use crate::control::ledger::{NewUsage, Observer, Record, Stored, UsageRow};
use crate::relay::events::UNREADABLE;

/// Counts, and hands on what it is told of what is new to `then`.
#[derive(Debug)]
pub struct Counted<O> {
    books: Arc<Books>,
    models: Models,
    then: O,
}

impl<O> Counted<O> {
    /// Counts in these metrics.
    pub fn new(metrics: &Metrics, then: O) -> Self {
        Self { books: metrics.books.clone(), models: metrics.models.clone(), then }
    }

    fn count(&self, row: &UsageRow) {
        let (model, kind) = (&*self.models.label(&row.model), row.kind.name());
        let books = &self.books;
        for (kind, tokens) in tokens(row) {
            books.tokens.with_label_values(&[model, kind]).inc_by(tokens);
        }
        // An upstream may say anything, but a counter only grows.
        if let Some(seconds) = row.seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0) {
            books.seconds.with_label_values(&[model]).inc_by(seconds);
        }
        match row.cost {
            Some(cost) => books.cost.with_label_values(&[&row.key, model]).inc_by(cost.dollars()),
            None if &*row.status == UNREADABLE => books.unreadable.with_label_values(&[kind]).inc(),
            None if !row.billed => {}
            None => books.unpriced.with_label_values(&[model]).inc(),
        }
        // Last: whoever has seen it finds the rest.
        books.usage_records.with_label_values(&[model, kind]).inc();
    }
}

impl<O: Observer> Observer for Counted<O> {
    fn is_new(&mut self, usage: &NewUsage) {
        self.then.is_new(usage);
    }

    fn is_stored(&mut self, record: &Record, stored: Stored) {
        let outcome = match stored {
            Stored::New => "new",
            Stored::Duplicate => "duplicate",
            Stored::Logged => "logged",
            Stored::Unwritten => return, // nobody is done with it
        };
        self.books.records.with_label_values(&[outcome]).inc();
        if let (Record::Usage(row), Stored::New | Stored::Logged) = (record, stored) {
            self.count(row);
        }
        self.then.is_stored(record, stored);
    }

    fn has_committed(&mut self, took: Duration) {
        self.books.commits.observe(took.as_secs_f64());
        self.books.refused_records.set(0);
        self.then.has_committed(took);
    }

    fn has_failed(&mut self, kept: usize) {
        self.books.commit_failures.inc();
        self.books.refused_records.set(i64::try_from(kept).unwrap_or(i64::MAX));
        self.then.has_failed(kept);
    }
}

/// The tokens of a row, by the ledger's columns.
fn tokens(row: &UsageRow) -> [(&'static str, u64); 8] {
    let usage = &row.usage;
    [
        ("input_text", usage.input.text),
        ("input_audio", usage.input.audio),
        ("input_image", usage.input.image),
        ("cached_text", usage.cached.text),
        ("cached_audio", usage.cached.audio),
        ("cached_image", usage.cached.image),
        ("output_text", usage.output.text),
        ("output_audio", usage.output.audio),
    ]
}
