//! Watches an upstream's messages go by and finds the events of interest, mostly from a message's first bytes.
//!
//! It refuses to touch a byte, and to know frames, streams, prices and records: pieces of messages go in, [`Event`]s
//! come out. It owns a buffer only while a message of interest is cut in pieces.

use std::task::{Context, Poll};

use memchr::memmem;

use super::events::{self, Event, Name, Names, ResponseDone, Transcription};
use super::front::decide;
use super::scan::{Kind, Piece};

/// What watches one pump.
pub trait Tap {
    /// One piece of a data message, in order, after it was judged legal; none of those messages that were passed over.
    fn see(&mut self, piece: &Piece<'_>) -> Verdict;

    /// Whether this text message, whole, in one frame, as on the wire, goes on unseen, as nearly all do; else it is seen. Asked
    /// only where all goes on and nothing is held.
    #[inline]
    fn passes_over(&self, _: &[u8]) -> bool {
        false
    }

    /// After a verdict to wait: `Ready` when the wait is over.
    ///
    /// Cancel safe.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The responses that have begun and not ended, by their ids.
    fn under_way(&self) -> &[Box<str>] {
        &[]
    }
}

/// What a tap has to say about a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, and with it what was held of its message.
    Pass,
    /// It is held, and so is all that follows, until a later verdict; its message began with it, or is held already.
    Hold,
    /// It goes on, but nothing more is looked at until the tap is ready.
    PassAndWait,
    /// It goes on, with what is held, when the tap is ready, and nothing more is looked at before.
    HoldAndWait,
}

/// What is done with events of interest.
pub trait Observe {
    /// An event has gone by, or is about to. False: it is not done with yet, and the next one has to wait.
    fn observe(&mut self, event: Event) -> bool;

