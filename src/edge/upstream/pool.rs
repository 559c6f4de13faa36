//! Warm legs: opened ahead, first event read, so that a client need not wait for the upstream's round trips.
//!
//! Every worker has its own, since a socket belongs to the runtime that opened it. A waiting leg answers pings, keeps
//! what the upstream says for its client, and is gone as soon as the upstream is. The pool refuses to know who takes a
//! leg, and how one is opened.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::attempts::{self, Opened};
use super::dial::{Deadlines, OpenLeg, Took};
use super::first_event::Listening;
use super::shared::Place;
use super::{Candidate, Upstream, Wanted};
use crate::edge::query::Route;
use crate::edge::refusal::request_id;
use crate::relay::{Peer, inject};

/// What an upstream may say to a waiting leg. Only a leg that is of no use says more.
const MAX_KEPT: usize = 256 << 10;
/// After a leg could not be opened: the first rest, doubled up to the last.
const FIRST_REST: Duration = Duration::from_secs(1);
const LAST_REST: Duration = Duration::from_secs(30);
/// How long the farewell to a leg that has waited too long may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The warm legs of one upstream on one worker. Closed when nobody needs them any more: its tasks would go on.
#[derive(Debug)]
pub struct Pool {
    benches: Vec<Rc<Bench>>,
    /// How legs are opened, and the tasks that do it, since [`keep_filled`].
    filling: RefCell<Option<(Opening, Vec<AbortHandle>)>>,
}

/// Where the legs for one model wait.
#[derive(Debug)]
struct Bench {
    /// The name that the upstream is sent.
    model: String,
    /// So many legs should wait.
    wanted: usize,
    legs: RefCell<VecDeque<Waiting>>,
    /// Rung when a leg has left.
    room: Notify,
}

#[derive(Debug)]
struct Waiting {
    leg: Rc<RefCell<Option<Warm>>>,
    /// The task that listens to it.
    keeper: AbortHandle,
}

#[derive(Debug)]
struct Warm {
    listening: Listening,
    place: Place,
    upstream_request_id: Option<String>,
    /// The id that the upstream was told when the leg was opened.
    own_request_id: HeaderValue,
}

/// How the worker opens legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// For one attempt.
    pub deadlines: Deadlines,
    /// As for a link.
    pub max_message_bytes: u64,
}

impl Pool {
    /// An empty pool with room for `wanted` legs of each of these models, by the names that the upstream is sent.
    pub fn new<'m>(models: impl Iterator<Item = &'m str>, wanted: usize) -> Self {
        let mut benches = Vec::<Rc<Bench>>::new();
        for model in models.filter(|_| wanted > 0) {
            if !benches.iter().any(|bench| bench.model == model) {
                benches.push(Rc::new(Bench {
                    model: model.to_owned(),
                    wanted,
                    legs: RefCell::default(),
                    room: Notify::new(),
                }));
            }
        }
        Self { benches, filling: RefCell::default() }
    }

    /// A leg for this model that is alive at this moment.
    pub fn take(&self, model: &str) -> Option<(OpenLeg, Place)> {
        let bench = self.benches.iter().find(|bench| bench.model == model)?;
        std::iter::from_fn(|| bench.pop()).find_map(|mut warm| warm.is_alive().then(|| warm.into_leg()))
    }

    /// Gives up one leg, whichever, so that its place is free. False: none waits.
    pub fn give_up_one(&self) -> bool {
        self.benches.iter().any(|bench| bench.pop().is_some())
    }

    /// Whether it holds so many legs for each of these models, opened like this, and is not closed.
    pub fn is_as<'m>(&self, models: impl Iterator<Item = &'m str>, wanted: usize, opening: Opening) -> bool {
        let is_filled_so = self.filling.borrow().as_ref().is_some_and(|(so, _)| *so == opening);
        let asked = Self::new(models, wanted);
        let benches =
            |pool: &Self| pool.benches.iter().map(|bench| (bench.model.clone(), bench.wanted)).collect::<Vec<_>>();
        is_filled_so && benches(self) == benches(&asked)
    }

    /// Opens no more legs, and takes leave of those that wait, in a task of this worker's runtime.
    pub fn close(&self) {
        for filler in self.filling.take().into_iter().flat_map(|(_, fillers)| fillers) {
            filler.abort();
        }
        let waiting: Vec<_> = self.benches.iter().flat_map(|bench| std::iter::from_fn(|| bench.pop())).collect();
        for warm in waiting {
            tokio::task::spawn_local(warm.take_leave());
        }
    }
}

