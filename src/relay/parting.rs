//! The last seconds of a link: each leg is told how it ended at a place where that may stand, both are read until
//! their answer, and within the close timeout both connections are gone.
//!
//! It refuses to know what the link was for; what to tell is decided by the table in [`ending`](super::ending).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::timeout;

use super::Peer;
use super::ending::{Ending, Farewell};
use super::inject;
use super::link::Link;
use super::pump::{Boundary, LastWord, Stop};
use super::stream::Stream;
use super::table::Orders;
use super::tap::{NoTap, Tap};
use super::verbatim::Pump;

/// The close codes that the peers sent.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) client_close: Option<u16>,
    pub(super) upstream_close: Option<u16>,
}

/// Parts the legs of a link that has ended. Takes at most the close timeout.
///
/// Not cancel safe: dropped, it leaves words half said.
pub(super) async fn part<C, U, T>(link: &mut Link<C, U, T>, orders: &Orders, ending: &Ending, request_id: &str) -> Heard
where
    C: Stream,
    U: Stream,
    T: Tap,
{
    let limit = link.close_timeout();
    let mut parting = Parting {
        client: Side::new(Peer::Client, ending, request_id),
        upstream: Side::new(Peer::Upstream, ending, request_id),
    };
    parting.begin(link);
    let parted = poll_fn(|cx| match parting.poll(cx, link) {
        Poll::Ready(()) => Poll::Ready(true),
        Poll::Pending => orders.poll_haste(cx).map(|()| false),
    });
    if !timeout(limit, parted).await.unwrap_or(false) {
        poll_fn(|cx| {
            parting.give_up(cx, link);
            Poll::Ready(())
        })
        .await;
    }
    Heard { client_close: parting.client.close_code, upstream_close: parting.upstream.close_code }
}

struct Parting {
    client: Side,
    upstream: Side,
}

/// One leg on its way out.
struct Side {
    peer: Peer,
    speech: Speech,
    hearing: Hearing,
    /// Of the close frame that it sent.
    close_code: Option<u16>,
}

/// What this leg still has to be told.
enum Speech {
    /// Whatever the other peer sends, up to its close frame.
    Theirs,
    /// Our own words, as soon as they may stand.
    Waiting(Words),
    /// The last words are on their way.
    Leaving,
    /// All is said; its answer is awaited.
    Said,
    /// The stream's end is on its way.
    Ending,
    /// Nothing more goes to it.
    Over,
}

/// Frames that are ready to be injected.
struct Words {
    event: Vec<u8>,
    close: Vec<u8>,
}

/// What this leg may still send.
#[derive(PartialEq)]
enum Hearing {
    /// Its close frame.
    Open,
    /// Nothing that matters, but its end is awaited: a socket closed with unread input resets, and the peer would lose
    /// our last words.
    Done,
    /// Nothing.
    Over,
}

impl Parting {
    fn begin<C: Stream, U: Stream, T>(&mut self, link: &mut Link<C, U, T>) {
        self.client.begin(&mut link.client, &mut link.down, &self.upstream.hearing);
        self.upstream.begin(&mut link.upstream, &mut link.up, &self.client.hearing);
    }

