//! Sums up a ledger by key, model, upstream or day, while others write to it. Refuses to write, and to know who asks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::open::{self, LedgerError};
use super::record::unix_ms;
use crate::control::prices::NanoUsd;

/// What is summed up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// What each key used.
    Key,
    /// What each model was used for, by the name that was sent upstream.
    Model,
    /// What went to each upstream.
    Upstream,
    /// What each day brought, in UTC: `2026-11-21`.
    Day,
}

/// What a group has used. Its fields are the columns of every report, in this order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// The key, the model, the upstream or the day.
    pub group: String,
    /// Links that were opened, and have ended.
    pub links: u64,
    /// Responses.
    pub responses: u64,
    /// Transcriptions of input.
    pub transcriptions: u64,
    /// Tokens of text that went in, cached ones included.
    pub input_text: u64,
    /// Tokens of audio that went in, cached ones included.
    pub input_audio: u64,
    /// Tokens of images that went in, cached ones included.
    pub input_image: u64,
    /// Cached tokens of text.
    pub cached_text: u64,
    /// Cached tokens of audio.
    pub cached_audio: u64,
    /// Cached tokens of images.
    pub cached_image: u64,
    /// Tokens of text that came out.
    pub output_text: u64,
    /// Tokens of audio that came out.
    pub output_audio: u64,
    /// Seconds of audio, where that is what was billed.
    pub seconds: f64,
    /// What it cost, as far as it has a price.
    pub cost_usd: f64,
    /// Records without a price, which `cost_usd` does not hold.
    pub unpriced: u64,
}

impl By {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::Key, Self::Model, Self::Upstream, Self::Day];

    /// What a query calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Model => "model",
            Self::Upstream => "upstream",
            Self::Day => "day",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }

    /// In SQL, of a table with times in this column.
    fn expression(self, time: &str) -> String {
        match self {
            Self::Day => format!("ifnull(date({time} / 1000, 'unixepoch'), '')"),
            column => format!("ifnull({}, '')", column.name()),
        }
    }
}

/// Sums up what was recorded since a moment; `None`: ever. In the order of the groups' names. Blocks while it reads.
pub fn report(ledger: &Path, by: By, since: Option<SystemTime>) -> Result<Vec<Group>, LedgerError> {
    let connection = open::to_read(ledger)?;
    let since = since.map_or(i64::MIN, unix_ms);
    groups(&connection, by, since).map_err(LedgerError::of(ledger))
}

fn groups(connection: &Connection, by: By, since: i64) -> rusqlite::Result<Vec<Group>> {
    let snapshot = connection.unchecked_transaction()?; // so that both tables are of the same moment
    let (used_by, linked_by) = (by.expression("at_ms"), by.expression("opened_ms"));
    let mut groups = BTreeMap::new();
    let mut usage = snapshot.prepare(&format!(
        "SELECT {used_by} AS name, 0, count(*) FILTER (WHERE kind = 'response'), \
         count(*) FILTER (WHERE kind = 'transcription'), sum_up(input_text), sum_up(input_audio), sum_up(input_image), \
         sum_up(cached_text), sum_up(cached_audio), sum_up(cached_image), sum_up(output_text), sum_up(output_audio), \
         total(seconds), sum_up(cost_nano_usd), count(*) FILTER (WHERE cost_nano_usd IS NULL) \
         FROM usage WHERE at_ms >= ?1 GROUP BY name"
    ))?;
    for group in usage.query_map([since], group)? {
        let group = group?;
        groups.insert(group.group.clone(), group);
    }
    let mut links = snapshot
        .prepare(&format!("SELECT {linked_by} AS name, count(*) FROM link WHERE opened_ms >= ?1 GROUP BY name"))?;
    for link in links.query_map([since], |row| Ok((row.get(0)?, count(row, 1)?)))? {
        let (name, links): (String, u64) = link?;
        groups.entry(name.clone()).or_insert_with(|| Group { group: name, ..Group::default() }).links = links;
    }
    Ok(groups.into_values().collect())
}

fn group(row: &Row<'_>) -> rusqlite::Result<Group> {
    Ok(Group {
        group: row.get(0)?,
        links: count(row, 1)?,
        responses: count(row, 2)?,
        transcriptions: count(row, 3)?,
        input_text: count(row, 4)?,
        input_audio: count(row, 5)?,
        input_image: count(row, 6)?,
        cached_text: count(row, 7)?,
        cached_audio: count(row, 8)?,
        cached_image: count(row, 9)?,
        output_text: count(row, 10)?,
        output_audio: count(row, 11)?,
        seconds: row.get(12)?,
        cost_usd: NanoUsd::new(count(row, 13)?).dollars(),
        unpriced: count(row, 14)?,
    })
}

/// A count is never below zero, unless somebody has written one by hand.
fn count(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}
