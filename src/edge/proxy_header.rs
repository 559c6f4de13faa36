//! The header of the PROXY protocol, versions 1 and 2, which a load balancer sends before everything else, TLS included:
//! for whom it speaks.
//!
//! This file alone knows the crate that parses it, and what that crate leaves to its caller. It refuses to know who may
//! send a header, and what follows it: not a byte of that is read.

use std::io;
use std::net::SocketAddr;

use memchr::memchr;
use proxy_header::{ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Every header has so many bytes: this is the shortest line of version 1, `PROXY UNKNOWN`.
const SHORTEST: usize = 15;

/// What a header of version 1 begins with. Its end is that of the line.
const V1: &[u8] = b"PROXY ";
/// The longest line that two addresses need, with its end (the protocol's section 2.1).
const MAX_LINE: usize = 107;

/// What a header of version 2 begins with: no other protocol does (section 2.2).
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part: the signature, the command, the family, and the length of what follows.
const V2_FIXED: usize = 16;
/// Addresses, and what a proxy tells besides: the name the client asked for, its certificate's, an id. A few hundred bytes
/// are usual; the protocol allows 64 KiB.
const MAX_BLOCK: usize = 4 << 10;
/// Version 2, and the command of a connection that is the proxy's own.
const LOCAL: u8 = 0x20;

/// For whom a proxy says that it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// For a client, which is there.
    Client(SocketAddr),
    /// For itself: it looks whether the relay is well.
    Itself,
    /// For somebody who has no address that the protocol could tell.
    Unknown,
}

/// Why nothing is known of whoever has connected.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// No address that is trusted.
    #[error("it is none of server.trusted_proxies")]
    Untrusted,
    /// Something else than a header came.
    #[error("it sent no header of the PROXY protocol")]
    Missing,
    /// It goes on for too long.
    #[error("its header of the PROXY protocol is too long")]
    TooLong,
    /// It breaks the protocol.
    #[error("its header of the PROXY protocol is malformed")]
    Malformed,
    /// It did not come in time.
    #[error("its header of the PROXY protocol did not come in time")]
    Late,
    /// The connection ended or failed meanwhile.
    #[error("it left before its header of the PROXY protocol was whole: {}", .0.kind())]
    Io(#[from] io::Error),
}

/// Reads a header, and not a byte behind it.
///
/// Not cancel safe: dropped, it has read part of a header, and the connection is of no more use.
pub async fn read(stream: &mut TcpStream) -> Result<Announced, HeaderError> {
    let mut header = vec![0; SHORTEST];
    stream.read_exact(&mut header).await?;
    if header.starts_with(V1) {
        read_line(stream, &mut header).await?;
    } else if header.starts_with(V2) {
        read_block(stream, &mut header).await?;
    } else {
        return Err(HeaderError::Missing);
    }
    parse(&header)
}

/// Reads the rest of a line. Only a look ahead tells where it ends; but whatever that shows up to there is the header's,
/// and is taken at once. So nothing is looked at twice, and a line that comes in pieces is waited for.
async fn read_line(stream: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), HeaderError> {
    while memchr(b'\n', header).is_none() {
        let mut room = [0; MAX_LINE];
        let room = &mut room[..MAX_LINE - header.len()];
        if room.is_empty() {
            return Err(HeaderError::TooLong);
        }
        let seen = stream.peek(room).await?;
        if seen == 0 {
            return Err(HeaderError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let ours = memchr(b'\n', &room[..seen]).map_or(seen, |end| end + 1);
        read_more(stream, header, ours).await?;
    }
    Ok(())
}

/// Reads the rest of a header that says how long it is.
async fn read_block(stream: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), HeaderError> {
    read_more(stream, header, V2_FIXED - header.len()).await?;
    let length = usize::from(u16::from_be_bytes([header[V2_FIXED - 2], header[V2_FIXED - 1]]));
    if length > MAX_BLOCK {
        return Err(HeaderError::TooLong);
    }
    read_more(stream, header, length).await?;
    Ok(())
}

async fn read_more(stream: &mut TcpStream, header: &mut Vec<u8>, more: usize) -> io::Result<()> {
    let begin = header.len();
    header.resize(begin + more, 0);
    stream.read_exact(&mut header[begin..]).await?;
    Ok(())
}

/// What a header says that stands alone. The parser takes one that is cut short for one that is still to come, and one
/// with something behind it for a header: whatever is not one header, whole, is none.
fn parse(header: &[u8]) -> Result<Announced, HeaderError> {
    // What else a proxy says of a connection of its own has to be skipped, whatever it is (section 2.2). The parser would
    // refuse a family that it does not know.
    if header.starts_with(V2) && header.get(V2.len()) == Some(&LOCAL) {
        return Ok(Announced::Itself);
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    let parsed = ProxyHeader::parse(header, config).ok().filter(|(_, length)| *length == header.len());
    let (parsed, _) = parsed.ok_or(HeaderError::Malformed)?;
    Ok(parsed.proxied_address().map_or(Announced::Unknown, |address| {
        let source = address.source;
        Announced::Client(SocketAddr::new(source.ip().to_canonical(), source.port()))
    }))
}

#[cfg(test)]
mod tests;
