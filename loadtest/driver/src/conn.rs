//! One end of a link: a socket that never blocks, plain or under TLS.
//!
//! It refuses to know what is said over it. It is made to be cheap: what is only counted is not even copied out of the
//! kernel, nor deciphered, and under TLS one call reads as much as the socket has.

use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustix::net::{RecvFlags, recv};
use rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use crate::records::Records;

/// What is read at most at once.
pub const SCRATCH: usize = 256 << 10;

/// The name in the certificate of whoever is connected to.
pub const NAME: &str = "localhost";

/// A connection.
pub struct Conn {
    socket: TcpStream,
    tls: Option<Box<Connection>>,
    /// Under TLS, what is only counted.
    records: Records,
    /// What the socket has not taken yet.
    backlog: Vec<u8>,
}

/// Whether more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// It may.
    Open,
    /// The other side has ended it.
    Ended,
}

impl Conn {
    /// The side that connected.
    pub fn client(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> anyhow::Result<Self> {
        let name = ServerName::try_from(NAME).expect("a name");
        let tls = tls.map(|config| ClientConnection::new(config.clone(), name)).transpose()?;
        Self::new(socket, tls.map(Connection::from))
    }

    /// The side that accepted.
    pub fn server(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> anyhow::Result<Self> {
        let tls = tls.map(|config| ServerConnection::new(config.clone())).transpose()?;
        Self::new(socket, tls.map(Connection::from))
    }

    fn new(socket: TcpStream, tls: Option<Connection>) -> anyhow::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, tls: tls.map(Box::new), records: Records::default(), backlog: Vec::new() })
    }

    /// The socket, to be waited for.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether something waits for the socket to take more.
    pub fn wants_write(&self) -> bool {
        !self.backlog.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Whether its TLS session is an earlier one; `None` without TLS, or before that is settled.
    pub fn resumed(&self) -> Option<bool> {
        let kind = self.tls.as_ref()?.handshake_kind()?;
        Some(kind == HandshakeKind::Resumed)
    }

    /// Reads once, and hands on what came, in one piece or several.
    pub fn receive(&mut self, scratch: &mut [u8], mut take: impl FnMut(&[u8])) -> io::Result<Stream> {
        let read = match self.socket.read(scratch) {
            Ok(0) => return Ok(Stream::Ended),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Stream::Open),
            Err(error) => return Err(error),
        };
        let Some(tls) = &mut self.tls else {
            take(&scratch[..read]);
            return Ok(Stream::Open);
        };
        let mut ciphertext = &scratch[..read];
        while !ciphertext.is_empty() {
            tls.read_tls(&mut ciphertext)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            if drain(tls, &mut take)? == Stream::Ended {
                return Ok(Stream::Ended);
            }
        }
        // Of a handshake, or of a key update.
        self.flush()?;
        Ok(Stream::Open)
    }

    /// Takes what there is, and says only how much came. Under TLS, nothing can be read any more then.
    pub fn count(&mut self, scratch: &mut [u8]) -> io::Result<(u64, Stream)> {
        if self.tls.is_some() {
            return self.records.count(&self.socket, scratch);
        }
        match throw_away(&self.socket, scratch) {
            Ok(0) => Ok((0, Stream::Ended)),
            Ok(read) => Ok((read as u64, Stream::Open)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok((0, Stream::Open)),
            Err(error) => Err(error),
        }
    }

    /// Sends what the socket takes of these bytes, and says how many that were.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        if self.wants_write() {
            return Ok(0);
        }
        let Some(tls) = &mut self.tls else { return not_blocked(self.socket.write(bytes)) };
        // It takes no more than its buffer holds.
        let taken = tls.writer().write(bytes)?;
        self.flush()?;
        Ok(taken)
    }

    /// Sends all of these bytes, some of them maybe later: at the next [`flush`](Self::flush).
    pub fn send_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = if self.backlog.is_empty() { self.send(bytes)? } else { 0 };
        self.backlog.extend_from_slice(&bytes[sent..]);
        self.flush()
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        loop {
            self.flush_tls()?;
            let blocked = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
            if blocked || self.backlog.is_empty() {
                return Ok(());
            }
            let sent = match &mut self.tls {
                Some(tls) => tls.writer().write(&self.backlog)?,
                None => not_blocked(self.socket.write(&self.backlog))?,
            };
            if sent == 0 {
                return Ok(());
            }
            self.backlog.drain(..sent);
        }
    }

    fn flush_tls(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            if not_blocked(tls.write_tls(&mut self.socket))? == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn drain(tls: &mut Connection, take: &mut impl FnMut(&[u8])) -> io::Result<Stream> {
    let mut reader = tls.reader();
    loop {
        let read = match reader.fill_buf() {
            Ok([]) => return Ok(Stream::Ended),
            Ok(chunk) => {
                take(chunk);
                chunk.len()
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Stream::Open),
            Err(error) => return Err(error),
        };
        reader.consume(read);
    }
}

/// Takes what would fill `buffer`, and says how much that was; 0 is the end. A TCP socket that is read with this flag throws away
/// what it would copy (tcp(7)).
pub fn throw_away(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (_, read) = recv(socket, buffer, RecvFlags::TRUNC)?;
    Ok(read)
}

/// A socket that takes nothing now has taken 0 bytes.
fn not_blocked(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
