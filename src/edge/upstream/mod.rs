//! The upstream leg, until it stands.
//!
//! `attempts` goes through the candidates: `pick` puts them in order, `breaker` keeps away from those that fail, and the
//! `pool` may have a leg that was opened ahead. `shared` is what all workers know of an upstream.
//!
//! `kind` writes the request, `dial` opens the leg: `connect` makes the connection, through a `proxy` where there is one,
//! `upgrade` asks for the switch and reads the 101, `first_event` waits for the upstream's first word. What else may be
//! answered, and what a proxy answers, `exchange` reads with hyper. `failure` says what it means when one of them fails.
//! They refuse to know the client beyond what was admitted.

pub mod attempts;
pub mod breaker;
pub mod connect;
pub mod dial;
pub mod exchange;
pub mod failure;
pub mod first_event;
pub mod kind;
pub mod pick;
pub mod pool;
pub mod proxy;
pub mod shared;
pub mod upgrade;

use std::rc::Rc;
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue};

use super::query::Route;
use super::tls::{Connector, TlsError};
use crate::control::config::{self, Secret};
use crate::control::metrics::Measures;
use kind::Asking;
use pool::{Opening, Pool};
use shared::Shared;

/// An upstream as one worker sees it.
#[derive(Debug)]
pub struct Upstream {
    /// What the configuration says of it.
    pub config: config::Upstream,
    /// How it is asked.
    pub asking: Asking,
    /// Kept as long as the upstream, so that sessions resume. `None` for `ws`.
    pub tls: Option<Connector>,
    /// What all workers know of it.
    pub shared: Arc<Shared>,
    /// The legs to it that wait on this worker.
    pub pool: Pool,
    /// What this worker counts.
    pub measures: Rc<Measures>,
}

/// What a client wants of whichever upstream takes it.
#[derive(Debug)]
pub struct Wanted {
    /// The id by which an upstream's operator finds the request again.
    pub request_id: HeaderValue,
    /// What to talk to.
    pub route: Route,
    /// The client's other query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The client's own key, where it goes upstream.
    pub passed_key: Option<Secret>,
}

/// An upstream that serves what is wanted.
#[derive(Debug)]
pub struct Candidate {
    /// Which one.
    pub upstream: Rc<Upstream>,
    /// The name that it has for the model; empty for a call.
    pub model_sent: String,
    /// The client's headers that go on to it.
    pub forwarded: HeaderMap,
}

impl Upstream {
    /// An upstream on this worker, with so many warm legs for each of its models. Fails where TLS refuses the
    /// authorities that the configuration names.
    pub fn new(
        config: &config::Upstream,
        shared: Arc<Shared>,
        warm: usize,
        measures: Rc<Measures>,
    ) -> Result<Self, TlsError> {
        let tls = connector(config)?;
        let pool = Pool::new(config.models.named().map(|(_, sent)| sent), warm);
        Ok(Self { config: config.clone(), asking: Asking::new(config), tls, shared, pool, measures })
    }

    /// Whether this is what the configuration says of an upstream, with so many legs opened ahead for each model.
    pub fn is_as(&self, config: &config::Upstream, warm: usize, opening: Opening) -> bool {
        self.config == *config && self.pool.is_as(config.models.named().map(|(_, sent)| sent), warm, opening)
    }
}

/// How TLS is begun with an upstream; `None` for `ws`. Fails where TLS refuses the authorities that the configuration names.
pub fn connector(config: &config::Upstream) -> Result<Option<Connector>, TlsError> {
    config.url.secure.then(|| Connector::new(&config.name, config.ca.as_deref())).transpose()
}
