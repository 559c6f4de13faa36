//! The configuration, parsed once at the door: what is in a [`Config`] has been checked, and nothing needs a second look.
//! Everything here is a plain value; how it is spelled in a file is the business of the modules below. Refuses to know
//! what a value is used for.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

mod clients;
mod document;
mod fixed;
mod headers;
mod kinds;
mod limits;
mod load;
mod metering;
mod mistake;
mod networks;
mod outside;
mod prices;
mod process;
mod providers;
mod proxy;
mod quota;
mod secret;
mod serving;
mod show;
mod table;
mod units;
mod upstream;
mod url;

pub use fixed::Unfit;
pub use load::{Sources, ledger_of, load, parse};
pub use metering::{Durability, Metering, OnFailure};
pub use mistake::{Mistake, Mistakes, Place, Spot};
pub use networks::Networks;
pub use prices::{built_in_prices, prices_of};
pub use process::tls_identity;
pub use proxy::Proxy;
pub use quota::{Allowance, Period, Quota};
pub use secret::Secret;
pub use upstream::{Kind, Models, Upstream, UpstreamUrl};

/// Everything the process needs to know before it starts.
#[derive(Debug)]
pub struct Config {
    /// The client listener.
    pub server: Server,
    /// The admin listener.
    pub admin: Admin,
    /// Sizes and deadlines.
    pub limits: Limits,
    /// At least one; names are unique.
    pub upstreams: Vec<Upstream>,
    /// The clients' keys; names and digests are unique. Not empty with [`Auth::Keys`], empty with [`Auth::Passthrough`].
    pub keys: Vec<Key>,
    /// What becomes of usage.
    pub metering: Metering,
    /// What is logged, and how.
    pub log: Log,
}

/// `[server]`: where clients come in, and who may.
#[derive(Debug)]
pub struct Server {
    /// At least one address. All loopback with [`Auth::None`]. A port of 0 is chosen by the system.
    pub listen: Vec<SocketAddr>,
    /// Threads. A configured 0 has been resolved to the number of cores.
    pub workers: NonZeroUsize,
    /// How a client proves that it may use the relay.
    pub auth: Auth,
    /// Which web pages may use the relay.
    pub allowed_origins: Origins,
    /// How those are refused who cannot read an HTTP answer.
    pub refuse_browsers_with: RefuseWith,
    /// How frames go on.
    pub forwarding: Forwarding,
    /// Present: `wss` is served. Absent: `ws`.
    pub tls: Option<TlsIdentity>,
    /// Whether every connection begins with a header of the PROXY protocol. True: `trusted_proxies` is not empty.
    pub proxy_protocol: bool,
    /// Who is believed when it says for which client it speaks.
    pub trusted_proxies: Networks,
    /// Where a successor may take the listeners; absolute. A path that a unix socket can have.
    pub takeover_socket: Option<PathBuf>,
    /// Whether other processes may listen on the same addresses (`SO_REUSEPORT`).
    pub reuse_port: bool,
}

/// How a client proves that it may use the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// With one of the configured keys.
    Keys,
    /// It does not: its key goes on to the one upstream, which judges.
    Passthrough,
    /// Not at all. Only on loopback.
    None,
}

/// How a browser, which sees nothing of an HTTP refusal, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseWith {
    /// In HTTP, as everyone else.
    Http,
    /// With a 101, an `error` event and a close frame.
    Event,
}

/// How what one peer sends goes on to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// As the bytes that came, as soon as they come.
    Verbatim,
    /// As whole frames, whose text is validated, under a mask of the relay's own.
    Framed,
}

/// Which `Origin` headers are let in. A request without one is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every origin.
    Any,
    /// These, in lower case, such as `https://app.example.com`. Empty: none.
    Only(Vec<String>),
}

impl Origins {
    /// Whether a page of this origin may use the relay. Letter case does not matter.
    pub fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(origins) => origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)),
        }
    }
}

/// The certificate chain the client listener shows, and its private key.
#[derive(Debug)]
pub struct TlsIdentity {
    /// The chain, leaf first. Not empty.
    pub certificates: Vec<CertificateDer<'static>>,
    /// The leaf's private key. That it fits the leaf is found out by the TLS stack.
    pub key: PrivateKeyDer<'static>,
    /// Where the chain was read; absolute.
    pub cert_file: PathBuf,
    /// Where the key was read; absolute.
    pub key_file: PathBuf,
}

/// `[admin]`: the operator's listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where operators connect.
    pub listen: SocketAddr,
    /// What an operator must show. Visible ASCII. `None`: nothing; then `listen` is loopback.
    pub token: Option<Secret>,
}

/// `[limits]`: numbers, sizes and deadlines. No duration is longer than a day, and none is zero but where that is said.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most links of the process, those under admission included.
    pub max_links: NonZeroUsize,
    /// The longest message either peer may send, in bytes.
    pub max_message_bytes: u64,
    /// How long a link may last.
    pub max_link: Duration,
    /// How long a link may go without a data frame in either direction. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// A leg that is silent for so long is pinged; one that is silent for three times as long is lost.
    pub ping_interval: Duration,
    /// From accept to the end of the client's request head, TLS included.
    pub handshake_timeout: Duration,
    /// One attempt at an upstream, from DNS to its 101.
    pub dial_timeout: Duration,
    /// All attempts together, first event included. Not shorter than `dial_timeout`.
    pub admission_timeout: Duration,
    /// How long a peer may leave bytes untaken.
    pub write_timeout: Duration,
    /// A close handshake, waiting for a frame boundary included.
    pub close_timeout: Duration,
    /// How long an upstream is read on for the usage of what is under way, once its client is gone.
    pub settle_timeout: Duration,
    /// How long clients are still admitted once the relay has said that it is not ready. May be zero.
    pub drain_grace: Duration,
    /// How long links may then go on. `None`: until they end.
    pub drain_timeout: Option<Duration>,
    /// Over how long the endings of what is left are spread. May be zero.
    pub drain_spread: Duration,
    /// So many wrong keys of one address in a minute, and it is not listened to for a while. At most
    /// [`MOST_AUTH_FAILURES`].
    pub auth_failures_per_minute: NonZeroU32,
}

/// The largest `auth_failures_per_minute`: one each millisecond. More is no limit.
pub const MOST_AUTH_FAILURES: u32 = 60_000;

/// `[[keys]]`: one client's key, as its digest.
#[derive(Clone, Debug)]
pub struct Key {
    /// What logs and records say. Of `[A-Za-z0-9_.-]`, 1 to 64 characters.
    pub name: String,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// The models it may ask for; `None`: all.
    pub models: Option<Vec<String>>,
    /// The upstreams it may use, by name; `None`: all.
    pub upstreams: Option<Vec<String>>,
    /// The routes without a model that it may use.
    pub allow: Allow,
    /// The most links at a time, those under admission included; `None`: no limit of its own.
    pub max_links: Option<NonZeroUsize>,
    /// The most links that may begin in a minute; `None`: no limit.
    pub new_links_per_minute: Option<NonZeroU32>,
    /// How much it may use; `None`: as much as it likes.
    pub quota: Option<Quota>,
    /// From this moment on the key is no key.
    pub expires: Option<SystemTime>,
}

/// The routes without a model, and whether a key opens them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allow {
    /// `intent=transcription`.
    pub transcription: bool,
    /// `call_id`.
    pub calls: bool,
}

impl Default for Allow {
    /// A call belongs to whoever made it, so nobody may join one unasked.
    fn default() -> Self {
        Self { transcription: true, calls: false }
    }
}

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The shape of a line.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`, which has accepted them.
    pub level: String,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}
