//! Writes a [`Config`] as TOML that loads again: defaults filled in, secrets as `***`. Refuses to read anything.

use std::collections::BTreeMap;
use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use serde::Serialize;

use super::{
    Allowance, Auth, Config, Durability, Forwarding, Key, LogFormat, Metering, OnFailure, Origins, Quota, RefuseWith,
    units,
};
use crate::control::keys;
use upstream::{ShownUpstream, upstream};

mod upstream;

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
