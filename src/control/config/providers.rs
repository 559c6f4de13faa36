//! Reads `[[upstreams]]`. Refuses to know keys, and whether an upstream answers.

use hyper::header::HeaderValue;

use super::headers;
use super::kinds;
use super::outside::{self, Outside};
use super::serving;
use super::table::{Given, Table};
use super::units;
use super::url::{self, Flavour};
use super::{Auth, Kind, Proxy, Secret, Upstream, UpstreamUrl};
use crate::control::prices::Prices;

/// The upstreams that could be read, and the names of all that have one.
#[derive(Debug, Default)]
pub(super) struct Providers {
    pub(super) upstreams: Vec<Upstream>,
    pub(super) names: Vec<Given<String>>,
    /// Whether one could not be read: then nobody can say what is served.
    pub(super) incomplete: bool,
}

/// Every `[[upstreams]]`.
pub(super) fn read(tables: Vec<Table<'_>>, auth: Auth, prices: &Prices, outside: &Outside<'_>) -> Providers {
    let mut providers = Providers::default();
    for mut table in tables {
        let name = unique_name(&mut table, &mut providers.names);
        let upstream = upstream(&mut table, name, (auth, prices), outside);
        providers.incomplete |= upstream.is_none();
        providers.upstreams.extend(upstream);
        table.finish();
    }
    providers
}

/// `name`, which nothing before it may have.
pub(super) fn unique_name(table: &mut Table<'_>, names: &mut Vec<Given<String>>) -> Option<String> {
    table.required_text("name", "my-name").and_then(|Given { value, spot }| {
        let name = units::name(&value).map_err(|what| table.note(&spot, what)).ok()?;
        if let Some(first) = names.iter().find(|first| first.value == name) {
            table.note(&spot, format!("`{name}` is already the name at {}; choose another", first.spot.place));
        }
        names.push(Given { value: name.clone(), spot });
        Some(name)
    })
}

/// One upstream. Reads every key before it gives up, so that every mistake is noted.
fn upstream(
    table: &mut Table<'_>,
    name: Option<String>,
    (auth, prices): (Auth, &Prices),
    outside: &Outside<'_>,
) -> Option<Upstream> {
    let flavour = flavour(table);
    let url = table.required_text("url", "wss://api.openai.com/v1/realtime");
    let url =
        url.and_then(|Given { value, spot }| url::parse(&value, flavour).map_err(|what| table.note(&spot, what)).ok());
    let key = key(table, flavour, auth, outside);
    let serving = serving::read(table, auth, prices);
    let kind = kinds::read(table, flavour);
    let priority = table.integer("priority").map_or(0, |given| given.value);
    let await_first_event = table.boolean("await_first_event").map(|given| given.value);
    let beta_header = table.boolean("beta_header").is_some_and(|given| given.value);
    let headers = headers::fixed(table, outside);
    let forward_headers = headers::forwarded(table);
    if let Some(Kind::Compatible { auth_header, .. }) = &kind
        && (headers.iter().any(|(name, _)| name == auth_header) || forward_headers.contains(auth_header))
    {
        table.note(
            &table.spot_of("auth_header"),
            format!("`{auth_header}` carries the key; take it out of the other headers"),
        );
    }
    let ca_file = table.parsed("ca_file", "a string", |text| match text {
        "" => Ok(None),
        text => outside.path(text).map(Some),
    });
    let ca_file = ca_file.and_then(|Given { value, spot }| Some(Given { value: value?, spot }));
    let ca = ca_file.as_ref().map(|Given { value, spot }| {
        outside::authorities(value).map_err(|what| table.note(spot, what)).unwrap_or_default()
    });
    let proxy = proxy(table, url.as_ref(), outside);
    Some(Upstream {
        name: name?,
        kind: kind?,
        url: url?,
        key,
        models: serving.models,
        transcription: serving.transcription,
        calls: serving.calls,
        bill_calls: serving.bill_calls,
        priority,
        weight: serving.weight,
        max_links: serving.max_links,
        warm: serving.warm,
        warm_max_idle: serving.warm_max_idle,
        status_map: serving.status_map,
        await_first_event: await_first_event.unwrap_or(flavour? != Flavour::Compatible),
        headers,
        forward_headers,
        beta_header,
        ca,
        ca_file: ca_file.map(|given| given.value),
        proxy,
    })
}

fn flavour(table: &mut Table<'_>) -> Option<Flavour> {
    let words = [("openai", Flavour::OpenAi), ("azure", Flavour::Azure), ("compatible", Flavour::Compatible)];
    if !table.has("kind") {
        table.note(&table.spot_of("kind"), "missing; write kind = \"openai\", \"azure\" or \"compatible\"");
    }
    table.word("kind", &words).map(|given| given.value)
}

fn key(table: &mut Table<'_>, flavour: Option<Flavour>, auth: Auth, outside: &Outside<'_>) -> Option<Secret> {
    let absent = !table.has("key");
    let given = table.text("key");
    if auth == Auth::Passthrough {
        if let Some(given) = given {
            table.note(&given.spot, "auth = \"passthrough\" sends the client's own key; leave this one out");
        }
        return None;
    }
    if absent && flavour.is_some_and(|flavour| flavour != Flavour::Compatible) {
        table.note(&table.spot_of("key"), "missing; write key = \"env:OPENAI_API_KEY\", or where else it is read");
    }
    let Given { value, spot } = given?;
    let key = outside.secret(&value).map_err(|what| table.note(&spot, what)).ok()?;
    if HeaderValue::from_str(key.expose()).is_err() {
        table.note(&spot, "has a character that no header may hold; look for a line break inside of it");
    }
    Some(key)
}

/// `proxy`, else the environment's. Where the URL is wrong, nobody can say whether the environment has one for it.
fn proxy(table: &mut Table<'_>, url: Option<&UpstreamUrl>, outside: &Outside<'_>) -> Option<Proxy> {
    let configured = table.has("proxy");
    let own = table.parsed("proxy", "a string", |text| match text {
        "" => Ok(None),
        text => Proxy::parse(outside.secret(text)?.expose()).map(Some),
    });
    // One that is wrong is not replaced by another.
    if configured && own.as_ref().is_none_or(|given| given.value.is_some()) {
        return own?.value;
    }
    let (url, variable) = (url?, |name: &str| outside.env.get(name).cloned());
    let found = Proxy::from_environment(variable, url.secure, &url.host, url.port);
    found.map_err(|mistake| table.note(&mistake.spot, mistake.what)).ok()?
}
