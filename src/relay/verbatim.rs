//! The pump: one direction of a link, whose bytes are forwarded verbatim, from a scratch buffer that all links of a worker
//! share, or, where that is asked for, frame by frame: its last step is that of a `forwarder`.
//!
//! It refuses to know which of the two directions it is beyond its [`Scan`], and why a link ends. A waiting pump owns
//! no buffer: what it cannot forward yet is less than a frame header or a control frame, and what its sink has not
//! taken yet is at most one read; a framed one also has what has come of a frame.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::forwarder::{Forwarder, Passed};
use super::judge::{Judge, Mode, Walked};
use super::pending::{Pending, Withheld};
use super::pump::{Flow, LastWord, Stop};
use super::scan::Scan;
use super::scratch;
use super::tap::Tap;

mod dealings;

/// Reads in one poll, after which a busy link lets the others of its worker go on: 1 MiB, some 160 µs of work, or less where TLS
/// gives a record at a time.
const READS_PER_POLL: usize = 16;

/// The tap holds no more of a message than this, and of what stands between its frames. More is held of no honest peer, and
/// goes on.
const MAX_HELD: usize = 8 << 20;

/// One direction of a link.
#[derive(Debug)]
pub struct Pump {
    judge: Judge,
    withheld: Withheld,
    /// Bytes that were read and not looked at yet: behind the HTTP head, before there was a pump, or behind a message that
    /// the tap waits for.
    early: Option<Box<Bytes>>,
    pending: Pending,
    flow: Rc<Flow>,
    forwarder: Forwarder,
}

impl Pump {
    /// A pump of what the sender of `scan` sends, beginning with the bytes in `early`. It counts into `flow`.
    pub fn new(scan: Scan, early: Bytes, flow: Rc<Flow>) -> Self {
        Self {
            judge: Judge::new(scan),
            withheld: Withheld::default(),
            early: (!early.is_empty()).then(|| Box::new(early)),
            pending: Pending::default(),
            flow,
            forwarder: Forwarder::Verbatim,
        }
    }

