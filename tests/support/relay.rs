//! A relay in this process, configured as an operator would: by a file.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use realtime_relay::app;
use realtime_relay::control::config::{Sources, load};
use tempfile::TempDir;

use super::authority::Authority;
use super::client::{Refused, client};
use super::ledger::Ledger;
use super::leg::Leg;
use super::operator::operator;
use super::transcript;
use super::upstream::Upstream;

/// How relays forward where neither their file nor their test says it: tests are run with it in their own environment, once
/// for each way.
pub const FORWARDING: &str = "RELAY_SERVER__FORWARDING";

/// The credential that the relay has for its upstream.
pub const UPSTREAM_KEY: &str = "sk-of-the-upstream";

/// A relay that can be reached, in this process or in one of its own.
pub trait Reached: Send + Sync {
    /// Where clients connect.
    fn address(&self) -> SocketAddr;

    /// Where operators connect.
    fn admin_address(&self) -> SocketAddr;

    /// What its clients must trust; `None`: they speak no TLS.
    fn authority(&self) -> Option<&Authority> {
        None
    }
}

/// A relay that runs until it is dropped.
pub struct Relay {
    app: app::Relay,
    authority: Option<Arc<Authority>>,
    /// Holds its ledger; goes after it.
    folder: Folder,
    /// What its file says.
    setup: Setup,
}

/// A relay's files, of which the transcript has a copy when the relay is gone.
struct Folder(TempDir);

impl Drop for Folder {
    fn drop(&mut self) {
        for file in ["usage.db", "usage.db-wal"] {
            transcript::keep_file("ledger", &self.0.path().join(file));
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            transcript::keep_pages(self.app.admin_address);
        }
    }
}

impl Relay {
    /// To this upstream, `primary`, of the kind `openai`, which is not waited for to speak first. The client `acme` has the key
    /// `key-of-acme`.
    pub fn to(upstream: &Upstream) -> Setup {
        Self::to_url(&format!("{}/v1/realtime", upstream.base_url()))
    }

    pub fn to_url(url: &str) -> Setup {
        Setup {
            auth: "keys",
            workers: 1,
            awaits_first_event: false,
            keys: vec![("acme".to_owned(), "key-of-acme".to_owned())],
            server: String::new(),
            admin: "listen = \"127.0.0.1:0\"".to_owned(),
            limits: String::new(),
            upstreams: vec![UpstreamSetup::new("primary", url, 0)],
            key: String::new(),
            metering: String::new(),
            more: String::new(),
            env: HashMap::new(),
            authority: None,
            forwarding: None,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.app.addresses[0]
    }

    /// Where it records what is used, unless its setup says otherwise.
    pub fn ledger(&self) -> Ledger {
        Ledger::at(self.ledger_file())
    }

    /// Its configuration.
    pub fn file(&self) -> PathBuf {
        self.folder.0.path().join("relay.toml")
    }

    /// What that says, as far as this knows.
    pub fn toml(&self) -> String {
        self.setup.toml()
    }

    /// The file.
    pub fn ledger_file(&self) -> PathBuf {
        self.folder.0.path().join("usage.db")
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.app.admin_address
    }

    /// What its clients must trust; `None`: they speak no TLS.
    pub fn authority(&self) -> Option<&Authority> {
        self.authority.as_deref()
    }

    /// Its file becomes what `change` makes of what it said, and its operator has it read again. Which is refused, or not.
    pub async fn reload(&mut self, change: impl FnOnce(Setup) -> Setup) -> Refused {
        self.setup = change(self.setup.clone());
        self.reload_file(&self.setup.toml()).await
    }

    /// The same with a file of these words.
    pub async fn reload_file(&self, toml: &str) -> Refused {
        std::fs::write(self.file(), toml).unwrap();
        transcript::secrets_of(toml);
        operator(self, "/reload").method("POST").ask().await
    }

    /// A link: both its peers.
    pub async fn link(&self, upstream: &Upstream) -> (Leg, Leg) {
        let asking = client(self).key("key-of-acme").model("gpt-realtime").ask().await;
        let upstream = upstream.leg().await;
        (asking.opened().await, upstream)
    }
}

impl Reached for Relay {
    fn address(&self) -> SocketAddr {
        self.address()
    }

