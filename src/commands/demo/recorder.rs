//! The relay's records, read where an operator reads them: in its log. It refuses to know what they mean.

use std::fmt::Debug;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::client::PATIENCE;
use super::records::LinkRecords;

const OPENED: &str = "link opened";
const USAGE: &str = "usage";
const ENDED: &str = "link ended";

/// One link has three; the rest is room for the demo to become longer.
const MOST_RECORDS: usize = 64;

/// The log of this process goes here, from now on.
pub(super) fn listen() -> anyhow::Result<Records> {
    let (sender, records) = mpsc::channel(MOST_RECORDS);
    let log = tracing_subscriber::registry().with(LevelFilter::INFO).with(Recorder { sender });
    log.try_init().context("the log cannot be read")?;
    Ok(Records { records })
}

/// What has been recorded and not yet been looked at.
pub(super) struct Records {
    records: mpsc::Receiver<Record>,
}

impl Records {
    /// Waits for the end of a link, and gives what was recorded of it.
    pub(super) async fn next_link(&mut self) -> anyhow::Result<LinkRecords> {
        let ended = timeout(PATIENCE, self.until_ended()).await;
        ended.with_context(|| format!("the relay recorded no end of the link within {} s", PATIENCE.as_secs()))?
    }

    async fn until_ended(&mut self) -> anyhow::Result<LinkRecords> {
        let (mut opened, mut usage) = (false, None);
        while let Some(record) = self.records.recv().await {
            match record.name.as_str() {
                OPENED => opened = true,
                USAGE => usage = Some(record),
                _ => {
                    ensure!(opened, "the relay recorded the end of a link, but no beginning");
                    let usage = usage.context("the relay recorded no usage")?;
                    return Ok(LinkRecords { usage, ended: record });
                }
            }
        }
        bail!("the relay's log ended")
    }
}

/// One line of the log.
#[derive(Default)]
pub(super) struct Record {
    name: String,
    fields: Map<String, Value>,
}

impl Record {
    /// A field that is one.
    pub(super) fn number(&self, field: &str) -> Option<u64> {
        self.fields.get(field).and_then(Value::as_u64)
    }

    /// Any field.
    pub(super) fn text(&self, field: &str) -> String {
        match self.fields.get(field) {
            None => "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

#[cfg(test)]
impl Record {
    /// With these fields.
    pub(super) fn of(fields: Value) -> Self {
        let Value::Object(fields) = fields else { return Self::default() };
        Self { fields, ..Self::default() }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.name = format!("{value:?}");
        } else {
            self.fields.insert(field.name().to_owned(), format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

/// Takes the records of links out of the log, and drops the rest.
struct Recorder {
    sender: mpsc::Sender<Record>,
}

impl<S: Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut record = Record::default();
        event.record(&mut record);
        if [OPENED, USAGE, ENDED].contains(&record.name.as_str()) {
            // The worker must not wait for the demo: what is lost is missed by whoever waits for it.
            let _ = self.sender.try_send(record);
        }
    }
}
