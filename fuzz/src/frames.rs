//! A WebSocket parser that is as naive as can be: it has all of the stream before it, goes from frame to frame, and notes
//! everything that RFC 6455 has against each. It refuses to be fast, and to know the relay's own parser.

use realtime_relay::relay::Peer;
use realtime_relay::relay::scan::Violation;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// What a stream amounts to.
#[derive(Debug, Default)]
pub struct Parsed {
    /// In their order. The last may be a data frame that is not whole.
    pub frames: Vec<Frame>,
    /// Up to here everything is legal, and may go on.
    pub legal: usize,
    /// All that is wrong with the frame that begins there; empty: nothing, as far as can be seen.
    pub offences: Vec<Violation>,
}

/// A legal frame.
#[derive(Debug)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    /// Unmasked; of a data frame, what is there of it.
    pub payload: Vec<u8>,
    /// Nothing of it is missing.
    pub is_whole: bool,
    /// Where it ends.
    pub end: usize,
}

/// Parses what `sender` has sent.
pub fn parse(stream: &[u8], sender: Peer, max_message_bytes: u64) -> Parsed {
    let (mut parsed, mut open) = (Parsed::default(), None);
    while let Some(next) = header(&stream[parsed.legal..]) {
        let begin = parsed.legal;
        parsed.offences = offences(&next, sender, open, max_message_bytes);
        let Some(body) = next.size.filter(|_| parsed.offences.is_empty()).map(|size| &stream[begin + size..]) else {
            break;
        };
        let here = usize::try_from(next.length).unwrap_or(usize::MAX).min(body.len());
        let is_whole = here as u64 == next.length;
        let payload: Vec<u8> =
            body[..here].iter().zip(next.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        if next.is_control() {
            if !is_whole {
                break;
            }
            parsed.offences = if next.opcode == CLOSE { close_offences(&payload) } else { Vec::new() };
            if !parsed.offences.is_empty() {
                break;
            }
        } else {
            open = (!next.fin).then(|| open.unwrap_or(0) + next.length);
        }
        parsed.legal = begin + next.size.unwrap_or(0) + here;
        parsed.frames.push(Frame { fin: next.fin, opcode: next.opcode, payload, is_whole, end: parsed.legal });
        if !is_whole {
            break;
        }
    }
    parsed
}

impl Parsed {
    /// The messages, with what is there of the last, and whether it is whole.
    pub fn messages(&self) -> Vec<(u8, Vec<u8>, bool)> {
        let mut messages = Vec::<(u8, Vec<u8>, bool)>::new();
        for frame in self.frames.iter().filter(|frame| frame.opcode < CLOSE) {
            if frame.opcode != CONTINUATION {
                messages.push((frame.opcode, Vec::new(), false));
            }
            let message = messages.last_mut().expect("a continuation continues something");
            message.1.extend(&frame.payload);
            message.2 = frame.fin && frame.is_whole;
        }
        messages
    }

    /// The control frames.
    pub fn controls(&self) -> Vec<(u8, Vec<u8>)> {
        let controls = self.frames.iter().filter(|frame| frame.opcode >= CLOSE);
        controls.map(|frame| (frame.opcode, frame.payload.clone())).collect()
    }
}

/// A frame header, as far as it is there.
struct Header {
    fin: bool,
    reserved: bool,
    opcode: u8,
    masked: bool,
    /// The seven bits of the second byte.
    short: u8,
    /// 0 where it is not there yet.
    length: u64,
    length_is_there: bool,
    /// Zeros where there is none.
    mask: [u8; 4],
    /// Bytes of the header; `None`: it is not whole.
    size: Option<usize>,
}

impl Header {
    fn is_control(&self) -> bool {
        self.opcode & 0b1000 != 0
    }
}

fn header(bytes: &[u8]) -> Option<Header> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (masked, short) = (second >> 7 == 1, second % 128);
    let length_bytes = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let long = rest.get(..length_bytes);
    let long_value = long.map(|bytes| bytes.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte)));
    let length = if length_bytes == 0 { Some(u64::from(short)) } else { long_value };
    let mask = if masked { rest.get(length_bytes..length_bytes + 4) } else { Some(&[0; 4][..]) };
    Some(Header {
        fin: first >> 7 == 1,
        reserved: first & 0b0111_0000 != 0,
        opcode: first % 16,
        masked,
        short,
        length: length.unwrap_or(0),
        length_is_there: length.is_some(),
        mask: mask.and_then(|mask| mask.try_into().ok()).unwrap_or_default(),
        size: length.and(mask).map(|_| 2 + length_bytes + if masked { 4 } else { 0 }),
    })
}

/// What RFC 6455 section 5 has against a header inside (`open`: of so many bytes so far) or outside of a message.
fn offences(header: &Header, sender: Peer, open: Option<u64>, max_message_bytes: u64) -> Vec<Violation> {
    let Header { opcode, length, short, .. } = *header;
    let is_known = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG].contains(&opcode);
    let is_data = is_known && !header.is_control();
    let shortest = match short {
        126 => length >= 126,
        127 => length > 0xffff && length < 1 << 63,
        _ => true,
    };
    let sum = u128::from(open.unwrap_or(0)) + u128::from(length);
    let all = [
        (header.reserved, Violation::ReservedBit),
        (!is_known, Violation::ReservedOpcode(opcode)),
        (sender == Peer::Client && !header.masked, Violation::Unmasked),
        (sender == Peer::Upstream && header.masked, Violation::Masked),
        (is_known && header.is_control() && !header.fin, Violation::FragmentedControl),
        (is_known && header.is_control() && short > 125, Violation::LongControl),
        (header.length_is_there && !shortest, Violation::BadLength),
        // Of these the relay speaks when the header is whole.
        (header.size.is_some() && opcode == CONTINUATION && open.is_none(), Violation::StrayContinuation),
        (header.size.is_some() && is_data && opcode != CONTINUATION && open.is_some(), Violation::InterruptedMessage),
        (
            header.size.is_some() && is_data && sum > u128::from(max_message_bytes),
            Violation::MessageTooBig(max_message_bytes),
        ),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, offence)| offence).collect()
}

/// What section 7.4 and the registry that it founded have against a close frame.
fn close_offences(payload: &[u8]) -> Vec<Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Vec::new() } else { vec![Violation::ShortClose] };
    };
    let code = u16::from_be_bytes(*code);
    let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].contains(&code);
    let all = [
        (!registered && !(3000..5000).contains(&code), Violation::BadCloseCode(code)),
        (str::from_utf8(reason).is_err(), Violation::InvalidUtf8),
    ];
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, offence)| offence).collect()
}

/// A frame of an upstream.
pub fn encode(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(length as u8),
        length @ 126..0x1_0000 => bytes.extend([&[126][..], &(length as u16).to_be_bytes()].concat()),
        length => bytes.extend([&[127][..], &(length as u64).to_be_bytes()].concat()),
    }
    bytes.extend(payload);
    bytes
}
