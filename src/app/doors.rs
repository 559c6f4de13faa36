//! The doors: the listening sockets with the tasks that accept there, and the two ways to be rid of them. They are closed
//! when the process drains for good, and given to a successor when there is one.
//!
//! It refuses to know what becomes of whoever comes in.

use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_local};

use crate::control::drain::Drain;
use crate::control::notify::Notify;
use crate::control::takeover::{Label, Offering, Serves, Successor};
use crate::edge::Client;
use crate::edge::listener::{self, Listener};

/// A listening socket, and the task that accepts from it.
pub(super) struct Door {
    pub(super) label: Label,
    pub(super) listener: Rc<Listener>,
    pub(super) accepting: JoinHandle<()>,
}

/// Those that are open, and the task that offers them to a successor.
pub(super) struct Doors {
    open: RefCell<Vec<Door>>,
    offering: RefCell<Option<JoinHandle<()>>>,
}

impl Doors {
    pub(super) fn new(open: Vec<Door>) -> Self {
        Self { open: RefCell::new(open), offering: RefCell::default() }
    }

    /// Offers the doors to a successor, in a task of this thread's runtime, until one has taken them: then this process
    /// drains.
    pub(super) fn offer(self: &Rc<Self>, offering: Offering, drain: Arc<Drain>, notify: Arc<Notify>) {
        let doors = self.clone();
        let task = spawn_local(async move {
            loop {
                let mut successor = offering.successor().await;
                let process = successor.process;
                tracing::info!(process, "a successor asks for the listening sockets");
                match doors.hand_to(&mut successor).await {
                    Ok(()) => {
                        doors.let_go();
                        tracing::info!(
                            process,
                            "the successor accepts connections, and this process does not any more"
                        );
                        notify.fall_silent();
                        // Before the drain, which ends this task where there is no grace.
                        successor.let_go().await;
                        return drain.begin();
                    }
                    Err(error) => {
                        tracing::warn!(process, %error, "the successor did not get ready; this process goes on");
                    }
                }
            }
        });
        self.offering.replace(Some(task));
    }

    /// Gives the sockets to a successor, and waits until it uses them. Meanwhile they are in use here.
    async fn hand_to(&self, successor: &mut Successor) -> io::Result<()> {
        let (labels, listeners): (Vec<_>, Vec<_>) =
            self.open.borrow().iter().map(|door| (door.label, door.listener.clone())).unzip();
        let sockets: Vec<_> = listeners.iter().map(|listener| listener.get_ref().as_fd()).collect();
        successor.hand(&labels, &sockets).await?;
        drop(listeners);
        successor.is_ready().await
    }

    /// Accepts no more, from this moment on. Who is queued stays queued, for whoever else has the sockets.
    fn let_go(&self) {
        for door in self.open.take() {
            door.accepting.abort();
        }
    }

    /// Closes the clients' doors, after those who are queued there have been given to `hand_over`. Nothing is left for a
    /// successor then.
    pub(super) async fn close_to_clients(&self, hand_over: impl Fn(TcpStream, Client)) {
        if let Some(offering) = self.offering.take() {
            offering.abort();
            let _ = offering.await;
        }
        let (clients, operators) =
            self.open.take().into_iter().partition::<Vec<_>, _>(|door| door.label.serves == Serves::Clients);
        self.open.replace(operators);
        for door in clients {
            door.close(&hand_over).await;
        }
    }
}

impl Door {
    async fn close(self, hand_over: impl Fn(TcpStream, Client)) {
        self.accepting.abort();
        // Once the task is gone, so is its share of the listener.
        let _ = self.accepting.await;
        if self.label.kept {
            // The next process finds them there.
            return;
        }
        if let Err(error) = listener::take_queued(&self.listener, hand_over) {
            tracing::warn!(%error, "connections that were queued are lost");
        }
    }
}
