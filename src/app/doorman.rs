//! The doorman: has a worker let clients in at a listening socket, and another one where that is gone or hangs.
//!
//! A worker does it because it is woken for its links anyway: a thread of its own that wakes to accept a client, and then
//! wakes the worker, costs more than all that accepting does. It refuses to know what becomes of the clients.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::operations::ANSWER_TIMEOUT;
use crate::worker::{Entrance, Mail, Mailbox, Order};

/// How often a worker that lets clients in is asked for a sign of life.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// The pause before all workers are tried again, none of which could.
const PAUSE: Duration = Duration::from_secs(1);

/// A doorman whose worker is at its post. Nobody is let in yet.
pub(super) struct Doorman {
    listener: Arc<TcpListener>,
    workers: Arc<[Mailbox]>,
    post: Post,
}

/// A worker at the listening socket. Dropped, it has the worker leave.
struct Post {
    /// Which.
    worker: usize,
    /// Closed when the worker has left.
    order: watch::Sender<Order>,
}

impl Doorman {
    /// Posts the first of these workers that can (there is at least one) at a socket that does not block.
    ///
    /// Cancel safe: dropped, nobody is let in.
    pub(super) async fn hire(listener: TcpListener, workers: Arc<[Mailbox]>) -> io::Result<Self> {
        let (listener, mut failed) = (Arc::new(listener), io::ErrorKind::NotFound.into());
        for worker in 0..workers.len() {
            match take_post(&listener, &workers, worker).await {
                Ok(post) => return Ok(Self { listener, workers, post }),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The socket.
    pub(super) fn listener(&self) -> &Arc<TcpListener> {
        &self.listener
    }

    /// Has clients let in until `stop` comes or is dropped. Ready when nobody is let in any more; a worker that hangs is
    /// waited for no longer than for any answer.
    ///
    /// Cancel safe: dropped, the worker leaves too.
    pub(super) async fn serve(self, mut stop: oneshot::Receiver<()>) {
        let Self { listener, workers, mut post } = self;
        loop {
            let _ = post.order.send(Order::LetIn); // one that has left meanwhile is missed at once
            tokio::select! {
                biased;
                _ = &mut stop => return leave(&post).await,
                () = post.order.closed() => {}
                () = hangs(&workers[post.worker]) => {}
            }
            tracing::error!(worker = post.worker, "the worker that let clients in is gone or hangs; another is to");
            tokio::select! {
                biased;
                _ = &mut stop => return,
                other = relieve(&listener, &workers, post.worker) => post = other,
            }
        }
    }
}

/// Posts a worker. Fails where it is gone, hangs, or the system watches no more sockets.
async fn take_post(listener: &Arc<TcpListener>, workers: &Arc<[Mailbox]>, worker: usize) -> io::Result<Post> {
    let (order, orders) = watch::channel(Order::Wait);
    let (listener, to) = (listener.clone(), workers.clone());
    let entrance = |told| Mail::LetIn(Entrance { listener, workers: to, orders, told });
    answer(&workers[worker], entrance).await??;
    Ok(Post { worker, order })
}

/// The next worker that can, after this one.
async fn relieve(listener: &Arc<TcpListener>, workers: &Arc<[Mailbox]>, former: usize) -> Post {
    let (mut worker, mut is_said) = (former, false);
    loop {
        worker = (worker + 1) % workers.len();
        match take_post(listener, workers, worker).await {
            Ok(post) => return post,
            Err(error) if worker == former => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::error!(%error, "no worker lets clients in; trying on");
                }
                sleep(PAUSE).await;
            }
            Err(_) => {}
        }
    }
}

/// Ready when the worker does not answer in time, or is gone.
async fn hangs(worker: &Mailbox) {
    loop {
        sleep(ASK_EVERY).await;
        if answer(worker, Mail::Answer).await.is_err() {
            return;
        }
    }
}

/// What the worker answers. Fails where it does not in time, or is gone.
async fn answer<T>(worker: &Mailbox, mail: impl FnOnce(oneshot::Sender<T>) -> Mail) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    worker.mail(mail(tell));
    timeout(ANSWER_TIMEOUT, told).await?.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

async fn leave(post: &Post) {
    let _ = post.order.send(Order::Leave);
    if timeout(ANSWER_TIMEOUT, post.order.closed()).await.is_err() {
        tracing::error!(worker = post.worker, "the worker that lets clients in does not leave");
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tokio::task::{JoinHandle, spawn_local};

    use super::*;

    /// The inboxes of workers that the test itself plays.
    struct Stage {
        inboxes: Vec<mpsc::UnboundedReceiver<Mail>>,
        mailboxes: Arc<[Mailbox]>,
        /// As long as they are there, so are the workers.
        _senders: Vec<mpsc::UnboundedSender<Mail>>,
    }

    impl Stage {
        fn of(workers: usize) -> Self {
            let (senders, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
            Self { inboxes, mailboxes: senders.iter().map(Mailbox::to).collect(), _senders: senders }
        }

        /// A doorman that serves, and the orders that the first worker gets.
        async fn begin(&mut self) -> (oneshot::Sender<()>, JoinHandle<()>, watch::Receiver<Order>) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (hired, orders) = tokio::join!(Doorman::hire(listener, self.mailboxes.clone()), self.is_posted(0));
            assert_eq!(*orders.borrow(), Order::Wait);
            let (stop, stopped) = oneshot::channel();
            (stop, spawn_local(hired.unwrap().serve(stopped)), orders)
        }

        /// A worker is posted, and says that it is there.
        async fn is_posted(&mut self, worker: usize) -> watch::Receiver<Order> {
            match self.inboxes[worker].recv().await {
                Some(Mail::LetIn(Entrance { orders, told, .. })) => {
                    told.send(Ok(())).unwrap();
                    orders
                }
                other => panic!("worker {worker} gets {other:?}"),
            }
        }
    }

    async fn comes(orders: &mut watch::Receiver<Order>, order: Order) {
        orders.wait_for(|is| *is == order).await.expect("the doorman is there");
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_worker_that_hangs_is_relieved_and_leaves_when_it_comes_to_itself() {
        let mut stage = Stage::of(2);
        let (_stop, _serving, mut orders) = stage.begin().await;
        comes(&mut orders, Order::LetIn).await;
        // It reads no mail from here on.
        let mut others = stage.is_posted(1).await;
        comes(&mut others, Order::LetIn).await;
        assert!(orders.changed().await.is_err(), "the first one's orders are over");
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_worker_that_is_gone_is_relieved_by_the_next_that_is_not() {
        let mut stage = Stage::of(3);
        let (_stop, _serving, orders) = stage.begin().await;
        stage.inboxes[0].close();
        stage.inboxes[1].close();
        drop(orders);
        comes(&mut stage.is_posted(2).await, Order::LetIn).await;
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn the_only_worker_is_posted_again_once_it_answers() {
        let mut stage = Stage::of(1);
        let (_stop, _serving, orders) = stage.begin().await;
        drop(orders);
        // It hangs: what it was told in the meantime is out of date.
        sleep(ANSWER_TIMEOUT * 10).await;
        loop {
            let Some(Mail::LetIn(Entrance { mut orders, told, .. })) = stage.inboxes[0].recv().await else {
                panic!("it gets other mail");
            };
            if told.send(Ok(())).is_ok() {
                return comes(&mut orders, Order::LetIn).await;
            }
        }
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn whoever_stops_it_waits_until_the_worker_has_left() {
        let mut stage = Stage::of(1);
        let (stop, serving, mut orders) = stage.begin().await;
        drop(stop);
        comes(&mut orders, Order::Leave).await;
        assert!(!serving.is_finished());
        drop(orders);
        serving.await.unwrap();
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn a_worker_that_does_not_leave_is_not_waited_for_long() {
        let mut stage = Stage::of(1);
        let (stop, serving, _orders) = stage.begin().await;
        drop(stop);
        timeout(ANSWER_TIMEOUT * 2, serving).await.expect("it is given up").unwrap();
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn nobody_is_hired_where_no_worker_answers() {
        let stage = Stage::of(2);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = Doorman::hire(listener, stage.mailboxes.clone()).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    }
}
