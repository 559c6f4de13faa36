//! The house: the doors through which clients and operators come in, and the workers who carry them.
//!
//! It refuses to know when it is to be emptied.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::spawn_local;

use super::doors::{Door, Doors};
use super::operations::Operated;
use super::scrape::Scrape;
use super::sockets::Sockets;
use crate::control::config::Secret;
use crate::control::drain::{Drain, House};
use crate::control::metering::Metering;
use crate::control::metrics::Metrics;
use crate::control::takeover::{Labelled, Offer};
use crate::edge::upstream::shared::Shared;
use crate::edge::{Client, admin, listener};
use crate::relay::ending::Decision;
use crate::worker::{Mail, Worker, hand_over};

/// What a house is opened with, on the thread that is to accept.
pub(super) struct Openings {
    /// Where clients and operators come in.
    pub(super) sockets: Sockets,
    /// What operators must show.
    pub(super) token: Option<Secret>,
    /// Where a successor may ask.
    pub(super) offer: Option<Offer>,
    /// In the order of the configuration.
    pub(super) upstreams: Vec<Arc<Shared>>,
    /// At least one.
    pub(super) workers: Vec<Worker>,
    /// How far the process is on its way out.
    pub(super) drain: Arc<Drain>,
    /// What is used, and what it costs.
    pub(super) metering: Metering,
    /// What is counted.
    pub(super) metrics: Metrics,
    /// The ledger's.
    pub(super) file: PathBuf,
}

/// A house that is open.
pub(super) struct OpenHouse {
    doors: Rc<Doors>,
    workers: Rc<Vec<Worker>>,
}

impl OpenHouse {
    /// Begins to accept, in tasks of this thread's runtime. What can fail for want of something in the world outside comes
    /// last, and the successors' place at the very end: from then on, the predecessor's is gone.
    pub(super) fn open(openings: Openings) -> io::Result<Self> {
        let Openings { sockets: Sockets { clients, admin }, token, offer, upstreams, workers, drain, metering, .. } =
            openings;
        let workers = Rc::new(workers);
        let scrape = Scrape::new(openings.metrics, workers.len());
        let operated = Operated {
            upstreams,
            workers: workers.clone(),
            drain: drain.clone(),
            metering,
            ledger: openings.file,
            scrape,
        };
        let mut doors = vec![open(admin, |admin| admin::serve(admin, token, operated))?];
        for client in clients {
            doors.push(open(client, |client| listener::accept(client, to_workers(&workers)))?);
        }
        let doors = Rc::new(Doors::new(doors));
        if let Some(offer) = offer {
            doors.offer(offer.open().map_err(io::Error::other)?, drain);
        }
        Ok(Self { doors, workers })
    }

    fn mail(&self, mail: impl Fn() -> Mail) {
        for worker in self.workers.iter() {
            worker.mail(mail());
        }
    }
}

/// Opens a door, with a task that accepts there.
fn open<F>(Labelled { label, listener }: Labelled, accept: impl FnOnce(Rc<TcpListener>) -> F) -> io::Result<Door>
where
    F: Future<Output = ()> + 'static,
{
    let listener = Rc::new(TcpListener::from_std(listener)?);
    Ok(Door { label, accepting: spawn_local(accept(listener.clone())), listener })
}

impl House for OpenHouse {
    async fn close(&self) {
        self.doors.close_to_clients(to_workers(&self.workers)).await;
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

fn to_workers(workers: &Rc<Vec<Worker>>) -> impl Fn(std::net::TcpStream, Client) + 'static {
    let workers = workers.clone();
    move |stream, client| hand_over(&workers, stream, client)
}
