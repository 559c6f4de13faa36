//! The two ends of the stream that fastwebsockets is given. Neither ever waits: all that is read is here, and all that is written
//! is taken, so that whatever it does is done at once.
//!
//! They refuse to know frames.

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Pending;

/// A payload of up to so many bytes is copied, to be written together with its neighbours; a larger one is written from
/// where it lies. A call to write costs about as much as to copy this.
const GATHERED: usize = 16 << 10;

/// Where frames are read: what was kept, which is given up as soon as it has been read, and what has come behind it.
pub(super) struct Input<'b> {
    part: Vec<u8>,
    at: usize,
    rest: &'b [u8],
}

impl<'b> Input<'b> {
    pub(super) fn new(part: Vec<u8>, rest: &'b [u8]) -> Self {
        Self { part, at: 0, rest }
    }
}

impl AsyncRead for Input<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { part, at, rest } = self.get_mut();
        if part.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
            buffer.put_slice(now);
            *rest = later;
        } else {
            let end = part.len().min(*at + buffer.remaining());
            buffer.put_slice(&part[*at..end]);
            *at = end;
            if end == part.len() {
                *part = Vec::new();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Where frames are written: it takes all of them at once, and counts them.
pub(super) struct Out<'o, W> {
    /// `None`: they are only gathered.
    direct: Option<(&'o mut W, &'o mut Pending)>,
    /// What goes on together.
    pub(super) gathered: Vec<u8>,
    pub(super) bytes: u64,
}

impl<'o, W> Out<'o, W> {
    pub(super) fn direct(to: &'o mut W, pending: &'o mut Pending) -> Self {
        Self { direct: Some((to, pending)), ..Self::default() }
    }
}

impl<W> Default for Out<'_, W> {
    fn default() -> Self {
        Self { direct: None, gathered: Vec::new(), bytes: 0 }
    }
}

impl<W: AsyncWrite + Unpin> Out<'_, W> {
    /// Sends what was gathered.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match &mut self.direct {
            Some((to, pending)) => pending.write(cx, &self.gathered, to),
            None => Ok(()),
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Out<'_, W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { direct, gathered, bytes } = self.get_mut();
        let mut taken = 0;
        for slice in slices {
            match direct {
                Some((to, pending)) if slice.len() > GATHERED => {
                    pending.write_both(cx, gathered, slice, to)?;
                    gathered.clear();
                }
                _ => gathered.extend_from_slice(slice),
            }
            taken += slice.len();
        }
        *bytes += taken as u64;
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What comes of a future that waits for nothing.
pub(super) fn at_once<F: Future>(cx: &mut Context<'_>, future: F) -> F::Output {
    match pin!(future).poll(cx) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("all that is read is here, and all that is written is taken"),
    }
}