    /// `Ready` when it is.
    ///
    /// Cancel safe.
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<F: FnMut(Event)> Observe for F {
    fn observe(&mut self, event: Event) -> bool {
        self(event);
        true
    }

    fn poll_done(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

/// Watches nothing: for the client's direction, and for measuring the pump alone.
#[derive(Debug, Clone, Copy)]
pub struct NoTap;

impl Tap for NoTap {
    #[inline]
    fn passes_over(&self, _: &[u8]) -> bool {
        true
    }

    #[inline]
    fn see(&mut self, _: &Piece<'_>) -> Verdict {
        Verdict::Pass
    }
}

/// The most that is kept of one message. A larger `response.done` becomes a record with the status `unreadable`.
pub const MAX_KEPT: usize = 4 << 20;

/// More responses are not under way at once in any session; an upstream that begins more is not kept account of.
const MAX_UNDER_WAY: usize = 256;
/// Nor is an id any longer, in bytes.
const MAX_ID: usize = 256;

/// Has each event of interest observed, in order, when its message ends.
#[derive(Debug)]
pub struct EventTap<O> {
    observer: O,
    /// Which events are of interest.
    names: Names,
    /// Whether a message that uses something is held until its observer is done with it.
    holds: bool,
    watch: Watch,
    /// The front of the message under way, where it came in pieces and is still of interest.
    kept: Vec<u8>,
    under_way: Vec<Box<str>>,
}

/// What is known of the message under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// Not of interest.
    Skip,
    /// Its type has not come yet.
    Undecided,
    /// Of interest, to be read when it ends.
    Keep(Name),
    /// Its type does not stand where it should: what it is shows when it is whole.
    Candidate,
    /// Of interest, or a candidate, and too long to keep.
    TooLong(Option<Name>),
}

impl<O: Observe> EventTap<O> {
    /// A tap on a stream that begins at a message boundary.
    pub fn new(observer: O) -> Self {
        let (kept, under_way) = (Vec::new(), Vec::new());
        Self { observer, names: &events::NAMES, holds: false, watch: Watch::Skip, kept, under_way }
    }

    /// Also watches what transcriptions of the client's words use.
    #[must_use]
    pub fn with_transcription(mut self) -> Self {
        self.names = &events::NAMES_WITH_TRANSCRIPTION;
        self
    }

    /// Holds every message until it is known to use nothing, or its observer is done with it.
    #[must_use]
    pub fn holding(mut self) -> Self {
        self.holds = true;
        self
    }

    /// What it was made with.
    pub fn into_observer(self) -> O {
        self.observer
    }

    /// A message has ended; false: its observer is not done with it.
    fn end(&mut self, text: &[u8]) -> bool {
        let event = match self.watch {
            Watch::Keep(name) => events::read(name, text),
            Watch::Undecided | Watch::Candidate => may_be_of_interest(text, self.names)
                .then(|| events::top_level_type(text))
                .flatten()
                .and_then(|event_type| events::name_of(self.names, &event_type))
                .and_then(|name| events::read(name, text)),
            Watch::TooLong(Some(Name::ResponseDone)) => Some(Event::ResponseDone(ResponseDone::unreadable())),
            Watch::TooLong(Some(Name::Transcription)) => Some(Event::Transcription(Transcription::unreadable())),
            Watch::Skip | Watch::TooLong(_) => None,
        };
        let Some(event) = event else { return true };
        self.account(&event);
        self.observer.observe(event)
    }

    fn account(&mut self, event: &Event) {
        match event {
            Event::ResponseCreated { id: Some(id) } if self.under_way.len() < MAX_UNDER_WAY && id.len() <= MAX_ID => {
                self.under_way.push(id.as_str().into());
            }
            Event::ResponseDone(ResponseDone { id: Some(id), .. }) => self.under_way.retain(|open| **open != **id),
            // It does not say which, so it is told only where there is but one.
            Event::ResponseDone(_) if self.under_way.len() == 1 => self.under_way.clear(),
            Event::ResponseCreated { .. } | Event::ResponseDone(_) | Event::Session(_) | Event::Transcription(_) => {}
        }
        if self.under_way.is_empty() {
            self.under_way = Vec::new();
        }
    }

    fn keep(&mut self, payload: &[u8]) {
        if self.kept.len() + payload.len() <= MAX_KEPT {
            self.kept.extend_from_slice(payload);
            return;
        }
        self.watch = Watch::TooLong(match self.watch {
            Watch::Keep(name) => Some(name),
            _ => names_a_response_done(&self.kept).or_else(|| names_a_response_done(payload)),
        });
        self.kept = Vec::new();
    }
}

impl<O: Observe> Tap for EventTap<O> {
    #[inline]
    fn see(&mut self, piece: &Piece<'_>) -> Verdict {
        if piece.first {
            self.watch = if piece.kind == Kind::Text { decide(piece.payload, self.names) } else { Watch::Skip };
        }
        if self.watch == Watch::Skip { Verdict::Pass } else { self.follow(piece) }
    }

    #[inline]
    fn passes_over(&self, text: &[u8]) -> bool {
        decide(text, self.names) == Watch::Skip
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.observer.poll_done(cx)
    }

    fn under_way(&self) -> &[Box<str>] {
        &self.under_way
    }
}

impl<O: Observe> EventTap<O> {
    /// The rest of [`see`](Tap::see), for the few messages that are not skipped at their first bytes.
    fn follow(&mut self, piece: &Piece<'_>) -> Verdict {
        if piece.first && piece.last {
            let done = self.end(piece.payload);
            return self.verdict(done);
        }
        match self.watch {
            Watch::TooLong(None) => self.watch = Watch::TooLong(names_a_response_done(piece.payload)),
            Watch::TooLong(Some(_)) => {}
            _ => self.keep(piece.payload),
        }
        if self.watch == Watch::Undecided && !piece.first {
            self.watch = decide(&self.kept, self.names);
        }
        if piece.last {
            let kept = std::mem::take(&mut self.kept);
            let done = self.end(&kept);
            let verdict = self.verdict(done);
            self.watch = Watch::Skip;
            return verdict;
        }
        if self.watch == Watch::Skip {
            self.kept = Vec::new();
        }
        if self.holds && self.may_use() { Verdict::Hold } else { Verdict::Pass }
    }

    fn verdict(&self, done: bool) -> Verdict {
        match (done, self.holds) {
            (true, _) => Verdict::Pass,
            // What is too long to be held has gone on already.
            (false, true) if !matches!(self.watch, Watch::TooLong(_)) => Verdict::HoldAndWait,
            (false, _) => Verdict::PassAndWait,
        }
    }

    /// Whether the message under way may be one that uses something, as far as is known.
    fn may_use(&self) -> bool {
        match self.watch {
            Watch::Undecided | Watch::Candidate => true,
            Watch::Keep(name) => matches!(name, Name::ResponseDone | Name::Transcription),
            Watch::Skip | Watch::TooLong(_) => false,
        }
    }
}

/// Whether a message whose type did not stand in front could be of interest: it holds such a name, or an escape that
/// could spell one.
fn may_be_of_interest(text: &[u8], names: Names) -> bool {
    memmem::find(text, b"\\u").is_some() || names.iter().any(|(name, _)| memmem::find(text, name.as_bytes()).is_some())
}

/// All that can be asked of a candidate that is too long to parse. In doubt it is recorded, as unreadable.
fn names_a_response_done(text: &[u8]) -> Option<Name> {
    memmem::find(text, b"response.done").map(|_| Name::ResponseDone)
}
