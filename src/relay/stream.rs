//! What the data plane asks of a leg's byte stream. It refuses to know what carries the bytes.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use super::link::Limits;

/// A leg's byte stream: reads, writes, and can be given up before its owner is.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Cuts the connection: what the peer has not taken is thrown away, and it sees a reset instead of an end.
    fn abort(&mut self);

    /// Has the system look, too, whether the peer is still there, of which nothing has come for a ping interval: what it
    /// finds, the next read or write tells. Where there is no system below, there is nothing to look for.
    fn probe(&self, limits: &Limits) {
        let _ = limits;
    }

    /// Closes the connection. From then on nothing can be read or written.
    fn hang_up(&mut self);
}

/// For tests and benches: a pipe in memory.
impl Stream for DuplexStream {
    fn abort(&mut self) {
        self.hang_up();
    }

    fn hang_up(&mut self) {
        *self = tokio::io::duplex(1).0;
    }
}