/// Keeps the pool of an upstream filled, in tasks of this worker's runtime, until it is closed.
pub fn keep_filled(upstream: &Rc<Upstream>, opening: Opening) {
    let fill =
        |bench: &Rc<Bench>| tokio::task::spawn_local(fill(upstream.clone(), bench.clone(), opening)).abort_handle();
    let fillers = upstream.pool.benches.iter().map(fill).collect();
    upstream.pool.filling.replace(Some((opening, fillers)));
}

async fn fill(upstream: Rc<Upstream>, bench: Rc<Bench>, Opening { deadlines, max_message_bytes }: Opening) {
    let candidate = [Candidate { upstream, model_sent: bench.model.clone(), forwarded: HeaderMap::new() }];
    let mut rest = FIRST_REST;
    loop {
        while bench.legs.borrow().len() >= bench.wanted {
            bench.room.notified().await;
        }
        let route = Route::Model(bench.model.clone());
        let wanted = Wanted { request_id: request_id(None), route, query: Vec::new(), passed_key: None };
        // What went wrong has been told to the breaker, the operator and the log.
        if let Ok(opened) = attempts::open_cold(&candidate, &wanted, deadlines, max_message_bytes).await {
            bench.seat(opened, wanted.request_id, max_message_bytes);
            rest = FIRST_REST;
        } else {
            sleep(rest).await;
            rest = (rest * 2).min(LAST_REST);
        }
    }
}

impl Bench {
    /// Lets a leg wait.
    fn seat(self: &Rc<Self>, opened: Opened, own_request_id: HeaderValue, max_message_bytes: u64) {
        let Opened { upstream, leg: OpenLeg { stream, early, request_id, .. }, mut place, .. } = opened;
        place.wait();
        let warm = Warm {
            listening: Listening::new(stream, early, max_message_bytes),
            place,
            upstream_request_id: request_id,
            own_request_id,
        };
        let leg = Rc::new(RefCell::new(Some(warm)));
        let keeping = keep(leg.clone(), self.clone(), upstream.config.warm_max_idle);
        let keeper = tokio::task::spawn_local(keeping).abort_handle();
        self.legs.borrow_mut().push_back(Waiting { leg, keeper });
    }

    /// The leg that has waited longest.
    fn pop(&self) -> Option<Warm> {
        let Waiting { leg, keeper } = self.legs.borrow_mut().pop_front()?;
        keeper.abort();
        self.room.notify_one();
        leg.take()
    }
}

/// Listens to a waiting leg until it is of no more use, or has waited too long.
async fn keep(leg: Rc<RefCell<Option<Warm>>>, bench: Rc<Bench>, max_idle: Duration) {
    let spoilt = poll_fn(|cx| leg.borrow_mut().as_mut().map_or(Poll::Ready(()), |warm| warm.poll_spoilt(cx)));
    let expired = timeout(max_idle, spoilt).await.is_err();
    bench.legs.borrow_mut().retain(|waiting| !Rc::ptr_eq(&waiting.leg, &leg));
    bench.room.notify_one();
    let warm = leg.take();
    if let Some(warm) = warm.filter(|_| expired) {
        warm.take_leave().await;
    }
}

impl Warm {
    /// `Ready` when the leg is of no more use.
    fn poll_spoilt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.listening.poll_event(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if self.listening.kept() <= MAX_KEPT => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }

    /// Looks once more: the end of the leg may have come in the same moment as its client.
    fn is_alive(&mut self) -> bool {
        self.poll_spoilt(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Says that nobody comes. Its place is taken until then.
    async fn take_leave(self) {
        let (mut stream, _) = self.listening.into_parts();
        let farewell = async {
            stream.write_all(&inject::close(Peer::Upstream, 1000, "")).await?;
            stream.shutdown().await
        };
        let _ = timeout(FAREWELL, farewell).await;
    }

    fn into_leg(mut self) -> (OpenLeg, Place) {
        self.place.serve();
        let (stream, early) = self.listening.into_parts();
        let (opened_as, took) = (Some(self.own_request_id), Took::default());
        (OpenLeg { stream, early, request_id: self.upstream_request_id, opened_as, took }, self.place)
    }
}
