//! What a peer was sent, frame by frame, beside what the other one said: which of it went on, and what the relay put in.
//!
//! It refuses to know why anything is missing.

use realtime_relay::relay::Peer;
use serde_json::Value;

use crate::forwarder::{self, Forwarder};
use crate::frame::{CLOSE, Frame, PING, PONG, TEXT, decode, masked};
use crate::world::Outcome;

/// The length of the payload of the relay's own pings. Those of peers are longer.
const OWN_PING: usize = 8;

/// How what one peer said arrived at the other.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Frames of the sender that went on, its close frame not among them.
    pub frames: u64,
    /// Their bytes, and those of a frame that went on in part.
    pub bytes: u64,
    pub close: Option<Frame>,
    close_length: usize,
    /// The sender said this close frame, or the relay another that looks the same.
    close_is_theirs: bool,
    /// The code of the relay's own event.
    pub event: Option<String>,
    /// Responses that the relay cancelled.
    pub cancelled: Vec<String>,
    pub pings: u64,
    /// Where it stops.
    pub stops: Stops,
    /// Whole frames that could have gone on, and did not.
    pub missing: usize,
    /// They are part of a message of which no end was sent.
    pub missing_is_unfinished: bool,
    /// So many of the sender's frames are gone on or left out.
    pub next: usize,
}

/// Where a stream of frames stops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stops {
    #[default]
    BetweenMessages,
    BetweenFragments,
    InsideFrame,
}

impl Delivery {
    pub fn close_frames(&self) -> u64 {
        u64::from(self.close_is_theirs)
    }

    pub fn close_bytes(&self) -> u64 {
        if self.close_is_theirs { self.close_length as u64 } else { 0 }
    }
}

/// The whole frames in these bytes with their lengths, and what is left, be it a frame or not.
pub fn frames(mut bytes: &[u8]) -> (Vec<(usize, Frame)>, &[u8]) {
    let mut frames = Vec::new();
    let is_frame = |bytes: &[u8]| bytes.first().is_some_and(|first| first & 0x70 == 0);
    while is_frame(bytes)
        && let Some((length, frame)) = decode(bytes)
    {
        frames.push((length, frame));
        bytes = &bytes[length..];
    }
    (frames, bytes)
}

/// Compares what `to` was sent with what the other peer said.
pub fn deliver(link: &Outcome, to: Peer) -> Result<Delivery, String> {
    let (sink, source) = (link.of(to), link.of(other(to)));
    let (written, sent) = (sink.far.wire().written(), source.far.wire().sent.clone());
    let (said, rest_said) = frames(&sent[..source.legal]);
    let (heard, rest) = frames(&written);
    let mut last_ping = None;
    for (_, frame) in frames(&source.far.wire().written()).0 {
        if frame.opcode == PING && frame.payload.len() == OWN_PING {
            last_ping = Some(frame.payload);
        }
    }
    let mut delivery = Delivery::default();
    for (length, frame) in &heard {
        delivery.take(link, to, &said, *length, frame).map_err(|why| format!("to the {}: {why}", to.name()))?;
    }
    let said_close = said.last().filter(|(_, frame)| frame.opcode == CLOSE);
    if let (Some(close), Some((_, theirs))) = (&delivery.close, said_close) {
        delivery.close_is_theirs = close.payload == theirs.payload;
    }
    let anew = link.forwarder == Forwarder::Framed;
    delivery.take_rest(&said, rest_said, rest, anew).map_err(|why| format!("to the {}: {why}", to.name()))?;
    delivery.look_for_missing(&said);
    // Only the newest ping is known to be the one whose pong is taken out.
    if let Some(ping) = last_ping
        && heard.iter().any(|(_, frame)| frame.opcode == PONG && frame.payload == ping)
        && said.iter().filter(|(_, frame)| frame.opcode == PONG && frame.payload == ping).count() == 1
    {
        return Err(format!("the {} is sent the pong to a ping of the relay's", to.name()));
    }
    Ok(delivery)
}

impl Delivery {
    fn take(
        &mut self,
        link: &Outcome,
        to: Peer,
        said: &[(usize, Frame)],
        length: usize,
        frame: &Frame,
    ) -> Result<(), String> {
        if self.close.is_some() {
            return Err(format!("behind the close frame stands {frame}"));
        }
        if frame.mask.is_some() != (to == Peer::Upstream) {
            return Err(format!("a mask where none belongs, or none where one does: {frame}"));
        }
        if frame.opcode == CLOSE {
            self.close = Some(frame.clone());
            self.close_length = length;
            return Ok(());
        }
        if self.event.is_some() {
            return Err(format!("behind the relay's event stands {frame}"));
        }
        if self.takes_own(link, to, frame)? {
            return Ok(());
        }
        let same = |said: &Frame| (said.fin, said.opcode, &said.payload) == (frame.fin, frame.opcode, &frame.payload);
        while said.get(self.next).is_some_and(|(_, said)| is_own_pong(said) && !same(said)) {
            self.next += 1;
        }
        match said.get(self.next) {
            Some((_, said)) if same(said) => {}
            Some((_, said)) => return Err(format!("{frame} is sent in the place of {said}")),
            None => return Err(format!("{frame} is sent, which nobody said")),
        }
        self.next += 1;
        self.frames += 1;
        self.bytes += length as u64;
        if frame.opcode < CLOSE {
            self.stops = if frame.fin { Stops::BetweenMessages } else { Stops::BetweenFragments };
        }
        Ok(())
    }

