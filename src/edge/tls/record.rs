//! TLS records, opened and sealed (RFC 8446 section 5.2; RFC 5246 section 6.2.3.3). rustls shakes hands and makes the keys; here
//! a record is deciphered or enciphered from one buffer into another, and its bytes are not copied besides.
//!
//! It refuses to know what the bytes say, and sockets.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::{AlertDescription, ConnectionTrafficSecrets, ProtocolVersion};

/// Type, version and length.
pub(super) const HEADER: usize = 5;
/// The longest content of a record (RFC 8446 section 5.1).
pub(super) const MAX_PLAIN: usize = 1 << 14;
/// The longest record that may come: TLS 1.2 has room for 2 KiB around the content, TLS 1.3 for 256 bytes.
pub(super) const MAX_RECORD: usize = HEADER + MAX_PLAIN + 2_048;
/// What a record that is sent has at most around its content: TLS 1.2 with AES-GCM has most.
pub(super) const MAX_AROUND: usize = HEADER + EXPLICIT + TAG;

/// Of all three ciphers.
pub(super) const TAG: usize = 16;
/// The half of its nonce that a record of TLS 1.2 with AES-GCM carries (RFC 5288 section 3).
const EXPLICIT: usize = 8;
/// The version that a record says it has; TLS 1.3 says the same.
const VERSION: [u8; 2] = [3, 3];

/// What a record carries (RFC 8446 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Alert = 21,
    Handshake = 22,
    Data = 23,
}

/// Why a peer's records are not listened to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The header says more than a record may hold, or the content is more than it may be.
    #[error("the peer sent a TLS record that is longer than may be")]
    TooLong,
    /// It is not what the peer's key made of anything, or not in its place.
    #[error("a TLS record was changed, left out or repeated on its way")]
    Forged,
    /// Nothing of its kind may stand here.
    #[error("the peer sent a TLS message that may not stand there")]
    Unexpected,
    /// It does not say what its kind has to say.
    #[error("the peer sent a TLS message that cannot be read")]
    Malformed,
    /// It says what nobody may.
    #[error("the peer sent a TLS message with a value that has no meaning")]
    Illegal,
    /// The peer keeps us busy without a byte for anybody.
    #[error("the peer sent too many TLS records without data")]
    Idle,
    /// The peer found something broken.
    #[error("the peer broke off TLS: {0:?}")]
    Alerted(AlertDescription),
    /// So much was enciphered that the keys are worn, and this version of TLS has no others.
    #[error("the keys of a TLS connection are used up")]
    Worn,
}

/// The keys of one direction, and how its records are formed.
pub(super) struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// Of the next record.
    sequence: u64,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The type of the content is enciphered behind it.
    Tls13,
    /// A half of the nonce stands in front of the content.
    Tls12Gcm,
    /// Nothing does (RFC 7905 section 2).
    Tls12ChaCha,
}