    fn admin_address(&self) -> SocketAddr {
        self.admin_address()
    }

    fn authority(&self) -> Option<&Authority> {
        self.authority()
    }
}

impl<R: Reached> Reached for Arc<R> {
    fn address(&self) -> SocketAddr {
        R::address(self)
    }

    fn admin_address(&self) -> SocketAddr {
        R::admin_address(self)
    }

    fn authority(&self) -> Option<&Authority> {
        R::authority(self)
    }
}

/// What a relay is started with. Every text is TOML, and is appended to its table.
#[derive(Clone)]
#[must_use]
pub struct Setup {
    auth: &'static str,
    workers: usize,
    awaits_first_event: bool,
    keys: Vec<(String, String)>,
    server: String,
    admin: String,
    limits: String,
    upstreams: Vec<UpstreamSetup>,
    key: String,
    metering: String,
    more: String,
    env: HashMap<String, String>,
    authority: Option<Arc<Authority>>,
    forwarding: Option<&'static str>,
}

impl Setup {
    /// `none` or `passthrough`: nobody has a key then.
    pub fn auth(mut self, auth: &'static str) -> Self {
        self.auth = auth;
        self.keys.clear();
        self
    }

    /// These clients and no others: name and key.
    pub fn auth_keys(mut self, keys: &[(&str, &str)]) -> Self {
        self.keys = keys.iter().map(|(name, key)| ((*name).to_owned(), (*key).to_owned())).collect();
        self
    }

    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// And to this one, when those named before are of no use.
    pub fn then(self, upstream: &Upstream) -> Self {
        self.then_url(&format!("{}/v1/realtime", upstream.base_url()))
    }

    pub fn then_url(self, url: &str) -> Self {
        let priority = self.upstreams.last().map_or(0, |last| last.priority + 1);
        self.and(url, priority)
    }

    /// And to this one, alike with the one named last.
    pub fn beside(self, upstream: &Upstream) -> Self {
        let priority = self.upstreams.last().map_or(0, |last| last.priority);
        self.and(&format!("{}/v1/realtime", upstream.base_url()), priority)
    }

    fn and(mut self, url: &str, priority: usize) -> Self {
        let name = ["primary", "second", "third"][self.upstreams.len()];
        self.upstreams.push(UpstreamSetup::new(name, url, priority));
        self
    }

    pub fn kind(mut self, kind: &'static str) -> Self {
        self.last().kind = kind;
        self
    }

