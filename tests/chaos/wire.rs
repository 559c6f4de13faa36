//! A connection in memory between the relay and a peer, on which everything goes wrong that can go wrong with a socket.
//!
//! It refuses to know frames. What went over it is kept, so that it can be judged afterwards.

mod near;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use fastrand::Rng;
use realtime_relay::relay::Peer;
use tokio::time::{Instant, Sleep};

use crate::fault::{Fault, Injected};
use crate::script::Weather;
use crate::trace::Trace;

/// The relay's end.
pub struct Near(Rc<RefCell<Wire>>);

/// The peer's end.
#[derive(Clone)]
pub struct Far(Rc<RefCell<Wire>>);

/// A connection, and what went over it.
pub struct Wire {
    peer: Peer,
    rng: Rng,
    weather: Weather,
    injected: Injected,
    trace: Trace,
    /// On its way to the relay.
    inbound: VecDeque<u8>,
    pub end: End,
    /// The relay can write nothing any more.
    pub refuses: bool,
    /// So many bytes of what the peer sent the relay has read, those behind the HTTP head included.
    pub read: usize,
    /// All that the peer sent.
    pub sent: Vec<u8>,
    /// The relay has learnt that nothing more comes.
    pub end_seen: Option<Instant>,
    /// Written, and not on its way before it is flushed.
    unflushed: Vec<u8>,
    /// All that the peer was sent.
    pub wrote: Vec<u8>,
    /// So much of it has it taken.
    taken: usize,
    pub goodbye: Option<Goodbye>,
    pub dropped: bool,
    /// What no stream may be asked for.
    pub misuse: Option<&'static str>,
    delays: [Delay; 3],
    reader: Option<Waker>,
    writer: Option<Waker>,
    far: Option<Waker>,
    polls: (Option<Instant>, u32),
}

/// How the peer's side of the stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Open,
    Eof,
    Reset,
}

/// How the relay left the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// The stream's end was sent; it is still read.
    Ended,
    /// Closed.
    HungUp,
    Aborted,
}

/// What a call waits for, now and then.
#[derive(Default)]
enum Delay {
    #[default]
    No,
    Until(Pin<Box<Sleep>>),
    /// It has waited.
    Over,
}

/// A connection to this peer.
pub fn wire(peer: Peer, rng: Rng, weather: Weather, injected: &Injected, trace: &Trace) -> (Near, Far) {
    if weather.buffered {
        injected.count(Fault::Buffered);
    }
    let wire = Rc::new(RefCell::new(Wire {
        peer,
        rng,
        weather,
        injected: injected.clone(),
        trace: trace.clone(),
        inbound: VecDeque::new(),
        end: End::Open,
        refuses: false,
        read: 0,
        sent: Vec::new(),
        end_seen: None,
        unflushed: Vec::new(),
        wrote: Vec::new(),
        taken: 0,
        goodbye: None,
        dropped: false,
        misuse: None,
        delays: Default::default(),
        reader: None,
        writer: None,
        far: None,
        polls: (None, 0),
    }));
    (Near(wire.clone()), Far(wire))
}

impl Far {
    /// What went over it.
    pub fn wire(&self) -> std::cell::Ref<'_, Wire> {
        self.0.borrow()
    }

    /// Sends bytes, of which the first so many come behind the HTTP head: those are given back.
    pub fn send_early(&self, bytes: &[u8], early: usize) -> Vec<u8> {
        self.send(bytes);
        let mut wire = self.0.borrow_mut();
        wire.read = early;
        wire.inbound.drain(..early).collect()
    }

    pub fn send(&self, bytes: &[u8]) {
        let mut wire = self.0.borrow_mut();
        if wire.end == End::Open && !wire.is_gone() {
            wire.sent.extend_from_slice(bytes);
            wire.inbound.extend(bytes);
            wire.wake_reader();
        }
    }

    /// Ends the stream to the relay, in order or not.
    pub fn end(&self, end: End) {
        let mut wire = self.0.borrow_mut();
        if wire.end != End::Reset {
            wire.end = end;
        }
        if end == End::Reset {
            wire.inbound.clear();
            wire.wake_writer();
        }
        wire.wake_reader();
    }

    pub fn refuse(&self) {
        let mut wire = self.0.borrow_mut();
        wire.refuses = true;
        wire.wake_writer();
    }

    /// Whether anything that is sent would still be read.
    pub fn is_gone(&self) -> bool {
        self.0.borrow().is_gone()
    }

    /// What the relay has sent; nothing: no more will come.
    pub fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        let mut wire = self.0.borrow_mut();
        let cut = wire.end == End::Reset || wire.goodbye == Some(Goodbye::Aborted);
        if !cut && wire.taken < wire.wrote.len() {
            let news = wire.wrote[wire.taken..].to_vec();
            wire.taken = wire.wrote.len();
            wire.wake_writer();
            return Poll::Ready(news);
        }
        if cut || wire.goodbye.is_some() || wire.dropped {
            return Poll::Ready(Vec::new());
        }
        wire.far = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Wire {
    fn is_gone(&self) -> bool {
        self.dropped || matches!(self.goodbye, Some(Goodbye::HungUp | Goodbye::Aborted))
    }

    /// All that the relay wrote, flushed or not.
    pub fn written(&self) -> Vec<u8> {
        [&self.wrote[..], &self.unflushed].concat()
    }

    /// Bytes that were written and never flushed.
    pub fn lost(&self) -> usize {
        self.unflushed.len()
    }

    fn wake_reader(&mut self) {
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    fn wake_writer(&mut self) {
        self.writer.take().into_iter().for_each(Waker::wake);
    }

    fn wake_far(&mut self) {
        self.far.take().into_iter().for_each(Waker::wake);
    }
}
