//! Counts what TLS 1.3 records hold without deciphering it: their headers are read, and the kernel throws the rest away (RFC 8446
//! section 5.2). Nothing that is counted so can be read any more.

use std::io::{self, Error, ErrorKind, Read};
use std::net::TcpStream;

use crate::conn::{Stream, throw_away};

const HEADER: usize = 5;
/// Behind the content of a record, if nobody pads it: its type and its tag.
const BEHIND: usize = 1 + 16;
/// Records in one turn, as much as is read at once without TLS.
const TURN: usize = 16;

/// How far the records of a connection are counted.
#[derive(Debug, Default)]
pub struct Records {
    header: [u8; HEADER],
    /// So much of the header has come.
    come: usize,
    /// So much of the record has not.
    left: usize,
}

impl Records {
    /// Counts what has come, up to [`TURN`] records: the bytes of their contents.
    pub fn count(&mut self, socket: &TcpStream, scratch: &mut [u8]) -> io::Result<(u64, Stream)> {
        let mut counted = 0;
        for _ in 0..TURN {
            match self.record(socket, scratch) {
                Ok(Some(content)) => counted += content,
                Ok(None) => return Ok((counted, Stream::Ended)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok((counted, Stream::Open))
    }

    /// The content of the next record; `None` at the end.
    fn record(&mut self, mut socket: &TcpStream, scratch: &mut [u8]) -> io::Result<Option<u64>> {
        while self.come < HEADER {
            let read = socket.read(&mut self.header[self.come..])?;
            if read == 0 {
                return Ok(None);
            }
            self.come += read;
            if self.come == HEADER {
                self.left = length(self.header)?;
            }
        }
        while self.left > 0 {
            let read = throw_away(socket, &mut scratch[..self.left])?;
            if read == 0 {
                return Ok(None);
            }
            self.left -= read;
        }
        self.come = 0;
        Ok(Some((length(self.header)? - BEHIND) as u64))
    }
}

/// What is behind the header of a record of data.
fn length(header: [u8; HEADER]) -> io::Result<usize> {
    let [23, 3, 3, high, low] = header else {
        return Err(Error::new(ErrorKind::InvalidData, format!("no TLS record begins with {header:?}")));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length < BEHIND { Err(Error::new(ErrorKind::InvalidData, "a TLS record without a type")) } else { Ok(length) }
}
