//! What the data plane asks of a leg's byte stream. It refuses to know what carries the bytes.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use super::link::Limits;

/// A leg's byte stream: reads, writes, and can be given up before its owner is.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Cuts the connection: what the peer has not taken is thrown away, and it sees a reset instead of an end.
    fn abort(&mut self);

    /// Has the system look from now on, too, whether the peer is still there: what it finds, the next read or write tells. Where
    /// there is no system below, there is nothing to look for.
    fn probe(&self, limits: &Limits) {
        let _ = limits;
    }

    /// The stream's end stands right behind what is written from now on, so that both may leave as one packet.
    fn end_follows(&mut self) {}

    /// Whether the stream ends where the connection is closed: with TLS, each side says so before.
    fn ends_by_closing(&self) -> bool {
        false
    }

    /// Whether the peer has sent what is still to be read: a connection that is closed over it is reset.
    fn has_unread(&self) -> bool {
        true
    }

    /// Whether it is known, without another read, that the peer's end has come and nothing is left to be read before it.
    fn has_ended(&self) -> bool {
        false
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
