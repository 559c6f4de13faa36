//! Another configuration for a relay that runs: read, held against what cannot change, and then put in force everywhere.
//! What can fail comes before anything changes, so either all of it comes into force or nothing has changed. Links that
//! run go on as they began, but for those whose key is gone or has nothing left.
//!
//! It refuses to know who asks for it.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Mutex, oneshot};
use tokio::task::spawn_blocking;

use super::operations::answers;
use crate::control::config::{self, Config, Log, Mistakes, Sources, TlsIdentity, Unfit};
use crate::control::ledger::Accountant;
use crate::control::metering::{Metering, Unaccounted};
use crate::control::notify::Notify;
use crate::edge::links::Which;
use crate::edge::tls::{Acceptor, TlsError};
use crate::edge::upstream::shared::Shared;
use crate::edge::{Common, Edge};
use crate::relay::ending::Decision;
use crate::worker::{Mail, Renewal, Worker};

/// A ledger that has not answered by then has other troubles.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a relay reads its configuration again, and who is told what becomes of the log.
pub struct Source {
    /// The same as at its start.
    pub sources: Sources,
    /// Sets the level of the log, which the configuration has accepted.
    pub set_log: Box<dyn Fn(&Log) + Send>,
}

/// What is in force in a relay, and how that is renewed.
pub(super) struct Renewer {
    /// `None`: it was started with a configuration that stands nowhere.
    source: Option<Source>,
    workers: Rc<Vec<Worker>>,
    accountant: Accountant,
    in_force: RefCell<Renewal>,
    /// Who is told while it lasts.
    notify: Arc<Notify>,
    /// One at a time.
    turn: Mutex<()>,
}

/// Why everything is as it was.
#[derive(Debug, Error)]
pub(super) enum NotRenewed {
    /// The configuration is wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// It does not go with what this process keeps.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It is wrong as the TLS stack sees it.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody can say what was used of a quota.
    #[error("what was used of the quotas is not known: {0}")]
    Quotas(#[from] Unaccounted),
    /// There is nothing to read.
    #[error("this relay was started with a configuration that stands in no file")]
    NoSource,
}

impl Renewer {
    pub(super) fn new(
        source: Option<Source>,
        workers: Rc<Vec<Worker>>,
        accountant: Accountant,
        in_force: Renewal,
        notify: Arc<Notify>,
    ) -> Self {
        Self { source, workers, accountant, in_force: RefCell::new(in_force), notify, turn: Mutex::new(()) }
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> Renewal {
        self.in_force.borrow().clone()
    }

    /// Reads the configuration again, and puts it in force. Says in the log what came of it.
    ///
    /// Not cancel safe: dropped, it may leave some workers with the former configuration.
    pub(super) async fn renew(&self) -> Result<(), NotRenewed> {
        let _turn = self.turn.lock().await;
        let _reloading = self.notify.reloading();
        let renewed = self.try_renew().await;
        self.in_force.borrow().common.metrics.reloaded(renewed.is_ok());
        match renewed {
            Ok(kept) if kept.is_empty() => tracing::info!("the configuration was read again, and is in force"),
            Ok(kept) => {
                let kept = kept.join(", ");
                tracing::warn!(kept, "the configuration was read again, and is in force but for what needs a restart");
            }
            Err(error) => {
                tracing::error!("the configuration was read again, and nothing has changed: {error}");
                return Err(error);
            }
        }
        Ok(())
    }

    async fn try_renew(&self) -> Result<Vec<&'static str>, NotRenewed> {
        let source = self.source.as_ref().ok_or(NotRenewed::NoSource)?;
        let former = self.in_force();
        let mut config = read(source.sources.clone()).await?;
        let kept = config.keep_fixed(&former.config)?;
        // What may fail comes first.
        let acceptor = config.server.tls.as_ref().map(Acceptor::new).transpose()?;
        let upstreams = upstreams(&config, &former.common.upstreams);
        let common = Common { upstreams, ..former.common.clone() };
        Edge::check(&config)?;
        let metering = former.common.metering.renewed(&config, &self.accountant, LEDGER_TIMEOUT).await?;

        let next = Renewal { config: Arc::new(config), common: Common { metering, ..common } };
        self.in_force.replace(next.clone());
        next.common.metrics.know(&next.config);
        next.common.tls.store(acceptor.map(Arc::new));
        next.common.upstreams.iter().for_each(|upstream| upstream.reset());
        (source.set_log)(&next.config.log);
        self.tell_workers(&next).await;
        self.end_used_up(&next.common.metering);
        Ok(kept)
    }

    async fn tell_workers(&self, next: &Renewal) {
        match answers(&self.workers, |done| Mail::Renew(next.clone(), done)).await {
            Ok(renewed) => {
                for error in renewed.into_iter().filter_map(Result::err) {
                    tracing::error!(%error, "a worker goes on with the former configuration");
                }
            }
            Err(error) => tracing::warn!(%error, "a worker takes the new configuration later"),
        }
    }

    /// Links of a key whose quota has become smaller than what it has used.
    fn end_used_up(&self, metering: &Metering) {
        for key in metering.used_up() {
            for worker in self.workers.iter() {
                let (ended, _) = oneshot::channel();
                worker.mail(Mail::End { which: Which::Key(key.clone()), decision: Decision::QuotaUsedUp, ended });
            }
        }
    }

    /// The files of the certificate that clients are shown, and of its key.
    pub(super) fn identity_files(&self) -> Option<(PathBuf, PathBuf)> {
        let in_force = self.in_force.borrow();
        in_force.config.server.tls.as_ref().map(|tls| (tls.cert_file.clone(), tls.key_file.clone()))
    }

    /// Reads the certificate again, and shows it to clients from now on. What is wrong with it is said in the log.
    ///
    /// Cancel safe.
    pub(super) async fn renew_certificate(&self) {
        let _turn = self.turn.lock().await;
        let Some((cert, key)) = self.identity_files() else { return };
        let identity = spawn_blocking(move || config::tls_identity(&cert, &key)).await;
        match identity.map_err(|error| error.to_string()).flatten().and_then(|identity| self.show(&identity)) {
            Ok(true) => tracing::info!("the certificate has changed: new clients are shown the new one"),
            Ok(false) => {}
            Err(error) => tracing::error!("the certificate has changed, and clients are shown the former one: {error}"),
        }
    }

    /// Whether it is another one than before.
    fn show(&self, identity: &TlsIdentity) -> Result<bool, String> {
        let tls = &self.in_force.borrow().common.tls;
        let acceptor = Acceptor::new(identity).map_err(|error| error.to_string())?;
        let is_new = tls.load().as_ref().is_none_or(|current| !current.shows(identity));
        if is_new {
            tls.store(Some(Arc::new(acceptor)));
        }
        Ok(is_new)
    }
}

/// Reads files: not on the thread that lets operators in.
async fn read(sources: Sources) -> Result<Config, Mistakes> {
    match spawn_blocking(move || config::load(&sources)).await {
        Ok(read) => read,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// What is known of each upstream, in the order of the configuration. One of a name that was there before is known as before.
pub(super) fn upstreams(config: &Config, known: &[Arc<Shared>]) -> Vec<Arc<Shared>> {
    let shared = |upstream: &config::Upstream| {
        let known = known.iter().find(|known| *known.name == *upstream.name);
        known.cloned().unwrap_or_else(|| Arc::new(Shared::new(&upstream.name)))
    };
    config.upstreams.iter().map(shared).collect()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment is full of secrets.
        f.debug_struct("Source").field("file", &self.sources.file).finish_non_exhaustive()
    }
}
