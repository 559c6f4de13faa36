//! Drives a scan over a split stream as a pump does: what it cannot judge is offered again.

use fastwebsockets::OpCode;
use realtime_relay::relay::scan::{Kind, Scan, Step, Violation};
use realtime_relay::relay::tap::Tap;

use crate::wire::{BINARY, TEXT};

/// What a scan reported.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub messages: Vec<(u8, Vec<u8>)>,
    pub controls: Vec<(u8, Vec<u8>)>,
    pub frames: usize,
    /// Bytes that were judged legal.
    pub judged: usize,
    pub violation: Option<Violation>,
}

/// Scans a stream in these parts, shows its pieces to `tap`, and tells what came.
pub fn scan(mut scan: Scan, parts: &[&[u8]], tap: &mut impl Tap) -> Seen {
    let (mut seen, mut held) = (Seen::default(), Vec::new());
    for part in parts {
        held.extend_from_slice(part);
        let mut at = 0;
        loop {
            let (length, step) = match scan.step(&held[at..]) {
                Ok((_, Step::Starved)) => break,
                Ok(step) => step,
                Err(violation) => {
                    seen.violation = Some(violation);
                    return seen;
                }
            };
            match step {
                Step::Data(piece) => {
                    if piece.first {
                        seen.messages.push((if piece.kind == Kind::Text { TEXT } else { BINARY }, Vec::new()));
                    }
                    seen.messages.last_mut().unwrap().1.extend_from_slice(piece.payload);
                    seen.frames += usize::from(piece.frame_begins);
                    // As a judge asks it.
                    let is_whole = piece.kind == Kind::Text && piece.first && piece.last;
                    if !(is_whole && tap.passes_over(piece.payload)) {
                        tap.see(&piece);
                    }
                }
                Step::Control(control) => {
                    let key = control.mask.unwrap_or_default();
                    let payload = control.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
                    seen.controls.push((opcode(control.opcode), payload.collect()));
                    seen.frames += 1;
                }
                Step::Starved => unreachable!(),
            }
            at += length;
            seen.judged += length;
        }
        held.drain(..at);
        assert!(held.len() < realtime_relay::relay::scan::MAX_WITHHELD, "{} bytes are withheld", held.len());
    }
    seen
}

fn opcode(opcode: OpCode) -> u8 {
    opcode as u8
}