    pub fn url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.last().url);
        self
    }

    pub fn awaits_first_event(mut self) -> Self {
        self.awaits_first_event = true;
        self
    }

    /// `verbatim` or `framed`, where a claim is about one of them.
    pub fn forwarding(mut self, forwarding: &'static str) -> Self {
        self.forwarding = Some(forwarding);
        self
    }

    /// For `[server]`.
    pub fn server(mut self, toml: &str) -> Self {
        add(&mut self.server, toml);
        self
    }

    /// The whole of `[admin]`.
    pub fn admin(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.admin);
        self
    }

    /// For `[limits]`.
    pub fn limits(mut self, toml: &str) -> Self {
        add(&mut self.limits, toml);
        self
    }

    /// To this upstream instead of the one named last.
    pub fn moved_to(self, upstream: &Upstream) -> Self {
        let url = format!("{}/v1/realtime", upstream.base_url());
        self.url(&url)
    }

    /// With this in the place of that in the tables of the keys.
    pub fn replaced(mut self, that: &str, this: &str) -> Self {
        assert!(self.key.contains(that), "{that} is there");
        self.key = self.key.replace(that, this);
        self
    }

    /// For the table of the upstream named last.
    pub fn upstream(mut self, toml: &str) -> Self {
        add(&mut self.last().more, toml);
        self
    }

    fn last(&mut self) -> &mut UpstreamSetup {
        self.upstreams.last_mut().expect("there is a first one")
    }

    /// Reaches its upstream through the proxy of this URL.
    pub fn proxy(self, url: &str) -> Self {
        self.upstream(&format!("proxy = {url:?}"))
    }

    /// One variable of its environment, which is empty else.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// For the table of each key.
    pub fn key(mut self, toml: &str) -> Self {
        add(&mut self.key, toml);
        self
    }

    /// For `[metering]`.
    pub fn metering(mut self, toml: &str) -> Self {
        add(&mut self.metering, toml);
        self
    }

    /// Whole tables.
    pub fn more(mut self, toml: &str) -> Self {
        add(&mut self.more, toml);
        self
    }

    /// Serves `wss`.
    pub fn tls(mut self, authority: impl Into<Arc<Authority>>) -> Self {
        let authority = authority.into();
        let line = format!("tls_cert = {:?}\ntls_key = {:?}", authority.cert_file(), authority.key_file());
        self.authority = Some(authority);
        self.server(&line)
    }

    pub fn start(self) -> Relay {
        self.try_start().expect("the relay starts")
    }

    /// The error says why the relay does not start with a configuration that is right.
    pub fn try_start(self) -> Result<Relay, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, self.toml()).unwrap();
        transcript::keep_log();
        transcript::secrets_of(&self.toml());
        self.env.values().for_each(|value| transcript::secret_in(value));
        let sources = Sources { file: Some(file), env: self.environment() };
        let config = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", self.toml()));
        let source = app::Source { sources, set_log: Box::new(|_| ()) };
        let app = app::Relay::start_with(config, app::Inherited::Nothing, Some(source));
        let app = app.map_err(|error| format!("{error:#}"))?;
        Ok(Relay { app, authority: self.authority.clone(), folder: Folder(folder), setup: self })
    }

    fn environment(&self) -> HashMap<String, String> {
        let of_tests = || std::env::var(FORWARDING).ok().filter(|_| self.forwarding.is_none());
        let forwarding = of_tests().map(|forwarding| (FORWARDING.to_owned(), forwarding));
        self.env.clone().into_iter().chain(forwarding).collect()
    }

    fn toml(&self) -> String {
        let Self { auth, workers, awaits_first_event, server, admin, limits, key, metering, more, .. } = self;
        let forwarding = self.forwarding.map_or_else(String::new, |word| format!("forwarding = {word:?}\n"));
        let credential = if *auth == "passthrough" { String::new() } else { format!("key = {UPSTREAM_KEY:?}\n") };
        let keys = self.keys.iter().map(|(name, secret)| format!("[[keys]]\nname = {name:?}\nkey = {secret:?}\n{key}"));
        let upstreams = self.upstreams.iter().map(|UpstreamSetup { name, kind, url, priority, more }| {
            format!(
                "[[upstreams]]\nname = {name:?}\nkind = {kind:?}\nurl = {url:?}\npriority = {priority}\n\
                 await_first_event = {awaits_first_event}\n{credential}{more}"
            )
        });
        format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = {workers}\nauth = {auth:?}\n{forwarding}{server}\
             [admin]\n{admin}\n\
             [limits]\n{limits}\
             [metering]\n{metering}\
             {}{more}{}",
            upstreams.collect::<String>(),
            keys.collect::<String>()
        )
    }
}

/// One upstream, as the relay is told of it.
#[derive(Clone)]
struct UpstreamSetup {
    name: &'static str,
    kind: &'static str,
    url: String,
    priority: usize,
    more: String,
}

impl UpstreamSetup {
    fn new(name: &'static str, url: &str, priority: usize) -> Self {
        Self { name, kind: "openai", url: url.to_owned(), priority, more: String::new() }
    }
}

fn add(table: &mut String, toml: &str) {
    table.push_str(toml);
    table.push('\n');
}
