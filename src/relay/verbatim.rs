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
use super::pump::{Boundary, Flow, LastWord, Stop};
use super::scan::{Scan, Step};
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
    early: Bytes,
    pending: Pending,
    flow: Rc<Flow>,
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
            early,
            pending: Pending::default(),
            flow,
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
            let stop = ready!(self.poll_read(cx, from, |pump, _, bytes| pump.walk(bytes, tap).1));
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
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
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
            Poll::Ready(take(self, cx, &scratch[..front + read]))
        })
    }

    /// Sends on, from where it lies, what of `bytes` may go on.
    fn pass<W, T>(&mut self, cx: &mut Context<'_>, bytes: &[u8], to: &mut W, tap: &mut T) -> Option<Stop>
    where
        W: AsyncWrite + Unpin,
        T: Tap,
    {
        let (passed, stop) = self.walk(bytes, tap);
        self.flow.bytes.set(self.flow.bytes.get() + passed as u64);
        match self.pending.write(cx, &bytes[..passed], to) {
            Ok(()) => stop,
            Err(error) => stop.or(Some(Stop::SinkLost(error))),
        }
    }

    /// Walks the frames in `bytes`; tells how many of the bytes go on, and withholds what cannot be judged yet.
    fn walk<T: Tap>(&mut self, bytes: &[u8], tap: &mut T) -> (usize, Option<Stop>) {
        let (mut at, mut passed, mut frames) = (0, 0, 0);
        let mut stop = None;
        while stop.is_none() && self.mode != Mode::Drain {
            match self.scan.step(&bytes[at..]) {
                Ok((_, Step::Starved)) => {
                    self.withheld.keep(&bytes[at..]);
                    break;
                }
                Ok((length, Step::Data(piece))) => {
                    at += length;
                    frames += u64::from(piece.frame_begins);
                    tap.see(&piece);
                }
                Ok((length, Step::Control(control))) => {
                    at += length;
                    frames += 1;
                    if control.opcode == OpCode::Close {
                        if self.mode == Mode::PassMessage {
                            // The message will not finish, and our own close frame says what this one does not know.
                            self.leave(Mode::Discard);
                        }
                        stop = Some(Stop::Close(control.close_code()));
                    }
                }
                Err(violation) => stop = Some(Stop::Violation(violation)),
            }
            if self.is_passing() {
                passed = at;
                self.flow.frames.set(self.flow.frames.get() + std::mem::take(&mut frames));
                if self.mode == Mode::PassMessage && self.boundary() == Boundary::Message {
                    self.leave(Mode::Discard);
                }
            }
        }
        if stop.is_some() {
            self.leave(Mode::Drain);
        }
        (passed, stop)
    }
}

/// Has this task polled again, but not before the runtime has looked at the sockets of all others: a task that wakes
/// itself would come round first, many times.
fn let_others_go_first(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
