//! Reads a table of prices: the built-in one, and one that overrides it. Prices are read digit by digit, never through a
//! float. Refuses to know what they are used for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::document::{self, Entry, Node, Value};
use super::mistake::{Mistakes, Notes, Place, Spot};
use super::table::{Given, Table, as_number, mismatch};
use super::units;
use crate::control::prices::{Prices, Rates, TokenPrices, TranscriptionPrices};

/// The list prices that the relay knows.
const BUILT_IN: &str = include_str!("../prices.toml");
/// USD per million tokens, down to a pico-dollar a token.
const TOKEN_DECIMALS: u32 = 6;
/// USD a minute or a second, down to a nano-dollar.
const TIME_DECIMALS: u32 = 9;
/// What tokens are of, in the order of [`TokenPrices`].
const MODALITIES: [&str; 3] = ["text", "audio", "image"];
/// What the prices of a modality look like.
const WANTED: &str = "three prices, [input, cached input, output], in USD per million tokens";

/// The prices that are built in.
pub fn built_in_prices() -> Prices {
    prices_of("prices.toml", BUILT_IN).unwrap_or_else(|mistakes| unreachable!("a test reads them: {mistakes}"))
}

/// The prices of a text of the same shape; `name` is what its mistakes call it.
pub fn prices_of(name: &str, text: &str) -> Result<Prices, Mistakes> {
    let (name, notes): (Arc<str>, _) = (name.into(), Notes::default());
    let entries = document::parse(&name, text, &notes);
    let prices = read(Table::document(Place::Document(name), entries, &notes));
    notes.settle(prices)
}

/// The prices of a file to which a table points.
pub(super) fn of_file(path: &Path, from: &Table<'_>) -> Result<Prices, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(read(from.other_document(&path.display().to_string().into(), &text)))
}

fn read(mut root: Table<'_>) -> Prices {
    let models = named(&mut root, "models", |table| {
        need_one_of(table, &MODALITIES, "text = [4.00, 0.40, 16.00]");
        tokens(table)
    });
    let transcription = named(&mut root, "transcription", |table| {
        need_one_of(table, &["minute", "second", "text", "audio", "image"], "minute = 0.006");
        TranscriptionPrices { tokens: tokens(table), minute: minute(table) }
    });
    root.finish();
    Prices::new(models, transcription)
}

/// The tables below `key`, each under the name of a model.
fn named<T>(root: &mut Table<'_>, key: &'static str, read: impl Fn(&mut Table<'_>) -> T) -> BTreeMap<String, T> {
    let Some(Given { value: entries, spot }) = root.entries(key) else { return BTreeMap::new() };
    let mut prices = BTreeMap::new();
    for Entry { key, place, node } in entries {
        let spot = Spot { place, path: format!("{}.\"{key}\"", spot.path) };
        match node.value {
            Value::Table(entries) => {
                let mut table = root.below(spot, entries);
                prices.insert(key, read(&mut table));
                table.finish();
            }
            other => root.note(&spot, mismatch("a table of prices", &other)),
        }
    }
    prices
}

/// An entry that prices nothing is a slip: it would take the place of one that does.
fn need_one_of(table: &Table<'_>, keys: &[&'static str], example: &str) {
    if !keys.iter().any(|key| table.has(key)) {
        table.note(&table.spot_of(keys[0]), format!("missing; write {example}"));
    }
}

fn tokens(table: &mut Table<'_>) -> TokenPrices {
    let [text, audio, image] = MODALITIES.map(|key| rates(table, key));
    TokenPrices { text, audio, image }
}

fn rates(table: &mut Table<'_>, key: &'static str) -> Option<Rates> {
    let Given { value: nodes, spot } = table.list(key, WANTED)?;
    let count = nodes.len();
    let rate = |(index, Node { place, value }): (usize, Node)| {
        let spot = Spot { place, path: format!("{}[{index}]", spot.path) };
        let text = as_number(value).map_err(|other| mismatch("a number", &other));
        text.and_then(|text| units::decimal(&text, TOKEN_DECIMALS)).map_err(|what| table.note(&spot, what)).ok()
    };
    let rates: Vec<_> = nodes.into_iter().enumerate().map(rate).collect();
    match rates[..] {
        [Some(input), Some(cached), Some(output)] => Some(Rates { input, cached, output }),
        [_, _, _] => None, // noted
        _ => {
            table.note(&spot, format!("expected {WANTED}, found {count}"));
            None
        }
    }
}

/// `minute` or `second`, in nano-dollars a minute.
fn minute(table: &mut Table<'_>) -> Option<u64> {
    let minute = table.decimal("minute", TIME_DECIMALS);
    let second = table.decimal("second", TIME_DECIMALS);
    match (minute, second) {
        (Some(_), Some(second)) => {
            table.note(&second.spot, "stands beside `minute`; leave one of them out");
            None
        }
        (Some(minute), None) => Some(minute.value),
        (None, Some(second)) => Some(second.value.saturating_mul(60)),
        (None, None) => None,
    }
}
