//! The house: the doors through which clients and operators come in, and the workers who carry them.
//!
//! It refuses to know when it is to be emptied.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, spawn_local};

use super::operations::Operated;
use crate::control::config::Secret;
use crate::control::drain::{Drain, House};
use crate::edge::upstream::shared::Shared;
use crate::edge::{Client, admin, listener};
use crate::relay::ending::Decision;
use crate::worker::{Mail, Worker, hand_over};

/// What a house is opened with, on the thread that is to accept.
pub(super) struct Openings {
    /// Where clients come in.
    pub(super) clients: Vec<StdListener>,
    /// Where operators come in.
    pub(super) admin: StdListener,
    /// What they must show.
    pub(super) token: Option<Secret>,
    /// In the order of the configuration.
    pub(super) upstreams: Vec<Arc<Shared>>,
    /// At least one.
    pub(super) workers: Vec<Worker>,
    /// How far the process is on its way out.
    pub(super) drain: Arc<Drain>,
}

/// A house that is open.
pub(super) struct OpenHouse {
    /// Those of the clients, until they are closed.
    doors: RefCell<Vec<Door>>,
    workers: Rc<Vec<Worker>>,
}

/// A listening socket, and the task that accepts from it.
struct Door {
    listener: Rc<TcpListener>,
    accepting: JoinHandle<()>,
}

impl OpenHouse {
    /// Begins to accept, in tasks of this thread's runtime.
    pub(super) fn open(Openings { clients, admin, token, upstreams, workers, drain }: Openings) -> io::Result<Self> {
        let workers = Rc::new(workers);
        let admin = Rc::new(TcpListener::from_std(admin)?);
        let operated = Operated { upstreams, workers: workers.clone(), drain };
        spawn_local(admin::serve(admin, token, operated));
        let open = |listener| {
            let listener = Rc::new(TcpListener::from_std(listener)?);
            let accepting = spawn_local(listener::accept(listener.clone(), to_workers(&workers)));
            Ok(Door { listener, accepting })
        };
        let doors = clients.into_iter().map(open).collect::<io::Result<_>>()?;
        Ok(Self { doors: RefCell::new(doors), workers })
    }

    fn mail(&self, mail: impl Fn() -> Mail) {
        for worker in self.workers.iter() {
            worker.mail(mail());
        }
    }
}

impl House for OpenHouse {
    async fn close(&self) {
        for door in self.doors.take() {
            door.close(to_workers(&self.workers)).await;
        }
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

impl Door {
    /// Stops to accept, gives away whoever waits in the system's queue, and closes the socket.
    async fn close(self, hand_over: impl Fn(std::net::TcpStream, Client)) {
        self.accepting.abort();
        // Once the task is gone, so is its share of the listener.
        let _ = self.accepting.await;
        let listener = Rc::into_inner(self.listener).map(TcpListener::into_std);
        if let Some(Err(error)) = listener.map(|listener| listener::take_queued(&listener?, hand_over)) {
            tracing::warn!(%error, "connections that were queued are lost");
        }
    }
}

fn to_workers(workers: &Rc<Vec<Worker>>) -> impl Fn(std::net::TcpStream, Client) + 'static {
    let workers = workers.clone();
    move |stream, client| hand_over(&workers, stream, client)
}