    /// Whether the frame is of the relay's own making.
    fn takes_own(&mut self, link: &Outcome, to: Peer, frame: &Frame) -> Result<bool, String> {
        if frame.opcode == PING && frame.payload.len() == OWN_PING {
            self.pings += 1;
            return Ok(true);
        }
        let begins = |text: &[u8]| frame.opcode == TEXT && frame.payload.starts_with(text);
        let is_event = to == Peer::Client && begins(br#"{"type":"error""#);
        let is_cancel = to == Peer::Upstream && begins(br#"{"type":"response.cancel""#);
        if !is_event && !is_cancel {
            return Ok(false);
        }
        if self.stops != Stops::BetweenMessages {
            return Err(format!("inside a message stands {frame}"));
        }
        let event: Value = serde_json::from_slice(&frame.payload).map_err(|error| format!("{error}: {frame}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if is_cancel {
            let id = text(&event["response_id"]);
            if self.cancelled.contains(&id) {
                return Err(format!("{id} is cancelled twice"));
            }
            self.cancelled.push(id);
            return Ok(true);
        }
        if !text(&event["error"]["message"]).contains(&forwarder::request_id(link.link)) {
            return Err(format!("an event of another link: {frame}"));
        }
        self.event = Some(text(&event["error"]["code"]));
        Ok(true)
    }

    /// What arrived of a frame that did not arrive whole. `anew`: it was built anew, under another mask.
    fn take_rest(&mut self, said: &[(usize, Frame)], rest_said: &[u8], rest: &[u8], anew: bool) -> Result<(), String> {
        if rest.is_empty() {
            return Ok(());
        }
        self.stops = Stops::InsideFrame;
        if self.close.is_some() {
            return Err("behind the close frame stand bytes".to_owned());
        }
        while said.get(self.next).is_some_and(|(_, said)| is_own_pong(said)) {
            self.next += 1;
        }
        // Both peers may say the same at the end, and close frames are counted apart.
        let whole = match said.get(self.next) {
            Some((_, frame)) if frame.opcode == CLOSE => Vec::new(),
            Some((_, frame)) => frame.bytes(),
            None => rest_said.to_vec(),
        };
        if whole.starts_with(rest) || (anew && bare(&whole).starts_with(&bare(rest))) {
            self.frames += 1;
            self.bytes += rest.len() as u64;
            return Ok(());
        }
        // Frames of ours may be cut as well: text, close, ping.
        match rest[0] {
            0x81 | 0x88 | 0x89 => Ok(()),
            _ => Err(format!("{} bytes are sent that nobody said", rest.len())),
        }
    }

    fn look_for_missing(&mut self, said: &[(usize, Frame)]) {
        let missing: Vec<_> = said[self.next..]
            .iter()
            .map(|(_, frame)| frame)
            .filter(|said| said.opcode != CLOSE && !is_own_pong(said))
            .collect();
        let last_data = missing.iter().rev().find(|frame| frame.opcode < CLOSE);
        let whole_messages = missing.iter().filter(|frame| frame.opcode < CLOSE && frame.fin).count();
        self.missing_is_unfinished = last_data.is_some_and(|frame| !frame.fin) && whole_messages == 0;
        self.missing = missing.len();
    }
}

/// The front of a frame as if it had no mask.
fn bare(bytes: &[u8]) -> Vec<u8> {
    let [first, second, ..] = *bytes else { return bytes.to_vec() };
    let at = match second & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let (head, rest) = bytes.split_at(at.min(bytes.len()));
    let mut bare = [&[first, second & 0x7f], &head[2..]].concat();
    match rest.split_first_chunk() {
        _ if second & 0x80 == 0 => bare.extend(rest),
        Some((key, payload)) => bare.extend(masked(payload, *key)),
        None => {}
    }
    bare
}

/// The answer to a ping of the relay's.
fn is_own_pong(frame: &Frame) -> bool {
    frame.opcode == PONG && frame.payload.len() == OWN_PING
}

pub fn other(peer: Peer) -> Peer {
    if peer == Peer::Client { Peer::Upstream } else { Peer::Client }
}
