//! Watches an upstream's messages go by and finds the events of interest, mostly from a message's first bytes.
//!
//! It refuses to touch a byte, and to know frames, streams, prices and records: pieces of messages go in, [`Event`]s
//! come out. It owns a buffer only while a message of interest is cut in pieces.

use memchr::memmem;

use super::events::{self, Event, NAMES, Name, ResponseDone};
use super::scan::{Kind, Piece};

/// What watches one pump.
pub trait Tap {
    /// One piece of a data message, in order, after it was judged legal.
    fn see(&mut self, piece: &Piece<'_>);

    /// The responses that have begun and not ended, by their ids.
    fn under_way(&self) -> &[Box<str>] {
        &[]
    }
}

/// Watches nothing: for the client's direction, and for measuring the pump alone.
#[derive(Debug, Clone, Copy)]
pub struct NoTap;

impl Tap for NoTap {
    #[inline]
    fn see(&mut self, _: &Piece<'_>) {}
}

/// The most that is kept of one message. A larger `response.done` becomes a record with the status `unreadable`.
pub const MAX_KEPT: usize = 4 << 20;

/// More responses are not under way at once in any session; an upstream that begins more is not kept account of.
const MAX_UNDER_WAY: usize = 256;

/// Where the type has not shown within this many bytes, the message is kept whole and decided at its end. An event id
/// is a few dozen bytes long; the bound keeps a message in one-byte pieces from being read again at every piece.
const MAX_UNDECIDED: usize = 256;

/// Calls `observe` with each event of interest, in order, when its message ends.
#[derive(Debug)]
pub struct EventTap<F> {
    observe: F,
    watch: Watch,
    /// The front of the message under way, where it came in pieces and is still of interest.
    kept: Vec<u8>,
    under_way: Vec<Box<str>>,
}

/// What is known of the message under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
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

impl<F: FnMut(Event)> EventTap<F> {
    /// A tap on a stream that begins at a message boundary.
    pub fn new(observe: F) -> Self {
        Self { observe, watch: Watch::Skip, kept: Vec::new(), under_way: Vec::new() }
    }

    fn end(&mut self, text: &[u8]) {
        let event = match self.watch {
            Watch::Keep(name) => events::read(name, text),
            Watch::Undecided | Watch::Candidate => may_be_of_interest(text)
                .then(|| events::top_level_type(text))
                .flatten()
                .and_then(|event_type| events::name_of(&event_type).and_then(|name| events::read(name, text))),
            Watch::TooLong(Some(Name::ResponseDone)) => Some(Event::ResponseDone(ResponseDone::unreadable())),
            Watch::Skip | Watch::TooLong(_) => None,
        };
        if let Some(event) = event {
            self.account(&event);
            (self.observe)(event);
        }
    }

