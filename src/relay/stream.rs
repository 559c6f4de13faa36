//! What the data plane asks of a leg's byte stream. It refuses to know what carries the bytes.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

/// A leg's byte stream: reads, writes, and can be cut.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    /// Makes the coming drop cut the connection at once: what the peer has not taken is thrown away, and it sees a
    /// reset instead of an end.
    fn abort(&mut self);
}

impl Stream for TcpStream {
    fn abort(&mut self) {
        // Fails only on a socket that is gone already.
        let _ = self.set_zero_linger();
    }
}

/// For tests and benches: a pipe in memory.
impl Stream for DuplexStream {
    fn abort(&mut self) {}
}
