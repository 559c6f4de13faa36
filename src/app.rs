//! The only plane that knows every other: builds a relay from its configuration, binds, starts its threads, and has it
//! drained. `acceptor` is the thread that lets clients and operators in, `house` what it empties in the end, `operations`
//! what operators have done.

mod acceptor;
mod house;
mod operations;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context;

use crate::control::config::Config;
use crate::control::drain::{Drain, Schedule};
use crate::edge::Edge;
use crate::edge::bind::{self, Sharing};
use crate::edge::upstream::shared::Shared;
use crate::worker::Worker;
use acceptor::Acceptor;
use house::Openings;

/// A relay that runs. Dropped, it stops at once: its listeners and links are closed.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect, in the order of the configuration, with the ports that the system chose.
    pub addresses: Vec<SocketAddr>,
    /// Where operators connect.
    pub admin_address: SocketAddr,
    /// Has it drained.
    pub drain: Arc<Drain>,
    /// How long that takes.
    pub schedule: Schedule,
    acceptor: Acceptor,
}

impl Relay {
    /// Binds and starts. When it returns, clients are served.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let sharing = if config.server.reuse_port { Sharing::WithOthers } else { Sharing::Alone };
        let listeners = config.server.listen.iter().map(|address| listen(*address, sharing));
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        // Never shared: an operator who asks twice means the same process.
        let admin = listen(config.admin.listen, Sharing::Alone)?;
        let admin_address = admin.local_addr()?;
        let upstreams: Vec<_> = config.upstreams.iter().map(|upstream| Arc::new(Shared::new(upstream))).collect();
        let (drain, schedule) = (Arc::<Drain>::default(), Schedule::of(&config.limits));
        let workers = workers(&config, &upstreams, &drain)?;
        let (drain_of_house, token) = (drain.clone(), config.admin.token.clone());
        let openings = Openings { clients: listeners, admin, token, upstreams, workers, drain: drain_of_house };
        let acceptor = Acceptor::start(openings, schedule).context("cannot accept connections")?;
        Ok(Self { addresses, admin_address, drain, schedule, acceptor })
    }

    /// Ready when it has been drained, and nothing of it is left but this handle. Fails if it has come to grief.
    ///
    /// Cancel safe.
    pub async fn finished(&mut self) -> anyhow::Result<()> {
        self.acceptor.finished().await
    }
}

fn workers(config: &Arc<Config>, upstreams: &[Arc<Shared>], drain: &Arc<Drain>) -> anyhow::Result<Vec<Worker>> {
    let numbers = 0..config.server.workers.get();
    let start = |number| {
        let (config, upstreams, drain) = (config.clone(), upstreams.to_vec(), drain.clone());
        Worker::start(number, move || Edge::new(&config, &upstreams, &drain, number).map_err(anyhow::Error::from))
    };
    numbers.map(start).collect()
}

fn listen(address: SocketAddr, sharing: Sharing) -> anyhow::Result<TcpListener> {
    bind::bind(address, sharing).with_context(|| format!("cannot listen on {address}"))
}
