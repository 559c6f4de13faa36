//! What goes wrong in the simulation, by kind, and how often it did.
//!
//! It refuses to know how a fault is injected; whoever injects one counts it here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Something that goes wrong, or is at least unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A read gives less than there is, mostly one byte.
    ShortRead,
    /// What has come is told later.
    SlowRead,
    /// A write takes less than it is given, mostly one byte.
    PartialWrite,
    /// A write takes nothing for a while.
    SlowWrite,
    /// Nothing is taken, as what was taken before still waits.
    FullWindow,
    /// A flush takes its time.
    SlowFlush,
    /// Bytes that are written do not leave before they are flushed, as with TLS.
    Buffered,
    /// Bytes came behind the HTTP head.
    Early,
    /// The stream ends between two messages, and no close frame came.
    EndBetweenMessages,
    /// The stream ends between two fragments of a message.
    EndBetweenFragments,
    /// The stream ends inside the header of a frame.
    EndInHeader,
    /// The stream ends inside a payload.
    EndInPayload,
    /// The stream ends as soon as the peer has sent its close frame.
    EndAfterClose,
    /// The connection is reset, and what was on its way is lost.
    Reset,
    /// Writes fail, while what the peer said can still be read.
    Refusal,
    /// The peer reads nothing for a while.
    Pause,
    /// The peer reads nothing any more.
    Deaf,
    /// The peer answers no ping.
    Mute,
    /// A close is answered late.
    LateAnswer,
    /// A close is never answered.
    NoAnswer,
    /// A close is answered twice.
    TwoAnswers,
    /// The peer sends on after its own close frame.
    SpeechAfterClose,
    /// A frame that RFC 6455 forbids.
    IllegalFrame,
    /// A message over the limit.
    TooBig,
    /// A message stops in the middle, and nothing follows.
    Hesitation,
    /// A response goes on though it was cancelled.
    DeafToCancel,
    /// A response ends long after it was cancelled.
    LateToCancel,
    /// A record takes its time.
    SlowRecord,
    /// A record is never taken.
    NoRecord,
    /// The tap panics.
    Panic,
    /// The link is ordered to end.
    Order,
    /// The link is ordered to end at once.
    Haste,
}

impl Fault {
    /// Every kind there is.
    pub const ALL: [Self; 32] = [
        Self::ShortRead,
        Self::SlowRead,
        Self::PartialWrite,
        Self::SlowWrite,
        Self::FullWindow,
        Self::SlowFlush,
        Self::Buffered,
        Self::Early,
        Self::EndBetweenMessages,
        Self::EndBetweenFragments,
        Self::EndInHeader,
        Self::EndInPayload,
        Self::EndAfterClose,
        Self::Reset,
        Self::Refusal,
        Self::Pause,
        Self::Deaf,
        Self::Mute,
        Self::LateAnswer,
        Self::NoAnswer,
        Self::TwoAnswers,
        Self::SpeechAfterClose,
        Self::IllegalFrame,
        Self::TooBig,
        Self::Hesitation,
        Self::DeafToCancel,
        Self::LateToCancel,
        Self::SlowRecord,
        Self::NoRecord,
        Self::Panic,
        Self::Order,
        Self::Haste,
    ];
}

/// How often each fault was injected. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Injected(Rc<RefCell<BTreeMap<Fault, u64>>>);

impl Injected {
    pub fn count(&self, fault: Fault) {
        *self.0.borrow_mut().entry(fault).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        self.0.borrow().clone()
    }
}
