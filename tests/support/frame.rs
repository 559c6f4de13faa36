//! WebSocket frames by the letter of RFC 6455 section 5.2: written as told, legal or not; read only if legal in form.

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The masking key of a scripted client.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    /// Whether it came, or goes, with a mask.
    pub mask: Option<[u8; 4]>,
    /// Not masked.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The last frame of its message, without a mask.
    pub fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { fin: true, opcode, mask: None, payload: payload.as_ref().to_owned() }
    }

    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(TEXT, payload)
    }

    pub fn continuation(payload: impl AsRef<[u8]>) -> Self {
        Self::new(CONTINUATION, payload)
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(PING, payload)
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::new(PONG, payload)
    }

    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// More frames of its message follow.
    #[must_use]
    pub fn more(mut self) -> Self {
        self.fin = false;
        self
    }

    #[must_use]
    pub fn masked(mut self) -> Self {
        self.mask = Some(MASK);
        self
    }

    /// As it goes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = header(self.fin, self.opcode, self.mask.is_some(), self.payload.len() as u64);
        bytes.extend_from_slice(&self.mask.unwrap_or_default()[..if self.mask.is_some() { 4 } else { 0 }]);
        bytes.extend(masked(&self.payload, self.mask.unwrap_or_default()));
        bytes
    }

    /// Code and reason of a close frame; `None`: an empty one.
    #[track_caller]
    pub fn closing(&self) -> Option<(u16, String)> {
        assert_eq!(self.opcode, CLOSE, "a close frame, not {self}");
        let [high, low, reason @ ..] = self.payload.as_slice() else {
            assert!(self.payload.is_empty(), "a close frame with one byte");
            return None;
        };
        Some((u16::from_be_bytes([*high, *low]), String::from_utf8(reason.to_vec()).unwrap()))
    }
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.payload[..self.payload.len().min(200)];
        write!(f, "fin={} opcode={} {:?}", self.fin, self.opcode, String::from_utf8_lossy(start))
    }
}

/// A frame's header without the masking key, its length in the shortest form.
pub fn header(fin: bool, opcode: u8, masked: bool, length: u64) -> Vec<u8> {
    let mask = u8::from(masked) << 7;
    let mut bytes = vec![u8::from(fin) << 7 | opcode];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => bytes.push(mask + short),
        (_, Ok(two)) => {
            bytes.push(mask + 126);
            bytes.extend(two.to_be_bytes());
        }
        _ => {
            bytes.push(mask + 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes
}

pub fn masked(payload: &[u8], key: [u8; 4]) -> impl Iterator<Item = u8> {
    payload.iter().zip(key.into_iter().cycle()).map(|(byte, key)| byte ^ key)
}

/// The frame at the front of `bytes`, and its length there; `None`: it is not whole.
#[track_caller]
pub fn decode(bytes: &[u8]) -> Option<(usize, Frame)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(first & 0x70, 0, "a reserved bit is set");
    let (length, at) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
        short => (u64::from(short), 2),
    };
    let (mask, at) = match second & 0x80 {
        0 => (None, at),
        _ => (Some(bytes.get(at..at + 4)?.try_into().unwrap()), at + 4),
    };
    let end = at + usize::try_from(length).unwrap();
    let payload = masked(bytes.get(at..end)?, mask.unwrap_or_default()).collect();
    Some((end, Frame { fin: first & 0x80 != 0, opcode: first & 0x0f, mask, payload }))
}