    /// Forwards only whole frames, whose text is validated, and masks them anew.
    #[must_use]
    pub fn framed(mut self) -> Self {
        self.forwarder = Forwarder::framed(self.judge.sink());
        self
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
            if self.judge.mode() == Mode::PassMessage && !self.is_inside_message() {
                self.leave(Mode::Discard);
            }
            if !self.is_passing() {
                return Poll::Ready(Stop::MessageEnded);
            }
            if self.poll_tap(cx, tap).is_pending() {
                return self.poll_blocked(cx, to);
            }
            let blocked = match ready!(self.pending.poll_write_to(cx, to)) {
                Err(error) => Poll::Ready(Some(Stop::SinkLost(error))),
                Ok(()) => self.poll_read(cx, from, |pump, cx, bytes| pump.pass(cx, bytes, to, tap)),
            };
            match blocked {
                Poll::Ready(None) => {}
                Poll::Ready(Some(stop)) => return Poll::Ready(self.stopped(stop)),
                Poll::Pending => return self.poll_blocked(cx, to),
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
            ready!(self.poll_tap(cx, tap));
            let stop = ready!(self.poll_read(cx, from, |pump, _, bytes| pump.discard(bytes, tap)));
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

    /// Waits for the tap where it asked for that; then what was held may go on.
    ///
    /// Cancel safe.
    #[inline]
    pub fn poll_tap<T: Tap>(&mut self, cx: &mut Context<'_>, tap: &mut T) -> Poll<()> {
        if self.judge.waits_since().is_some() {
            ready!(tap.poll_ready(cx));
            self.judge.tap_is_ready();
            self.pending.release();
        }
        Poll::Ready(())
    }

    /// What the tap holds will never go on.
    pub fn drop_held(&mut self) {
        if self.judge.holds() {
            self.judge.abandon();
            self.pending.drop_held();
            self.forwarder.drop_part(true);
        }
    }

    /// Hands the sink what it has not taken yet, and flushes it. What the tap holds has to be released first.
    ///
    /// Cancel safe.
    pub fn poll_flush<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>> {
        self.pending.poll_flush(cx, to)
    }

    /// Nothing more can be passed now: what was is flushed.
    fn poll_blocked<W: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<Stop> {
        match self.poll_flush(cx, to) {
            Poll::Ready(Err(error)) => Poll::Ready(self.stopped(Stop::SinkLost(error))),
            _ => Poll::Pending,
        }
    }

    fn stopped(&mut self, stop: Stop) -> Stop {
        self.leave(if matches!(stop, Stop::SinkLost(_)) { Mode::Discard } else { Mode::Drain });
        stop
    }

    fn leave(&mut self, mode: Mode) {
        let abandons = self.judge.leave(mode);
        if abandons {
            self.pending.drop_held();
        }
        self.forwarder.drop_part(abandons);
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
        scratch::lend(|scratch| {
            let front = self.withheld.restore(scratch);
            let read = match ready!(scratch::poll_fill(cx, from, &mut scratch[front..])) {
                Ok(0) => return Poll::Ready(Some(Stop::SourceLost(None))),
                Ok(read) => read,
                Err(error) => return Poll::Ready(Some(Stop::SourceLost(Some(error)))),
            };
            self.withheld.forget();
            self.judge.signs.life = true;
            Poll::Ready(take(self, cx, &scratch[..front + read]))
        })
    }

    /// Sends on what of `bytes` may go on.
    fn pass<W, T>(&mut self, cx: &mut Context<'_>, mut bytes: &[u8], to: &mut W, tap: &mut T) -> Option<Stop>
    where
        W: AsyncWrite + Unpin,
        T: Tap,
    {
        loop {
            let walked = self.walk(bytes, tap);
            let sent = self.send(cx, bytes, &walked, to);
            let Walked { done, stop, .. } = walked;
            match sent {
                Ok(()) => {}
                Err(lost @ Stop::SinkLost(_)) => {
                    // It is read on without a sink, from where it was judged.
                    self.keep(&bytes[done..]);
                    return stop.or(Some(lost));
                }
                Err(earlier) => return Some(earlier),
            }
            if self.judge.holds() && self.pending.held() > MAX_HELD && self.judge.waits_since().is_none() {
                self.judge.abandon();
                self.pending.release();
            }
            bytes = &bytes[done..];
            if stop.is_some() || bytes.is_empty() {
                return stop;
            }
            if self.judge.waits_since().is_some() {
                self.keep(bytes);
                return None;
            }
        }
    }

    /// Has what was passed of `bytes` sent on, or held.
    #[inline]
    fn send<W>(&mut self, cx: &mut Context<'_>, bytes: &[u8], walked: &Walked, to: &mut W) -> Result<(), Stop>
    where
        W: AsyncWrite + Unpin,
    {
        let passed = Passed {
            bytes: &bytes[..walked.passed],
            frames: walked.frames,
            free: walked.free,
            holds: self.judge.holds(),
            abandoned: walked.abandoned,
        };
        let sent = self.forwarder.pass(cx, &passed, to, &mut self.pending, &self.flow);
        if matches!(sent, Err(Stop::Violation(_))) {
            self.drop_held();
        } else if matches!(walked.stop, Some(Stop::Close(_))) {
            let close = self.forwarder.close(self.judge.take_close());
            self.judge.replace_close(close);
        }
        sent
    }

    /// Shows `bytes` to the tap alone.
    fn discard<T: Tap>(&mut self, bytes: &[u8], tap: &mut T) -> Option<Stop> {
        let Walked { done, stop, .. } = self.walk(bytes, tap);
        self.keep(&bytes[done..]);
        stop
    }

    /// Keeps bytes that are looked at when the tap is ready.
    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.early = Some(Box::new(Bytes::copy_from_slice(bytes)));
        }
    }

    /// Has `bytes` judged, and keeps of them what cannot be judged yet.
    fn walk<T: Tap>(&mut self, bytes: &[u8], tap: &mut T) -> Walked {
        let walked = self.judge.walk(bytes, tap);
        // In this order: what is released stood before what is abandoned.
        if walked.released {
            self.pending.release();
        }
        if walked.abandoned {
            self.pending.drop_held();
        }
        self.withheld.keep(&bytes[bytes.len() - walked.starved..]);
        walked
    }
}

/// Has this task polled again, but not before the runtime has looked at the sockets of all others: a task that wakes
/// itself would come round first, many times.
fn let_others_go_first(cx: &mut Context<'_>) {
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
