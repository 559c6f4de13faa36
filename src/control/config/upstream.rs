//! What is known of an upstream before it is dialled: where it is, what it speaks, which names it serves. Refuses to know
//! how it is dialled and how it is doing.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;

use super::{Proxy, Secret};

/// `[[upstreams]]`: one provider of the Realtime API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a key of the file, and means something without the others
pub struct Upstream {
    /// What keys, logs and records call it. Of `[A-Za-z0-9_.-]`, 1 to 64 characters.
    pub name: String,
    /// What it speaks, with what only that kind has.
    pub kind: Kind,
    /// Where it is.
    pub url: UpstreamUrl,
    /// The credential that goes to it; it may stand in a header. `None`: with passthrough always, else only with
    /// [`Kind::Compatible`].
    pub key: Option<Secret>,
    /// The names it serves.
    pub models: Models,
    /// The model of `intent=transcription`, by the upstream's name for it; `None`: it does not serve that route. Neither
    /// empty nor `*`.
    pub transcription: Option<String>,
    /// Whether it serves `call_id`.
    pub calls: bool,
    /// Whether responses on a link to a call are billed to the key of that link.
    pub bill_calls: bool,
    /// Lower is tried first.
    pub priority: i64,
    /// Its share among those of its priority, at most a million; 0: only when nothing else is left.
    pub weight: u32,
    /// The most links to it, over all workers; `None`: no limit of its own.
    pub max_links: Option<NonZeroUsize>,
    /// The legs kept open ahead for each of [`Models::named`], at most a thousand. Not above 0 with passthrough, nor
    /// where no model is named.
    pub warm: u32,
    /// How long such a leg waits before another takes its place.
    pub warm_max_idle: Duration,
    /// The status of its refusals, and what clients get instead. All are from 400 to 599.
    pub status_map: BTreeMap<StatusCode, StatusCode>,
    /// Whether the client's 101 waits for the upstream's first event. The kind's default has been filled in.
    pub await_first_event: bool,
    /// Sent with every upgrade. Every value is marked sensitive: it may be a credential.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of the client that go on to it.
    pub forward_headers: Vec<HeaderName>,
    /// Whether `OpenAI-Beta: realtime=v1` is sent.
    pub beta_header: bool,
    /// The authorities trusted instead of the public ones. Not empty if present.
    pub ca: Option<Vec<CertificateDer<'static>>>,
    /// Where `ca` was read; absolute.
    pub ca_file: Option<PathBuf>,
    /// The proxy that tunnels to it, be it configured or of the environment. `None`: it is dialled directly.
    pub proxy: Option<Proxy>,
}

/// What an upstream speaks: how its URL and its credential are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The provider whose API this is: `?model=`, a bearer token.
    OpenAi {
        /// `OpenAI-Organization`.
        organization: Option<HeaderValue>,
        /// `OpenAI-Project`.
        project: Option<HeaderValue>,
    },
    /// Azure: its own paths below the URL, an `api-key` header.
    Azure {
        /// Present: the older path, with this `api-version`. Needs no escaping in a query.
        api_version: Option<String>,
    },
    /// Whatever else offers the protocol.
    Compatible {
        /// The header that carries the key.
        auth_header: HeaderName,
        /// What stands before the key; `None`: the key stands alone.
        auth_scheme: Option<String>,
        /// Offered in this order; each is a token.
        subprotocols: Vec<String>,
    },
}

impl Kind {
    /// As the configuration spells it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::OpenAi { .. } => "openai",
            Self::Azure { .. } => "azure",
            Self::Compatible { .. } => "compatible",
        }
    }
}

/// A `ws` or `wss` URL, in the parts that a dial needs. It has neither user nor fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// `wss`.
    pub secure: bool,
    /// A DNS name or an IP address; IPv6 without its brackets.
    pub host: String,
    /// The default one filled in.
    pub port: u16,
    /// Begins with a slash. With [`Kind::Compatible`] it may hold `{model}`. With [`Kind::OpenAi`] and [`Kind::Azure`]
    /// it has no query; with [`Kind::Azure`] it does not end in a slash, and is empty where the URL has no path.
    pub path_and_query: String,
}

impl UpstreamUrl {
    /// The value of a `Host` header: IPv6 in brackets, the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default_port(self.secure) { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path_and_query)
    }
}

/// The port of a URL that names none.
pub(super) const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// The names an upstream serves: what a client asks for, and what the upstream is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Models {
    named: BTreeMap<String, String>,
    rest: Rest,
    /// By the name asked for, `*` included: the price that is not that of the name sent.
    prices: BTreeMap<String, String>,
}

/// What becomes of a name that is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    /// Not served.
    Nothing,
    /// `"*" = "*"`.
    AsItIs,
    /// `"*" = "name"`.
    To(String),
}

impl Models {
    /// From pairs of asked and sent; `*` asked is the rest, `*` sent is "as it is", and means that only for the rest.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut named: BTreeMap<_, _> = pairs.into_iter().collect();
        let rest = match named.remove("*") {
            None => Rest::Nothing,
            Some(sent) if sent == "*" => Rest::AsItIs,
            Some(sent) => Rest::To(sent),
        };
        Self { named, rest, prices: BTreeMap::new() }
    }

    /// Every name, sent as it is.
    pub fn any() -> Self {
        Self { named: BTreeMap::new(), rest: Rest::AsItIs, prices: BTreeMap::new() }
    }

    /// What to send for the name a client asks for: its own entry if it has one, else what `*` says. `None`: not served.
    pub fn sent_as<'a>(&'a self, asked: &'a str) -> Option<&'a str> {
        match (self.named.get(asked), &self.rest) {
            (Some(sent), _) | (None, Rest::To(sent)) => Some(sent),
            (None, Rest::AsItIs) => Some(asked),
            (None, Rest::Nothing) => None,
        }
    }

    /// The same, with prices of other names: pairs of the name asked for, or `*`, and the name in the table of prices.
    #[must_use]
    pub fn priced(self, prices: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { prices: prices.into_iter().collect(), ..self }
    }

    /// Under which name the price of a name asked for is found: the one that is told for it, else what is sent for it.
    /// `None`: not served.
    pub fn priced_as<'a>(&'a self, asked: &'a str) -> Option<&'a str> {
        let entry = if self.named.contains_key(asked) { asked } else { "*" };
        let sent = self.sent_as(asked)?;
        Some(self.prices.get(entry).map_or(sent, String::as_str))
    }

    /// The pairs of [`Models::priced`].
    pub fn prices(&self) -> &BTreeMap<String, String> {
        &self.prices
    }

    /// The pairs of [`Models::new`], in order of the asked name, `*` last.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let rest = match &self.rest {
            Rest::Nothing => None,
            Rest::AsItIs => Some(("*", "*")),
            Rest::To(sent) => Some(("*", sent.as_str())),
        };
        self.named().chain(rest)
    }

    /// The pairs without `*`: the models that the configuration knows by name.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(asked, sent)| (asked.as_str(), sent.as_str()))
    }
}
