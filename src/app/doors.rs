//! The doors: the listening sockets with those who accept there, and the two ways to be rid of them. They are closed when
//! the process drains for good, and given to a successor when there is one.
//!
//! It refuses to know what becomes of whoever comes in.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use super::doorman::Doorman;
use crate::control::drain::Drain;
use crate::control::notify::Notify;
use crate::control::takeover::{Label, Labelled, Offering, Serves, Successor};
use crate::edge::admin::{self, Operations};
use crate::edge::listener::{self, Accepting};
use crate::worker::{Mailbox, hand_over};

/// A listening socket, and who lets people in there.
pub(super) struct Door {
    label: Label,
    listener: Arc<TcpListener>,
    /// Dropped, it has `open` end.
    stop: oneshot::Sender<()>,
    /// Once it has ended, nobody is let in any more.
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

    /// Lets nobody in any more, once it is ready. Who is queued stays queued, for whoever else has the sockets.
    async fn let_go(&self) {
        for shut in shut_all(self.open.take()) {
            shut.await;
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
        for shut in shut_all(clients) {
            let (label, listener) = shut.await;
            if label.kept {
                // The next process finds them there.
                continue;
            }
            if let Err(error) = listener::take_queued(&listener, |stream, client| hand_over(workers, stream, client)) {
                tracing::warn!(%error, "connections that were queued are lost");
            }
        }
    }
}

/// Tells all to shut before any is waited for: so all do, even if nobody waits.
fn shut_all(doors: Vec<Door>) -> Vec<impl Future<Output = (Label, Arc<TcpListener>)>> {
    doors.into_iter().map(Door::shut).collect()
}

impl Door {
    /// Lets operators in, in a task of this thread's runtime.
    pub(super) fn to_operators(
        Labelled { label, listener }: Labelled,
        operations: impl Operations,
    ) -> io::Result<Self> {
        let listener = Arc::new(listener);
        let accepting = Accepting::new(listener.clone())?;
        Ok(Self::open(label, listener, async |stop| {
            tokio::select! {
                _ = stop => {}
                () = admin::serve(accepting, operations) => {}
            }
        }))
    }

    /// Has clients let in.
    pub(super) fn to_clients(label: Label, doorman: Doorman) -> Self {
        Self::open(label, doorman.listener().clone(), |stop| doorman.serve(stop))
    }

    fn open<F>(label: Label, listener: Arc<TcpListener>, let_in: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Self { label, listener, stop, open: spawn_local(let_in(stopped)) }
    }

    /// Tells those who let people in to stop. Ready when they have.
    ///
    /// Cancel safe: dropped, they stop all the same.
    fn shut(self) -> impl Future<Output = (Label, Arc<TcpListener>)> {
        let Self { label, listener, stop, open } = self;
        drop(stop);
        async move {
            let _ = open.await;
            (label, listener)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::edge::bind::{Sharing, bind};
    use crate::worker::{Worker, tests::worker};

    /// Any visit is over by then.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A door to these workers, and what connects there and ends at once; it returns when it was served.
    async fn door_to(workers: &[Worker]) -> (Door, impl AsyncFn() + use<>) {
        let any = "127.0.0.1:0".parse().unwrap();
        let label = Label { serves: Serves::Clients, configured: any, kept: false };
        let listener = bind(any, Sharing::Alone).unwrap();
        let address = listener.local_addr().unwrap();
        let doorman = Doorman::hire(listener, workers.iter().map(Worker::mailbox).collect()).await.unwrap();
        let is_served = async move || {
            let visit = move || {
                let mut client = TcpStream::connect(address)?;
                client.set_read_timeout(Some(PATIENCE))?;
                client.shutdown(std::net::Shutdown::Write)?;
                client.read(&mut [0])
            };
            assert_eq!(tokio::task::spawn_blocking(visit).await.unwrap().unwrap(), 0);
        };
        (Door::to_clients(label, doorman), is_served)
    }

    #[tokio::test(flavor = "local")]
    async fn clients_come_in_when_the_worker_that_let_them_in_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut workers = vec![worker(0, folder.path()), worker(1, folder.path())];
        let (_door, is_served) = door_to(&workers).await;
        is_served().await;
        drop(workers.remove(0));
        is_served().await;
    }

    #[tokio::test(flavor = "local")]
    async fn whoever_comes_to_a_door_that_is_shut_stays_queued() {
        let folder = tempfile::tempdir().unwrap();
        let workers = [worker(0, folder.path())];
        let (door, is_served) = door_to(&workers).await;
        is_served().await;
        let (_, listener) = door.shut().await;
        assert_eq!(Arc::strong_count(&listener), 1, "no worker has it any more");
        let queued = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_, address) = listener.accept().unwrap();
        assert_eq!(queued.local_addr().unwrap(), address);
    }

    #[tokio::test(flavor = "local")]
    async fn a_door_shuts_even_if_nobody_waits_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let workers = [worker(0, folder.path())];
        let (door, is_served) = door_to(&workers).await;
        is_served().await;
        let listener = door.listener.clone();
        drop(door.shut());
        timeout(PATIENCE, async {
            while Arc::strong_count(&listener) > 1 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the worker leaves");
    }
}
