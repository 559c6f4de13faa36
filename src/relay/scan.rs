//! Walks WebSocket frames without touching them: where they begin, what they are, whether they are legal (RFC 6455
//! section 5).
//!
//! It refuses to know where the bytes come from, where they go, and what a message says. It holds no bytes: what it
//! cannot judge yet stays with its caller and is offered again with more behind it.

use fastwebsockets::OpCode;

use self::header::{Header, MASK, MAX_CONTROL_PAYLOAD, length};
use super::Peer;

mod header;

pub(super) use self::header::frame_length;

/// The longest run of bytes that is withheld until it is whole: a masked control frame of 125 bytes.
pub const MAX_WITHHELD: usize = 2 + MASK + MAX_CONTROL_PAYLOAD;

/// The first byte of a text message in one frame (RFC 6455 section 5.2).
const FINAL_TEXT: u8 = 0x81;

/// The state of one direction of a WebSocket between two steps.
#[derive(Debug)]
pub struct Scan {
    sender: Peer,
    max_message_bytes: u64,
    /// The data message that has begun and not ended.
    message: Option<Message>,
    /// Bytes of the current data frame's payload still to come.
    payload_left: u64,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    kind: Kind,
    /// Sum of the payload lengths that its frames have declared so far.
    declared: u64,
    /// The frame under way is its last.
    last_frame: bool,
    /// No piece of it has been reported yet.
    fresh: bool,
}

/// What a data message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text: the events of the Realtime API.
    Text,
    /// Anything else.
    Binary,
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// Part of a data message: a frame's header and what is there of its payload, or more of the payload.
    Data(Piece<'b>),
    /// A whole control frame.
    Control(Control<'b>),
    /// Nothing: what is there must be offered again, with more behind it. At most [`MAX_WITHHELD`] − 1 bytes.
    Starved,
}

/// A run of bytes of one data message.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece<'b> {
    /// What the message carries.
    pub kind: Kind,
    /// The message begins here.
    pub first: bool,
    /// The message ends here.
    pub last: bool,
    /// A frame of it begins here.
    pub frame_begins: bool,
    /// The payload in this run, as on the wire (a client's is masked); may be empty.
    pub payload: &'b [u8],
}

/// A whole, legal control frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Control<'b> {
    /// Close, ping or pong.
    pub opcode: OpCode,
    /// The client's masking key.
    pub mask: Option<[u8; MASK]>,
    /// At most 125 bytes, as on the wire.
    pub payload: &'b [u8],
}

/// What a peer did that RFC 6455 or the relay's limit forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// No extension is ever negotiated (RFC 6455 section 5.2, RSV1-3).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// RFC 6455 section 5.2, opcodes 3-7 and 11-15.
    #[error("opcode {0} is reserved")]
    ReservedOpcode(u8),
    /// RFC 6455 section 5.5.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// RFC 6455 section 5.5.
    #[error("a control frame is longer than 125 bytes")]
    LongControl,
    /// RFC 6455 section 5.1: a client masks every frame.
    #[error("a client's frame is not masked")]
    Unmasked,
    /// RFC 6455 section 5.1: a server masks none.
    #[error("an upstream's frame is masked")]
    Masked,
    /// RFC 6455 section 5.4.
    #[error("a continuation without a message to continue")]
    StrayContinuation,
    /// RFC 6455 section 5.4.
    #[error("a new message inside an unfinished one")]
    InterruptedMessage,
    /// RFC 6455 section 5.2: the minimal number of bytes, the top bit zero.
    #[error("a length is not in its shortest form")]
    BadLength,
    /// RFC 6455 section 5.5.1: a close payload begins with two bytes of code.
    #[error("a close frame with one byte of payload")]
    ShortClose,
    /// RFC 6455 section 7.4.
    #[error("close code {0} may not be sent")]
    BadCloseCode(u16),
    /// RFC 6455 section 8.1. The scan looks at the reason of a close frame alone, the framed forwarder at every text.
    #[error("a text that is not UTF-8")]
    InvalidUtf8,
    /// The relay's own limit.
    #[error("a message of more than {0} bytes")]
    MessageTooBig(u64),
}

impl Scan {
    /// A scan of what `sender` sends, from its first frame on. `max_message_bytes` is inclusive.
    pub fn new(sender: Peer, max_message_bytes: u64) -> Self {
        Self { sender, max_message_bytes, message: None, payload_left: 0 }
    }

    /// Who is scanned.
    pub fn sender(&self) -> Peer {
        self.sender
    }

    /// Whether the last step ended with a frame, so that a control frame may stand here.
    pub fn at_frame_boundary(&self) -> bool {
        self.payload_left == 0
    }

    /// Whether the last step ended with a message, so that a data frame of another sender may stand here.
    pub fn at_message_boundary(&self) -> bool {
        self.message.is_none()
    }

