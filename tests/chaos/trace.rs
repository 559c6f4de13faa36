//! What happened on the connections of a link, and when: two runs of one seed must have the same.
//!
//! It refuses to keep bytes: the relay's pings are random.

use std::cell::RefCell;
use std::rc::Rc;

use realtime_relay::relay::Peer;
use tokio::time::Instant;

/// One thing that happened on the connection with a peer, so many milliseconds after the link began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened(pub u128, pub Peer, pub What);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Read(usize),
    ReadEnd,
    Wrote(usize),
    WriteFailed,
    Ended,
    HungUp,
    Aborted,
}

/// Clones note in the same place.
#[derive(Clone)]
pub struct Trace {
    begun: Instant,
    happened: Rc<RefCell<Vec<Happened>>>,
}

impl Trace {
    pub fn begin() -> Self {
        Self { begun: Instant::now(), happened: Rc::default() }
    }

    pub fn note(&self, peer: Peer, what: What) {
        self.happened.borrow_mut().push(Happened(self.now(), peer, what));
    }

    /// So many milliseconds after the beginning it is now.
    pub fn now(&self) -> u128 {
        self.begun.elapsed().as_millis()
    }

    pub fn take(&self) -> Vec<Happened> {
        self.happened.take()
    }
}
