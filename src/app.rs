//! The only file that knows every other: builds a relay from its configuration, binds, and starts its threads.

mod operations;

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::control::config::{Config, Secret};
use crate::edge::admin;
use crate::edge::bind::{self, Sharing};
use crate::edge::upstream::shared::Shared;
use crate::edge::{Edge, listener};
use crate::worker::{Worker, hand_over};
use operations::Operated;

/// A relay that runs. Dropped, it stops: its listeners and links are closed.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect, in the order of the configuration, with the ports that the system chose.
    pub addresses: Vec<SocketAddr>,
    /// Where operators connect.
    pub admin_address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    acceptor: Option<std::thread::JoinHandle<()>>,
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
        let shared: Vec<_> = config.upstreams.iter().map(|upstream| Arc::new(Shared::new(upstream))).collect();
        let counts = Arc::default();
        let workers = (0..config.server.workers.get())
            .map(|number| {
                let (config, counts, shared) = (config.clone(), Arc::clone(&counts), shared.clone());
                Worker::start(number, move || Edge::new(&config, &counts, &shared, number).map_err(anyhow::Error::from))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let token = config.admin.token.clone();
        let (stop, stopped) = oneshot::channel();
        let acceptor = std::thread::Builder::new().name("acceptor".to_owned());
        let runtime = || Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let acceptor = acceptor.spawn(move || match runtime() {
            Ok(runtime) => accept(&runtime, listeners, (admin, token, shared), workers, stopped),
            Err(error) => tracing::error!(%error, "the listeners have no runtime"),
        })?;
        Ok(Self { addresses, admin_address, stop: Some(stop), acceptor: Some(acceptor) })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(acceptor) = self.acceptor.take()
            && acceptor.join().is_err()
        {
            tracing::error!("the acceptor panicked");
        }
    }
}

fn listen(address: SocketAddr, sharing: Sharing) -> anyhow::Result<TcpListener> {
    bind::bind(address, sharing).with_context(|| format!("cannot listen on {address}"))
}

fn accept(
    runtime: &LocalRuntime,
    listeners: Vec<TcpListener>,
    (admin, token, upstreams): (TcpListener, Option<Secret>, Vec<Arc<Shared>>),
    workers: Vec<Worker>,
    stopped: oneshot::Receiver<()>,
) {
    let workers = Rc::new(workers);
    let serving = async {
        let mut tasks = JoinSet::new();
        let admin = Rc::new(tokio::net::TcpListener::from_std(admin)?);
        let operated = Operated { upstreams, workers: workers.clone() };
        tasks.spawn_local(admin::serve(admin, token, operated));
        for listener in listeners {
            let (listener, workers) = (tokio::net::TcpListener::from_std(listener)?, workers.clone());
            tasks.spawn_local(listener::accept(listener, move |stream, client| hand_over(&workers, stream, client)));
        }
        let _ = stopped.await;
        std::io::Result::Ok(())
    };
    if let Err(error) = runtime.block_on(serving) {
        tracing::error!(%error, "the listeners failed");
    }
}
