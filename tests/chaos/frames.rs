//! What peers say: messages like those of the Realtime API and others, whole and in fragments, with control frames in
//! between; and what they must not say.
//!
//! It refuses to know time and streams: frames come out, and bytes that are no legal frame.

use std::time::Duration;

use fastrand::Rng;
use realtime_relay::relay::Peer;
use serde_json::json;

use crate::frame::{BINARY, Frame, TEXT, header};

/// The largest message of a simulated link.
pub const MAX_MESSAGE: u64 = 96 << 10;

/// Some peer's way to speak.
pub struct Speaker {
    peer: Peer,
    /// Makes what it says unlike what anybody else says.
    name: String,
    said: usize,
    /// Responses that it has begun and not ended.
    open: Vec<String>,
}

impl Speaker {
    pub fn new(peer: Peer, link: usize) -> Self {
        Self { peer, name: format!("{link}.{}", peer.name()), said: 0, open: Vec::new() }
    }

    /// The frames of one more message, with control frames among them.
    pub fn message(&mut self, rng: &mut Rng) -> Vec<Frame> {
        self.said += 1;
        let (opcode, payload) = self.payload(rng);
        let mut cuts: Vec<usize> = match rng.u8(..5) {
            0 => (0..rng.usize(1..4)).map(|_| rng.usize(..=payload.len())).collect(),
            _ => Vec::new(),
        };
        cuts.push(payload.len());
        cuts.sort_unstable();
        let (mut frames, mut at) = (Vec::new(), 0);
        for (n, cut) in cuts.iter().enumerate() {
            let part = &payload[at..*cut];
            let frame = if n == 0 { Frame::new(opcode, part) } else { Frame::continuation(part) };
            frames.push(if n + 1 == cuts.len() { frame } else { frame.more() });
            at = *cut;
            if rng.u8(..6) == 0 {
                frames.push(self.control(rng));
            }
        }
        frames
    }

    /// A close frame of its own.
    pub fn close(&self, rng: &mut Rng) -> Frame {
        match rng.u8(..4) {
            0 => Frame::new(crate::frame::CLOSE, []),
            1 => Frame::close(1001, &format!("{} goes", self.name)),
            2 => Frame::close(rng.u16(3000..5000), &format!("{} has had enough", self.name)),
            _ => Frame::close(1000, &format!("{} is done", self.name)),
        }
    }

    /// Bytes that begin a message over the limit: the header is enough, but some of the payload follows.
    pub fn too_big(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = header(true, BINARY, self.peer == Peer::Client, MAX_MESSAGE + 1 + rng.u64(..1 << 40));
        bytes.extend((0..rng.usize(4..600)).map(|n| n.to_le_bytes()[0]));
        bytes
    }

    /// Bytes that no legal frame begins with, if `in_message` tells rightly whether a message is under way.
    pub fn illegal(&self, rng: &mut Rng, in_message: bool) -> Vec<u8> {
        let masked = self.peer == Peer::Client;
        let legal = |frame: Frame| if masked { frame.masked() } else { frame };
        let mut bytes = match rng.u8(..8) {
            0 => {
                let mut bytes = legal(Frame::text("reserved")).bytes();
                bytes[0] |= 0x10 << rng.u8(..3);
                bytes
            }
            1 => legal(Frame::new([3, 7, 11, 15][rng.usize(..4)], "an opcode")).bytes(),
            2 => legal(Frame::ping("in parts").more()).bytes(),
            3 => legal(Frame::ping([7; 126])).bytes(),
            // The other side masks, or does not.
            4 if masked => Frame::text("bare").bytes(),
            4 => Frame::text("masked").masked().bytes(),
            5 if in_message => legal(Frame::text("in another")).bytes(),
            5 => legal(Frame::continuation("of nothing")).bytes(),
            6 => legal(Frame::close([999, 1005, 1006, 1015, 2999, 5000][rng.usize(..6)], "")).bytes(),
            _ => [0x82, if masked { 0xfe } else { 0x7e }, 0, rng.u8(..126), 1, 2, 3, 4].to_vec(),
        };
        // What stands behind it must not matter.
        bytes.extend(legal(Frame::text("behind it")).bytes());
        bytes
    }

    /// The frame that ends this response.
    pub fn done(rng: &mut Rng, id: &str, status: &str) -> Frame {
        let (input, output) = (rng.u32(..5000), rng.u32(..5000));
        let usage = json!({ "total_tokens": input + output, "input_tokens": input, "output_tokens": output });
        let response = json!({ "object": "realtime.response", "id": id, "status": status, "usage": usage });
        Frame::text(match rng.u8(..4) {
            0 => format!(r#"{{ "event_id": "event_{id}", "type": "response.done", "response": {response} }}"#),
            1 => format!(r#"{{"response":{response},"type":"response.done"}}"#),
            2 => format!(r#"{{"type":"response.d\u006fne","response":{response}}}"#),
            _ => format!(r#"{{"type":"response.done","response":{response}}}"#),
        })
    }

    fn payload(&mut self, rng: &mut Rng) -> (u8, Vec<u8>) {
        let size = match rng.u8(..40) {
            0 => rng.usize(65_530..65_545),
            1..=4 => rng.usize(1000..9000),
            5..=9 => rng.usize(110..140),
            10 => 0,
            _ => rng.usize(..200),
        };
        let (name, said) = (&self.name, self.said);
        if rng.u8(..8) == 0 {
            return (BINARY, (0..size).map(|_| rng.u8(..)).collect());
        }
        if self.peer == Peer::Upstream && rng.u8(..5) < 2 {
            return (TEXT, self.turn(rng));
        }
        let event = if self.peer == Peer::Client { "input_audio_buffer.append" } else { "response.output_audio.delta" };
        let audio = "A".repeat(size);
        let text = format!(r#"{{"type":"{event}","event_id":"{name}.{said}","audio":"{audio}"}}"#);
        (TEXT, text.into_bytes())
    }

    /// A response begins, or one ends.
    fn turn(&mut self, rng: &mut Rng) -> Vec<u8> {
        if self.open.is_empty() || rng.bool() {
            let id = format!("resp_{}_{}", self.name, self.said);
            self.open.push(id.clone());
            return format!(r#"{{"type":"response.created","response":{{"id":"{id}"}}}}"#).into_bytes();
        }
        let id = self.open.swap_remove(rng.usize(..self.open.len()));
        Self::done(rng, &id, "completed").payload
    }

    fn control(&self, rng: &mut Rng) -> Frame {
        // Never as long as the relay's own.
        let payload = format!("{}.{} says this", self.name, self.said);
        if rng.bool() { Frame::ping(payload) } else { Frame::pong(payload) }
    }
}

/// A moment, up to this.
pub fn moment(rng: &mut Rng, most: Duration) -> Duration {
    most.mul_f64(rng.f64())
}
