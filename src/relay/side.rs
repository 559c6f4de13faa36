//! One leg on its way out: what it still has to be told, and what may still come from it.
//!
//! It refuses to know why the link ends, and time: its deadline is kept here, but looked at by
//! [`parting`](super::parting).

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::Peer;
use super::inject;
use super::pump::{Boundary, LastWord, Stop};
use super::stream::Stream;
use super::tap::Tap;
use super::verbatim::Pump;

/// A leg of a link that ends.
#[derive(Debug)]
pub(super) struct Side {
    peer: Peer,
    speech: Speech,
    pub(super) hearing: Hearing,
    /// Of the close frame that it sent.
    pub(super) close_code: Option<u16>,
    /// Then its connection goes.
    pub(super) deadline: Instant,
}

/// What a leg still has to be told.
#[derive(Debug)]
enum Speech {
    /// Whatever the other peer sends, up to its close frame.
    Theirs,
    /// These words, when what is under way has been settled.
    Settling(Words),
    /// These words, as soon as they may stand.
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

/// What a leg is told at last.
#[derive(Debug)]
pub(super) enum Told {
    /// Whatever the other peer answers to its close frame.
    TheirAnswer,
    /// These words.
    Words(Words),
    /// These words, when what is under way has been settled.
    AfterSettling(Words),
    /// Nothing: there is nobody left.
    Nothing,
    /// Nothing: it takes no more.
    Abort,
}

/// Frames that are ready to be sent.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// Only between two messages.
    pub(super) event: Vec<u8>,
    /// Also inside a message.
    pub(super) close: Vec<u8>,
}

/// What a leg may still send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    /// Its close frame.
    Open,
    /// Nothing that matters, but its end is awaited unless it may be closed at once: a socket closed with unread input resets,
    /// and the peer would lose our last words.
    Done,
    /// Nothing.
    Over,
}

impl Side {
    /// A leg that may still send this, and is to be gone by then.
    pub(super) fn new(peer: Peer, hearing: Hearing, close_code: Option<u16>, deadline: Instant) -> Self {
        Self { peer, speech: Speech::Over, hearing, close_code, deadline }
    }

    /// Says what it is told, and sets the pump that feeds it accordingly. `source` is what the other leg may still send.
    pub(super) fn begin<S: Stream>(&mut self, told: Told, source: Hearing, stream: &mut S, pump: &mut Pump) {
        self.speech = match told {
            Told::TheirAnswer => Speech::Theirs,
            Told::Words(words) => Speech::Waiting(words),
            Told::AfterSettling(words) => Speech::Settling(words),
            Told::Nothing => Speech::Over,
            Told::Abort => {
                pump.cut();
                return self.abort(stream);
            }
        };
        match (&self.speech, source) {
            (Speech::Theirs, _) => {}
            (Speech::Waiting(_) | Speech::Settling(_), Hearing::Open) => pump.finish_message(),
            _ => pump.cut(),
        }
        // What it has not taken may be half a frame, which must not look like the end.
        if self.is_over() && pump.stalled_since().is_some() {
            stream.abort();
        }
        self.speak_up(stream, pump);
    }

    /// What was under way is settled: the words may be said. `abort`: they may not, nor anything else.
    pub(super) fn settled<S: Stream>(&mut self, abort: bool, stream: &mut S, pump: &mut Pump) {
        if let Speech::Settling(words) = &mut self.speech {
            self.speech = Speech::Waiting(std::mem::take(words));
            if abort {
                self.abort(stream);
            } else {
                self.speak_up(stream, pump);
            }
        }
    }

    /// The pump that feeds this leg has stopped.
    pub(super) fn fed<S: Stream>(&mut self, stop: &Stop, stream: &mut S, pump: &mut Pump) {
        match stop {
            Stop::Close(_) if matches!(self.speech, Speech::Theirs) => {
                pump.pass_close();
                self.speech = Speech::Leaving;
            }
            Stop::SinkLost(_) => self.speech = Speech::Over,
            _ => {}
        }
        self.speak_up(stream, pump);
    }

