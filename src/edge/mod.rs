//! The edge: what runs once per link, from the accepted socket to the moment when both legs stand.
//!
//! Everything that can refuse a client refuses here, in HTTP. It refuses to know frames beyond the first event of an
//! upstream, and what becomes of a link once it has begun.

pub mod admin;
pub mod admit;
pub mod bind;
pub mod browser;
pub mod conn;
pub mod credential;
pub mod failures;
pub mod forwarded;
pub mod gate;
pub mod handshake;
pub mod links;
pub mod listener;
pub mod liveness;
pub mod load;
pub mod loopback;
pub mod pricing;
pub mod proxies;
pub mod proxy_header;
pub mod query;
pub mod refusal;
pub mod service;
pub mod shortage;
pub mod start;
pub mod tls;
pub mod upstream;

use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;

use crate::control::client_address::ClientAddress;
use crate::control::config::{self, Auth, Config, Forwarding, Origins, RefuseWith};
use crate::control::drain::Drain;
use crate::control::keys::Keys;
use crate::control::metering::Metering;
use crate::control::metrics::{Measures, Metrics};
use crate::relay::link;

use gate::{Counts, Gate};
use links::Links;
use proxies::Proxies;
use tls::CurrentAcceptor;
use upstream::Upstream;
use upstream::dial::Deadlines;
use upstream::pool::{self, Opening};
use upstream::shared::Shared;

/// What the edge of one worker needs under one configuration. Whoever has come in under it is served by it to the end. All
/// that workers share is in [`Common`].
#[derive(Debug)]
pub struct Edge {
    auth: Auth,
    origins: Origins,
    refuse_browsers_with: RefuseWith,
    forwarding: Forwarding,
    keys: Keys,
    gate: Gate,
    upstreams: Vec<Rc<Upstream>>,
    http: http1::Builder,
    proxies: Proxies,
    tls: Arc<CurrentAcceptor>,
    limits: config::Limits,
    link_limits: Rc<link::Limits>,
    drain: Arc<Drain>,
    metering: Rc<Metering>,
    measures: Rc<Measures>,
    links: Rc<Links>,
}

/// What the edges of all workers share.
#[derive(Debug, Clone)]
pub struct Common {
    /// What is counted over all of them.
    pub counts: Arc<Counts>,
    /// What is known of each upstream, in the order of the configuration.
    pub upstreams: Vec<Arc<Shared>>,
    /// Whether anybody is still admitted.
    pub drain: Arc<Drain>,
    /// What TLS is begun with.
    pub tls: Arc<CurrentAcceptor>,
    /// What is used, and what it costs.
    pub metering: Metering,
    /// Where each of them publishes what it counts.
    pub metrics: Metrics,
}

impl Edge {
    /// The edge that `config` describes, on the worker of this number. Fails where the TLS stack refuses an authority.
    pub fn new(config: &Config, common: &Common, worker: usize) -> Result<Self, tls::TlsError> {
        Self::beside(config, common, worker, None)
    }

    /// Whether an edge can be had under this configuration.
    pub fn check(config: &Config) -> Result<(), tls::TlsError> {
        config.upstreams.iter().try_for_each(|upstream| upstream::connector(upstream).map(drop))
    }

    /// The edge that another configuration describes, on the same worker: it has the same links and measures, and the
    /// upstreams that are still the same, with the legs that wait there. Nothing has changed before
    /// [`take_over`](Self::take_over).
    pub fn renewed(&self, config: &Config, common: &Common, worker: usize) -> Result<Self, tls::TlsError> {
        Self::beside(config, common, worker, Some(self))
    }

