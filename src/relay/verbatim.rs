//! The verbatim pump: one direction of a link, whose bytes are forwarded as they are, from a scratch buffer that all
//! links of a worker share.
//!
//! It refuses to know which of the two directions it is beyond its [`Scan`], and why a link ends. A waiting pump owns
//! no buffer: what it cannot forward yet is less than a frame header or a control frame, and what its sink has not
//! taken yet is at most one read.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use fastwebsockets::OpCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::pending::{Pending, Withheld};
use super::pump::{Boundary, Flow, LastWord, PingPayload, Signs, Stop};
use super::scan::{Control, Scan, Step};
use super::tap::Tap;

/// Bytes read at once. It decides the cost per byte of a busy link, and costs an idle one nothing.
const SCRATCH: usize = 64 << 10;

/// Reads in one poll, after which a busy link lets the others of its worker go on: 512 KiB, some 150 µs of work.
const READS_PER_POLL: usize = 8;

thread_local! {
    /// Borrowed only inside a poll, so that all links of a worker can use the same one.
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// One direction of a link.
#[derive(Debug)]
pub struct Pump {
    scan: Scan,
    mode: Mode,
    /// Where the bytes that went on stopped, once they have.
    stopped_at: Boundary,
    withheld: Withheld,
    /// Bytes that were read behind the HTTP head, before there was a pump.
    early: Option<Box<Bytes>>,
    pending: Pending,
    flow: Rc<Flow>,
    signs: Signs,
    /// A ping has gone to the sink, and no pong has come back.
    unanswered: bool,
    /// The payload of the relay's own ping to the source, whose pong does not go on.
    own_ping: Option<PingPayload>,
    /// The close frame that the source sent.
    close: Box<[u8]>,
}

/// What becomes of the bytes that the source sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// They go on.
    Pass,
    /// They go on until the message under way has ended.
    PassMessage,
    /// They are judged and seen by the tap, but do not go on.
    Discard,
    /// They are read and thrown away: nothing that follows can be trusted, or is expected.
    Drain,
}

impl Pump {
    /// A pump of what the sender of `scan` sends, beginning with the bytes in `early`. It counts into `flow`.
    pub fn new(scan: Scan, early: Bytes, flow: Rc<Flow>) -> Self {
        Self {
            scan,
            mode: Mode::Pass,
            stopped_at: Boundary::Message,
            withheld: Withheld::default(),
            early: (!early.is_empty()).then(|| Box::new(early)),
            pending: Pending::default(),
            flow,
            signs: Signs::default(),
            unanswered: false,
            own_ping: None,
            close: Box::default(),
        }
    }

