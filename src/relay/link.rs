//! A link: two legs and the pumps between them, from the 101 to the end.
//!
//! It refuses to know how the legs were opened, who pays, and where its report goes.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Peer;
use super::ending::Ending;
use super::parting;
use super::pump::{Flow, Stop};
use super::scan::Scan;
use super::stream::Stream;
use super::table::Orders;
use super::tap::{NoTap, Tap};
use super::verbatim::Pump;

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
    limits: Limits,
}

/// One leg as the edge hands it over.
#[derive(Debug)]
pub struct Leg<S> {
    /// The raw stream.
    pub stream: S,
    /// Bytes that were read behind the HTTP head. They are delivered first.
    pub early: Bytes,
}

/// The bounds of a link.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest message, inclusive, in bytes of payload.
    pub max_message_bytes: u64,
    /// How long a peer may leave bytes untaken.
    pub write_timeout: Duration,
    /// How long the end may take, from the first word of it to both connections gone.
    pub close_timeout: Duration,
}

/// What a link has carried so far. Shared with whoever shows it, on the same worker.
#[derive(Debug, Default)]
pub struct Traffic {
    /// From the client to the upstream.
    pub up: Rc<Flow>,
    /// From the upstream to the client.
    pub down: Rc<Flow>,
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
}

impl<C: Stream, U: Stream, T: Tap> Link<C, U, T> {
    /// Joins two legs. `tap` watches what the upstream says; `traffic` counts.
    pub fn new(client: Leg<C>, upstream: Leg<U>, tap: T, limits: Limits, traffic: &Traffic) -> Self {
        let scan = |sender| Scan::new(sender, limits.max_message_bytes);
        Self {
            up: Pump::new(scan(Peer::Client), client.early, traffic.up.clone()),
            down: Pump::new(scan(Peer::Upstream), upstream.early, traffic.down.clone()),
            client: client.stream,
            upstream: upstream.stream,
            tap,
            limits,
        }
    }

    /// Forwards frames until something ends the link, tells both peers, and reports. `request_id` is told to a client
    /// that is sent an `error` event.
    ///
    /// Runs once. It borrows the link, and boxes what only the end needs, because this future is most of what an idle
    /// link costs.
    ///
    /// Not cancel safe: dropped before it is done, it leaves both peers without a word.
    pub async fn run(&mut self, orders: &Orders, request_id: &str) -> LinkReport {
        let ending = self.forward(orders).await;
        let heard = Box::pin(parting::part(self, orders, &ending, request_id)).await;
        LinkReport { ending, client_close: heard.client_close, upstream_close: heard.upstream_close }
    }

    pub(super) fn close_timeout(&self) -> Duration {
        self.limits.close_timeout
    }

    async fn forward(&mut self, orders: &Orders) -> Ending {
        let mut timer = None;
        poll_fn(|cx| {
            if let Poll::Ready(decision) = orders.poll_end(cx) {
                return Poll::Ready(Ending::Decided(decision));
            }
            if let Poll::Ready(stop) = self.up.poll_pass(cx, &mut self.client, &mut self.upstream, &mut NoTap) {
                return Poll::Ready(ending(Peer::Client, stop));
            }
            if let Poll::Ready(stop) = self.down.poll_pass(cx, &mut self.upstream, &mut self.client, &mut self.tap) {
                return Poll::Ready(ending(Peer::Upstream, stop));
            }
            self.poll_stalled(cx, &mut timer)
        })
        .await
    }

    /// `Ready` when a peer has left bytes untaken for too long. The timer is touched only while bytes wait.
    fn poll_stalled(&self, cx: &mut Context<'_>, timer: &mut Option<Pin<Box<Sleep>>>) -> Poll<Ending> {
        let deadline = |pump: &Pump| pump.stalled_since().map(|since| since + self.limits.write_timeout);
        let first = match (deadline(&self.up), deadline(&self.down)) {
            (None, None) => return Poll::Pending,
            (Some(up), Some(down)) if up <= down => (up, Peer::Upstream),
            (Some(up), None) => (up, Peer::Upstream),
            (_, Some(down)) => (down, Peer::Client),
        };
        let (deadline, peer) = first;
        loop {
            let sleep = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if sleep.as_mut().poll(cx).is_pending() {
                // It fires at this deadline or before it: then it is set anew.
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(Ending::Stalled(peer));
            }
            sleep.as_mut().reset(deadline);
        }
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
