//! The edge: what runs once per link, from the accepted socket to the moment when both legs stand.
//!
//! Everything that can refuse a client refuses here, in HTTP. It refuses to know frames beyond the first event of an
//! upstream, and what becomes of a link once it has begun.

pub mod admin;
pub mod admit;
pub mod bind;
pub mod credential;
pub mod handshake;
pub mod links;
pub mod listener;
pub mod liveness;
pub mod load;
pub mod loopback;
pub mod query;
pub mod refusal;
pub mod service;
pub mod start;
pub mod tls;
pub mod upstream;

use std::cell::Cell;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use crate::control::config::{Auth, Config, Origins};
use crate::control::drain::Drain;
use crate::control::keys::Keys;
use crate::control::link_info::LinkInfo;
use crate::relay::ending::Decision;
use crate::relay::link;
use crate::relay::table::Table;

use uuid::Uuid;

use liveness::Liveness;
use tls::Acceptor;
use upstream::Upstream;
use upstream::dial::Deadlines;
use upstream::pool::{self, Opening};
use upstream::shared::Shared;

/// What the edge of one worker needs. Built once per worker: all that workers share are the atomics in [`Shared`] and
/// [`Drain`].
#[derive(Debug)]
pub struct Edge {
    auth: Auth,
    origins: Origins,
    keys: Keys,
    upstreams: Vec<Rc<Upstream>>,
    tls: Option<Acceptor>,
    liveness: Liveness,
    limits: crate::control::config::Limits,
    drain: Arc<Drain>,
    links: Rc<Table<Uuid, LinkInfo>>,
    /// Since this was decided, a link ends as soon as it begins.
    over: Cell<Option<Decision>>,
}

impl Edge {
    /// The edge that `config` describes, on the worker of this number; `shared` is what all workers know of each
    /// upstream, in the same order, and `drain` tells when nobody is admitted any more. Fails where the TLS stack refuses
    /// a certificate, a key or an authority.
    pub fn new(
        config: &Config,
        shared: &[Arc<Shared>],
        drain: &Arc<Drain>,
        worker: usize,
    ) -> Result<Self, tls::TlsError> {
        let upstreams = config.upstreams.iter().zip(shared).map(|(upstream, shared)| {
            let warm = share(upstream.warm, config.server.workers, worker);
            Upstream::new(upstream, shared.clone(), warm).map(Rc::new)
        });
        let upstreams = upstreams.collect::<Result<_, _>>()?;
        Ok(Self {
            auth: config.server.auth,
            origins: config.server.allowed_origins.clone(),
            keys: Keys::new(&config.keys),
            upstreams,
            tls: config.server.tls.as_ref().map(Acceptor::new).transpose()?,
            liveness: Liveness::new(&config.limits),
            limits: config.limits.clone(),
            drain: drain.clone(),
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

    fn deadlines(&self) -> Deadlines {
        Deadlines { dial: self.limits.dial_timeout, all: self.limits.admission_timeout }
    }

    fn link_limits(&self) -> link::Limits {
        link::Limits {
            max_message_bytes: self.limits.max_message_bytes,
            write_timeout: self.limits.write_timeout,
            close_timeout: self.limits.close_timeout,
        }
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