    /// The pump that carries what this leg sends has stopped.
    pub(super) fn heard<S: Stream>(&mut self, stop: &Stop, stream: &S) {
        match stop {
            Stop::Close(code) => self.heard_close(*code, stream),
            Stop::SourceLost(_) => self.hearing = Hearing::Over,
            Stop::Violation(_) => self.hearing = Hearing::Done,
            Stop::MessageEnded | Stop::SinkLost(_) => {}
        }
    }

    fn heard_close<S: Stream>(&mut self, code: u16, stream: &S) {
        self.close_code.get_or_insert(code);
        self.hearing = if stream.has_ended() { Hearing::Over } else { Hearing::Done };
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
            Boundary::Inside => self.abort(stream),
        }
    }

    /// Reads what this leg still sends, where none of it goes on.
    pub(super) fn hear<S: Stream, T: Tap>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        pump: &mut Pump,
        tap: &mut T,
    ) {
        while self.hearing != Hearing::Over && !pump.is_passing() {
            match pump.poll_discard(cx, stream, tap) {
                Poll::Pending => return,
                Poll::Ready(LastWord::Close(code)) => self.heard_close(code, stream),
                Poll::Ready(LastWord::Violation) => self.hearing = Hearing::Done,
                Poll::Ready(LastWord::End) => self.hearing = Hearing::Over,
            }
        }
    }

    /// Sends what is to be sent to this leg, and its stream's end once both sides have had their say. Closes the
    /// connection when nothing more is to come or to go.
    pub(super) fn speak<S: Stream>(&mut self, cx: &mut Context<'_>, stream: &mut S, pump: &mut Pump) {
        if matches!(self.speech, Speech::Leaving | Speech::Settling(_)) {
            if matches!(self.speech, Speech::Leaving) && self.hearing != Hearing::Open {
                stream.end_follows();
            }
            match pump.poll_flush(cx, stream) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if matches!(self.speech, Speech::Settling(_)) => {}
                Poll::Ready(Ok(())) => self.speech = Speech::Said,
                Poll::Ready(Err(_)) => self.speech = Speech::Over,
            }
        }
        if matches!(self.speech, Speech::Said) && self.hearing != Hearing::Open {
            self.speech = Speech::Ending;
        }
        if matches!(self.speech, Speech::Ending) {
            if stream.ends_by_closing() && self.has_said_all(stream) {
                self.close(stream);
            } else if Pin::new(&mut *stream).poll_shutdown(cx).is_ready() {
                self.speech = Speech::Over;
            }
        }
        if self.is_over() {
            stream.hang_up();
        }
    }

    /// Whether nothing may come from it any more: its end has come, or it is a client and has sent its close frame. A server
    /// closes the connection at once then (RFC 6455 section 5.5.1), a client waits until it does.
    fn has_said_all<S: Stream>(&self, stream: &S) -> bool {
        self.hearing == Hearing::Over
            || (self.peer == Peer::Client && self.close_code.is_some() && !stream.has_unread())
    }

    /// Its deadline has come: says what may still be said, without waiting, and closes the connection.
    pub(super) fn give_up<S: Stream>(&mut self, cx: &mut Context<'_>, stream: &mut S, pump: &mut Pump) {
        pump.cut();
        self.settled(false, stream, pump);
        self.speak_up(stream, pump);
        self.speak(cx, stream, pump);
        if matches!(self.speech, Speech::Leaving) {
            stream.abort();
        }
        self.close(stream);
    }

    /// Cuts the connection.
    pub(super) fn abort<S: Stream>(&mut self, stream: &mut S) {
        stream.abort();
        self.close(stream);
    }

    fn close<S: Stream>(&mut self, stream: &mut S) {
        stream.hang_up();
        (self.speech, self.hearing) = (Speech::Over, Hearing::Over);
    }

    /// Whether its connection is gone.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.speech, Speech::Over) && self.hearing == Hearing::Over
    }
}

/// The close frame that answers one with this code (RFC 6455 section 5.5.1).
pub(super) fn answer(to: Peer, code: u16) -> Vec<u8> {
    if code == 1005 { inject::empty_close(to) } else { inject::close(to, code, "") }
}
