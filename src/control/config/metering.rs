//! Reads `[metering]`: where usage is kept, how safely, for how long, and what it costs. Refuses to open a ledger.

use std::path::PathBuf;
use std::time::Duration;

use super::outside::Outside;
use super::table::Table;
use super::{built_in_prices, prices, units};
use crate::control::prices::Prices;

/// Where the ledger is, unless told otherwise: beside the configuration.
const USUAL_LEDGER: &str = "usage.db";

/// `[metering]`: what becomes of usage.
#[derive(Debug)]
pub struct Metering {
    /// The ledger's file; absolute.
    pub ledger: PathBuf,
    /// When a client may see the end of a response.
    pub durability: Durability,
    /// What becomes of records while the disk fails.
    pub on_failure: OnFailure,
    /// Records older than this are deleted; `None`: never. Not shorter than what a quota counts.
    pub retention: Option<Duration>,
    /// Whether input transcription is metered on every link. Links of `intent=transcription` always are.
    pub transcription: bool,
    /// What tokens and minutes cost: the built-in table, with the entries of `prices_file` over it.
    pub prices: Prices,
    /// Where the overrides were read; absolute.
    pub prices_file: Option<PathBuf>,
}

/// When a client may see the end of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once: its record is committed within moments.
    Async,
    /// When its record is on the disk.
    BeforeDelivery,
}

/// What becomes of records while the disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// They wait, links wait with them, and no link begins.
    Stall,
    /// They go to the log, and links go on.
    Log,
}

/// `[metering]`.
pub(super) fn read(mut table: Table<'_>, outside: &Outside<'_>) -> Metering {
    let ledger = ledger(&mut table, outside);
    let durability = [("async", Durability::Async), ("before_delivery", Durability::BeforeDelivery)];
    let durability = table.word("durability", &durability);
    let on_failure = table.word("on_failure", &[("stall", OnFailure::Stall), ("log", OnFailure::Log)]);
    let retention = table.parsed("retention", "a duration such as \"90d\"", units::retention);
    let transcription = table.boolean("transcription");
    let prices_file = table.parsed("prices", "a string", |text| outside.path(text));
    let own = prices_file.as_ref().map(|file| prices::of_file(&file.value, &table));
    let own = own.map(|own| own.map_err(|what| prices_file.iter().for_each(|file| table.note(&file.spot, &*what))));
    table.finish();
    Metering {
        ledger,
        durability: durability.map_or(Durability::Async, |given| given.value),
        on_failure: on_failure.map_or(OnFailure::Stall, |given| given.value),
        retention: retention.and_then(|given| given.value),
        transcription: transcription.is_some_and(|given| given.value),
        prices: built_in_prices().overridden_by(own.and_then(Result::ok).unwrap_or_default()),
        prices_file: prices_file.map(|given| given.value),
    }
}

/// `metering.ledger` alone.
pub(super) fn ledger(table: &mut Table<'_>, outside: &Outside<'_>) -> PathBuf {
    let given = table.parsed("ledger", "a string", |text| outside.path(text)).map(|given| given.value);
    given.or_else(|| outside.path(USUAL_LEDGER).ok()).unwrap_or_else(|| USUAL_LEDGER.into())
}
