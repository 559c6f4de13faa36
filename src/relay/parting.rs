//! The last seconds of a link: what is under way is settled, each leg is told how it ended at a place where that may
//! stand, both are read until their answer, and by its deadline each connection is gone.
//!
//! It refuses to know what the link was for; what to tell is decided by the table in [`ending`](super::ending).

use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::Peer;
use super::ending::{Decision, Ending, Farewell};
use super::inject;
use super::link::Link;
use super::pump::Boundary;
use super::settle::Settle;
use super::side::{Hearing, Side, Told, Words, answer};
use super::stream::Stream;
use super::table::Orders;
use super::tap::{NoTap, Tap};
use super::verbatim::Pump;

/// Of the client's close frame, and of the upstream's; 1005 where it carried none.
pub(super) type CloseCodes = (Option<u16>, Option<u16>);

/// A link that ends.
pub(super) struct Parting {
    client: Side,
    upstream: Side,
    /// What is under way upstream, until it is settled.
    settle: Option<Settle>,
    /// The client's own close frame goes on to the upstream, wherever it stands.
    their_close: bool,
}

impl Parting {
    /// Begins to part the legs of a link that has ended.
    pub(super) fn begin<C, U, T>(link: &mut Link<C, U, T>, ending: &Ending, request_id: &str) -> Self
    where
        C: Stream,
        U: Stream,
        T: Tap,
    {
        let limits = &link.limits;
        if matches!(ending, Ending::Decided(Decision::LedgerUnavailable)) {
            // Nobody has recorded it, so nobody shall have it; in its place stands why.
            link.down.drop_held();
        }
        let speaks = hearing(ending, Peer::Client) == Hearing::Open && link.up.is_inside_message();
        let now = Instant::now();
        let begin =
            || Settle::begin(link.tap.under_way(), link.watch.client_spoke(), speaks, now, limits.settle_timeout);
        let settle = ending.settles().then(begin).flatten();
        let deadline = now + limits.close_timeout;
        let side = |peer| Side::new(peer, hearing(ending, peer), close_code(ending, peer), deadline);
        let (mut client, mut upstream) = (side(Peer::Client), side(Peer::Upstream));
        if settle.is_some() {
            upstream.deadline += limits.settle_timeout;
        }
        let told = |peer, pump: &mut Pump| told(ending, peer, settle.is_some(), pump, request_id);
        let (to_client, to_upstream) = (told(Peer::Client, &mut link.down), told(Peer::Upstream, &mut link.up));
        client.begin(to_client, upstream.hearing, &mut link.client, &mut link.down);
        upstream.begin(to_upstream, client.hearing, &mut link.upstream, &mut link.up);
        let their_close = matches!(ending, Ending::Close(Peer::Client, _));
        Self { client, upstream, settle, their_close }
    }

