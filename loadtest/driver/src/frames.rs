//! The frames that are sent: one text message each, an event of the Realtime API as an audio session has them, of a
//! given size, with room for a time in it.
//!
//! They are made once. Only the time changes from one to the next.

use anyhow::{Context, bail, ensure};

/// Who sends a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Masks what it sends.
    Client,
    /// Does not.
    Upstream,
}

/// Digits of a time, in nanoseconds.
const TIME: usize = 16;
const HEX: &[u8; 16] = b"0123456789abcdef";
/// Any but zeros will do: the same each time, so that a frame need not be masked anew.
const MASK: [u8; 4] = [0x1b, 0x2c, 0x3d, 0x4e];
/// The first of the two bytes that every frame begins with: a whole text message.
const TEXT: u8 = 0x81;

/// Before the time, and behind it, up to the audio. A client's event begins with its id, because that is where a relay
/// that parses it and prints it again would put it.
const CLIENT: (&str, &str) = ("{\"event_id\":\"event_", "\",\"type\":\"input_audio_buffer.append\",\"audio\":\"");
const UPSTREAM: (&str, &str) = (
    "{\"type\":\"response.output_audio.delta\",\"event_id\":\"event_",
    "\",\"response_id\":\"resp_1\",\"item_id\":\"item_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"",
);

/// A frame, as it goes over the wire.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Vec<u8>,
    sender: Sender,
    /// Where the time stands, and where the payload begins.
    time_at: usize,
    payload_at: usize,
}

/// What tells that the length follows, in two bytes, and that a frame is masked (RFC 6455 section 5.2).
const LENGTH_FOLLOWS: u8 = 0x7e;
const MASKED: u8 = 0x80;

impl Frame {
    /// A frame with a payload of this many bytes.
    pub fn new(sender: Sender, payload: usize) -> anyhow::Result<Self> {
        let (before, behind) = if sender == Sender::Client { CLIENT } else { UPSTREAM };
        let least = before.len() + TIME + behind.len() + 2;
        // With two bytes for its length.
        let length = u16::try_from(payload).ok().filter(|_| payload >= least);
        let mut bytes = header(sender, length.with_context(|| format!("a payload has {least} to 65535 bytes"))?);
        let (payload_at, time_at) = (bytes.len(), bytes.len() + before.len());
        bytes.extend_from_slice(before.as_bytes());
        bytes.extend_from_slice(&[b'0'; TIME]);
        bytes.extend_from_slice(behind.as_bytes());
        bytes.resize(payload_at + payload - 2, b'A');
        bytes.extend_from_slice(b"\"}");
        if sender == Sender::Client {
            mask(&mut bytes[payload_at..], MASK, 0);
        }
        Ok(Self { bytes, sender, time_at, payload_at })
    }

    /// The frame with a time in it.
    pub fn at(&mut self, time: u64) -> &[u8] {
        let digits = &mut self.bytes[self.time_at..self.time_at + TIME];
        for (place, byte) in time.to_be_bytes().into_iter().enumerate() {
            let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
            (digits[2 * place], digits[2 * place + 1]) = (high, low);
        }
        if self.sender == Sender::Client {
            mask(digits, MASK, self.time_at - self.payload_at);
        }
        &self.bytes
    }

    /// The time in a frame like this one that has arrived. What is no such frame is an error.
    pub fn time_of(&self, frame: &[u8]) -> anyhow::Result<u64> {
        // Whoever passes frames on may mask them anew.
        let same_header = frame[..self.payload_at.min(4)] == self.bytes[..self.payload_at.min(4)];
        ensure!(same_header, "another frame has arrived than was sent: it begins with {:02x?}", &frame[..8]);
        let mut digits: [u8; TIME] = frame[self.time_at..self.time_at + TIME].try_into().expect("as long");
        if self.sender == Sender::Client {
            let key = frame[4..8].try_into().expect("four bytes");
            mask(&mut digits, key, self.time_at - self.payload_at);
        }
        match std::str::from_utf8(&digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok()) {
            Some(time) => Ok(time),
            None => bail!("a frame has arrived without its time: {digits:02x?}"),
        }
    }

    /// As it is.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Many of them, one behind the other: at least this many bytes.
    pub fn repeated(&self, bytes: usize) -> Vec<u8> {
        self.bytes.repeat(bytes.div_ceil(self.bytes.len()))
    }
}

/// A short text message.
pub fn text(sender: Sender, text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < LENGTH_FOLLOWS).expect("a short text");
    if sender == Sender::Upstream {
        return [&[TEXT, length], text.as_bytes()].concat();
    }
    let mut payload = text.as_bytes().to_vec();
    mask(&mut payload, MASK, 0);
    [&[TEXT, MASKED | length], &MASK[..], &payload].concat()
}

/// How long the header and the payload are of the frame that begins here, which is not masked; `None`: it is not known yet.
pub fn size(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = |at: std::ops::Range<usize>| {
        bytes.get(at).map(|length| length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    match bytes.get(1)? {
        0x7e => Some((4, length(2..4)?)),
        0x7f => Some((10, length(2..10)?)),
        short => Some((2, usize::from(*short))),
    }
}

/// A close frame with the code 1000.
pub fn close(sender: Sender) -> Vec<u8> {
    let mut payload = [0x03, 0xe8];
    if sender == Sender::Upstream {
        return [&[0x88, 2], &payload[..]].concat();
    }
    mask(&mut payload, MASK, 0);
    [&[0x88, 0x82], &MASK[..], &payload[..]].concat()
}

fn header(sender: Sender, length: u16) -> Vec<u8> {
    let masked = sender == Sender::Client;
    let mut header = vec![TEXT, if masked { MASKED | LENGTH_FOLLOWS } else { LENGTH_FOLLOWS }];
    header.extend_from_slice(&length.to_be_bytes());
    if masked {
        header.extend_from_slice(&MASK);
    }
    header
}

fn mask(bytes: &mut [u8], key: [u8; 4], place: usize) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte ^= key[(place + at) % 4];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_from_the_frame_that_carries_it() {
        for sender in [Sender::Client, Sender::Upstream] {
            let mut sent = Frame::new(sender, 1300).unwrap();
            let received = sent.at(1_234_567_890_123).to_vec();
            assert_eq!(Frame::new(sender, 1300).unwrap().time_of(&received).unwrap(), 1_234_567_890_123);
        }
    }

    #[test]
    fn another_frame_than_was_sent_is_an_error() {
        let frame = Frame::new(Sender::Upstream, 1300).unwrap();
        let mut other = frame.bytes().to_vec();
        other[0] = 0x88;
        assert!(frame.time_of(&other).is_err());
    }

    #[test]
    fn a_frame_is_an_event_in_json_of_the_size_asked_for() {
        let frame = Frame::new(Sender::Upstream, 200).unwrap();
        let payload = &frame.bytes()[frame.payload_at..];
        assert_eq!(payload.len(), 200);
        let event: serde_json::Value = serde_json::from_slice(payload).unwrap();
        assert_eq!(event["type"], "response.output_audio.delta");
    }
}