    /// A legal text message in one frame that is here to its end, as nearly all are: how long the frame is, and its payload
    /// as on the wire. Nothing has to be remembered of it: a caller that takes it offers what stands behind it next. Of anything
    /// else, and of what is illegal, [`step`](Self::step) tells what it is.
    #[inline]
    pub fn whole_text<'b>(&self, bytes: &'b [u8]) -> Option<(usize, &'b [u8])> {
        let [FINAL_TEXT, second, ..] = *bytes else { return None };
        let masked = second & 0x80 != 0;
        if self.message.is_some() || self.payload_left > 0 || masked != (self.sender == Peer::Client) {
            return None;
        }
        let (declared, length_end) = length(bytes, second & 0x7f).ok()??;
        if declared > self.max_message_bytes {
            return None;
        }
        let begin = length_end + if masked { MASK } else { 0 };
        let end = begin.checked_add(usize::try_from(declared).ok()?)?;
        Some((end, bytes.get(begin..end)?))
    }

    /// Judges what stands at the front of `bytes`, and tells how many of them it took.
    #[inline]
    pub fn step<'b>(&mut self, bytes: &'b [u8]) -> Result<(usize, Step<'b>), Violation> {
        if self.payload_left > 0 {
            return Ok(if bytes.is_empty() { (0, Step::Starved) } else { self.payload(bytes, 0) });
        }
        let Some(header) = Header::read(bytes, self.sender)? else { return Ok((0, Step::Starved)) };
        match header.opcode {
            OpCode::Close | OpCode::Ping | OpCode::Pong => control(bytes, &header),
            OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                self.begin_data_frame(&header)?;
                Ok(self.payload(bytes, header.size))
            }
        }
    }

    /// Takes what is there of the frame's payload, behind a header of `header_size` bytes.
    #[inline]
    fn payload<'b>(&mut self, bytes: &'b [u8], header_size: usize) -> (usize, Step<'b>) {
        let rest = &bytes[header_size..];
        let here = usize::try_from(self.payload_left).map_or(rest.len(), |left| left.min(rest.len()));
        self.payload_left -= here as u64;
        let Some(message) = &mut self.message else { unreachable!("a data frame opens a message") };
        let piece = Piece {
            kind: message.kind,
            first: std::mem::take(&mut message.fresh),
            last: message.last_frame && self.payload_left == 0,
            frame_begins: header_size > 0,
            payload: &rest[..here],
        };
        if piece.last {
            self.message = None;
        }
        (header_size + here, Step::Data(piece))
    }

    fn begin_data_frame(&mut self, header: &Header) -> Result<(), Violation> {
        let mut message = match (header.opcode, self.message) {
            (OpCode::Continuation, Some(message)) => message,
            (OpCode::Continuation, None) => return Err(Violation::StrayContinuation),
            (_, Some(_)) => return Err(Violation::InterruptedMessage),
            (OpCode::Text, None) => Message::new(Kind::Text),
            (_, None) => Message::new(Kind::Binary),
        };
        // Cannot overflow: the sum so far is within the limit, and a declared length is below 2^63.
        message.declared = message.declared.saturating_add(header.payload);
        if message.declared > self.max_message_bytes {
            return Err(Violation::MessageTooBig(self.max_message_bytes));
        }
        message.last_frame = header.fin;
        self.message = Some(message);
        self.payload_left = header.payload;
        Ok(())
    }
}

impl Message {
    fn new(kind: Kind) -> Self {
        Self { kind, declared: 0, last_frame: false, fresh: true }
    }
}

impl Control<'_> {
    /// The code of a close frame; 1005 ("no status received") where it carries none (RFC 6455 section 7.1.5).
    pub fn close_code(&self) -> u16 {
        let mut payload = self.unmasked();
        let (Some(high), Some(low)) = (payload.next(), payload.next()) else { return 1005 };
        u16::from_be_bytes([high, low])
    }

    /// The payload as its sender meant it.
    pub fn unmasked(&self) -> impl Iterator<Item = u8> {
        let mask = self.mask.unwrap_or_default().into_iter().cycle();
        self.payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask)
    }
}

/// Whether a close frame may carry this code (RFC 6455 section 7.4 and the registry that it founded).
pub fn is_sendable_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

fn control<'b>(bytes: &'b [u8], header: &Header) -> Result<(usize, Step<'b>), Violation> {
    let end = header.size + usize::try_from(header.payload).unwrap_or(MAX_CONTROL_PAYLOAD);
    let Some(payload) = bytes.get(header.size..end) else { return Ok((0, Step::Starved)) };
    let control = Control { opcode: header.opcode, mask: header.mask, payload };
    if control.opcode == OpCode::Close {
        match payload.len() {
            0 => {}
            1 => return Err(Violation::ShortClose),
            _ if !is_sendable_close_code(control.close_code()) => {
                return Err(Violation::BadCloseCode(control.close_code()));
            }
            // Once a link, and at most 123 bytes.
            _ if String::from_utf8(control.unmasked().skip(2).collect()).is_err() => {
                return Err(Violation::InvalidUtf8);
            }
            _ => {}
        }
    }
    Ok((end, Step::Control(control)))
}
