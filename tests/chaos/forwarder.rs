//! The relay under test. The one place that knows which forwarder carries a link.
//!
//! It refuses to know what happens on its legs.

use std::rc::Rc;

use fastrand::Rng;
use realtime_relay::relay::link::{Leg, Limits, Link, LinkReport, Traffic};
use realtime_relay::relay::stream::Stream;
use realtime_relay::relay::table::Orders;
use realtime_relay::relay::tap::{EventTap, Observe, Tap};

/// What carries a link's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarder {
    /// Bytes as they are.
    Verbatim,
    /// Whole frames.
    Framed,
}

impl Forwarder {
    /// That of a link; every seed has links of each.
    pub fn draw(rng: &mut Rng) -> Self {
        const ALL: [Forwarder; 2] = [Forwarder::Verbatim, Forwarder::Framed];
        ALL[rng.usize(..ALL.len())]
    }
}

/// What watches the link.
pub fn tap<O: Observe>(observer: O, before_delivery: bool) -> EventTap<O> {
    let tap = EventTap::new(observer);
    if before_delivery { tap.holding() } else { tap }
}

/// By this the relay's own `error` events are known.
pub fn request_id(link: usize) -> String {
    format!("req_of_the_relay_{link}")
}

/// Runs a link to its end.
pub async fn run<S: Stream, T: Tap>(
    forwarder: Forwarder,
    (client, upstream): (Leg<S>, Leg<S>),
    tap: T,
    limits: Limits,
    traffic: &Traffic,
    orders: &Orders,
    link: usize,
) -> LinkReport {
    let mut it = Link::new(client, upstream, tap, Rc::new(limits), traffic);
    if forwarder == Forwarder::Framed {
        it = it.framed();
    }
    it.run(orders, &request_id(link)).await
}
