//! What is to happen on one link, laid down before it begins: what each peer does and when, how the network and
//! the ledger behave, and when an operator interferes. Printed, it is what one needs to understand a failure.
//!
//! It refuses to know how any of it is done.

use std::time::Duration;

use realtime_relay::relay::Peer;
use realtime_relay::relay::ending::Decision;
use realtime_relay::relay::link::Limits;

use crate::fault::Fault;
use crate::frame::Frame;

/// All of one link.
#[derive(Debug)]
pub struct Script {
    pub begins: Duration,
    pub limits: Limits,
    pub client: Part,
    pub upstream: Part,
    pub recorder: Recording,
    /// Whether responses are delivered only when they are recorded.
    pub before_delivery: bool,
    pub order: Option<Order>,
}

/// One peer's part, and the leg's network.
#[derive(Debug)]
pub struct Part {
    /// So many of the first bytes come behind the HTTP head.
    pub early: usize,
    pub steps: Vec<Step>,
    pub manners: Manners,
    pub weather: Weather,
}

/// Something that a peer does, so long after what it did before.
pub struct Step {
    pub after: Duration,
    pub act: Act,
}

pub enum Act {
    /// Sends these bytes, behind which its stream stands there.
    Say(Vec<u8>, Place),
    /// Sends what is forbidden.
    Offend(Vec<u8>, Fault),
    /// Sends this close frame.
    Close(Frame),
    /// Ends its stream.
    End,
    Reset,
    Refuse,
    Pause(Duration),
    GoDeaf,
    /// Leaves a message as it is, for ever.
    Hesitate,
}

/// Where a peer's stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    BetweenMessages,
    BetweenFragments,
    InHeader,
    InPayload,
}

/// How a peer answers.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    pub pongs: bool,
    pub close: Answer,
    /// Of an upstream: how it takes `response.cancel`.
    pub cancel: Answer,
    /// It ends its stream when it has sent a close frame.
    pub leaves: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    AtOnce,
    After(Duration),
    Twice,
    Never,
}

/// How the network behaves, in parts of a thousand.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub short_reads: u16,
    pub slow_reads: u16,
    pub partial_writes: u16,
    pub slow_writes: u16,
    pub slow_flushes: u16,
    pub buffered: bool,
    /// So many bytes may lie untaken.
    pub window: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    AtOnce,
    After(Duration),
    Never,
    Panics,
}

#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub after: Duration,
    pub decision: Decision,
    pub hasty: bool,
}

impl Part {
    /// Whether the peer and its network take everything at once.
    pub fn takes_all(&self) -> bool {
        let refuses = |step: &Step| matches!(step.act, Act::Reset | Act::Refuse | Act::Pause(_) | Act::GoDeaf);
        self.weather.slow_writes == 0 && self.weather.slow_flushes == 0 && !self.steps.iter().any(refuses)
    }

    /// Whether the peer says nothing but what is legal, and its network takes no time.
    pub fn is_plain(&self) -> bool {
        let is_plain = |step: &Step| matches!(step.act, Act::Say(..) | Act::Pause(_) | Act::GoDeaf);
        self.weather.slow_reads == 0 && self.steps.iter().all(is_plain)
    }
}

/// As this peer sends it.
pub fn wire(peer: Peer, frame: &Frame) -> Vec<u8> {
    if peer == Peer::Client { frame.clone().masked().bytes() } else { frame.bytes() }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{:?} ", self.after)?;
        let front = |bytes: &[u8]| bytes[..bytes.len().min(12)].to_vec();
        match &self.act {
            Act::Say(bytes, place) => write!(f, "say {} bytes {:02x?}… {place:?}", bytes.len(), front(bytes)),
            Act::Offend(bytes, fault) => write!(f, "{fault:?} {:02x?}", front(bytes)),
            Act::Close(frame) => write!(f, "close {:?}", frame.closing()),
            Act::End => write!(f, "end"),
            Act::Reset => write!(f, "reset"),
            Act::Refuse => write!(f, "refuse"),
            Act::Pause(time) => write!(f, "pause {time:?}"),
            Act::GoDeaf => write!(f, "go deaf"),
            Act::Hesitate => write!(f, "hesitate"),
        }
    }
}
