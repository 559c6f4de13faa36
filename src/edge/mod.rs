//! The edge: what runs once per link, from the accepted socket to the moment when both legs stand.
//!
//! Everything that can refuse a client refuses here, in HTTP. It refuses to know frames beyond the first event of an
//! upstream, and what becomes of a link once it has begun.

pub mod admin;
pub mod admit;
pub mod bind;
pub mod browser;
pub mod credential;
pub mod failures;
pub mod gate;
pub mod handshake;
pub mod links;
pub mod listener;
pub mod liveness;
pub mod load;
pub mod loopback;
pub mod pricing;
pub mod query;
pub mod refusal;
pub mod service;
pub mod shortage;
pub mod start;
pub mod tls;
pub mod upstream;

use std::cell::Cell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::control::config::{self, Auth, Config, Origins, RefuseWith};
use crate::control::drain::Drain;
use crate::control::keys::Keys;
use crate::control::link_info::LinkInfo;
use crate::control::metering::Metering;
use crate::control::metrics::{Measures, Metrics};
use crate::relay::ending::Decision;
use crate::relay::link;
use crate::relay::table::Table;

use uuid::Uuid;

use gate::{Counts, Gate};
use liveness::Liveness;
use tls::Acceptor;
use upstream::Upstream;
use upstream::dial::Deadlines;
use upstream::pool::{self, Opening};
use upstream::shared::Shared;

/// What the edge of one worker needs. Built once per worker: all that workers share are the atomics in
/// [`Common`].
#[derive(Debug)]
pub struct Edge {
    auth: Auth,
    origins: Origins,
    refuse_browsers_with: RefuseWith,
    keys: Keys,
    gate: Gate,
    upstreams: Vec<Rc<Upstream>>,
    tls: Option<Acceptor>,
    liveness: Liveness,
    limits: config::Limits,
    link_limits: Rc<link::Limits>,
    drain: Arc<Drain>,
    metering: Rc<Metering>,
    measures: Rc<Measures>,
    links: Rc<Table<Uuid, LinkInfo>>,
    /// Since this was decided, a link ends as soon as it begins.
    over: Cell<Option<Decision>>,
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
    /// What is used, and what it costs.
    pub metering: Metering,
    /// Where each of them publishes what it counts.
    pub metrics: Metrics,
}

impl Edge {
    /// The edge that `config` describes, on the worker of this number. Fails where the TLS stack refuses a certificate, a
    /// key or an authority.
    pub fn new(config: &Config, common: &Common, worker: usize) -> Result<Self, tls::TlsError> {
        let measures = Rc::new(Measures::new(&common.metrics, worker));
        let upstreams = config.upstreams.iter().zip(&common.upstreams).map(|(upstream, shared)| {
            let warm = share(upstream.warm, config.server.workers, worker);
            Upstream::new(upstream, shared.clone(), warm, measures.clone()).map(Rc::new)
        });
        let upstreams = upstreams.collect::<Result<_, _>>()?;
        Ok(Self {
            auth: config.server.auth,
            origins: config.server.allowed_origins.clone(),
            refuse_browsers_with: config.server.refuse_browsers_with,
            keys: Keys::new(&config.keys),
            gate: Gate::new(config, &common.counts),
            upstreams,
            tls: config.server.tls.as_ref().map(Acceptor::new).transpose()?,
            liveness: Liveness::new(&config.limits),
            limits: config.limits.clone(),
            link_limits: Rc::new(link_limits(&config.limits)),
            drain: common.drain.clone(),
            metering: Rc::new(common.metering.clone()),
            measures,
            links: Rc::default(),
            over: Cell::new(None),
        })
    }

    /// Begins what goes on without clients: legs are opened ahead. Called once, on the worker's runtime.
    pub fn begin(&self) {
        let opening = Opening { deadlines: self.deadlines(), max_message_bytes: self.limits.max_message_bytes };
        for upstream in &self.upstreams {
            pool::keep_filled(upstream, opening);
        }
    }

    /// Lets everybody know what this worker has counted. `busy`: how long it has done anything but wait.
    pub fn publish(&self, busy: Duration) {
        self.measures.publish(busy);
    }

    /// Why no new client should be sent here; `None`: all are welcome.
    fn unready(&self) -> Option<&'static str> {
        self.drain.phase().unready().or(self.metering.unavailable())
    }

    fn deadlines(&self) -> Deadlines {
        Deadlines { dial: self.limits.dial_timeout, all: self.limits.admission_timeout }
    }
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
    /// The address of its end of the connection.
    pub address: SocketAddr,
}
