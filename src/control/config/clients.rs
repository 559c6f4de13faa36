//! Reads `[[keys]]`, and holds them against the upstreams. Refuses to know how a key is presented. A key itself is gone
//! once its digest is taken.

use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use toml::value::Datetime;

use super::document::Value;
use super::outside::Outside;
use super::providers::{Providers, unique_name};
use super::table::{Given, Table, suggest};
use super::{Allow, Key, quota, units};
use crate::control::keys;

/// What `allow` may list.
const ROUTES: [&str; 2] = ["transcription", "calls"];

/// Zero would open nothing, and who writes it may well mean the opposite.
const UNLIMITED: &str = "leave it out to set no limit";

/// Every `[[keys]]`. Their quotas are counted from records that are kept for `retention`.
pub(super) fn read(
    tables: Vec<Table<'_>>,
    providers: &Providers,
    retention: Option<Duration>,
    outside: &Outside<'_>,
) -> Vec<Key> {
    let mut names = Vec::new();
    let mut digests: Vec<Given<[u8; 32]>> = Vec::new();
    let mut keys = Vec::new();
    for mut table in tables {
        let name = unique_name(&mut table, &mut names);
        let digest = digest(&mut table, outside);
        if let Some(Given { value, spot }) = &digest {
            if let Some(first) = digests.iter().find(|first| first.value == *value) {
                table.note(spot, format!("the same key as at {}; every client needs its own", first.spot.place));
            }
            digests.push(Given { value: *value, spot: spot.clone() });
        }
        let upstreams = upstreams(&mut table, providers);
        let models = models(&mut table, providers, upstreams.as_deref());
        let allow = allow(&mut table);
        let (max_links, new_links_per_minute) = (max_links(&mut table), new_links(&mut table));
        let quota = quota::read(&mut table, retention);
        let expires = expires(&mut table);
        if let (Some(name), Some(Given { value: digest, .. })) = (name, digest) {
            keys.push(Key { name, digest, models, upstreams, allow, max_links, new_links_per_minute, quota, expires });
        }
        table.finish();
    }
    keys
}

fn digest(table: &mut Table<'_>, outside: &Outside<'_>) -> Option<Given<[u8; 32]>> {
    let pair = (table.has("sha256"), table.has("key"));
    let sha256 = table.parsed("sha256", "a string", units::digest);
    let key = table.parsed("key", "a string", |text| outside.secret(text).map(|key| keys::digest(key.expose())));
    match pair {
        (false, false) => {
            table.note(
                &table.spot_of("sha256"),
                "missing; write what `realtime-relay hash-key` prints, or key = \"env:NAME\"",
            );
        }
        (true, true) => table.note(&table.spot_of("sha256"), "stands beside `key`; leave one of them out"),
        _ => {}
    }
    sha256.or(key)
}

fn upstreams(table: &mut Table<'_>, providers: &Providers) -> Option<Vec<String>> {
    let Given { value, spot } = table.texts("upstreams")?;
    if value.is_empty() {
        table.note(&spot, "empty, so the key opens nothing; leave it out to allow every upstream");
    }
    for Given { value, spot } in &value {
        if !providers.names.iter().any(|known| known.value == *value) {
            let known: Vec<_> = providers.names.iter().map(|known| known.value.as_str()).collect();
            table.note(spot, format!("no upstream is named `{value}`; there is {}", known.join(", ")));
        }
    }
    Some(value.into_iter().map(|given| given.value).collect())
}

fn models(table: &mut Table<'_>, providers: &Providers, upstreams: Option<&[String]>) -> Option<Vec<String>> {
    let Given { value, spot } = table.texts("models")?;
    if value.is_empty() {
        table.note(&spot, "empty, so the key opens nothing; leave it out to allow every model");
    }
    let allowed = |name: &String| upstreams.is_none_or(|upstreams| upstreams.contains(name));
    for Given { value, spot } in &value {
        let mut candidates = providers.upstreams.iter().filter(|upstream| allowed(&upstream.name));
        if value == "*" || value.is_empty() {
            table.note(spot, "not the name of a model; leave `models` out to allow every model");
        } else if !providers.incomplete && !candidates.any(|upstream| upstream.models.sent_as(value).is_some()) {
            let whose = if upstreams.is_some() { "no upstream of this key" } else { "no upstream" };
            table.note(spot, format!("{whose} serves `{value}`; add it to the upstream's `models`, or leave it out"));
        }
    }
    Some(value.into_iter().map(|given| given.value).collect())
}

fn allow(table: &mut Table<'_>) -> Allow {
    let Some(texts) = table.texts("allow") else { return Allow::default() };
    let mut allow = Allow { transcription: false, calls: false };
    for Given { value, spot } in texts.value {
        let route = match value.as_str() {
            "transcription" => &mut allow.transcription,
            "calls" => &mut allow.calls,
            _ => {
                table.note(&spot, format!("unknown value `{value}`; {}", suggest(&value, &ROUTES, "one of")));
                continue;
            }
        };
        if std::mem::replace(route, true) {
            table.note(&spot, "listed twice; leave one out");
        }
    }
    allow
}

fn max_links(table: &mut Table<'_>) -> Option<NonZeroUsize> {
    let given = table.count("max_links", 1..=u32::MAX, UNLIMITED)?;
    NonZeroUsize::new(usize::try_from(given.value).unwrap_or(usize::MAX))
}

fn new_links(table: &mut Table<'_>) -> Option<NonZeroU32> {
    NonZeroU32::new(table.count("new_links_per_minute", 1..=u32::MAX, UNLIMITED)?.value)
}

fn expires(table: &mut Table<'_>) -> Option<SystemTime> {
    let given = table.take("expires", "a moment such as \"2027-01-01T00:00:00Z\"", |value| match value {
        Value::Moment(moment) => Ok(Some(moment)),
        Value::Text(text) => Ok(Datetime::from_str(&text).ok()),
        other => Err(other),
    })?;
    let moment = given.value.ok_or_else(|| "not a moment; write one such as \"2027-01-01T00:00:00Z\"".to_owned());
    moment.and_then(|moment| units::moment(&moment)).map_err(|what| table.note(&given.spot, what)).ok()
}
