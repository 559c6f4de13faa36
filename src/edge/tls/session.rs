//! A TLS connection after the handshake: its keys in both directions, and what the two sides say about them (RFC 8446 sections
//! 4.6, 5.1 and 6; RFC 5246 section 7). rustls keeps the secrets, makes new keys of them and remembers tickets.
//!
//! It refuses to know sockets.

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, Error, ExtractedSecrets, ProtocolVersion, SupportedCipherSuite,
};

use super::record::{Broken, Content, Keys, MAX_AROUND};

/// Records in a row without data, as many as rustls takes key updates. An honest peer sends a few tickets.
const MAX_IDLE: u8 = 32;
/// The longest message about the connection, as rustls has it. Tickets are some hundred bytes.
const MAX_MESSAGE: usize = 0xffff;
/// Type and length of one (RFC 8446 section 4).
const MESSAGE_HEADER: usize = 4;

const HELLO_REQUEST: u8 = 0;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// The keys of a connection, and its secrets.
pub(super) struct Session {
    opening: Keys,
    sealing: Keys,
    /// So many records may be sealed with one key (RFC 8446 section 5.5).
    pub(super) limit: u64,
    secrets: Secrets,
    /// The beginning of a message about the connection; the rest of it comes in another record.
    part: Vec<u8>,
    /// Records without data since there was some.
    idle: u8,
    /// The peer has renewed its keys, and wants ours renewed before more is said.
    owes_keys: bool,
}

/// What rustls keeps of a connection, by which side we are.
pub(super) enum Secrets {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// What a record held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// So many bytes for whoever reads.
    Data(usize),
    /// Something about the connection, which is seen to.
    Nothing,
    /// Nothing more comes.
    End,
}

impl Session {
    /// A session whose hands are shaken.
    pub(super) fn new(keys: ExtractedSecrets, secrets: Secrets) -> Self {
        let version = secrets.version();
        Self {
            opening: Keys::new(keys.rx, version),
            sealing: Keys::new(keys.tx, version),
            limit: match secrets.suite() {
                SupportedCipherSuite::Tls13(suite) => suite.common.confidentiality_limit,
                SupportedCipherSuite::Tls12(suite) => suite.common.confidentiality_limit,
            },
            secrets,
            part: Vec::new(),
            idle: 0,
            owes_keys: false,
        }
    }

    /// So many records have been sealed with the keys that it has.
    #[cfg(test)]
    pub(super) fn sealed(&self) -> u64 {
        self.sealing.sequence()
    }

    /// Opens a whole record. Its data is at the front of `out` then, which is as long as the record.
    pub(super) fn open(&mut self, record: &[u8], out: &mut [u8]) -> Result<Opened, Broken> {
        let (content, length) = self.opening.open(record, out)?;
        if content == Content::Data && length > 0 {
            self.idle = 0;
        } else {
            self.idle += 1;
        }
        if self.idle > MAX_IDLE {
            return Err(Broken::Idle);
        }
        if content != Content::Handshake && !self.part.is_empty() {
            return Err(Broken::Unexpected);
        }
        match content {
            Content::Data => Ok(Opened::Data(length)),
            Content::Alert => self.heed(&out[..length]),
            Content::Handshake => self.handle(&out[..length]).map(|()| Opened::Nothing),
        }
    }

