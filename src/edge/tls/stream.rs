//! A TLS connection's bytes. What is read is deciphered into the reader's buffer, what is written is enciphered into one that all
//! connections of a thread share, and a connection that waits owns none.
//!
//! It refuses to know what the bytes say.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::record::{self, Broken, HEADER, MAX_AROUND, MAX_PLAIN, MAX_RECORD, TAG};
use super::session::{Opened, Session};

/// Records read or written at once: a pump's buffer holds three of the longest, and nearly a fourth.
const RECORDS: usize = 4;
/// So long are as many, where TLS is 1.3.
const READ: usize = RECORDS * (HEADER + MAX_PLAIN + 1 + TAG);
/// Room for what is read behind what was left; then there is room for what is written, too, and for a change of keys.
const SCRATCH: usize = MAX_RECORD + READ;
const _: () = assert!(SCRATCH >= RECORDS * (MAX_PLAIN + 2 * MAX_AROUND));

thread_local! {
    /// Records that were read or are to be written; after each poll, those of another connection.
    static RECORDS_SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
    /// The content of a record that may not fit its reader's buffer.
    static CONTENT_SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_RECORD].into_boxed_slice());
}

/// A socket under TLS, whose hands are shaken.
pub struct TlsStream {
    socket: TcpStream,
    pub(super) session: Session,
    reading: Reading,
    /// Records that came, and are not opened yet.
    unopened: Left,
    /// What came in a record, and was not asked for yet.
    unread: Left,
    /// Records that the socket has not taken yet.
    unsent: Left,
    /// Whether we have said that nothing more comes from us, or why.
    closed: bool,
}

/// What may still come.
#[derive(Debug)]
enum Reading {
    /// Anything.
    Open,
    /// Nothing: the peer has said so.
    Ended,
    /// Nothing, for this reason.
    Failed(io::Error),
}

/// Bytes that wait. There is no memory where there are none.
#[derive(Default)]
struct Left {
    bytes: Vec<u8>,
    /// So many are not waiting any more.
    gone: usize,
}

impl TlsStream {
    /// A connection after its handshake, behind which these records have come already.
    pub(super) fn new(socket: TcpStream, session: Session, records: Vec<u8>) -> Self {
        Self {
            socket,
            session,
            reading: Reading::Open,
            unopened: Left { bytes: records, gone: 0 },
            unread: Left::default(),
            unsent: Left::default(),
            closed: false,
        }
    }

