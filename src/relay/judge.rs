//! Judges what one direction of a link carries: which of the bytes that were read go on, now or later, which do not, and
//! when it is over.
//!
//! It refuses to read and to write; it holds no bytes but a close frame, which goes on when the link has decided so.

use fastwebsockets::OpCode;
use tokio::time::Instant;

use super::Peer;
use super::pump::{Boundary, PingPayload, Signs, Stop};
use super::scan::{Control, Scan, Step};
use super::tap::{Tap, Verdict};

/// The judge of one direction.
#[derive(Debug)]
pub(super) struct Judge {
    scan: Scan,
    mode: Mode,
    /// Where the bytes that went on stopped, once they have.
    stopped_at: Boundary,
    /// What follows may not go on before the tap says so.
    holds: bool,
    /// Since when the tap is waited for.
    waits: Option<Instant>,
    /// What has come from the source since somebody last asked.
    pub(super) signs: Signs,
    /// A ping has gone to the sink, and no pong has come back.
    pub(super) awaits_pong: bool,
    /// The payload of the relay's own ping to the source, whose pong does not go on.
    pub(super) own_ping: Option<PingPayload>,
    /// The close frame that the source sent.
    close: Box<[u8]>,
}

/// What becomes of the bytes that the source sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They go on.
    Pass,
    /// They go on until the message under way has ended.
    PassMessage,
    /// They are judged and seen by the tap, but do not go on.
    Discard,
    /// They are read and thrown away: nothing that follows can be trusted, or is expected.
    Drain,
}

/// What was judged of the bytes of a read.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// So many bytes, from the first on, go on, now or later.
    pub(super) passed: usize,
    /// So many frames begin in them, or are whole.
    pub(super) frames: u64,
    /// So many of them may go on now.
    pub(super) free: usize,
    /// And before them what was held so far.
    pub(super) released: bool,
    /// So many bytes are done with; what lies between those that go on and them does not go on.
    pub(super) done: usize,
    /// Nothing more goes on.
    pub(super) stop: Option<Stop>,
    /// The last so many bytes cannot be judged before more has come.
    pub(super) starved: usize,
    /// What is held of a message will never go on.
    pub(super) abandoned: bool,
}

impl Judge {
    /// The judge of what the sender of `scan` sends, from its first frame on.
    pub(super) fn new(scan: Scan) -> Self {
        Self {
            scan,
            mode: Mode::Pass,
            stopped_at: Boundary::Message,
            holds: false,
            waits: None,
            signs: Signs::default(),
            awaits_pong: false,
            own_ping: None,
            close: Box::default(),
        }
    }

    /// Whom the source's bytes go to.
    pub(super) fn sink(&self) -> Peer {
        match self.scan.sender() {
            Peer::Client => Peer::Upstream,
            Peer::Upstream => Peer::Client,
        }
    }

