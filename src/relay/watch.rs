//! Watches the time of a link that runs: who has been silent for how long, how old it is, what waits to be taken.
//!
//! One timer serves all its deadlines. It is set anew when it fires, not when a frame goes by: what goes by moves deadlines
//! further away, but for the rare pong. It refuses to know what is done when one has come.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Peer;
use super::ending::{Decision, Ending};
use super::link::Limits;
use super::pump::Signs;
use super::verbatim::Pump;

/// A peer that sends nothing for so many ping intervals is lost,
const SILENT_INTERVALS: u32 = 3;
/// if it has had a ping for so many of them: where none could be sent, its silence says nothing.
const PINGED_INTERVALS: u32 = 2;
/// Inside a frame there is no place for a ping; it is tried again after this part of the ping interval.
const RETRY: u32 = 8;
/// Timers are no more exact than this.
const SHORTEST_RETRY: Duration = Duration::from_millis(1);

/// The deadlines of a link that runs.
#[derive(Debug)]
pub(super) struct Watch {
    limits: Rc<Limits>,
    opened: Instant,
    client: Heard,
    upstream: Heard,
    /// The system has been asked to watch too.
    probed: bool,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; `None`: it does not know whom to wake.
    set: Option<Instant>,
}

/// When something was last heard of a peer.
#[derive(Debug)]
struct Heard {
    /// A byte.
    life: Instant,
    /// Some of a data frame.
    data: Option<Instant>,
    /// No ping of ours before this.
    no_ping_before: Instant,
    /// It has had a ping since this at the latest, and has not answered.
    pinged: Option<Instant>,
}

/// A deadline that has come.
#[derive(Debug)]
pub(super) enum Due {
    /// This peer is to be pinged.
    Ping(Peer),
    /// The system is to watch both peers too. Once in the life of a link, when it is as old as a peer may be silent: those that are
    /// over before do not pay for it, and who has gone by then is given up no later than if it had been watched from the begin.
    Probe,
    /// The link is to end.
    End(Ending),
}

impl Watch {
    /// Begins to watch a link that begins now. Needs a runtime with timers.
    pub(super) fn new(limits: Rc<Limits>) -> Self {
        let now = Instant::now();
        let heard = || Heard { life: now, data: None, no_ping_before: now, pinged: None };
        let timer = Box::pin(sleep_until(now));
        Self { limits, opened: now, client: heard(), upstream: heard(), probed: false, timer, set: None }
    }

    /// Takes note of what has come from the peers. Tells the time, if anything has: so that it is asked for once.
    #[inline]
    pub(super) fn hear(&mut self, client: Signs, upstream: Signs) -> Option<Instant> {
        if !client.life && !upstream.life {
            return None;
        }
        let now = Instant::now();
        self.client.hear(client, now);
        self.upstream.hear(upstream, now);
        if client.pong || upstream.pong {
            // A peer that is awaited has three intervals, one that has answered is pinged after one: only a pong brings a
            // deadline nearer.
            self.set = None;
        }
        Some(now)
    }

    /// When the client last sent some of a data frame.
    pub(super) fn client_spoke(&self) -> Option<Instant> {
        self.client.data
    }

    /// The peer could not be pinged now.
    pub(super) fn retry_ping(&mut self, peer: Peer) {
        let at = Instant::now() + (self.limits.ping_interval / RETRY).max(SHORTEST_RETRY);
        match peer {
            Peer::Client => self.client.no_ping_before = at,
            Peer::Upstream => self.upstream.no_ping_before = at,
        }
    }

    /// `Ready` when a deadline has come. `now` is the time, if it is known; `up` and `down` are the link's pumps.
    ///
    /// A link is polled by one task all its life, so the timer is told only once whom to wake.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Option<Instant>, up: &Pump, down: &Pump) -> Poll<Due> {
        let stalled = up.stalled_since().or(down.stalled_since()).or(down.waits_since()).is_some();
        let is_early = match (self.set, now) {
            (None, _) => false,
            // The timer itself lies elsewhere in memory, and is not looked at for each frame.
            (Some(fires), Some(now)) => now < fires,
            (Some(_), None) => !self.timer.is_elapsed(),
        };
        if is_early && !stalled { Poll::Pending } else { self.poll_timer(cx, up, down) }
    }

    /// `Ready` when this moment has come. For a link that ends: its other deadlines do not matter any more.
    pub(super) fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.timer.deadline() != at {
            self.timer.as_mut().reset(at);
        }
        self.timer.as_mut().poll(cx)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, up: &Pump, down: &Pump) -> Poll<Due> {
        loop {
            let (at, due) = self.next(up, down);
            if at <= Instant::now() {
                self.set = None;
                self.probed |= matches!(due, Due::Probe);
                return Poll::Ready(due);
            }
            if !has_budget_remaining() {
                // The timer would not take note of whom to wake.
                self.set = None;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Where it is set for an earlier moment, it fires in between, and is set anew then.
            if self.set.is_none_or(|fires| at < fires) || self.timer.is_elapsed() {
                self.timer.as_mut().reset(at);
                self.set = Some(at);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    /// What comes first, and when.
    fn next(&mut self, up: &Pump, down: &Pump) -> (Instant, Due) {
        let Limits { write_timeout, ping_interval, idle_timeout, max_link, .. } = *self.limits;
        let decided = |decision| Due::End(Ending::Decided(decision));
        let stalled = |pump: &Pump, peer| {
            pump.stalled_since().map(|since| (since + write_timeout, Due::End(Ending::Stalled(peer))))
        };
        let spoke = self.client.data.max(self.upstream.data).unwrap_or(self.opened);
        let deadlines = [
            Some((self.opened + max_link, decided(Decision::SessionExpired))),
            (!self.probed).then(|| (self.opened + ping_interval, Due::Probe)),
            idle_timeout.map(|timeout| (spoke + timeout, decided(Decision::IdleTimeout))),
            stalled(up, Peer::Upstream),
            stalled(down, Peer::Client),
            down.waits_since().map(|since| (since + write_timeout, decided(Decision::LedgerUnavailable))),
            Some(self.client.next(Peer::Client, down, up, ping_interval)),
            Some(self.upstream.next(Peer::Upstream, up, down, ping_interval)),
        ];
        let first = deadlines.into_iter().flatten().min_by_key(|(at, _)| *at);
        first.expect("a link has an age that it may reach")
    }
}

impl Heard {
    fn hear(&mut self, signs: Signs, now: Instant) {
        if signs.life {
            self.life = now;
        }
        if signs.data {
            self.data = Some(now);
        }
    }

    /// What comes of this peer's silence; `to_it` is the pump that feeds it, `of_it` carries what it sends.
    fn next(&mut self, peer: Peer, to_it: &Pump, of_it: &Pump, ping_interval: Duration) -> (Instant, Due) {
        if of_it.stalled_since().or(of_it.waits_since()).is_some() {
            // It is not listened to at the moment: its silence is ours.
            self.life = Instant::now();
        }
        if !to_it.awaits_pong() {
            self.pinged = None;
            return ((self.life + ping_interval).max(self.no_ping_before), Due::Ping(peer));
        }
        let pinged = *self.pinged.get_or_insert_with(Instant::now);
        let lost = (self.life + ping_interval * SILENT_INTERVALS).max(pinged + ping_interval * PINGED_INTERVALS);
        (lost, Due::End(Ending::Silent(peer)))
    }
}
