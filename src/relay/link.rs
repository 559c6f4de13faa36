//! A link: two legs and the pumps between them, from the 101 to the end.
//!
//! It refuses to know how the legs were opened, who pays, and where its report goes.

use std::future::poll_fn;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::Peer;
use super::ending::Ending;
use super::inject;
use super::parting::{CloseCodes, Parting};
use super::pump::{Boundary, Flow, Stop, Tally};
use super::scan::Scan;
use super::stream::Stream;
use super::table::Orders;
use super::tap::{NoTap, Tap};
use super::verbatim::Pump;
use super::watch::{Due, Watch};

/// A client leg joined to an upstream leg.
#[derive(Debug)]
pub struct Link<C, U, T> {
    pub(super) client: C,
    pub(super) upstream: U,
    /// From the client to the upstream.
    pub(super) up: Pump,
    /// From the upstream to the client.
    pub(super) down: Pump,
    /// Watches `down`.
    pub(super) tap: T,
    pub(super) watch: Watch,
    pub(super) limits: Rc<Limits>,
}

/// One leg as the edge hands it over.
#[derive(Debug)]
pub struct Leg<S> {
    /// The raw stream.
    pub stream: S,
    /// Bytes that were read behind the HTTP head. They are delivered first.
    pub early: Bytes,
}

/// The bounds of links. Shared by all of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest message, inclusive, in bytes of payload.
    pub max_message_bytes: u64,
    /// How long a peer may leave bytes untaken.
    pub write_timeout: Duration,
    /// How long the end may take, from the first word of it to both connections gone, but for settling.
    pub close_timeout: Duration,
    /// How long a response that is under way is awaited when the link ends.
    pub settle_timeout: Duration,
    /// A leg from which nothing has come for so long is pinged; after three times as long it is lost.
    pub ping_interval: Duration,
    /// How long no data frame may go by in either direction; `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// How old a link may become.
    pub max_link: Duration,
}

/// What a link has carried so far. Shared with whoever shows it, on the same worker.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From the client to the upstream.
    pub up: Rc<Flow>,
    /// From the upstream to the client.
    pub down: Rc<Flow>,
}

/// What all links of a worker have carried so far.
#[derive(Debug, Default)]
pub struct Tallies {
    /// From clients to upstreams.
    pub up: Rc<Tally>,
    /// From upstreams to clients.
    pub down: Rc<Tally>,
}

impl Traffic {
    /// That of a link which has carried nothing yet, and is one of a worker's.
    pub fn one_of(all: &Tallies) -> Self {
        let flow = |tally: &Rc<Tally>| Rc::new(Flow::one_of(tally.clone()));
        Self { up: flow(&all.up), down: flow(&all.down) }
    }
}

/// How a link went.
#[derive(Debug)]
pub struct LinkReport {
    /// What ended it.
    pub ending: Ending,
    /// The code of the close frame that the client sent; 1005 where it carried none; `None` where there was none.
    pub client_close: Option<u16>,
    /// The same of the upstream.
    pub upstream_close: Option<u16>,
    /// A response had begun whose end, and usage, was not seen.
    pub unsettled: bool,
}

impl<C: Stream, U: Stream, T: Tap> Link<C, U, T> {
    /// Joins two legs. `tap` watches what the upstream says; `traffic` counts. Needs a runtime with timers.
    pub fn new(client: Leg<C>, upstream: Leg<U>, tap: T, limits: Rc<Limits>, traffic: &Traffic) -> Self {
        let scan = |sender| Scan::new(sender, limits.max_message_bytes);
        Self {
            up: Pump::new(scan(Peer::Client), client.early, traffic.up.clone()),
            down: Pump::new(scan(Peer::Upstream), upstream.early, traffic.down.clone()),
            client: client.stream,
            upstream: upstream.stream,
            tap,
            watch: Watch::new(limits.clone()),
            limits,
        }
    }

    /// Forwards only whole frames, whose text is validated, and masks them anew.
    #[must_use]
    pub fn framed(mut self) -> Self {
        (self.up, self.down) = (self.up.framed(), self.down.framed());
        self
    }

    /// Forwards frames until something ends the link, which may be an order; settles what is under way, tells both peers,
    /// and reports. `request_id` is told to a client that is sent an `error` event. A panic on the way is an ending like
    /// any other: it is contained, and both connections are cut.
    ///
    /// Runs once, polled by one task from its first poll on. It borrows the link, and boxes what only the end needs,
    /// because this future is most of what an idle link costs.
    ///
    /// Not cancel safe: dropped before it is done, it leaves both peers without a word.
    pub async fn run(&mut self, orders: &Orders, request_id: &str) -> LinkReport {
        let ended = poll_fn(|cx| contain(|| self.poll_forward(cx, orders))).await;
        let parted = match &ended {
            Some(ending) => Box::pin(self.part(ending, orders, request_id)).await,
            None => None,
        };
        let unsettled = !self.tap.under_way().is_empty();
        if let (Some(ending), Some((client_close, upstream_close))) = (ended, parted) {
            return LinkReport { ending, client_close, upstream_close, unsettled };
        }
        self.client.abort();
        self.upstream.abort();
        LinkReport { ending: Ending::Panic, client_close: None, upstream_close: None, unsettled }
    }

