//! Reads what an upstream serves, and how much of it is used: models, routes without a model, weight, links, warm legs.
//! Refuses to know where it is and how it is asked.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use hyper::StatusCode;

use super::document::{Entry, Value};
use super::mistake::Spot;
use super::table::{Given, Table, as_text, mismatch, suggest};
use super::{Auth, Models, units};
use crate::control::prices::Prices;

/// A sum of a thousand such weights still fits 32 bits. A larger one is a slip.
const MOST_WEIGHT: u32 = 1_000_000;
/// Each is a connection that an upstream may count or bill. More of them a model are a slip.
const MOST_WARM: u32 = 1_000;
/// How long a warm leg waits where nothing is said. Upstreams cut a silent session after a minute or more.
const WARM_MAX_IDLE: Duration = Duration::from_secs(30);

/// What is read here.
pub(super) struct Serving {
    pub(super) models: Models,
    pub(super) transcription: Option<String>,
    pub(super) calls: bool,
    pub(super) bill_calls: bool,
    pub(super) weight: u32,
    pub(super) max_links: Option<NonZeroUsize>,
    pub(super) warm: u32,
    pub(super) warm_max_idle: Duration,
    pub(super) status_map: BTreeMap<StatusCode, StatusCode>,
}

/// Takes its keys out of the table of an upstream.
pub(super) fn read(table: &mut Table<'_>, auth: Auth, prices: &Prices) -> Serving {
    let models = models(table, prices);
    let transcription = table.parsed("transcription", "a string", |text| match text {
        "" => Ok(None),
        "*" => Err("`*` names no model; write the name that the upstream uses".into()),
        text => Ok(Some(text.to_owned())),
    });
    Serving {
        transcription: transcription.and_then(|given| given.value),
        calls: table.boolean("calls").is_some_and(|given| given.value),
        bill_calls: table.boolean("bill_calls").is_some_and(|given| given.value),
        weight: table
            .count("weight", 0..=MOST_WEIGHT, "0 is taken when nothing else is left")
            .map_or(1, |given| given.value),
        max_links: max_links(table),
        warm: warm(table, auth, &models),
        warm_max_idle: table
            .parsed("warm_max_idle", "a duration such as \"30s\"", units::duration)
            .map_or(WARM_MAX_IDLE, |given| given.value),
        status_map: status_map(table),
        models,
    }
}

fn max_links(table: &mut Table<'_>) -> Option<NonZeroUsize> {
    let given = table.count("max_links", 0..=u32::MAX, "0 sets no limit")?;
    NonZeroUsize::new(usize::try_from(given.value).unwrap_or(usize::MAX))
}

fn warm(table: &mut Table<'_>, auth: Auth, models: &Models) -> u32 {
    let Some(Given { value, spot }) = table.count("warm", 0..=MOST_WARM, "0 opens none ahead") else { return 0 };
    if value > 0 && auth == Auth::Passthrough {
        table.note(
            &spot,
            "no leg can be opened ahead with auth = \"passthrough\": it takes a client's key; leave it out",
        );
    } else if value > 0 && models.named().next().is_none() {
        table.note(
            &spot,
            "no model is named for which to open legs; write models = { \"gpt-realtime\" = \"gpt-realtime\" }",
        );
    }
    value
}

/// `{ 429 = 503 }`. TOML knows only strings as keys.
fn status_map(table: &mut Table<'_>) -> BTreeMap<StatusCode, StatusCode> {
    let Some(Given { value: entries, spot }) = table.entries("status_map") else { return BTreeMap::new() };
    let mut map = BTreeMap::new();
    for Entry { key, place, node } in entries {
        let path = format!("{}.{key}", spot.path);
        let from = StatusCode::from_bytes(key.as_bytes()).ok().filter(|status| refuses(*status));
        if from.is_none() {
            table.note(&Spot { place, path: path.clone() }, no_refusal(&key));
        }
        let spot = Spot { place: node.place, path };
        let to = match node.value {
            Value::Integer(Some(status)) => {
                let to = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
                to.filter(|status| refuses(*status)).ok_or_else(|| no_refusal(&status.to_string()))
            }
            other => Err(mismatch("an HTTP status such as 503", &other)),
        };
        match (from, to) {
            (Some(from), Ok(to)) => {
                map.insert(from, to);
            }
            (None, Ok(_)) => {} // noted above
            (_, Err(what)) => table.note(&spot, what),
        }
    }
    map
}

/// Whether a status says no: no other can refuse a client.
fn refuses(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn no_refusal(status: &str) -> String {
    format!("`{status}` is not an HTTP status from 400 to 599; write one as in {{ 429 = 503 }}")
}

fn models(table: &mut Table<'_>, prices: &Prices) -> Models {
    let Some(Given { value: entries, spot }) = table.entries("models") else { return Models::any() };
    if entries.is_empty() {
        table.note(&spot, "empty, so nothing is served; leave `models` out to serve every name");
    }
    let (mut pairs, mut overrides) = (Vec::new(), Vec::new());
    for entry in entries {
        let spot = Spot { place: entry.node.place, path: format!("{}.\"{}\"", spot.path, entry.key) };
        let sent = match entry.node.value {
            Value::Table(entries) => {
                let mut target = table.below(spot.clone(), entries);
                let sent = target.required_text("to", "the-upstream-s-name");
                let price = target.parsed("price", "the name of a price", |name| price(name, prices));
                overrides.extend(price.map(|price| (entry.key.clone(), price.value)));
                target.finish();
                sent.map(|given| given.value)
            }
            other => as_text(other)
                .map_err(|other| table.note(&spot, mismatch("a string or a table { to = \"…\" }", &other)))
                .ok(),
        };
        match sent {
            None => {}
            Some(_) if entry.key.is_empty() => table.note(&spot, "an empty name is asked for by nobody; leave it out"),
            Some(sent) if sent.is_empty() => table.note(&spot, "empty; write the name the upstream uses"),
            Some(sent) if sent == "*" && entry.key != "*" => {
                table.note(&spot, "`*` stands for the name asked for, and only under the key \"*\"; write the name");
            }
            Some(sent) => pairs.push((entry.key, sent)),
        }
    }
    Models::new(pairs).priced(overrides)
}

/// The name of an entry in the table of prices.
fn price(name: &str, prices: &Prices) -> Result<String, String> {
    let known: Vec<_> = prices.models().collect();
    let wrong = || format!("no price has the name `{name}`; {}", suggest(name, &known, "there is"));
    prices.of_model(name).map(|_| name.to_owned()).ok_or_else(wrong)
}