    fn beside(config: &Config, common: &Common, worker: usize, former: Option<&Self>) -> Result<Self, tls::TlsError> {
        let links = former.map_or_else(Rc::default, |former| former.links.clone());
        let measures = || Rc::new(Measures::new(&common.metrics, worker));
        let measures = former.map_or_else(measures, |former| former.measures.clone());
        let (known, opening) = (former.map_or(&[][..], |former| &former.upstreams), opening(&config.limits));
        let upstream = |(upstream, shared): (&config::Upstream, &Arc<Shared>)| {
            let warm = share(upstream.warm, config.server.workers, worker);
            let same = known.iter().find(|known| known.is_as(upstream, warm, opening)).cloned();
            let new = || Upstream::new(upstream, shared.clone(), warm, measures.clone()).map(Rc::new);
            same.map_or_else(new, Ok)
        };
        let upstreams = config.upstreams.iter().zip(&common.upstreams).map(upstream).collect::<Result<_, _>>()?;
        Ok(Self {
            auth: config.server.auth,
            origins: config.server.allowed_origins.clone(),
            refuse_browsers_with: config.server.refuse_browsers_with,
            forwarding: config.server.forwarding,
            keys: Keys::new(&config.keys),
            gate: Gate::new(config, &common.counts),
            upstreams,
            http: service::http(),
            proxies: Proxies::new(&config.server),
            tls: common.tls.clone(),
            limits: config.limits.clone(),
            link_limits: Rc::new(link_limits(&config.limits)),
            drain: common.drain.clone(),
            metering: Rc::new(common.metering.clone()),
            measures,
            links,
        })
    }

    /// Begins what goes on without clients: legs are opened ahead, links are ended whose key expires. Called once, on the
    /// worker's runtime.
    pub fn begin(&self) {
        self.links.set_keys(self.keys.clone());
        let links = self.links.clone();
        tokio::task::spawn_local(async move { links.watch_expiry().await });
        for upstream in &self.upstreams {
            pool::keep_filled(upstream, opening(&self.limits));
        }
    }

    /// Begins what is new in this edge, and ends what is gone of `former`: legs that wait, and links whose key is gone.
    pub fn take_over(&self, former: &Self) {
        self.links.set_keys(self.keys.clone());
        let is_in =
            |upstream: &Rc<Upstream>, edge: &Self| edge.upstreams.iter().any(|other| Rc::ptr_eq(upstream, other));
        for gone in former.upstreams.iter().filter(|upstream| !is_in(upstream, self)) {
            gone.pool.close();
        }
        for new in self.upstreams.iter().filter(|upstream| !is_in(upstream, former)) {
            pool::keep_filled(new, opening(&self.limits));
        }
    }

    /// Opens no legs ahead any more, and lets go of those that wait: nobody comes to take them.
    pub fn close_pools(&self) {
        for upstream in &self.upstreams {
            upstream.pool.close();
        }
    }

    /// Lets everybody know what this worker has counted. `busy`: how long it has done anything but wait.
    pub fn publish(&self, busy: Duration) {
        self.measures.publish(busy);
    }

    /// The links of its worker.
    pub fn links(&self) -> &Rc<Links> {
        &self.links
    }

    /// Why no new client should be sent here; `None`: all are welcome.
    fn unready(&self) -> Option<&'static str> {
        self.drain.phase().unready().or(self.metering.unavailable())
    }

    fn deadlines(&self) -> Deadlines {
        deadlines(&self.limits)
    }
}

fn deadlines(limits: &config::Limits) -> Deadlines {
    Deadlines { dial: limits.dial_timeout, all: limits.admission_timeout }
}

/// How legs are opened ahead.
fn opening(limits: &config::Limits) -> Opening {
    Opening { deadlines: deadlines(limits), max_message_bytes: limits.max_message_bytes }
}

/// The bounds of this worker's links.
fn link_limits(limits: &config::Limits) -> link::Limits {
    link::Limits {
        max_message_bytes: limits.max_message_bytes,
        write_timeout: limits.write_timeout,
        close_timeout: limits.close_timeout,
        settle_timeout: limits.settle_timeout,
        ping_interval: limits.ping_interval,
        idle_timeout: limits.idle_timeout,
        max_link: limits.max_link,
    }
}

/// What one worker keeps of `all` that are to be kept by all workers together.
fn share(all: u32, workers: NonZeroUsize, worker: usize) -> usize {
    let (all, workers) = (all as usize, workers.get());
    all / workers + usize::from(worker < all % workers)
}

/// Who connected, and over what.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Where it is: its end of the connection, or what a trusted proxy says.
    pub address: ClientAddress,
}