impl Keys {
    /// Keys whose next record is of this number.
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets), version: ProtocolVersion) -> Self {
        let (cipher, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
            _ => unreachable!("rustls has agreed on a cipher that it has not"),
        };
        let form = match (version, &secrets) {
            (ProtocolVersion::TLSv1_3, _) => Form::Tls13,
            (_, ConnectionTrafficSecrets::Chacha20Poly1305 { .. }) => Form::Tls12ChaCha,
            _ => Form::Tls12Gcm,
        };
        let key = UnboundKey::new(cipher, key.as_ref()).expect("rustls gives a key of the length that its cipher has");
        let iv = iv.as_ref().try_into().expect("all ciphers have a nonce of 12 bytes");
        Self { key: LessSafeKey::new(key), iv, sequence, form }
    }

    /// The number of the next record: so many have been made with these keys.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Seals this as one record at the front of `out`, and says how long it is. There is room for it: [`MAX_AROUND`] more than
    /// the content.
    pub(super) fn seal(&mut self, content: Content, plain: &[u8], out: &mut [u8]) -> usize {
        debug_assert!(plain.len() <= MAX_PLAIN);
        let (explicit, kind) = match self.form {
            Form::Tls13 => (0, &[content as u8][..]),
            Form::Tls12Gcm => (EXPLICIT, &[][..]),
            Form::Tls12ChaCha => (0, &[][..]),
        };
        let outer = if self.form == Form::Tls13 { Content::Data } else { content };
        let length = explicit + plain.len() + kind.len() + TAG;
        let header = header(outer as u8, length);
        let aad = self.aad(header, plain.len());
        let nonce = self.next_nonce();

        let record = &mut out[..HEADER + length];
        let (front, rest) = record.split_at_mut(HEADER + explicit);
        front[..HEADER].copy_from_slice(&header);
        front[HEADER..].copy_from_slice(&nonce[NONCE_LEN - explicit..]);
        let (cipher, tag) = rest.split_at_mut(plain.len());
        self.key
            .seal_out_of_place_scatter(Nonce::assume_unique_for_key(nonce), aad, plain, cipher, kind, tag)
            .expect("a record is far below what a cipher takes at once");
        record.len()
    }

    /// Opens a whole record to the front of `out`, and says how much of it is content. There is as much room as the record is
    /// long; behind the content, and after a failure, nothing in it means anything.
    pub(super) fn open(&mut self, record: &[u8], out: &mut [u8]) -> Result<(Content, usize), Broken> {
        let (header, body) = record.split_first_chunk::<HEADER>().ok_or(Broken::Malformed)?;
        if self.form == Form::Tls13 && header[0] != Content::Data as u8 {
            return Err(Broken::Unexpected);
        }
        let explicit = if self.form == Form::Tls12Gcm { EXPLICIT } else { 0 };
        let length = body.len().checked_sub(explicit + TAG).ok_or(Broken::Forged)?;
        let aad = self.aad(*header, length);
        let mut nonce = self.next_nonce();
        nonce[NONCE_LEN - explicit..].copy_from_slice(&body[..explicit]);
        let (cipher, tag) = body[explicit..].split_at(length);
        let plain = &mut out[..length];
        self.key
            .open_separate_gather(Nonce::assume_unique_for_key(nonce), aad, cipher, tag, plain)
            .map_err(|_| Broken::Forged)?;
        let (kind, length) = match self.form {
            Form::Tls13 => inner(plain)?,
            Form::Tls12Gcm | Form::Tls12ChaCha => (header[0], length),
        };
        if length > MAX_PLAIN {
            return Err(Broken::TooLong);
        }
        match kind {
            21 => Ok((Content::Alert, length)),
            22 => Ok((Content::Handshake, length)),
            23 => Ok((Content::Data, length)),
            _ => Err(Broken::Unexpected),
        }
    }

    /// What a record's tag vouches for besides its content.
    fn aad(&self, header: [u8; HEADER], plain: usize) -> Aad<Vouched> {
        let mut vouched = Vouched { bytes: [0; 8 + HEADER], from: 8 };
        vouched.bytes[8..].copy_from_slice(&header);
        if self.form != Form::Tls13 {
            vouched.bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
            vouched.bytes[8 + HEADER - 2..].copy_from_slice(&length(plain));
            vouched.from = 0;
        }
        Aad::from(vouched)
    }

    /// The number of this record into the initial vector (RFC 8446 section 5.3); the next record has the next one.
    fn next_nonce(&mut self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, number) in nonce[NONCE_LEN - 8..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence = self.sequence.checked_add(1).expect("nobody sends 2^64 records");
        nonce
    }
}

/// The first record of these bytes, if it is there as a whole.
pub(super) fn first(bytes: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = HEADER + usize::from(u16::from_be_bytes([header[3], header[4]]));
    if length > MAX_RECORD { Err(Broken::TooLong) } else { Ok(bytes.get(..length)) }
}

/// The type and the length of a content of TLS 1.3: the type is the last byte that is not zero (RFC 8446 section 5.4).
/// However much is padding, it is not longer than a content and its type.
fn inner(plain: &[u8]) -> Result<(u8, usize), Broken> {
    if plain.len() > MAX_PLAIN + 1 {
        return Err(Broken::TooLong);
    }
    let kind = plain.iter().rposition(|byte| *byte != 0).ok_or(Broken::Unexpected)?;
    Ok((plain[kind], kind))
}

fn header(kind: u8, body: usize) -> [u8; HEADER] {
    let [high, low] = length(body);
    [kind, VERSION[0], VERSION[1], high, low]
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("a record is shorter than 2^16").to_be_bytes()
}

/// The header alone, or behind the record's number.
struct Vouched {
    bytes: [u8; 8 + HEADER],
    from: usize,
}

impl AsRef<[u8]> for Vouched {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_may_be_padded_and_must_have_a_type() {
        assert_eq!(inner(b"abc\x17"), Ok((23, 3)));
        assert_eq!(inner(b"abc\x17\0\0\0"), Ok((23, 3)));
        assert_eq!(inner(b"\x17"), Ok((23, 0)));
        assert_eq!(inner(b"\0\0\0"), Err(Broken::Unexpected));
        assert_eq!(inner(b""), Err(Broken::Unexpected));
        let mut longest = vec![0; MAX_PLAIN + 1];
        longest[0] = 23;
        assert_eq!(inner(&longest), Ok((23, 0)));
        longest.push(0);
        assert_eq!(inner(&longest), Err(Broken::TooLong));
    }

    #[test]
    fn a_record_is_found_when_it_is_there_as_a_whole() {
        let record = [23, 3, 3, 0, 2, 8, 9];
        for length in 0..record.len() {
            assert_eq!(first(&record[..length]), Ok(None));
        }
        assert_eq!(first(&record), Ok(Some(&record[..])));
        assert_eq!(first(&[&record[..], &[1]].concat()), Ok(Some(&record[..])));
        let [high, low] = length(MAX_RECORD - HEADER + 1);
        assert_eq!(first(&[23, 3, 3, high, low]), Err(Broken::TooLong));
    }
}