    /// Passes bytes from `from` to `to` until one of them blocks, the worker's other links deserve a turn, or nothing
    /// more goes on: then use [`poll_discard`](Self::poll_discard) and [`poll_flush`](Self::poll_flush).
    ///
    /// Cancel safe: between two polls nothing that was read is held outside the pump.
    pub fn poll_pass<R, W, T>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W, tap: &mut T) -> Poll<Stop>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        T: Tap,
    {
        for _ in 0..READS_PER_POLL {
            if self.mode == Mode::PassMessage && self.boundary() == Boundary::Message {
                self.leave(Mode::Discard);
            }
            if !self.is_passing() {
                return Poll::Ready(Stop::MessageEnded);
            }
            let blocked = match ready!(self.pending.poll_write_to(cx, to)) {
                Err(error) => Poll::Ready(Some(Stop::SinkLost(error))),
                Ok(()) => self.poll_read(cx, from, |pump, cx, bytes| pump.pass(cx, bytes, to, tap)),
            };
            match blocked {
                Poll::Ready(None) => {}
                Poll::Ready(Some(stop)) => return Poll::Ready(self.stopped(stop)),
                Poll::Pending => {
                    return match self.poll_flush(cx, to) {
                        Poll::Ready(Err(error)) => Poll::Ready(self.stopped(Stop::SinkLost(error))),
                        _ => Poll::Pending,
                    };
                }
            }
        }
        let_others_go_first(cx);
        Poll::Pending
    }

    /// Reads on after the bytes have stopped to go on, and throws away what comes, but shows it to the tap.
    ///
    /// Cancel safe.
    pub fn poll_discard<R, T>(&mut self, cx: &mut Context<'_>, from: &mut R, tap: &mut T) -> Poll<LastWord>
    where
        R: AsyncRead + Unpin,
        T: Tap,
    {
        for _ in 0..READS_PER_POLL {
            let stop = ready!(self.poll_read(cx, from, |pump, _, bytes| pump.walk(bytes, tap).stop));
            match stop {
                None | Some(Stop::MessageEnded) => {}
                Some(Stop::Close(code)) => return Poll::Ready(LastWord::Close(code)),
                Some(Stop::Violation(_)) => return Poll::Ready(LastWord::Violation),
                Some(Stop::SourceLost(_) | Stop::SinkLost(_)) => return Poll::Ready(LastWord::End),
            }
        }
        let_others_go_first(cx);
        Poll::Pending
    }

    /// Hands the sink what it has not taken yet, and flushes it.
    ///
    /// Cancel safe.
    pub fn poll_flush<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        self.pending.poll_flush(cx, to)
    }

    /// From now on bytes go on only until the message under way has ended.
    pub fn finish_message(&mut self) {
        if self.mode == Mode::Pass {
            self.mode = Mode::PassMessage;
        }
    }

    /// From now on nothing goes on.
    pub fn cut(&mut self) {
        if self.is_passing() {
            self.leave(Mode::Discard);
        }
    }

    /// Whether the source's bytes still go on.
    pub fn is_passing(&self) -> bool {
        matches!(self.mode, Mode::Pass | Mode::PassMessage)
    }

    /// Where the sink's stream stands.
    pub fn boundary(&self) -> Boundary {
        if !self.is_passing() {
            return self.stopped_at;
        }
        match (self.scan.at_message_boundary(), self.scan.at_frame_boundary()) {
            (true, _) => Boundary::Message,
            (false, true) => Boundary::Frame,
            (false, false) => Boundary::Inside,
        }
    }

    /// Puts frames of the relay's own behind what has gone on so far. Where they may stand: [`boundary`](Self::boundary).
    pub fn inject(&mut self, frames: &[u8]) {
        self.pending.put(frames);
    }

    /// Lets the close frame go on that the source sent.
    pub fn pass_close(&mut self) {
        let close = self.take_close();
        self.pending.put(&close);
    }

    /// The close frame that the source sent, to be let go on later.
    pub fn take_close(&mut self) -> Vec<u8> {
        self.flow.frames.set(self.flow.frames.get() + 1);
        self.flow.bytes.set(self.flow.bytes.get() + self.close.len() as u64);
        std::mem::take(&mut self.close).into_vec()
    }

    /// What has come from the source since this was last asked.
    #[inline]
    pub fn take_signs(&mut self) -> Signs {
        std::mem::take(&mut self.signs)
    }

    /// Whether a ping has gone to the sink, of the source's or of ours, and no pong has come back.
    pub fn awaits_pong(&self) -> bool {
        self.unanswered
    }

    /// A pong has come from the sink, or (`false`) a ping of ours goes there.
    pub fn set_answered(&mut self, answered: bool) {
        self.unanswered = !answered;
    }

    /// The pong with this payload does not go on: it answers a ping of ours.
    pub fn take_out_pong(&mut self, payload: PingPayload) {
        self.own_ping = Some(payload);
    }

    /// Since when the sink has taken nothing of what waits for it; `None` while nothing waits.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.pending.since()
    }

    fn stopped(&mut self, stop: Stop) -> Stop {
        self.leave(if matches!(stop, Stop::SinkLost(_)) { Mode::Discard } else { Mode::Drain });
        stop
    }

    fn leave(&mut self, mode: Mode) {
        self.stopped_at = self.boundary();
        self.mode = mode;
    }

    /// Reads once, and lets `take` have what came, with what was withheld in front. `None`: there may be more.
    fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        take: impl FnOnce(&mut Self, &mut Context<'_>, &[u8]) -> Option<Stop>,
    ) -> Poll<Option<Stop>> {
        if let Some(early) = self.early.take() {
            return Poll::Ready(take(self, cx, &early));
        }
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let front = self.withheld.restore(scratch);
            let mut buffer = ReadBuf::new(&mut scratch[front..]);
            if let Err(error) = ready!(Pin::new(from).poll_read(cx, &mut buffer)) {
                return Poll::Ready(Some(Stop::SourceLost(Some(error))));
            }
            let read = buffer.filled().len();
            if read == 0 {
                return Poll::Ready(Some(Stop::SourceLost(None)));
            }
            self.withheld.forget();
            self.signs.life = true;
            Poll::Ready(take(self, cx, &scratch[..front + read]))
        })
    }

    /// Sends on, from where it lies, what of `bytes` may go on.
    fn pass<W, T>(&mut self, cx: &mut Context<'_>, mut bytes: &[u8], to: &mut W, tap: &mut T) -> Option<Stop>
    where
        W: AsyncWrite + Unpin,
        T: Tap,
    {
        loop {
            let Walked { passed, taken_out, stop } = self.walk(bytes, tap);
            self.flow.bytes.set(self.flow.bytes.get() + passed as u64);
            if let Err(error) = self.pending.write(cx, &bytes[..passed], to) {
                return stop.or(Some(Stop::SinkLost(error)));
            }
            if taken_out == 0 {
                return stop;
            }
            bytes = &bytes[passed + taken_out..];
        }
    }

    /// Walks the frames in `bytes` up to their end, or to a frame that is taken out, and withholds what cannot be judged
    /// yet.
    fn walk<T: Tap>(&mut self, bytes: &[u8], tap: &mut T) -> Walked {
        let (mut at, mut frames, mut walked) = (0, 0, Walked::default());
        while self.mode != Mode::Drain {
            match self.scan.step(&bytes[at..]) {
                Ok((_, Step::Starved)) => {
                    self.withheld.keep(&bytes[at..]);
                    break;
                }
                Ok((length, Step::Data(piece))) => {
                    at += length;
                    frames += u64::from(piece.frame_begins);
                    self.signs.data = true;
                    tap.see(&piece);
                }
                Ok((length, Step::Control(control))) if control.opcode == OpCode::Close => {
                    self.close = bytes[at..at + length].into();
                    walked.stop = Some(Stop::Close(control.close_code()));
                }
                Ok((length, Step::Control(control))) => {
                    if self.is_passing() && self.is_own(&control) {
                        walked.taken_out = length;
                        break;
                    }
                    at += length;
                    frames += 1;
                }
                Err(violation) => walked.stop = Some(Stop::Violation(violation)),
            }
            if self.is_passing() {
                walked.passed = at;
                self.flow.frames.set(self.flow.frames.get() + std::mem::take(&mut frames));
                if self.mode == Mode::PassMessage && self.boundary() == Boundary::Message {
                    self.leave(Mode::Discard);
                }
            }
            if walked.stop.is_some() {
                self.leave(Mode::Drain);
            }
        }
        walked
    }

    /// Takes notice of a ping or a pong; true for the pong that answers a ping of ours.
    fn is_own(&mut self, control: &Control<'_>) -> bool {
        if control.opcode == OpCode::Ping {
            self.unanswered = true;
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

/// How far a pump has come in what was read.
#[derive(Debug, Default)]
struct Walked {
    /// So many bytes, from the first on, go on.
    passed: usize,
    /// So many behind them do not, but what follows may. None: everything was walked.
    taken_out: usize,
    /// Nothing more goes on.
    stop: Option<Stop>,
}

/// Has this task polled again, but not before the runtime has looked at the sockets of all others: a task that wakes
/// itself would come round first, many times.
fn let_others_go_first(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