    /// `Ready` when both connections are gone.
    pub(super) fn poll<C, U, T>(&mut self, cx: &mut Context<'_>, link: &mut Link<C, U, T>, orders: &Orders) -> Poll<()>
    where
        C: Stream,
        U: Stream,
        T: Tap,
    {
        loop {
            self.step(cx, link);
            let now = Instant::now();
            let hasty = orders.poll_haste(cx).is_ready();
            if self.is_settled(link, now) || (hasty && self.settle.is_some()) {
                self.settled(link, now);
                continue;
            }
            if !self.client.is_over() && (hasty || self.client.deadline <= now) {
                self.client.give_up(cx, &mut link.client, &mut link.down);
                link.up.cut();
            }
            if !self.upstream.is_over() && (hasty || self.upstream.deadline <= now) {
                self.upstream.give_up(cx, &mut link.upstream, &mut link.up);
                link.down.cut();
            }
            if self.client.is_over() && self.upstream.is_over() {
                return Poll::Ready(());
            }
            let next = self.next_look(now);
            if next > now {
                ready!(link.watch.poll_until(cx, next));
            }
        }
    }

    /// The close codes that the peers sent.
    pub(super) fn close_codes(&self) -> CloseCodes {
        (self.client.close_code, self.upstream.close_code)
    }

    fn step<C: Stream, U: Stream, T: Tap>(&mut self, cx: &mut Context<'_>, link: &mut Link<C, U, T>) {
        let Link { client, upstream, up, down, tap, .. } = link;
        let client_may_speak = up.is_passing();
        // What is held may go on as soon as the tap is ready, also when nothing more is read.
        let _ = down.poll_tap(cx, tap);
        pass(cx, up, (client, &mut self.client), (upstream, &mut self.upstream), &mut NoTap);
        pass(cx, down, (upstream, &mut self.upstream), (client, &mut self.client), tap);
        self.client.hear(cx, client, up, &mut NoTap);
        self.upstream.hear(cx, upstream, down, tap);
        if let Some(settle) = &mut self.settle {
            if client_may_speak && up.take_signs().data {
                settle.client_speaks();
            }
            if !up.is_passing() {
                up.inject(&settle.cancel(tap.under_way(), up.boundary()));
            }
        }
        self.client.speak(cx, client, down);
        self.upstream.speak(cx, upstream, up);
    }

    fn is_settled<C, U, T: Tap>(&self, link: &Link<C, U, T>, now: Instant) -> bool {
        let Some(settle) = &self.settle else { return false };
        let client_may_finish = link.up.is_passing() && now < self.client.deadline;
        self.upstream.hearing != Hearing::Open || (!client_may_finish && settle.is_over(link.tap.under_way(), now))
    }

    /// From now on the upstream is only told the end.
    fn settled<C, U: Stream, T: Tap>(&mut self, link: &mut Link<C, U, T>, now: Instant) {
        let Some(settle) = self.settle.take() else { return };
        link.up.cut();
        let inside = link.up.boundary() != Boundary::Message;
        let abort = inside && !self.their_close && settle.met_any();
        self.upstream.settled(abort, &mut link.upstream, &mut link.up);
        self.upstream.deadline = now + link.limits.close_timeout;
    }

    fn next_look(&self, now: Instant) -> Instant {
        let sides = [&self.client, &self.upstream].into_iter().filter(|side| !side.is_over());
        // It may be past while the client finishes its message; then that is waited for.
        let settle = self.settle.as_ref().map(|settle| settle.next_look(now)).filter(|look| *look > now);
        sides.map(|side| side.deadline).chain(settle).min().unwrap_or(now)
    }
}

/// Lets bytes of `source` go on to `sink` where they still do.
fn pass<R: Stream, W: Stream, T: Tap>(
    cx: &mut Context<'_>,
    pump: &mut Pump,
    (from, source): (&mut R, &mut Side),
    (to, sink): (&mut W, &mut Side),
    tap: &mut T,
) {
    if !pump.is_passing() {
        return;
    }
    if let Poll::Ready(stop) = pump.poll_pass(cx, from, to, tap) {
        source.heard(&stop, from);
        sink.fed(&stop, to, pump);
    }
}

/// What `peer` may still send after this.
fn hearing(ending: &Ending, peer: Peer) -> Hearing {
    match ending {
        Ending::Lost(who, _) | Ending::Stalled(who) | Ending::Silent(who) if *who == peer => Hearing::Over,
        Ending::Close(who, _) | Ending::Violation(who, _) if *who == peer => Hearing::Done,
        Ending::Panic => Hearing::Over,
        _ => Hearing::Open,
    }
}

fn close_code(ending: &Ending, peer: Peer) -> Option<u16> {
    match ending {
        Ending::Close(who, code) if *who == peer => Some(*code),
        _ => None,
    }
}

/// The frames for what the table says; `pump` feeds this peer.
fn told(ending: &Ending, peer: Peer, settling: bool, pump: &mut Pump, request_id: &str) -> Told {
    let close = |close| Words { event: Vec::new(), close };
    let words = match ending.farewell(peer, settling) {
        Farewell::TheirAnswer => return Told::TheirAnswer,
        Farewell::Nothing => return Told::Nothing,
        Farewell::Abort => return Told::Abort,
        Farewell::TheirClose => close(pump.take_close()),
        Farewell::Answer(code) => close(answer(peer, code)),
        Farewell::Ours { event, close } => {
            let reason = ending.reason();
            let event = event.map(|code| inject::text(peer, &code.event(&reason, request_id)));
            Words { event: event.unwrap_or_default(), close: inject::close(peer, close, &reason) }
        }
    };
    if settling && peer == Peer::Upstream { Told::AfterSettling(words) } else { Told::Words(words) }
}