    /// The socket below. Whoever reads from it or writes to it breaks the connection.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Bytes of memory that it has for records.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        [&self.unopened, &self.unread, &self.unsent].map(|left| left.bytes.capacity()).iter().sum()
    }

    /// Hands out what was left of the last record.
    fn take_unread(&mut self, buffer: &mut ReadBuf<'_>) {
        let waiting = self.unread.waiting();
        let now = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting[..now]);
        self.unread.take(now);
    }

    /// Opens what `buffer` has room for of the records that are left, or else of what one read of the socket gives.
    fn poll_records(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        RECORDS_SCRATCH.with_borrow_mut(|scratch| {
            let left = self.unopened.copy_to(scratch);
            let read = match record::first(&scratch[..left]) {
                Ok(None) => ready!(self.poll_socket(cx, &mut scratch[left..]))?,
                // Not all of what was read before had room.
                Ok(Some(_)) | Err(_) => 0,
            };
            let opened = self.open(&scratch[..left + read], buffer);
            let more = if matches!(self.reading, Reading::Open) { &scratch[opened..left + read] } else { &[] };
            self.unopened.replace(more);
            Poll::Ready(Ok(()))
        })
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut records = ReadBuf::new(&mut scratch[..READ]);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut records))?;
        match records.filled().len() {
            0 => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer's end came without one of TLS")))
            }
            read => Poll::Ready(Ok(read)),
        }
    }

    /// Opens records as long as there is room for what they hold, and says how many bytes of them are done with.
    fn open(&mut self, records: &[u8], buffer: &mut ReadBuf<'_>) -> usize {
        let mut opened = 0;
        while matches!(self.reading, Reading::Open) && buffer.remaining() > 0 && self.unread.is_empty() {
            match self.open_first(&records[opened..], buffer) {
                Ok(0) => break,
                Ok(length) => opened += length,
                Err(broken) => {
                    self.reading = Reading::Failed(io::Error::new(io::ErrorKind::InvalidData, broken));
                    if !std::mem::replace(&mut self.closed, true) {
                        self.session.complain(broken, &mut self.unsent.bytes);
                    }
                }
            }
        }
        opened
    }

    /// Opens the first of these records, and says how long it is; 0: it is not there as a whole.
    fn open_first(&mut self, records: &[u8], buffer: &mut ReadBuf<'_>) -> Result<usize, Broken> {
        let Some(record) = record::first(records)? else { return Ok(0) };
        let opened = if buffer.remaining() >= record.len() {
            let opened = self.session.open(record, buffer.initialize_unfilled_to(record.len()))?;
            if let Opened::Data(length) = opened {
                buffer.advance(length);
            }
            opened
        } else {
            CONTENT_SCRATCH.with_borrow_mut(|content| {
                let opened = self.session.open(record, content)?;
                if let Opened::Data(length) = opened {
                    let (now, later) = content[..length].split_at(length.min(buffer.remaining()));
                    buffer.put_slice(now);
                    self.unread.replace(later);
                }
                Ok(opened)
            })?
        };
        if opened == Opened::End {
            self.reading = Reading::Ended;
        }
        Ok(record.len())
    }

    /// Hands the socket what it has not taken yet.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, self.unsent.waiting()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.take(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Seals this, up to [`RECORDS`] records of it, and hands it to the socket. Says how much of it was sealed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        RECORDS_SCRATCH.with_borrow_mut(|scratch| {
            let (mut taken, mut sealed) = (0, 0);
            for content in bytes.chunks(MAX_PLAIN).take(RECORDS) {
                match self.session.seal(content, &mut scratch[sealed..]) {
                    Ok(length) => (taken, sealed) = (taken + content.len(), sealed + length),
                    // What is sealed has its number, and must go out.
                    Err(_) if sealed > 0 => break,
                    Err(worn) => return Err(io::Error::other(worn)),
                }
            }
            let sent = match self.socket.try_write(&scratch[..sealed]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                sent => sent?,
            };
            self.unsent.replace(&scratch[sent..sealed]);
            Ok(taken)
        })
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        this.take_unread(buffer);
        let left = buffer.filled().len();
        // What is left of one record is seldom much; with more behind it, it costs whoever sends it on no call of its own.
        while matches!(this.reading, Reading::Open) && buffer.remaining() > 0 && buffer.filled().len() == left {
            match this.poll_records(cx, buffer) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => this.reading = Reading::Failed(error),
                Poll::Pending if left > before => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        if matches!(this.reading, Reading::Failed(_)) {
            // The peer is told why if it can be told; whoever reads is told anyway.
            let _ = this.poll_send(cx);
        }
        match &mut this.reading {
            Reading::Failed(error) if buffer.filled().len() == before && buffer.remaining() > 0 => {
                let kind = error.kind();
                Poll::Ready(Err(std::mem::replace(error, kind.into())))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// What is written is sealed at once, and can be waiting then: flush it.
impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(this.poll_send(cx))?;
        ready!(this.socket.poll_write_ready(cx))?;
        Poll::Ready(this.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.closed, true) {
            this.session.close(&mut this.unsent.bytes);
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl Left {
    fn waiting(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// So many of them wait no more.
    fn take(&mut self, bytes: usize) {
        self.gone += bytes;
        if self.gone == self.bytes.len() {
            *self = Self::default();
        }
    }

    /// These wait from now on, and no others.
    fn replace(&mut self, bytes: &[u8]) {
        *self = Self { bytes: bytes.to_vec(), gone: 0 };
    }

    /// Copies them to the front, and says how many there are.
    fn copy_to(&self, buffer: &mut [u8]) -> usize {
        let waiting = self.waiting();
        buffer[..waiting.len()].copy_from_slice(waiting);
        waiting.len()
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("socket", &self.socket)
            .field("reading", &self.reading)
            .finish_non_exhaustive()
    }
}
