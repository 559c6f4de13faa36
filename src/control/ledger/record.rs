//! What is recorded: rows of the two tables as plain values. Refuses to know how they are written.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::control::prices::NanoUsd;
use crate::relay::events::{Tokens, Usage};

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Of the table `usage`.
    Usage(UsageRow),
    /// Of the table `link`.
    Link(LinkRow),
}

/// What one response or one transcription used.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRow {
    /// When it was told, in Unix milliseconds.
    pub at_ms: i64,
    /// The link that carried it.
    pub link_id: Uuid,
    /// The name of the client's key; `none` or `passthrough` in those modes.
    pub key: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The name that was sent upstream.
    pub model: Box<str>,
    /// What was used.
    pub kind: UsageKind,
    /// With the link and the kind it identifies the record; `None`: always a record of its own.
    pub response_id: Option<Box<str>>,
    /// The upstream's word for how it ended.
    pub status: Box<str>,
    /// In tokens.
    pub usage: Usage,
    /// In seconds of audio, where that is what is billed.
    pub seconds: Option<f64>,
    /// `None`: there is no price, or it could not be read.
    pub cost: Option<NanoUsd>,
    /// Whether a price is missed where there is none. Not in the table.
    pub billed: bool,
}

/// What was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageKind {
    /// A response of the model.
    Response,
    /// A transcription of what the client said. Its id is the item's, with the index of the content.
    Transcription,
}

/// How a link went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    /// Its own id.
    pub link_id: Uuid,
    /// The id of the request that opened it.
    pub request_id: Arc<str>,
    /// The name of the client's key; `none` or `passthrough` in those modes.
    pub key: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The name that was sent upstream.
    pub model: Box<str>,
    /// When its 101 was answered, in Unix milliseconds.
    pub opened_ms: i64,
    /// When both legs were gone, in Unix milliseconds.
    pub ended_ms: i64,
    /// What ended it, in one word.
    pub ending: &'static str,
    /// Whether a response was still under way when it ended.
    pub unsettled: bool,
    /// The code of the client's close frame.
    pub client_close: Option<u16>,
    /// The code of the upstream's close frame.
    pub upstream_close: Option<u16>,
    /// From the client.
    pub frames_up: u64,
    /// To the client.
    pub frames_down: u64,
    /// From the client.
    pub bytes_up: u64,
    /// To the client.
    pub bytes_down: u64,
}

/// What was used: money, where it has a price, and tokens of all kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// What it cost.
    pub cost: NanoUsd,
    /// In and out.
    pub tokens: u64,
}

/// A usage row that is new to the ledger, whichever process wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUsage {
    /// Whose.
    pub key: Arc<str>,
    /// When, in Unix milliseconds.
    pub at_ms: i64,
    /// How much.
    pub used: Used,
}

impl UsageKind {
    /// As the table has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Transcription => "transcription",
        }
    }
}

impl UsageRow {
    /// What a quota counts of it. What has no price uses no money.
    pub(super) fn as_new(&self) -> NewUsage {
        let Usage { input, cached: _, output } = self.usage;
        let tokens = [input, output].into_iter().flat_map(|Tokens { text, audio, image }| [text, audio, image]);
        let used = Used { cost: self.cost.unwrap_or_default(), tokens: tokens.fold(0, u64::saturating_add) };
        NewUsage { key: self.key.clone(), at_ms: self.at_ms, used }
    }
}

impl Record {
    /// The row as JSON: its table, and its columns under their names. For those who must put it in by hand.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Usage(row) => json!({
                "table": "usage",
                "at_ms": row.at_ms,
                "link_id": row.link_id.to_string(),
                "key": row.key,
                "upstream": row.upstream,
                "model": row.model,
                "kind": row.kind.name(),
                "response_id": row.response_id,
                "status": row.status,
                "input_text": row.usage.input.text,
                "input_audio": row.usage.input.audio,
                "input_image": row.usage.input.image,
                "cached_text": row.usage.cached.text,
                "cached_audio": row.usage.cached.audio,
                "cached_image": row.usage.cached.image,
                "output_text": row.usage.output.text,
                "output_audio": row.usage.output.audio,
                "seconds": row.seconds,
                "cost_nano_usd": row.cost.map(NanoUsd::nano),
            }),
            Self::Link(row) => json!({
                "table": "link",
                "link_id": row.link_id.to_string(),
                "request_id": row.request_id,
                "key": row.key,
                "upstream": row.upstream,
                "model": row.model,
                "opened_ms": row.opened_ms,
                "ended_ms": row.ended_ms,
                "ending": row.ending,
                "unsettled": row.unsettled,
                "client_close": row.client_close,
                "upstream_close": row.upstream_close,
                "frames_up": row.frames_up,
                "frames_down": row.frames_down,
                "bytes_up": row.bytes_up,
                "bytes_down": row.bytes_down,
            }),
        }
    }
}

/// A moment as the ledger writes it: Unix milliseconds.
pub fn unix_ms(moment: SystemTime) -> i64 {
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match moment.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}