    /// What watched it.
    pub fn into_tap(self) -> T {
        self.tap
    }

    /// The close codes that the peers sent; `None` after a panic.
    async fn part(&mut self, ending: &Ending, orders: &Orders, request_id: &str) -> Option<CloseCodes> {
        let begun = poll_fn(|_| contain(|| Poll::Ready(Parting::begin(self, ending, request_id)))).await;
        let mut parting = begun?;
        let parted = poll_fn(|cx| contain(|| parting.poll(cx, self, orders))).await;
        parted.map(|()| parting.close_codes())
    }

    fn poll_forward(&mut self, cx: &mut Context<'_>, orders: &Orders) -> Poll<Ending> {
        if let Poll::Ready(decision) = orders.poll_end(cx) {
            return Poll::Ready(Ending::Decided(decision));
        }
        let ended = self.poll_pumps(cx);
        let mut now = self.hear();
        if ended.is_ready() {
            return ended;
        }
        loop {
            match ready!(self.watch.poll(cx, now.take(), &self.up, &self.down)) {
                Due::End(ending) => return Poll::Ready(ending),
                Due::Ping(peer) => self.ping(cx, peer),
                Due::Probe => {
                    self.client.probe(&self.limits);
                    self.upstream.probe(&self.limits);
                }
            }
        }
    }

    /// What the upstream has said is heard first: if the client ends the link at this moment, that may be what is to be settled.
    fn poll_pumps(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if let Poll::Ready(stop) = self.poll_down(cx) {
            return Poll::Ready(ending(Peer::Upstream, stop));
        }
        let stop = ready!(self.up.poll_pass(cx, &mut self.client, &mut self.upstream, &mut NoTap));
        // An upstream that takes nothing more may have said why: a close frame, or the usage of its last response.
        if matches!(stop, Stop::SinkLost(_))
            && let Poll::Ready(stop) = self.poll_down(cx)
        {
            return Poll::Ready(ending(Peer::Upstream, stop));
        }
        Poll::Ready(ending(Peer::Client, stop))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        self.down.poll_pass(cx, &mut self.upstream, &mut self.client, &mut self.tap)
    }

    #[inline]
    fn hear(&mut self) -> Option<Instant> {
        let (client, upstream) = (self.up.take_signs(), self.down.take_signs());
        if client.pong {
            self.down.set_answered(true);
        }
        if upstream.pong {
            self.up.set_answered(true);
        }
        self.watch.hear(client, upstream)
    }

    fn ping(&mut self, cx: &mut Context<'_>, peer: Peer) {
        let Self { client, upstream, up, down, .. } = self;
        let sent = match peer {
            Peer::Client => ping(cx, peer, client, (down, up)),
            Peer::Upstream => ping(cx, peer, upstream, (up, down)),
        };
        if !sent {
            self.watch.retry_ping(peer);
        }
    }
}

/// Pings a peer, where a frame may stand. `to_it` feeds it, `from_it` carries what it sends.
fn ping<S: Stream>(cx: &mut Context<'_>, peer: Peer, stream: &mut S, (to_it, from_it): (&mut Pump, &mut Pump)) -> bool {
    if to_it.boundary() == Boundary::Inside {
        return false;
    }
    // Random, so that no peer answers what it was not asked: a hash of nothing under keys that nobody knows.
    let payload = RandomState::new().build_hasher().finish().to_be_bytes();
    to_it.inject(&inject::ping(peer, payload));
    to_it.set_answered(false);
    from_it.take_out_pong(payload);
    if let Poll::Ready(Err(_)) = to_it.poll_flush(cx, stream) {
        // The pump meets the same failure, and says what it means.
        cx.waker().wake_by_ref();
    }
    true
}

/// Polls, and makes `None` of a panic. What a panic leaves half done is not used again, but for being closed.
fn contain<T>(poll: impl FnOnce() -> Poll<T>) -> Poll<Option<T>> {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    }
}

/// What it means for the link that the pump of what `source` sends has stopped.
fn ending(source: Peer, stop: Stop) -> Ending {
    let sink = match source {
        Peer::Client => Peer::Upstream,
        Peer::Upstream => Peer::Client,
    };
    match stop {
        Stop::Close(code) => Ending::Close(source, code),
        Stop::Violation(violation) => Ending::Violation(source, violation),
        Stop::SourceLost(error) => Ending::Lost(source, error),
        Stop::SinkLost(error) => Ending::Lost(sink, Some(error)),
        Stop::MessageEnded => unreachable!("only a link that ends finishes a message"),
    }
}
