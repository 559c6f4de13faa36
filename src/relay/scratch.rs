//! The buffer that all links of a worker read into, one after the other: so each has a large one, and none owns it while it
//! waits. It refuses to know what is read.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes read at once, and written on at once. It decides the cost per byte of a busy link, and costs an idle one nothing.
///
/// Not 64 KiB: what goes to the system in one call should be one packet to it, and the largest that TCP makes, before the
/// card cuts it up, has at most 65,535 bytes with its headers: 65,483 of payload on loopback, 65,160 with an MTU of 1,500. What
/// is over is a packet of its own for a few bytes, which is an eighth of the CPU of a 4 kB frame (PERF.md).
const SCRATCH: usize = 63 << 10;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Lends the buffer. Only inside a poll, so that all links can use the same one.
#[inline]
pub(super) fn lend<T>(to: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH_BUFFER.with_borrow_mut(|scratch| to(scratch))
}

/// Reads once into `buffer`, and tells how much: 0 at the end.
///
/// Cancel safe.
#[inline]
pub(super) fn poll_fill<R: AsyncRead + Unpin>(
    cx: &mut Context<'_>,
    from: &mut R,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
