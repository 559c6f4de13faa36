//! What the data plane asks of a leg's byte stream. It refuses to know what carries the bytes.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

/// A leg's byte stream: reads, writes, and can be given up before its owner is.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Cuts the connection: what the peer has not taken is thrown away, and it sees a reset instead of an end.
    fn abort(&mut self);

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
