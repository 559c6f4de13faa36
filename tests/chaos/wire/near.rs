//! The relay's end of a connection: where reads, writes and flushes go wrong.
//!
//! It refuses to know what the peer does, beyond what has come from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use realtime_relay::relay::stream::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, sleep};

use super::{Delay, End, Goodbye, Near, Wire};
use crate::fault::Fault;
use crate::frames::moment;
use crate::trace::What;

/// Nothing is told later than by this.
const SLOW: Duration = Duration::from_millis(40);
/// At one moment of the clock nobody asks a connection for more.
const MOST_POLLS: u32 = 1_000_000;

const READ: usize = 0;
const WRITE: usize = 1;
const FLUSH: usize = 2;

impl AsyncRead for Near {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // As a socket: a task that has had its turn lets the others go on.
        let turn = ready!(poll_proceed(cx));
        let read = ready!(self.0.borrow_mut().read(cx, buffer));
        turn.made_progress();
        Poll::Ready(read)
    }
}

impl AsyncWrite for Near {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let turn = ready!(poll_proceed(cx));
        let wrote = ready!(self.0.borrow_mut().write(cx, bytes));
        turn.made_progress();
        Poll::Ready(wrote)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().shutdown(cx)
    }
}

impl Stream for Near {
    fn abort(&mut self) {
        self.0.borrow_mut().close(Goodbye::Aborted);
    }

    fn hang_up(&mut self) {
        self.0.borrow_mut().close(Goodbye::HungUp);
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.dropped = true;
        wire.wake_far();
    }
}

impl Wire {
    fn chance(&mut self, thousandths: u16) -> bool {
        thousandths > 0 && self.rng.u16(..1000) < thousandths
    }

    fn note(&self, what: What) {
        self.trace.note(self.peer, what);
    }

    /// Nothing can be read from a connection that is gone, or written to it. To ask over and over is a mistake.
    fn called(&mut self) -> io::Result<()> {
        let now = Instant::now();
        self.polls = if self.polls.0 == Some(now) { (self.polls.0, self.polls.1 + 1) } else { (Some(now), 1) };
        assert!(self.polls.1 < MOST_POLLS, "the relay spins");
        if self.is_gone() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(())
    }

    /// Waits now and then.
    fn delay(&mut self, cx: &mut Context<'_>, which: usize, thousandths: u16, fault: Fault) -> Poll<()> {
        if matches!(self.delays[which], Delay::No) && self.chance(thousandths) {
            self.injected.count(fault);
            let time = moment(&mut self.rng, SLOW);
            self.delays[which] = Delay::Until(Box::pin(sleep(time)));
        }
        if let Delay::Until(sleep) = &mut self.delays[which] {
            ready!(sleep.as_mut().poll(cx));
            self.delays[which] = Delay::Over;
        }
        Poll::Ready(())
    }

    /// How many bytes of so many go at once.
    fn some(&mut self, most: usize, thousandths: u16, fault: Fault) -> usize {
        if most <= 1 || !self.chance(thousandths) {
            return most;
        }
        self.injected.count(fault);
        // One at a time would take for ever where there are many.
        let longest = most / 64 + 1;
        if self.rng.bool() { longest } else { self.rng.usize(1..=most) }
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.called()?;
        if self.inbound.is_empty() && self.end == End::Open {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        ready!(self.delay(cx, READ, self.weather.slow_reads, Fault::SlowRead));
        self.delays[READ] = Delay::No;
        if self.inbound.is_empty() {
            self.end_seen.get_or_insert_with(Instant::now);
            self.note(What::ReadEnd);
            let reset = self.end == End::Reset;
            return Poll::Ready(if reset { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) });
        }
        let count = self.inbound.len().min(buffer.remaining());
        let count = self.some(count, self.weather.short_reads, Fault::ShortRead);
        for byte in self.inbound.drain(..count) {
            buffer.put_slice(&[byte]);
        }
        self.read += count;
        self.note(What::Read(count));
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.called()?;
        if self.goodbye.is_some() {
            self.misuse = Some("written to after its end");
        }
        self.check_writable()?;
        ready!(self.delay(cx, WRITE, self.weather.slow_writes, Fault::SlowWrite));
        let room = self.weather.window.saturating_sub(self.wrote.len() - self.taken + self.unflushed.len());
        if room == 0 {
            // What is buffered leaves when the buffer is full, as with TLS.
            self.leave();
            if self.wrote.len() - self.taken >= self.weather.window {
                self.injected.count(Fault::FullWindow);
                self.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        self.delays[WRITE] = Delay::No;
        let count = self.some(bytes.len().min(room.max(1)), self.weather.partial_writes, Fault::PartialWrite);
        self.unflushed.extend_from_slice(&bytes[..count]);
        if !self.weather.buffered {
            self.leave();
        }
        self.note(What::Wrote(count));
        Poll::Ready(Ok(count))
    }

    fn check_writable(&mut self) -> io::Result<()> {
        if self.refuses || self.end == End::Reset {
            self.end_seen.get_or_insert_with(Instant::now);
            self.note(What::WriteFailed);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.called()?;
        if self.unflushed.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.check_writable()?;
        ready!(self.delay(cx, FLUSH, self.weather.slow_flushes, Fault::SlowFlush));
        self.delays[FLUSH] = Delay::No;
        self.leave();
        Poll::Ready(Ok(()))
    }

    /// What is buffered is on its way.
    fn leave(&mut self) {
        if !self.unflushed.is_empty() {
            self.wrote.append(&mut self.unflushed);
            self.wake_far();
        }
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.flush(cx))?;
        self.goodbye.get_or_insert(Goodbye::Ended);
        self.note(What::Ended);
        self.wake_far();
        Poll::Ready(Ok(()))
    }

    fn close(&mut self, how: Goodbye) {
        if !self.is_gone() {
            self.goodbye = Some(how);
            self.note(if how == Goodbye::Aborted { What::Aborted } else { What::HungUp });
            self.wake_far();
        }
    }
}
