//! The two small stores of a pump: bytes that may not go on yet, and, with the writing itself, bytes that the sink has not
//! taken yet.
//!
//! It refuses to know what the bytes are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

/// The front of a frame header or of a control frame, until the rest of it has come. Empty almost always; owns no memory
/// when it is.
#[derive(Debug, Default)]
pub(super) struct Withheld(Vec<u8>);

impl Withheld {
    /// Keeps `bytes`, which [`Scan`](super::scan::Scan) could not judge yet: less than
    /// [`MAX_WITHHELD`](super::scan::MAX_WITHHELD).
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0 = bytes.to_vec();
        }
    }

    /// Copies what is kept to the front of `buffer`, and tells how much it is. It stays kept until the read behind it
    /// has come.
    #[inline]
    pub(super) fn restore(&self, buffer: &mut [u8]) -> usize {
        buffer[..self.0.len()].copy_from_slice(&self.0);
        self.0.len()
    }

    #[inline]
    pub(super) fn forget(&mut self) {
        if !self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

/// Bytes that the sink has not taken yet, and behind them those that may not go on yet. Empty almost always; owns no
/// memory when it is.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    taken: usize,
    /// So many bytes at the end may not go on yet.
    held: usize,
    /// When bytes that may go on were first put, or the sink last took some.
    since: Option<Instant>,
    /// The sink has taken bytes since it was last flushed.
    unflushed: bool,
}

impl Pending {
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Puts bytes behind all others. Behind held ones they are held as well.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.held > 0 {
            self.put_held(bytes);
        } else if !bytes.is_empty() {
            self.bytes.extend_from_slice(bytes);
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Puts bytes that may not go on before they are released.
    pub(super) fn put_held(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.held += bytes.len();
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// What is held may go on.
    pub(super) fn release(&mut self) {
        if std::mem::take(&mut self.held) > 0 {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// What is held will never go on.
    pub(super) fn drop_held(&mut self) {
        self.bytes.truncate(self.bytes.len() - std::mem::take(&mut self.held));
    }

    /// Writes `bytes` from where they lie, and keeps what the sink does not take.
    pub(super) fn write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        to: &mut W,
    ) -> io::Result<()> {
        if !self.bytes.is_empty() {
            self.put(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(taken)) => bytes = &bytes[taken..],
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.put(bytes);
                    break;
                }
            }
            self.unflushed = true;
        }
        Ok(())
    }

    /// Writes `front`, and `back` from where it lies, in one call where the sink can, and keeps what the sink does not take.
    pub(super) fn write_both<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        front: &[u8],
        back: &[u8],
        to: &mut W,
    ) -> io::Result<()> {
        let mut taken = 0;
        while self.bytes.is_empty() && taken < front.len() {
            let slices = [IoSlice::new(&front[taken..]), IoSlice::new(back)];
            match Pin::new(&mut *to).poll_write_vectored(cx, &slices)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(more) => taken += more,
                Poll::Pending => break,
            }
            self.unflushed = true;
        }
        self.put(front.get(taken..).unwrap_or_default());
        self.write(cx, &back[taken.saturating_sub(front.len())..], to)
    }

    /// Writes what is left, and flushes the sink. Not before what is held is released.
    ///
    /// Cancel safe.
    pub(super) fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write_to(cx, to))?;
        if self.unflushed {
            ready!(Pin::new(to).poll_flush(cx))?;
            self.unflushed = false;
        }
        if self.held > 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Writes until nothing is left that may go on (`Ready`) or the sink takes no more.
    ///
    /// Cancel safe: what was taken is forgotten at once.
    #[inline]
    pub(super) fn poll_write_to<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let free = self.bytes.len() - self.held;
        while self.taken < free {
            self.unflushed = true;
            match ready!(Pin::new(&mut *to).poll_write(cx, &self.bytes[self.taken..free]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => self.taken += taken,
            }
            if self.taken < free {
                self.since = Some(Instant::now());
            }
        }
        self.since = None;
        if self.held == 0 {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..self.taken);
        }
        self.taken = 0;
        Poll::Ready(Ok(()))
    }
}
