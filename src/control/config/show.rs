//! Writes a [`Config`] as TOML that loads again: defaults filled in, secrets as `***`. Refuses to read anything.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::Serialize;

use super::{
    Allowance, Auth, Config, Durability, Forwarding, Key, Kind, LogFormat, Metering, Models, OnFailure, Origins, Quota,
    RefuseWith, Upstream, units,
};
use crate::control::keys;

/// What stands for a secret.
const MASK: &str = "***";

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(&Shown::of(self)).map_err(|_| fmt::Error)?)
    }
}

#[derive(Serialize)]
struct Shown {
    server: ShownServer,
    admin: ShownAdmin,
    limits: ShownLimits,
    metering: ShownMetering,
    log: BTreeMap<&'static str, String>,
    upstreams: Vec<ShownUpstream>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<ShownKey>,
}

#[derive(Serialize)]
struct ShownAdmin {
    listen: String,
    token: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownServer {
    listen: Vec<String>,
    workers: usize,
    auth: &'static str,
    allowed_origins: Vec<String>,
    refuse_browsers_with: &'static str,
    forwarding: &'static str,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    proxy_protocol: bool,
    trusted_proxies: Vec<String>,
    takeover_socket: String,
    reuse_port: bool,
}

#[derive(Serialize)]
struct ShownLimits {
    max_links: usize,
    max_message_bytes: String,
    max_link: String,
    idle_timeout: String,
    ping_interval: String,
    handshake_timeout: String,
    dial_timeout: String,
    admission_timeout: String,
    write_timeout: String,
    close_timeout: String,
    settle_timeout: String,
    drain_grace: String,
    drain_timeout: String,
    drain_spread: String,
    auth_failures_per_minute: u32,
}

#[derive(Serialize)]
struct ShownMetering {
    ledger: String,
    durability: &'static str,
    on_failure: &'static str,
    retention: String,
    transcription: bool,
    prices: Option<String>,
}

#[derive(Default, Serialize)]
#[allow(clippy::struct_excessive_bools)] // as in the file
struct ShownUpstream {
    name: String,
    kind: &'static str,
    url: String,
    key: Option<&'static str>,
    transcription: String,
    calls: bool,
    bill_calls: bool,
    priority: i64,
    weight: u32,
    max_links: usize,
    warm: u32,
    warm_max_idle: String,
    await_first_event: bool,
    organization: Option<String>,
    project: Option<String>,
    api_version: Option<String>,
    auth_header: Option<String>,
    auth_scheme: Option<String>,
    subprotocols: Option<Vec<String>>,
    beta_header: bool,
    forward_headers: Vec<String>,
    ca_file: Option<String>,
    proxy: Option<String>,
    models: BTreeMap<String, ShownModel>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, &'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status_map: BTreeMap<String, u16>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownModel {
    Sent(String),
    Priced { to: String, price: String },
}

#[derive(Serialize)]
struct ShownKey {
    name: String,
    sha256: String,
    models: Option<Vec<String>>,
    upstreams: Option<Vec<String>>,
    allow: Vec<&'static str>,
    max_links: Option<usize>,
    new_links_per_minute: Option<u32>,
    expires: Option<String>,
    quota: Option<ShownQuota>,
}

#[derive(Serialize)]
struct ShownQuota {
    usd: Option<f64>,
    tokens: Option<u64>,
    per: &'static str,
}

impl Shown {
    fn of(config: &Config) -> Self {
        let format = match config.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        Self {
            server: server(config),
            admin: ShownAdmin {
                listen: config.admin.listen.to_string(),
                token: config.admin.token.as_ref().map(|_| MASK),
            },
            limits: limits(config),
            metering: metering(&config.metering),
            log: BTreeMap::from([("format", format.to_owned()), ("level", config.log.level.clone())]),
            upstreams: config.upstreams.iter().map(upstream).collect(),
            keys: config.keys.iter().map(key).collect(),
        }
    }
}

fn server(config: &Config) -> ShownServer {
    let server = &config.server;
    ShownServer {
        listen: server.listen.iter().map(ToString::to_string).collect(),
        workers: server.workers.get(),
        auth: match server.auth {
            Auth::Keys => "keys",
            Auth::Passthrough => "passthrough",
            Auth::None => "none",
        },
        allowed_origins: match &server.allowed_origins {
            Origins::Any => vec!["*".to_owned()],
            Origins::Only(origins) => origins.clone(),
        },
        refuse_browsers_with: match server.refuse_browsers_with {
            RefuseWith::Http => "http",
            RefuseWith::Event => "event",
        },
        forwarding: match server.forwarding {
            Forwarding::Verbatim => "verbatim",
            Forwarding::Framed => "framed",
        },
        tls_cert: server.tls.as_ref().map(|tls| tls.cert_file.display().to_string()),
        tls_key: server.tls.as_ref().map(|tls| tls.key_file.display().to_string()),
        proxy_protocol: server.proxy_protocol,
        trusted_proxies: server.trusted_proxies.iter().map(ToString::to_string).collect(),
        takeover_socket: server.takeover_socket.as_ref().map_or_else(String::new, |path| path.display().to_string()),
        reuse_port: server.reuse_port,
    }
}

fn limits(config: &Config) -> ShownLimits {
    let limits = &config.limits;
    let or_never = |period: Option<Duration>| units::write_duration(period.unwrap_or(Duration::ZERO));
    ShownLimits {
        max_links: limits.max_links.get(),
        max_message_bytes: units::write_size(limits.max_message_bytes),
        max_link: units::write_duration(limits.max_link),
        idle_timeout: or_never(limits.idle_timeout),
        ping_interval: units::write_duration(limits.ping_interval),
        handshake_timeout: units::write_duration(limits.handshake_timeout),
        dial_timeout: units::write_duration(limits.dial_timeout),
        admission_timeout: units::write_duration(limits.admission_timeout),
        write_timeout: units::write_duration(limits.write_timeout),
        close_timeout: units::write_duration(limits.close_timeout),
        settle_timeout: units::write_duration(limits.settle_timeout),
        drain_grace: units::write_duration(limits.drain_grace),
        drain_timeout: or_never(limits.drain_timeout),
        drain_spread: units::write_duration(limits.drain_spread),
        auth_failures_per_minute: limits.auth_failures_per_minute.get(),
    }
}

fn metering(metering: &Metering) -> ShownMetering {
    ShownMetering {
        ledger: metering.ledger.display().to_string(),
        durability: match metering.durability {
            Durability::Async => "async",
            Durability::BeforeDelivery => "before_delivery",
        },
        on_failure: match metering.on_failure {
            OnFailure::Stall => "stall",
            OnFailure::Log => "log",
        },
        retention: metering.retention.map_or_else(|| "0".to_owned(), units::write_duration),
        transcription: metering.transcription,
        prices: metering.prices_file.as_ref().map(|path| path.display().to_string()),
    }
}

fn upstream(upstream: &Upstream) -> ShownUpstream {
    let mut shown = ShownUpstream {
        name: upstream.name.clone(),
        kind: upstream.kind.name(),
        url: upstream.url.to_string(),
        key: upstream.key.as_ref().map(|_| MASK),
        models: models(&upstream.models),
        transcription: upstream.transcription.clone().unwrap_or_default(),
        calls: upstream.calls,
        bill_calls: upstream.bill_calls,
        priority: upstream.priority,
        weight: upstream.weight,
        max_links: upstream.max_links.map_or(0, NonZeroUsize::get),
        warm: upstream.warm,
        warm_max_idle: units::write_duration(upstream.warm_max_idle),
        await_first_event: upstream.await_first_event,
        beta_header: upstream.beta_header,
        // Every value may be a credential, so none is shown.
        headers: upstream.headers.iter().map(|(name, _)| (name.to_string(), MASK)).collect(),
        forward_headers: upstream.forward_headers.iter().map(ToString::to_string).collect(),
        ca_file: upstream.ca_file.as_ref().map(|path| path.display().to_string()),
        proxy: upstream.proxy.as_ref().map(ToString::to_string),
        status_map: upstream.status_map.iter().map(|(from, to)| (from.as_str().to_owned(), to.as_u16())).collect(),
        ..ShownUpstream::default()
    };
    match &upstream.kind {
        Kind::OpenAi { organization, project } => {
            shown.organization = organization.as_ref().map(text_of);
            shown.project = project.as_ref().map(text_of);
        }
        Kind::Azure { api_version } => shown.api_version.clone_from(api_version),
        Kind::Compatible { auth_header, auth_scheme, subprotocols } => {
            shown.auth_header = Some(auth_header.to_string());
            shown.auth_scheme = Some(auth_scheme.clone().unwrap_or_default());
            shown.subprotocols = Some(subprotocols.clone());
        }
    }
    shown
}

fn models(models: &Models) -> BTreeMap<String, ShownModel> {
    let shown = |(asked, sent): (&str, &str)| {
        let to = sent.to_owned();
        let shown = match models.prices().get(asked) {
            None => ShownModel::Sent(to),
            Some(price) => ShownModel::Priced { to, price: price.clone() },
        };
        (asked.to_owned(), shown)
    };
    models.pairs().map(shown).collect()
}

fn text_of(value: &hyper::header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned() // it was made from a string
}

/// A digest is what a file is meant to hold, and tells which key it is: it is shown.
fn key(key: &Key) -> ShownKey {
    let routes = [(key.allow.transcription, "transcription"), (key.allow.calls, "calls")];
    ShownKey {
        name: key.name.clone(),
        sha256: keys::to_hex(&key.digest),
        models: key.models.clone(),
        upstreams: key.upstreams.clone(),
        allow: routes.into_iter().filter(|(allowed, _)| *allowed).map(|(_, name)| name).collect(),
        max_links: key.max_links.map(NonZeroUsize::get),
        new_links_per_minute: key.new_links_per_minute.map(NonZeroU32::get),
        expires: key.expires.map(units::write_moment),
        quota: key.quota.as_ref().map(quota),
    }
}

fn quota(quota: &Quota) -> ShownQuota {
    let (usd, tokens) = match quota.allowance {
        Allowance::Usd(amount) => (Some(amount.dollars()), None),
        Allowance::Tokens(count) => (None, Some(count)),
    };
    ShownQuota { usd, tokens, per: quota.per.name() }
}