    /// Seals data of one record at the front of `out`, and says how much was written. There is room for two of [`MAX_AROUND`]
    /// besides.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, Broken> {
        // One is left, for the message that says so.
        let worn = self.sealing.sequence() + 1 >= self.limit;
        let renewed = if worn || self.owes_keys { self.renew(out)? } else { 0 };
        Ok(renewed + self.sealing.seal(Content::Data, plain, &mut out[renewed..]))
    }

    /// Says that nothing more comes from us.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        self.say(Content::Alert, &[WARNING, AlertDescription::CloseNotify.into()], out);
    }

    /// Says why the peer is not listened to any more.
    pub(super) fn complain(&mut self, why: Broken, out: &mut Vec<u8>) {
        let alert = match why {
            Broken::TooLong => AlertDescription::RecordOverflow,
            Broken::Forged => AlertDescription::BadRecordMac,
            Broken::Unexpected | Broken::Idle => AlertDescription::UnexpectedMessage,
            Broken::Malformed => AlertDescription::DecodeError,
            Broken::Illegal => AlertDescription::IllegalParameter,
            // It knows.
            Broken::Alerted(_) => return,
            Broken::Worn => AlertDescription::InternalError,
        };
        self.say(Content::Alert, &[FATAL, alert.into()], out);
    }

    /// An alert of the peer's. In TLS 1.3 each is the end of it, but for one that is sent for no reason.
    fn heed(&self, alert: &[u8]) -> Result<Opened, Broken> {
        let &[level, alert] = alert else { return Err(Broken::Malformed) };
        match AlertDescription::from(alert) {
            AlertDescription::CloseNotify => Ok(Opened::End),
            AlertDescription::UserCanceled => Ok(Opened::Nothing),
            _ if level == WARNING && self.secrets.version() != ProtocolVersion::TLSv1_3 => Ok(Opened::Nothing),
            alert => Err(Broken::Alerted(alert)),
        }
    }

    /// Messages about the connection, which need not begin or end where a record does.
    fn handle(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        if bytes.is_empty() {
            return Err(Broken::Unexpected);
        }
        let mut messages = std::mem::take(&mut self.part);
        messages.extend_from_slice(bytes);
        let mut rest = &messages[..];
        while let Some((&[kind, a, b, c], behind)) = rest.split_first_chunk::<MESSAGE_HEADER>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if length > MAX_MESSAGE {
                return Err(Broken::TooLong);
            }
            let Some((body, behind)) = behind.split_at_checked(length) else { break };
            self.message(kind, body, behind.is_empty())?;
            rest = behind;
        }
        self.part = rest.to_vec();
        Ok(())
    }

    /// One message about the connection. `last`: nothing stands behind it in its record.
    fn message(&mut self, kind: u8, body: &[u8], last: bool) -> Result<(), Broken> {
        let tls13 = self.secrets.version() == ProtocolVersion::TLSv1_3;
        match (kind, &mut self.secrets) {
            (NEW_SESSION_TICKET, Secrets::Client(secrets)) if tls13 => {
                secrets.handle_new_session_ticket(body).map_err(|_| Broken::Malformed)
            }
            // Behind it, all is under other keys (RFC 8446 section 5.1).
            (KEY_UPDATE, _) if tls13 && last => {
                let &[asks] = body else { return Err(Broken::Malformed) };
                if asks > 1 {
                    return Err(Broken::Illegal);
                }
                self.opening = self.secrets.renew_opening()?;
                // However often it asks meanwhile, it is answered once, before more is said (section 4.6.3).
                self.owes_keys |= asks == 1;
                Ok(())
            }
            // The handshake is not made anew, and a client need not say so (RFC 5246 section 7.4.1.1).
            (HELLO_REQUEST, Secrets::Client(_)) if !tls13 && body.is_empty() => Ok(()),
            _ => Err(Broken::Unexpected),
        }
    }

    /// Takes new keys to seal with, and says so with the old ones at the front of `out`. Says how much was written.
    fn renew(&mut self, out: &mut [u8]) -> Result<usize, Broken> {
        let keys = self.secrets.renew_sealing()?;
        // The peer need not renew its own.
        let written = self.sealing.seal(Content::Handshake, &[KEY_UPDATE, 0, 0, 1, 0], out);
        self.sealing = keys;
        self.owes_keys = false;
        Ok(written)
    }

    /// Seals a message of ours behind what `out` holds.
    pub(super) fn say(&mut self, content: Content, what: &[u8], out: &mut Vec<u8>) {
        let from = out.len();
        out.resize(from + what.len() + MAX_AROUND, 0);
        let length = self.sealing.seal(content, what, &mut out[from..]);
        out.truncate(from + length);
    }
}

impl Secrets {
    fn version(&self) -> ProtocolVersion {
        match self {
            Self::Client(secrets) => secrets.protocol_version(),
            Self::Server(secrets) => secrets.protocol_version(),
        }
    }

    fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(secrets) => secrets.negotiated_cipher_suite(),
            Self::Server(secrets) => secrets.negotiated_cipher_suite(),
        }
    }

    fn renew_opening(&mut self) -> Result<Keys, Broken> {
        let renewed = match self {
            Self::Client(secrets) => secrets.update_rx_secret(),
            Self::Server(secrets) => secrets.update_rx_secret(),
        };
        self.keys(renewed)
    }

    fn renew_sealing(&mut self) -> Result<Keys, Broken> {
        let renewed = match self {
            Self::Client(secrets) => secrets.update_tx_secret(),
            Self::Server(secrets) => secrets.update_tx_secret(),
        };
        self.keys(renewed)
    }

    /// TLS 1.2 has no others.
    fn keys(&self, renewed: Result<(u64, ConnectionTrafficSecrets), Error>) -> Result<Keys, Broken> {
        renewed.map(|secrets| Keys::new(secrets, self.version())).map_err(|_| Broken::Worn)
    }
}
