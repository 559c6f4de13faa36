//! The only plane that knows every other: builds a relay from its configuration, binds, starts its threads, and has it
//! drained. `sockets` are inherited or bound, `keeper` is the thread that has clients and operators let in through its
//! `doors` (clients by a worker, to which a `doorman` sees), `house` what it empties in the end, `operations` what operators
//! have done, `renewal` puts another configuration in force, `certificates` has another certificate shown, and `scrape` is
//! what is asked of everybody when the metrics are read.

mod certificates;
mod doorman;
mod doors;
mod house;
mod keeper;
mod operations;
mod renewal;
mod scrape;
mod sockets;
mod watchdog;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use crate::control::config::Config;
use crate::control::drain::{Drain, Schedule};
use crate::control::metering::Metering;
use crate::control::metrics::Metrics;
use crate::control::notify::Notify;
use crate::control::takeover::Offer;
use crate::edge::links::Which;
use crate::edge::tls::{self, CurrentAcceptor};
use crate::edge::{Common, Edge};
use crate::relay::ending::Decision;
use crate::worker::{Mail, Mailbox, Renewal, Worker};
use house::Openings;
use keeper::Keeper;

pub use renewal::Source;
pub use sockets::Inherited;

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
    /// Says how it does to the service manager.
    pub notify: Arc<Notify>,
    renewals: mpsc::UnboundedSender<()>,
    keeper: Keeper,
}

impl Relay {
    /// Binds and starts. When it returns, clients are served. Its configuration stays what it is.
    pub fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_with(config, Inherited::Nothing, None)
    }

    /// Starts with listening sockets that were there before, and binds what is missing. When it returns, clients are
    /// served; where it fails, a predecessor is as it was. From `source` its configuration can be read again.
    pub fn start_with(config: Config, inherited: Inherited, source: Option<Source>) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let predecessor = inherited.predecessor();
        let sockets = sockets::listen(&config, inherited)?;
        let addresses = sockets.clients.iter().map(|socket| socket.listener.local_addr()).collect::<Result<_, _>>()?;
        let admin_address = sockets.admin.listener.local_addr()?;
        let offer = config.server.takeover_socket.as_ref().map(|path| Offer::prepare(path, predecessor.as_deref()));
        let offer = offer.transpose()?;
        let tls = config.server.tls.as_ref().map(tls::Acceptor::new).transpose()?.map(Arc::new);
        let (drain, schedule) = (Arc::<Drain>::default(), Schedule::of(&config.limits));
        let notify = Arc::<Notify>::default();
        let mailboxes = Arc::<OnceLock<Vec<Mailbox>>>::default();
        let metrics = Metrics::new(&config);
        let (metering, ledger) = Metering::start(&config, &metrics, end_links_of_key(&mailboxes))?;
        let common = Common {
            counts: Arc::default(),
            upstreams: renewal::upstreams(&config, &[]),
            drain: drain.clone(),
            tls: Arc::new(CurrentAcceptor::new(tls)),
            metering,
            metrics,
        };
        let workers = workers(&config, &common)?;
        let _ = mailboxes.set(workers.iter().map(Worker::mailbox).collect());
        let (renewals, asked) = mpsc::unbounded_channel();
        let (in_force, told) = (Renewal { config, common }, notify.clone());
        let openings = Openings { sockets, offer, workers, in_force, source, renewals: asked, notify: told };
        let keeper = Keeper::start(openings, schedule, ledger).context("cannot accept connections")?;
        Ok(Self { addresses, admin_address, drain, schedule, notify, renewals, keeper })
    }

    /// A way to have its configuration read again.
    pub fn renewing(&self) -> Renewing {
        Renewing(self.renewals.clone())
    }

    /// Ready when it has been drained, and nothing of it is left but this handle. Fails if it has come to grief.
    ///
    /// Cancel safe.
    pub async fn finished(&mut self) -> anyhow::Result<()> {
        self.keeper.finished().await
    }
}

/// A way to have a relay read its configuration again.
#[derive(Debug, Clone)]
pub struct Renewing(mpsc::UnboundedSender<()>);

impl Renewing {
    /// Has the configuration read again, and put in force if it is right. What comes of it is said in the log.
    pub fn renew(&self) {
        let _ = self.0.send(()); // a relay that is about to end needs no other configuration
    }
}

/// Has every worker end the links of a key whose quota is used up.
fn end_links_of_key(mailboxes: &Arc<OnceLock<Vec<Mailbox>>>) -> impl Fn(&str) + Send + 'static {
    let mailboxes = mailboxes.clone();
    move |key| {
        tracing::info!(key, "its quota is used up: its links are ended");
        for mailbox in mailboxes.get().into_iter().flatten() {
            let (ended, _) = oneshot::channel();
            mailbox.mail(Mail::End { which: Which::Key(key.to_owned()), decision: Decision::QuotaUsedUp, ended });
        }
    }
}

fn workers(config: &Arc<Config>, common: &Common) -> anyhow::Result<Vec<Worker>> {
    let start = |number| {
        let (config, common) = (config.clone(), common.clone());
        Worker::start(number, move || Edge::new(&config, &common, number).map_err(anyhow::Error::from))
    };
    (0..config.server.workers.get()).map(start).collect()
}