    fn poll<C: Stream, U: Stream, T: Tap>(&mut self, cx: &mut Context<'_>, link: &mut Link<C, U, T>) -> Poll<()> {
        let Link { client, upstream, up, down, tap, .. } = link;
        pass(cx, up, (client, &mut self.client), (upstream, &mut self.upstream), &mut NoTap);
        pass(cx, down, (upstream, &mut self.upstream), (client, &mut self.client), tap);
        self.client.hear(cx, client, up, &mut NoTap);
        self.upstream.hear(cx, upstream, down, tap);
        self.client.speak(cx, client, down);
        self.upstream.speak(cx, upstream, up);
        if self.client.is_over() && self.upstream.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The deadline has come: says what may still be said, without waiting, and cuts what is stuck.
    fn give_up<C: Stream, U: Stream, T>(&mut self, cx: &mut Context<'_>, link: &mut Link<C, U, T>) {
        self.client.give_up(cx, &mut link.client, &mut link.down);
        self.upstream.give_up(cx, &mut link.upstream, &mut link.up);
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
    let Poll::Ready(stop) = pump.poll_pass(cx, from, to, tap) else { return };
    match stop {
        Stop::MessageEnded => {}
        Stop::Close(code) => {
            source.heard_close(code);
            if let Speech::Theirs = sink.speech {
                sink.speech = Speech::Leaving;
            }
        }
        Stop::SourceLost(_) => source.hearing = Hearing::Over,
        Stop::Violation(_) => source.hearing = Hearing::Done,
        Stop::SinkLost(_) => sink.speech = Speech::Over,
    }
    sink.speak_up(to, pump);
}

impl Side {
    fn new(peer: Peer, ending: &Ending, request_id: &str) -> Self {
        let hearing = match ending {
            Ending::Lost(who, _) | Ending::Stalled(who) if *who == peer => Hearing::Over,
            Ending::Close(who, _) | Ending::Violation(who, _) if *who == peer => Hearing::Done,
            _ => Hearing::Open,
        };
        let close_code = match ending {
            Ending::Close(who, code) if *who == peer => Some(*code),
            _ => None,
        };
        let speech = match ending.farewell(peer) {
            // What its own close frame is answered with, should the other peer not answer any more.
            Farewell::Theirs if close_code.is_some() => Speech::Theirs,
            Farewell::Theirs => Speech::Leaving,
            Farewell::Nothing | Farewell::Abort => Speech::Over,
            Farewell::Ours { event, close } => {
                let reason = ending.reason();
                let event = event.map(|code| inject::text(peer, &code.event(&reason, request_id)));
                Speech::Waiting(Words { event: event.unwrap_or_default(), close: inject::close(peer, close, &reason) })
            }
        };
        Self { peer, speech, hearing, close_code }
    }

    /// Sets the pump that feeds this leg to what the leg is still told.
    fn begin<S: Stream>(&mut self, stream: &mut S, pump: &mut Pump, source: &Hearing) {
        match (&self.speech, source) {
            (Speech::Theirs, _) => {}
            (Speech::Waiting(_), Hearing::Open) => pump.finish_message(),
            _ => pump.cut(),
        }
        if matches!(self.speech, Speech::Over) && self.hearing == Hearing::Over && pump.stalled_since().is_some() {
            stream.abort();
        }
        self.speak_up(stream, pump);
    }

    /// Once nothing more comes from the other peer: puts our own words, where any may stand.
    fn speak_up<S: Stream>(&mut self, stream: &mut S, pump: &mut Pump) {
        if pump.is_passing() {
            return;
        }
        let words = match (std::mem::replace(&mut self.speech, Speech::Leaving), self.close_code) {
            (Speech::Waiting(words), _) => words,
            // The other peer will not answer its close frame any more, so we do.
            (Speech::Theirs, Some(code)) => Words { event: Vec::new(), close: answer(self.peer, code) },
            (speech, _) => {
                self.speech = speech;
                return;
            }
        };
        match pump.boundary() {
            Boundary::Message => pump.inject(&[words.event, words.close].concat()),
            Boundary::Frame => pump.inject(&words.close),
            Boundary::Inside => {
                stream.abort();
                (self.speech, self.hearing) = (Speech::Over, Hearing::Over);
            }
        }
    }

    fn heard_close(&mut self, code: u16) {
        self.close_code.get_or_insert(code);
        self.hearing = Hearing::Done;
    }

    /// Reads what this leg still sends, where none of it goes on.
    fn hear<S: Stream, T: Tap>(&mut self, cx: &mut Context<'_>, stream: &mut S, pump: &mut Pump, tap: &mut T) {
        while self.hearing != Hearing::Over && !pump.is_passing() {
            match pump.poll_discard(cx, stream, tap) {
                Poll::Pending => return,
                Poll::Ready(LastWord::Close(code)) => self.heard_close(code),
                Poll::Ready(LastWord::Violation) => self.hearing = Hearing::Done,
                Poll::Ready(LastWord::End) => self.hearing = Hearing::Over,
            }
        }
    }

    /// Sends what is to be sent to this leg, and its stream's end once both sides have had their say.
    fn speak<S: Stream>(&mut self, cx: &mut Context<'_>, stream: &mut S, pump: &mut Pump) {
        if let Speech::Leaving = self.speech {
            match pump.poll_flush(cx, stream) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => self.speech = Speech::Said,
                Poll::Ready(Err(_)) => self.speech = Speech::Over,
            }
        }
        if matches!(self.speech, Speech::Said) && self.hearing != Hearing::Open {
            self.speech = Speech::Ending;
        }
        if matches!(self.speech, Speech::Ending) && Pin::new(stream).poll_shutdown(cx).is_ready() {
            self.speech = Speech::Over;
        }
    }

    fn give_up<S: Stream>(&mut self, cx: &mut Context<'_>, stream: &mut S, pump: &mut Pump) {
        pump.cut();
        self.speak_up(stream, pump);
        self.speak(cx, stream, pump);
        if matches!(self.speech, Speech::Leaving) {
            stream.abort();
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.speech, Speech::Over) && self.hearing == Hearing::Over
    }
}

/// The close frame that answers one with this code (RFC 6455 section 5.5.1).
fn answer(to: Peer, code: u16) -> Vec<u8> {
    if code == 1005 { inject::empty_close(to) } else { inject::close(to, code, "") }
}