    /// What becomes of what is read.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the source's bytes still go on.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.mode, Mode::Pass | Mode::PassMessage)
    }

    /// From now on bytes go on only until the message under way has ended.
    pub(super) fn finish_message(&mut self) {
        if self.mode == Mode::Pass {
            self.mode = Mode::PassMessage;
        }
    }

    /// From now on nothing goes on. True: nor will what is held of the message under way.
    #[must_use]
    pub(super) fn leave(&mut self, mode: Mode) -> bool {
        self.stopped_at = self.boundary();
        let abandons = self.holds && self.waits.is_none() && self.is_passing();
        if abandons {
            // Of the message under way nothing has gone on.
            self.holds = false;
            self.stopped_at = Boundary::Message;
        }
        self.mode = mode;
        abandons
    }

    /// Where the source stands in what it sends, or stood when its bytes stopped to go on.
    pub(super) fn boundary(&self) -> Boundary {
        if !self.is_passing() {
            return self.stopped_at;
        }
        match (self.scan.at_message_boundary(), self.scan.at_frame_boundary()) {
            (true, _) => Boundary::Message,
            (false, true) => Boundary::Frame,
            (false, false) => Boundary::Inside,
        }
    }

    /// Whether what follows may not go on yet.
    pub(super) fn holds(&self) -> bool {
        self.holds
    }

    /// Since when the tap is waited for; `None` while it is not.
    #[inline]
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.waits
    }

    /// The tap is ready: all that is held may go on.
    pub(super) fn tap_is_ready(&mut self) {
        self.waits = None;
        self.holds = false;
    }

    /// What is held will never go on.
    pub(super) fn abandon(&mut self) {
        self.holds = false;
    }

    /// The close frame that goes on in place of the one that the source sent.
    pub(super) fn replace_close(&mut self, close: Vec<u8>) {
        self.close = close.into();
    }

    /// The close frame that the source sent.
    pub(super) fn take_close(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.close).into_vec()
    }

    /// Walks the frames in `bytes` up to their end, to a frame that is taken out, or to one for which the tap wants to
    /// wait, and withholds what cannot be judged yet.
    pub(super) fn walk<T: Tap>(&mut self, bytes: &[u8], tap: &mut T) -> Walked {
        let (mut at, mut frames, mut walked) = (0, 0, Walked::default());
        while self.mode != Mode::Drain {
            let (length, messages) = self.pass_over(&bytes[at..], tap);
            at += length;
            frames += messages;
            match self.scan.step(&bytes[at..]) {
                Ok((_, Step::Starved)) => {
                    walked.starved = bytes.len() - at;
                    self.note(at, &mut frames, &mut walked);
                    break;
                }
                Ok((length, Step::Data(piece))) => {
                    let before = at;
                    at += length;
                    frames += u64::from(piece.frame_begins);
                    self.signs.data = true;
                    let verdict = tap.see(&piece);
                    if verdict == Verdict::Pass && self.mode == Mode::Pass && !self.holds {
                        continue; // it is noted with what comes behind it
                    }
                    if !self.holds && self.is_passing() {
                        walked.free = before;
                    }
                    match verdict {
                        Verdict::Pass if self.holds => {
                            self.holds = false;
                            walked.released = true;
                        }
                        Verdict::Pass => {}
                        verdict => self.obey(verdict),
                    }
                }
                Ok((length, Step::Control(control))) if control.opcode == OpCode::Close => {
                    self.close = bytes[at..at + length].into();
                    walked.stop = Some(Stop::Close(control.close_code()));
                }
                Ok((length, Step::Control(control))) => {
                    if self.is_passing() && self.is_own(&control) {
                        walked.done = at + length;
                        self.note(at, &mut frames, &mut walked);
                        return walked;
                    }
                    at += length;
                    frames += 1;
                }
                Err(violation) => walked.stop = Some(Stop::Violation(violation)),
            }
            self.note(at, &mut frames, &mut walked);
            if self.mode == Mode::PassMessage && self.boundary() == Boundary::Message {
                walked.abandoned |= self.leave(Mode::Discard);
            }
            if walked.stop.is_some() {
                walked.abandoned |= self.leave(Mode::Drain);
            } else if self.waits.is_some() {
                walked.done = at;
                return walked;
            }
        }
        walked.done = bytes.len();
        walked
    }

    /// Walks over messages that are here whole and go on without a closer look, as nearly all do: how many bytes and how
    /// many of them.
    #[inline]
    fn pass_over<T: Tap>(&mut self, bytes: &[u8], tap: &T) -> (usize, u64) {
        let (mut at, mut messages) = (0, 0);
        if self.mode == Mode::Pass && !self.holds {
            while let Some((length, text)) = self.scan.whole_text(&bytes[at..])
                && tap.passes_over(text)
            {
                at += length;
                messages += 1;
            }
            self.signs.data |= messages > 0;
        }
        (at, messages)
    }

    /// Notes that what was walked, up to here, goes on, if it does.
    #[inline]
    fn note(&self, at: usize, frames: &mut u64, walked: &mut Walked) {
        if self.is_passing() {
            walked.passed = at;
            walked.free = if self.holds { walked.free } else { at };
            walked.frames += std::mem::take(frames);
        }
    }

    /// Does what the tap wants, other than to pass.
    fn obey(&mut self, verdict: Verdict) {
        if matches!(verdict, Verdict::Hold | Verdict::HoldAndWait) && self.is_passing() {
            self.holds = true;
        }
        if matches!(verdict, Verdict::PassAndWait | Verdict::HoldAndWait) {
            self.waits = Some(Instant::now());
        }
    }

    /// Takes notice of a ping or a pong; true for the pong that answers a ping of ours.
    fn is_own(&mut self, control: &Control<'_>) -> bool {
        if control.opcode == OpCode::Ping {
            self.awaits_pong = true;
            return false;
        }
        self.signs.pong = true;
        let own = self.own_ping.is_some_and(|payload| control.unmasked().eq(payload));
        if own {
            self.own_ping = None;
        }
        own
    }
}
