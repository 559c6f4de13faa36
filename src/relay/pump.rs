//! What a pump tells the link it works for: how much it has carried, where it stands, and why it stopped.
//!
//! It refuses to know how bytes are carried; [`verbatim`](super::verbatim) does.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::scan::Violation;

/// Frames and bytes that one direction has forwarded. Whoever shares the worker may read it at any time.
#[derive(Debug, Default)]
pub struct Flow {
    /// Frames of all kinds.
    pub frames: Cell<u64>,
    /// Bytes on the wire, frame headers included.
    pub bytes: Cell<u64>,
    all: Rc<Tally>,
}

/// What all flows of one direction on a worker have forwarded, those that are over included. Whoever sums up need not
/// visit the links.
#[derive(Debug, Default)]
pub struct Tally {
    /// Frames of all kinds.
    pub frames: Cell<u64>,
    /// Bytes on the wire, frame headers included.
    pub bytes: Cell<u64>,
}

impl Flow {
    /// A flow that has forwarded nothing yet, and is one of `all`.
    pub fn one_of(all: Rc<Tally>) -> Self {
        Self { frames: Cell::new(0), bytes: Cell::new(0), all }
    }

    /// Counts what goes on.
    #[inline]
    pub fn count(&self, frames: u64, bytes: u64) {
        let add = |cell: &Cell<u64>, more| cell.set(cell.get() + more);
        add(&self.frames, frames);
        add(&self.bytes, bytes);
        add(&self.all.frames, frames);
        add(&self.all.bytes, bytes);
    }
}

/// What has come from a source since somebody last asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// At least a byte.
    pub life: bool,
    /// Some of a data frame.
    pub data: bool,
    /// A pong.
    pub pong: bool,
}

/// What the pongs that answer the relay's own pings carry.
pub type PingPayload = [u8; 8];

/// A place in a stream of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Between two messages: any frame may stand here.
    Message,
    /// Between two frames of a message: only a control frame may.
    Frame,
    /// Inside a frame: nothing may.
    Inside,
}

/// Why bytes no longer go on.
#[derive(Debug)]
pub enum Stop {
    /// The message that was to be finished has ended.
    MessageEnded,
    /// The source sent a close frame with this code (1005: without one). The frame itself is kept.
    Close(u16),
    /// The source ended (`None`) or failed without a close frame.
    SourceLost(Option<io::Error>),
    /// The sink takes no more.
    SinkLost(io::Error),
    /// The source broke the rules. What it sent before that has gone on.
    Violation(Violation),
}

/// What a source says whose bytes no longer go on.
#[derive(Debug)]
pub enum LastWord {
    /// A close frame (1005: without a code).
    Close(u16),
    /// Something that breaks the rules.
    Violation,
    /// The end of its stream.
    End,
}
