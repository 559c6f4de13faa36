//! Shakes hands over a socket, as either side; all that it says is rustls'.
//!
//! It is given one record at a time, so that it reads none of those that come behind its own.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedConnectionCommon, UnbufferedStatus,
};
use rustls::{ClientConfig, Error, ExtractedSecrets, ServerConfig};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::record::{self, HEADER};
use super::session::{Secrets, Session};
use super::stream::TlsStream;

/// Read at once: hellos are some hundred bytes, chains of certificates some thousand.
const READ: usize = 8 << 10;
/// A message is not longer, so more of the peer's is not kept before there is one as a whole. rustls has the same limit where
/// it reads itself.
const MAX_COME: usize = 64 << 10;

/// As the client of a server with this name.
///
/// Not cancel safe: dropped, it closes the connection.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    socket: TcpStream,
) -> io::Result<TlsStream> {
    shake(UnbufferedClientConnection::new(config, name).map_err(said_by_rustls)?, socket).await
}

/// As a server.
///
/// Not cancel safe: dropped, it closes the connection.
pub(super) async fn accept(config: Arc<ServerConfig>, socket: TcpStream) -> io::Result<TlsStream> {
    shake(UnbufferedServerConnection::new(config).map_err(said_by_rustls)?, socket).await
}

/// A side of a handshake.
trait Party: Deref<Target = UnbufferedConnectionCommon<Self::Data>> + Sized {
    type Data;

    /// Reads a record, or says what it has to say.
    fn process<'c, 'i>(&'c mut self, record: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// What is left when hands are shaken.
    fn done(self) -> Result<(ExtractedSecrets, Secrets), Error>;
}

impl Party for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, record: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(record)
    }

    fn done(self) -> Result<(ExtractedSecrets, Secrets), Error> {
        self.dangerous_into_kernel_connection().map(|(keys, secrets)| (keys, Secrets::Client(secrets)))
    }
}

impl Party for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, record: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(record)
    }

    fn done(self) -> Result<(ExtractedSecrets, Secrets), Error> {
        self.dangerous_into_kernel_connection().map(|(keys, secrets)| (keys, Secrets::Server(secrets)))
    }
}

/// What a handshake waits for.
enum Wait {
    /// To be asked again.
    Nothing,
    /// More of the peer's.
    Record,
    /// Nothing any more: hands are shaken, or will not be.
    Over(Result<(), Error>),
}

/// A handshake under way.
struct Shaking<P> {
    party: P,
    /// What has come of the peer, and is not done with.
    come: Vec<u8>,
    /// So much of that the party was given,
    given: usize,
    /// and so much are whole records.
    whole: usize,
    /// What the peer is to be told.
    said: Vec<u8>,
}

async fn shake<P: Party>(party: P, mut socket: TcpStream) -> io::Result<TlsStream> {
    let mut shaking = Shaking { party, come: Vec::new(), given: 0, whole: 0, said: Vec::new() };
    loop {
        match shaking.step() {
            Wait::Nothing => {}
            Wait::Record => {
                if shaking.given == shaking.come.len() {
                    // What it says to several records is one packet.
                    shaking.send(&mut socket).await?;
                    if shaking.come.len() >= MAX_COME {
                        return Err(refused("the peer's TLS handshake is longer than one may be"));
                    }
                    shaking.come.reserve(READ);
                    // There may be more room, and no more is to be left at the end.
                    if (&mut socket).take(READ as u64).read_buf(&mut shaking.come).await? == 0 {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"));
                    }
                }
                shaking.give()?;
            }
            Wait::Over(Ok(())) => break,
            Wait::Over(Err(error)) => {
                // Its alert; who does not take that at once goes without.
                while shaking.party.wants_write() && matches!(shaking.step(), Wait::Nothing) {}
                let _ = socket.try_write(&shaking.said);
                return Err(said_by_rustls(error));
            }
        }
    }
    shaking.send(&mut socket).await?;
    let (keys, secrets) = shaking.party.done().map_err(said_by_rustls)?;
    Ok(TlsStream::new(socket, Session::new(keys, secrets), shaking.come.split_off(shaking.whole)))
}

impl<P: Party> Shaking<P> {
    /// Gives the party one more record, or what there is of it: what is no TLS at all may never be a whole one.
    fn give(&mut self) -> io::Result<()> {
        match record::first(&self.come[self.whole..]) {
            // No record of a handshake is empty (RFC 8446 section 5.1). Where data came early and was refused, rustls passes over
            // any number of them, and looks at all of them again each time.
            Ok(Some(record)) if record.len() == HEADER => {
                return Err(refused("the peer's TLS handshake has an empty record"));
            }
            Ok(Some(record)) => {
                self.whole += record.len();
                self.given = self.whole;
            }
            Ok(None) | Err(_) => self.given = self.come.len(),
        }
        Ok(())
    }

    async fn send(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        socket.write_all(&self.said).await?;
        self.said.clear();
        Ok(())
    }

    fn step(&mut self) -> Wait {
        let UnbufferedStatus { discard, state } = self.party.process(&mut self.come[..self.given]);
        let wait = match state {
            Ok(ConnectionState::EncodeTlsData(words)) => {
                say(words, &mut self.said);
                Wait::Nothing
            }
            Ok(ConnectionState::TransmitTlsData(words)) => {
                words.done();
                Wait::Nothing
            }
            Ok(ConnectionState::BlockedHandshake) => Wait::Record,
            Ok(ConnectionState::WriteTraffic(_)) => Wait::Over(Ok(())),
            // An end, or data before its time.
            Ok(_) => Wait::Over(Err(Error::HandshakeNotComplete)),
            Err(error) => Wait::Over(Err(error)),
        };
        self.come.drain(..discard);
        (self.given, self.whole) = (self.given - discard, self.whole - discard);
        match wait {
            // A side may be free to write before the other has shaken.
            Wait::Over(Ok(())) if self.party.is_handshaking() => Wait::Record,
            wait => wait,
        }
    }
}

/// Puts what a party says behind what it has said.
fn say<D>(mut words: EncodeTlsData<'_, D>, said: &mut Vec<u8>) {
    // Only so it tells how long they are.
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = words.encode(&mut []) {
        let from = said.len();
        said.resize(from + required_size, 0);
        let written = words.encode(&mut said[from..]).unwrap_or_default();
        said.truncate(from + written);
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn said_by_rustls(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