    fn account(&mut self, event: &Event) {
        match event {
            Event::ResponseCreated { id: Some(id) } if self.under_way.len() < MAX_UNDER_WAY => {
                self.under_way.push(id.as_str().into());
            }
            Event::ResponseDone(ResponseDone { id: Some(id), .. }) => self.under_way.retain(|open| **open != **id),
            // It does not say which, so it is told only where there is but one.
            Event::ResponseDone(_) if self.under_way.len() == 1 => self.under_way.clear(),
            Event::ResponseCreated { .. } | Event::ResponseDone(_) | Event::Session(_) => {}
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

impl<F: FnMut(Event)> Tap for EventTap<F> {
    #[inline]
    fn see(&mut self, piece: &Piece<'_>) {
        if piece.first {
            self.watch = if piece.kind == Kind::Text { decide(piece.payload) } else { Watch::Skip };
        }
        if self.watch != Watch::Skip {
            self.follow(piece);
        }
    }

    fn under_way(&self) -> &[Box<str>] {
        &self.under_way
    }
}

impl<F: FnMut(Event)> EventTap<F> {
    /// The rest of [`see`](Tap::see), for the few messages that are not skipped at their first bytes.
    fn follow(&mut self, piece: &Piece<'_>) {
        if piece.first && piece.last {
            return self.end(piece.payload);
        }
        match self.watch {
            Watch::TooLong(None) => self.watch = Watch::TooLong(names_a_response_done(piece.payload)),
            Watch::TooLong(Some(_)) => {}
            _ => self.keep(piece.payload),
        }
        if self.watch == Watch::Undecided && !piece.first {
            self.watch = decide(&self.kept);
        }
        if piece.last {
            let kept = std::mem::take(&mut self.kept);
            self.end(&kept);
            self.watch = Watch::Skip;
        } else if self.watch == Watch::Skip {
            self.kept = Vec::new();
        }
    }
}

/// Whether a message whose type did not stand in front could be of interest: it holds such a name, or an escape that
/// could spell one.
fn may_be_of_interest(text: &[u8]) -> bool {
    memmem::find(text, b"\\u").is_some() || NAMES.iter().any(|(name, _)| memmem::find(text, name.as_bytes()).is_some())
}

/// All that can be asked of a candidate that is too long to parse. In doubt it is recorded, as unreadable.
fn names_a_response_done(text: &[u8]) -> Option<Name> {
    memmem::find(text, b"response.done").map(|_| Name::ResponseDone)
}

/// What the first bytes of a message tell: `{"type":"…"`, or `{"event_id":"…","type":"…"`, compact or spaced.
#[inline]
fn decide(text: &[u8]) -> Watch {
    let front = &text[..text.len().min(MAX_UNDECIDED)];
    match Front(front).watch() {
        Ok(watch) => watch,
        Err(Unclear::Short) if front.len() < MAX_UNDECIDED => Watch::Undecided,
        Err(_) => Watch::Candidate,
    }
}

/// Why the front of a message does not tell its type.
enum Unclear {
    /// It ends too early.
    Short,
    /// It is of another form.
    Other,
}

/// What is left of the first bytes of a message.
struct Front<'b>(&'b [u8]);

impl<'b> Front<'b> {
    #[inline]
    fn watch(mut self) -> Result<Watch, Unclear> {
        self.expect(b'{')?;
        let mut key = self.key()?;
        if key == b"event_id" {
            self.string()?;
            self.expect(b',')?;
            key = self.key()?;
        }
        if key != b"type" {
            return Err(Unclear::Other);
        }
        self.expect(b'"')?;
        self.name()
    }

    /// The name that begins here.
    #[inline]
    fn name(&self) -> Result<Watch, Unclear> {
        let end = memchr::memchr2(b'"', b'\\', self.0);
        let plain = &self.0[..end.unwrap_or(self.0.len())];
        if let Some(b'"') = end.map(|end| self.0[end]) {
            let found = NAMES.iter().find(|(name, _)| name.as_bytes() == plain);
            return Ok(found.map_or(Watch::Skip, |(_, name)| Watch::Keep(*name)));
        }
        // Cut off, or an escape, which may spell the rest of a name, but cannot mend what differs before it.
        match end {
            _ if !NAMES.iter().any(|(name, _)| name.as_bytes().starts_with(plain)) => Ok(Watch::Skip),
            None => Err(Unclear::Short),
            Some(_) => Err(Unclear::Other),
        }
    }

    #[inline]
    fn key(&mut self) -> Result<&'b [u8], Unclear> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// A string without escapes.
    #[inline]
    fn string(&mut self) -> Result<&'b [u8], Unclear> {
        self.expect(b'"')?;
        let end = memchr::memchr2(b'"', b'\\', self.0).ok_or(Unclear::Short)?;
        if self.0[end] == b'\\' {
            return Err(Unclear::Other);
        }
        let (string, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(string)
    }

    /// This byte, after any white space (RFC 8259 section 2).
    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Unclear> {
        loop {
            let (&next, rest) = self.0.split_first().ok_or(Unclear::Short)?;
            self.0 = rest;
            match next {
                next if next == byte => return Ok(()),
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => return Err(Unclear::Other),
            }
        }
    }
}
