//! The house: the doors through which clients and operators come in, and the workers who carry them.
//!
//! It refuses to know when it is to be emptied.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::certificates;
use super::doorman::Doorman;
use super::doors::{Door, Doors};
use super::operations::Operated;
use super::renewal::{Renewer, Source};
use super::scrape::Scrape;
use super::sockets::Sockets;
use super::watchdog;
use crate::control::drain::House;
use crate::control::ledger::Accountant;
use crate::control::notify::Notify;
use crate::control::takeover::{Labelled, Offer};
use crate::relay::ending::Decision;
use crate::worker::{Mail, Renewal, Worker};

/// What a house is opened with.
pub(super) struct Openings {
    /// Where clients and operators come in.
    pub(super) sockets: Sockets,
    /// Where a successor may ask.
    pub(super) offer: Option<Offer>,
    /// At least one.
    pub(super) workers: Vec<Worker>,
    /// The configuration, and what was made of it.
    pub(super) in_force: Renewal,
    /// Where it is read again.
    pub(super) source: Option<Source>,
    /// Brings a word each time that is asked for.
    pub(super) renewals: mpsc::UnboundedReceiver<()>,
    /// Who is told how the process does.
    pub(super) notify: Arc<Notify>,
}

/// A house that is open.
pub(super) struct OpenHouse {
    doors: Rc<Doors>,
    workers: Rc<Vec<Worker>>,
    notify: Arc<Notify>,
}

impl OpenHouse {
    /// Has clients and operators let in. Nobody is before all else has been done that can fail; the successors' place comes
    /// at the very end: from then on, the predecessor's is gone.
    pub(super) async fn open(openings: Openings, accountant: Accountant) -> io::Result<Self> {
        let Openings { sockets, offer, workers, in_force, source, renewals, notify } = openings;
        let Sockets { clients, admin } = sockets;
        let mailboxes: Arc<[_]> = workers.iter().map(Worker::mailbox).collect();
        let mut hired = Vec::with_capacity(clients.len());
        for Labelled { label, listener } in clients {
            hired.push((label, Doorman::hire(listener, mailboxes.clone()).await?));
        }
        // Nothing is waited for from here on: the tasks that are spawned do not run before it is done.
        let (workers, drain) = (Rc::new(workers), in_force.common.drain.clone());
        let scrape = Scrape::new(in_force.common.metrics.clone(), workers.len());
        let renewer = Rc::new(Renewer::new(source, workers.clone(), accountant, in_force, notify.clone()));
        spawn_local(obey(renewals, renewer.clone()));
        spawn_local(certificates::watch(renewer.clone()));
        let operated = Operated { workers: workers.clone(), drain: drain.clone(), renewer, scrape };
        let mut doors = vec![Door::to_operators(admin, operated)?];
        doors.extend(hired.into_iter().map(|(label, doorman)| Door::to_clients(label, doorman)));
        let doors = Rc::new(Doors::new(doors));
        if let Some(offer) = offer {
            doors.offer(offer.open().map_err(io::Error::other)?, drain, notify.clone());
        }
        watchdog::keep(notify.clone(), workers.clone());
        Ok(Self { doors, workers, notify })
    }

    fn mail(&self, mail: impl Fn() -> Mail) {
        for worker in self.workers.iter() {
            worker.mail(mail());
        }
    }
}

/// Renews the configuration each time that is asked for.
async fn obey(mut renewals: mpsc::UnboundedReceiver<()>, renewer: Rc<Renewer>) {
    while renewals.recv().await.is_some() {
        // What is wrong has been said.
        let _ = renewer.renew().await;
    }
}

impl House for OpenHouse {
    fn leave(&self) {
        self.notify.stopping("draining");
    }

    async fn close(&self) {
        let mailboxes: Vec<_> = self.workers.iter().map(Worker::mailbox).collect();
        self.doors.close_to_clients(&mailboxes).await;
        self.mail(|| Mail::CloseUp);
    }

    fn end_all(&self, spread: Duration) {
        self.mail(|| Mail::EndAll(Decision::RelayRestarting, spread));
    }

    fn cut_all(&self) {
        self.mail(|| Mail::CutAll(Decision::RelayRestarting));
    }

    fn carried(&self) -> usize {
        self.workers.iter().map(Worker::carried).sum()
    }

    async fn empty(&self) {
        // Nobody comes in any more, so a worker that carries nothing stays like that.
        for worker in self.workers.iter() {
            worker.emptied().await;
        }
    }
}
