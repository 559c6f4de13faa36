//! Builds streams of frames, independently of the code under test.

use proptest::prelude::*;

pub use crate::frame::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};

/// A frame, the last of its message or not.
pub fn frame(fin: bool, opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame { fin, ..Frame::new(opcode, payload) }
}

/// The bytes of these frames as a client (masked) or an upstream sends them.
pub fn encode(frames: &[Frame], masked: bool) -> Vec<u8> {
    let keys = (0_u32..).map(|n| masked.then(|| (n.wrapping_mul(0x9E37_79B9) ^ 0x5bd1_e995).to_be_bytes()));
    frames.iter().zip(keys).flat_map(|(frame, mask)| Frame { mask, ..frame.clone() }.bytes()).collect()
}

/// The whole data messages in a list of frames.
pub fn messages(frames: &[Frame]) -> Vec<(u8, Vec<u8>)> {
    let mut messages = Vec::<(u8, Vec<u8>)>::new();
    for frame in frames.iter().filter(|frame| frame.opcode < CLOSE) {
        if frame.opcode != CONTINUATION {
            messages.push((frame.opcode, Vec::new()));
        }
        messages.last_mut().unwrap().1.extend(&frame.payload);
    }
    messages
}

/// A message cut into frames, with control frames between them.
pub fn fragmented(payload: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<Frame>> {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    let controls = prop::collection::vec((prop::bool::ANY, prop::collection::vec(any::<u8>(), 0..=125)), 0..3);
    (payload, prop_oneof![Just(TEXT), Just(BINARY)], cuts, controls).prop_map(|(payload, kind, cuts, controls)| {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).chain([payload.len()]).collect();
        cuts.sort_unstable();
        let mut controls = controls.into_iter();
        let (mut frames, mut at) = (Vec::new(), 0);
        for (n, cut) in cuts.iter().enumerate() {
            let opcode = if n == 0 { kind } else { CONTINUATION };
            frames.push(frame(n + 1 == cuts.len(), opcode, &payload[at..*cut]));
            at = *cut;
            let control = controls.next().map(|(ping, payload)| frame(true, if ping { PING } else { PONG }, payload));
            frames.extend(control);
        }
        frames
    })
}

/// Any legal stream of a few messages, without its close frame.
pub fn legal_stream() -> impl Strategy<Value = Vec<Frame>> {
    let sizes = prop_oneof![0..4_usize, 124..128_usize, 0..2000_usize, 65534..65538_usize];
    let payload = (sizes, any::<u8>()).prop_map(|(size, seed)| {
        (0..size).map(|n| seed.wrapping_add(u8::try_from(n % 251).unwrap())).collect::<Vec<u8>>()
    });
    prop::collection::vec(fragmented(payload), 0..6).prop_map(|messages| messages.concat())
}

/// Any legal stream whose texts are UTF-8, though its frames may cut them anywhere.
pub fn legal_text_stream() -> impl Strategy<Value = Vec<Frame>> {
    let sizes = prop_oneof![0..40_usize, 120..128_usize, 0..2000_usize, 16_380..16_400_usize, 65_530..65_540_usize];
    let payload = (sizes, any::<u8>()).prop_map(|(size, first)| {
        let characters = ["a", "ö", "€", "𝄞", "\u{10ffff}"].into_iter().cycle().skip(usize::from(first % 5));
        let mut text: Vec<u8> = characters.flat_map(str::bytes).take(size).collect();
        // What was cut off of the last character.
        let whole = String::from_utf8_lossy(&text).trim_end_matches('\u{fffd}').len();
        text.truncate(whole);
        text
    });
    prop::collection::vec(fragmented(payload), 0..6).prop_map(|messages| messages.concat())
}

/// Sizes into which a stream is cut; used over and over.
pub fn splits() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), prop::collection::vec(1..300_usize, 1..8)]
}

/// `bytes`, cut as `sizes` say.
pub fn split<'b>(mut bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let mut sizes = sizes.iter().cycle();
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(bytes.len().min(*sizes.next().unwrap()));
        parts.push(part);
        bytes = rest;
    }
    parts
}
