//! The doors: the listening sockets with those who accept there, and the two ways to be rid of them. They are closed when
//! the process drains for good, and given to a successor when there is one.
//!
//! Operators are let in on this thread. Clients are let in by a worker, as it is woken for its links anyway: a thread that
//! wakes to accept one, and then wakes the worker, costs more than all that accepting does.
//!
//! It refuses to know what becomes of whoever comes in.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use super::operations::ANSWER_TIMEOUT;
use crate::control::drain::Drain;
use crate::control::notify::Notify;
use crate::control::takeover::{Label, Labelled, Offering, Serves, Successor};
use crate::edge::admin::{self, Operations};
use crate::edge::listener;
use crate::worker::{Entrance, Mail, Mailbox, hand_over};

/// The pause before a worker is to let clients in again that could not.
const PAUSE: Duration = Duration::from_secs(1);

/// A listening socket, and who accepts from it.
pub(super) struct Door {
    label: Label,
    listener: Arc<TcpListener>,
    /// Tells the worker that accepts to stop. It is closed when none does.
    shut: Rc<watch::Sender<()>>,
    /// Accepts, or has a worker do that.
    open: JoinHandle<()>,
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
                        doors.let_go().await;
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
        let sockets: Vec<_> = listeners.iter().map(|listener| listener.as_fd()).collect();
        successor.hand(&labels, &sockets).await?;
        drop(listeners);
        successor.is_ready().await
    }

    /// Accepts no more, from the moment on in which it is ready. Who is queued stays queued, for whoever else has the sockets.
    async fn let_go(&self) {
        for door in self.open.take() {
            door.shut().await;
        }
    }

    /// Closes the clients' doors, after those who are queued there have been given to `workers`. Nothing is left for a
    /// successor then.
    pub(super) async fn close_to_clients(&self, workers: &[Mailbox]) {
        if let Some(offering) = self.offering.take() {
            offering.abort();
            let _ = offering.await;
        }
        let (clients, operators) =
            self.open.take().into_iter().partition::<Vec<_>, _>(|door| door.label.serves == Serves::Clients);
        self.open.replace(operators);
        for door in clients {
            door.close(workers).await;
        }
    }
}

impl Door {
    /// Lets operators in, in a task of this thread's runtime.
    pub(super) fn to_operators(labelled: Labelled, operations: impl Operations) -> io::Result<Self> {
        let Labelled { label, listener } = labelled;
        let listener = Arc::new(listener);
        let door = listener::Door::new(listener.clone())?;
        Ok(Self { label, listener, shut: Rc::default(), open: spawn_local(admin::serve(door, operations)) })
    }

    /// Has clients let in by the first of these workers that is there, from the moment on in which this thread's tasks run.
    pub(super) fn to_clients(labelled: Labelled, workers: Arc<[Mailbox]>) -> Self {
        let Labelled { label, listener } = labelled;
        let (listener, shut) = (Arc::new(listener), Rc::<watch::Sender<()>>::default());
        let open = spawn_local(keep_open(listener.clone(), workers, shut.clone()));
        Self { label, listener, shut, open }
    }

    /// Ready when nobody accepts any more. A worker that does not come to that is not waited for.
    async fn shut(self) -> (Label, Arc<TcpListener>) {
        self.open.abort();
        // Once the task is gone, so is its share of the listener.
        let _ = self.open.await;
        let _ = self.shut.send(());
        if timeout(ANSWER_TIMEOUT, self.shut.closed()).await.is_err() {
            tracing::error!("the worker that lets clients in does not answer");
        }
        (self.label, self.listener)
    }

    async fn close(self, workers: &[Mailbox]) {
        let (label, listener) = self.shut().await;
        if label.kept {
            // The next process finds them there.
            return;
        }
        if let Err(error) = listener::take_queued(&listener, |stream, client| hand_over(workers, stream, client)) {
            tracing::warn!(%error, "connections that were queued are lost");
        }
    }
}

/// Has clients let in, whatever becomes of the worker that does.
async fn keep_open(listener: Arc<TcpListener>, workers: Arc<[Mailbox]>, shut: Rc<watch::Sender<()>>) {
    loop {
        let alive = workers.iter().find(|worker| worker.is_read());
        if let Some(worker) = alive {
            let (listener, workers) = (listener.clone(), workers.clone());
            worker.mail(Mail::LetIn(Entrance { listener, workers, shut: shut.subscribe() }));
            shut.closed().await;
        }
        tracing::error!("nobody lets clients in; another worker is to");
        if alive.is_none_or(Mailbox::is_read) {
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;
    use crate::edge::bind::{Sharing, bind};
    use crate::worker::{Worker, tests::worker};

    /// A door to these workers, and what connects there and ends at once; it returns when it was served.
    fn door_to(workers: &[Worker]) -> (Door, impl AsyncFn() + use<>) {
        let any = "127.0.0.1:0".parse().unwrap();
        let label = Label { serves: Serves::Clients, configured: any, kept: false };
        let labelled = Labelled { label, listener: bind(any, Sharing::Alone).unwrap() };
        let address = labelled.listener.local_addr().unwrap();
        let door = Door::to_clients(labelled, workers.iter().map(Worker::mailbox).collect());
        let is_served = async move || {
            let visit = move || {
                let mut client = TcpStream::connect(address)?;
                client.shutdown(std::net::Shutdown::Write)?;
                client.read(&mut [0])
            };
            assert_eq!(tokio::task::spawn_blocking(visit).await.unwrap().unwrap(), 0);
        };
        (door, is_served)
    }

    #[tokio::test(flavor = "local")]
    async fn clients_come_in_when_the_worker_that_let_them_in_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut workers = vec![worker(0, folder.path()), worker(1, folder.path())];
        let (_door, is_served) = door_to(&workers);
        is_served().await;
        drop(workers.remove(0));
        is_served().await;
    }

    #[tokio::test(flavor = "local")]
    async fn whoever_comes_to_a_door_that_is_shut_stays_queued() {
        let folder = tempfile::tempdir().unwrap();
        let workers = [worker(0, folder.path())];
        let (door, is_served) = door_to(&workers);
        is_served().await;
        let (_, listener) = door.shut().await;
        let queued = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, address) = listener.accept().unwrap();
        assert_eq!(queued.local_addr().unwrap(), address);
    }
}
