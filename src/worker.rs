//! A worker: one thread with its own runtime, its own edge and its own links. What it works on never leaves it, but for the
//! clients that it lets in for others.
//!
//! It refuses to know what an accepted socket will become.

mod mail;

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::edge::links::Links;
use crate::edge::listener::{self, Accepting};
use crate::edge::load::Load;
use crate::edge::{Client, Edge, service};
use crate::memory::{self, LULL};

pub use mail::{Accepted, Entrance, Mail, Mailbox, Order, Renewal, hand_over};

/// The handle of a worker. Dropped, the worker ends, and with it whatever it still carries.
#[derive(Debug)]
pub struct Worker {
    mailbox: mpsc::UnboundedSender<Mail>,
    load: Arc<Load>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a worker. `edge` is built on its thread, as most of it cannot leave one; its failure is handed back.
    pub fn start<E, F>(number: usize, edge: F) -> Result<Self, E>
    where
        E: From<std::io::Error> + Send + 'static,
        F: FnOnce() -> Result<Edge, E> + Send + 'static,
    {
        let (mailbox, inbox) = mpsc::unbounded_channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let load = Arc::<Load>::default();
        let carried = load.clone();
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let built = runtime().map_err(E::from).and_then(|runtime| edge().map(|edge| (runtime, edge)));
            match built {
                Ok((runtime, edge)) => {
                    let _ = ready.send(Ok(()));
                    runtime.block_on(work(number, inbox, Rc::new(edge), carried));
                    // Whoever asks a name server that does not answer would otherwise be waited for.
                    runtime.shutdown_background();
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        is_ready.recv().unwrap_or_else(|_| Err(std::io::Error::other("a worker did not start").into()))?;
        Ok(Self { mailbox, load, thread: Some(thread) })
    }

    /// A way to it for others.
    pub fn mailbox(&self) -> Mailbox {
        Mailbox { mailbox: self.mailbox.downgrade(), load: self.load.clone() }
    }

    /// Links, admissions, and refused clients that are still listened to.
    pub fn carried(&self) -> usize {
        self.load.taken()
    }

    /// Ready at a moment when the worker carries nothing.
    ///
    /// Cancel safe.
    pub async fn emptied(&self) {
        self.load.emptied().await;
    }

    /// Tells the worker something, which it does when it comes to it.
    pub fn mail(&self, mail: Mail) {
        if self.mailbox.send(mail).is_err() {
            tracing::error!("a worker is gone; nothing more can be had of it");
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Its inbox closes with the last sender.
        self.mailbox = mpsc::unbounded_channel().0;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a worker panicked");
        }
    }
}

fn runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

async fn work(number: usize, mut inbox: mpsc::UnboundedReceiver<Mail>, edge: Rc<Edge>, load: Arc<Load>) {
    edge.begin();
    let links = edge.links().clone();
    let host = Rc::new(Host { edge: RefCell::new(edge), load: load.clone() });
    spawn_local(tidy_up(load, links.clone()));
    let mut closed_up = false;
    while let Some(mail) = inbox.recv().await {
        match mail {
            Mail::LetIn(entrance) => let_in(entrance, host.clone()),
            Mail::Serve(accepted) => host.serve(accepted),
            // Whoever asked may have stopped to wait.
            Mail::Answer(told) => drop(told.send(())),
            Mail::Snapshot(told) => drop(told.send(links.statuses())),
            Mail::Publish(done) => {
                host.edge.borrow().publish(Handle::current().metrics().worker_total_busy_duration(0));
                let _ = done.send(());
            }
            Mail::End { which, decision, ended } => drop(ended.send(links.end(&which, decision))),
            Mail::EndAll(decision, spread) => {
                let links = links.clone();
                spawn_local(async move { links.end_all(decision, spread).await });
            }
            Mail::CutAll(decision) => links.cut_all(decision),
            Mail::Renew(Renewal { config, common }, done) => {
                let edge = host.edge.borrow().clone();
                let renewed = edge.renewed(&config, &common, number).map(|renewed| {
                    renewed.take_over(&edge);
                    if closed_up {
                        renewed.close_pools();
                    }
                    host.edge.replace(Rc::new(renewed));
                });
                let _ = done.send(renewed); // whoever asked may have stopped to wait
            }
            Mail::CloseUp => {
                closed_up = true;
                host.edge.borrow().close_pools();
            }
        }
    }
}

/// Serves those who come to this worker, by the configuration of the moment.
struct Host {
    edge: RefCell<Rc<Edge>>,
    load: Arc<Load>,
}

impl Host {
    fn serve(&self, Accepted { stream, client, slot }: Accepted) {
        match tokio::net::TcpStream::from_std(stream) {
            Ok(stream) => drop(spawn_local(service::serve(stream, client, self.edge.borrow().clone(), slot))),
            Err(error) => tracing::warn!(%error, "an accepted connection could not be used"),
        }
    }

    /// Serves a client, or hands it to another of `workers`.
    fn receive(&self, workers: &[Mailbox], stream: TcpStream, client: Client) {
        match mail::assign(workers, stream, client) {
            Some((worker, accepted)) if Arc::ptr_eq(&worker.load, &self.load) => self.serve(accepted),
            Some((worker, accepted)) => worker.mail(Mail::Serve(accepted)),
            None => {}
        }
    }
}

/// Has the system get back what those who came and those who left have used for that, for as long as it is polled.
async fn tidy_up(load: Arc<Load>, links: Rc<Links>) {
    loop {
        load.changed().await;
        sleep(LULL).await;
        links.shrink();
        memory::give_back();
    }
}

fn let_in(Entrance { listener, workers, mut orders, told }: Entrance, host: Rc<Host>) {
    let accepting = match Accepting::new(listener) {
        Ok(accepting) => accepting,
        Err(error) => return drop(told.send(Err(error))),
    };
    let _ = told.send(Ok(())); // who does not wait any more has dropped its orders too
    spawn_local(async move {
        if orders.wait_for(|order| *order != Order::Wait).await.is_ok() {
            tokio::select! {
                biased;
                _ = orders.wait_for(|order| *order == Order::Leave) => {}
                () = listener::accept(accepting, |stream, client| host.receive(&workers, stream, client)) => {}
            }
        }
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::{self, Read};
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::control::config;
    use crate::control::metering::Metering;
    use crate::control::metrics::Metrics;
    use crate::edge::upstream::shared::Shared;
    use crate::edge::{Client, Common};

    /// One that can be handed clients, with its ledger in `folder`.
    pub(crate) fn worker(number: usize, folder: &Path) -> Worker {
        let folder = folder.to_owned();
        Worker::start(number, move || {
            let config = "[server]\nauth = \"none\"\n[[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\"";
            let mut config = config::parse(config).map_err(io::Error::other)?;
            config.metering.ledger = folder.join(format!("{number}.db"));
            let upstreams = vec![Arc::new(Shared::new("u"))];
            let metrics = Metrics::new(&config);
            let (metering, _) = Metering::start(&config, &metrics, |_| ()).map_err(io::Error::other)?;
            let (counts, drain, tls) = (Arc::default(), Arc::default(), Arc::default());
            let common = Common { counts, upstreams, drain, tls, metering, metrics };
            Edge::new(&config, &common, number).map_err(io::Error::other)
        })
        .unwrap()
    }

    #[test]
    fn a_client_goes_to_the_worker_with_the_fewest_and_makes_room_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let workers = [worker(0, folder.path()), worker(1, folder.path())];
        let load = || workers.each_ref().map(Worker::carried);
        let mailboxes = workers.each_ref().map(Worker::mailbox);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut clients = Vec::new();
        for expected in [[1, 0], [1, 1], [2, 1], [2, 2]] {
            clients.push(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            let (stream, address) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            hand_over(&mailboxes, stream, Client { address: address.into() });
            assert_eq!(load(), expected);
        }
        for client in &mut clients {
            client.shutdown(std::net::Shutdown::Write).unwrap();
            // The worker closes its end, and the place is free a moment later.
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
        let patience = Instant::now() + Duration::from_secs(10);
        while load() != [0, 0] {
            assert!(Instant::now() < patience, "places are still taken: {:?}", load());
            std::thread::yield_now();
        }
    }
}
