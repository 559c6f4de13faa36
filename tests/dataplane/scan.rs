//! What the scan reports and rejects.

use proptest::prelude::*;
use realtime_relay::relay::Peer;
use realtime_relay::relay::scan::{Scan, Violation};
use realtime_relay::relay::tap::NoTap;

use crate::pieces::{self, Seen};
use crate::wire::{self, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};

const LIMIT: u64 = 1 << 20;

fn seen(sender: Peer, bytes: &[u8], sizes: &[usize]) -> Seen {
    pieces::scan(Scan::new(sender, LIMIT), &wire::split(bytes, sizes), &mut NoTap)
}

proptest! {
    #[test]
    fn any_split_of_any_legal_stream_is_reported_the_same(
        frames in wire::legal_stream(), sizes in wire::splits(), from_client in any::<bool>(),
    ) {
        let bytes = wire::encode(&frames, from_client);
        let seen = seen(if from_client { Peer::Client } else { Peer::Upstream }, &bytes, &sizes);
        prop_assert_eq!(seen.violation, None);
        prop_assert_eq!(seen.judged, bytes.len());
        prop_assert_eq!(seen.frames, frames.len());
        let controls: Vec<_> = frames.iter().filter(|f| f.opcode >= CLOSE).map(|f| (f.opcode, f.payload.clone())).collect();
        prop_assert_eq!(seen.controls, controls);
        if !from_client {
            prop_assert_eq!(seen.messages, wire::messages(&frames));
        }
    }

    #[test]
    fn never_panics_and_judges_the_same_however_noise_is_split(noise in prop::collection::vec(any::<u8>(), 0..400), sizes in wire::splits()) {
        for sender in [Peer::Client, Peer::Upstream] {
            prop_assert_eq!(seen(sender, &noise, &sizes), seen(sender, &noise, &[usize::MAX]));
        }
    }
}

/// A legal stream, then the offence; at every split of the two, what came before is reported and the offence is named.
fn rejects(sender: Peer, offence: &[u8], violation: Violation) {
    rejects_after(&[Frame::text("legal"), wire::frame(true, PING, "ping")], sender, offence, violation);
}

fn rejects_after(before: &[Frame], sender: Peer, offence: &[u8], violation: Violation) {
    let legal = wire::encode(before, sender == Peer::Client);
    let bytes = [&legal[..], offence].concat();
    for split in 1..=bytes.len() {
        let seen = seen(sender, &bytes, &[split, usize::MAX]);
        assert_eq!((seen.violation, seen.judged), (Some(violation), legal.len()), "split at {split}");
    }
}

#[test]
fn rejects_each_reserved_bit() {
    for bit in [0x40, 0x20, 0x10] {
        rejects(Peer::Upstream, &[0x81 | bit, 0], Violation::ReservedBit);
    }
}

#[test]
fn rejects_each_reserved_opcode() {
    for opcode in (3..8).chain(11..16) {
        rejects(Peer::Upstream, &[0x80 | opcode, 0], Violation::ReservedOpcode(opcode));
    }
}

#[test]
fn rejects_a_fragmented_control_frame() {
    for opcode in [CLOSE, PING, PONG] {
        rejects(Peer::Upstream, &[opcode, 0], Violation::FragmentedControl);
    }
}

#[test]
fn rejects_a_control_frame_over_125_bytes() {
    for opcode in [CLOSE, PING, PONG] {
        rejects(Peer::Upstream, &wire::frame(true, opcode, [b'x'; 126]).bytes(), Violation::LongControl);
    }
}

#[test]
fn rejects_an_unmasked_frame_of_a_client() {
    rejects(Peer::Client, &Frame::text("x").bytes(), Violation::Unmasked);
    rejects(Peer::Client, &wire::frame(true, PING, "x").bytes(), Violation::Unmasked);
}

#[test]
fn rejects_a_masked_frame_of_an_upstream() {
    rejects(Peer::Upstream, &Frame::text("x").masked().bytes(), Violation::Masked);
    rejects(Peer::Upstream, &Frame::close(1000, "").masked().bytes(), Violation::Masked);
}

#[test]
fn rejects_a_continuation_without_a_message() {
    rejects(Peer::Upstream, &wire::frame(true, CONTINUATION, "x").bytes(), Violation::StrayContinuation);
}

#[test]
fn rejects_a_new_message_inside_another() {
    let open = [wire::frame(false, TEXT, "half"), wire::frame(true, PING, "")];
    rejects_after(&open, Peer::Upstream, &Frame::text("x").bytes(), Violation::InterruptedMessage);
}

#[test]
fn rejects_a_length_that_is_not_in_its_shortest_form() {
    rejects(Peer::Upstream, &[0x81, 126, 0, 125], Violation::BadLength);
    rejects(Peer::Upstream, &[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::BadLength);
}

#[test]
fn rejects_a_length_with_the_top_bit_set() {
    rejects(Peer::Upstream, &[0x82, 127, 0x80, 0, 0, 0, 0, 1, 0, 0], Violation::BadLength);
}

#[test]
fn rejects_a_close_of_one_byte() {
    rejects(Peer::Client, &wire::frame(true, CLOSE, [3]).masked().bytes(), Violation::ShortClose);
}

#[test]
fn rejects_close_codes_that_may_not_be_sent_and_takes_those_that_may() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        rejects(Peer::Client, &Frame::close(code, "why").masked().bytes(), Violation::BadCloseCode(code));
    }
    for code in [1000, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 4000, 4999] {
        let bytes = wire::encode(&[Frame::close(code, "why")], true);
        let seen = seen(Peer::Client, &bytes, &[usize::MAX]);
        assert_eq!((seen.violation, seen.judged), (None, bytes.len()), "{code}");
    }
}

/// An upstream had cut its reason at 123 bytes, in the middle of a character: browsers and libraries that are told so see no
/// close at all.
#[test]
fn rejects_a_close_reason_that_is_not_utf8() {
    for cut in [&b"caf\xc3"[..], b"\xa9", b"\xed\xa0\x80"] {
        let close = wire::frame(true, CLOSE, [&1000_u16.to_be_bytes(), cut].concat());
        rejects(Peer::Upstream, &close.bytes(), Violation::InvalidUtf8);
        rejects(Peer::Client, &close.masked().bytes(), Violation::InvalidUtf8);
    }
    let whole = wire::encode(&[Frame::close(1000, &"é".repeat(61))], false);
    assert_eq!(seen(Peer::Upstream, &whole, &[usize::MAX]).violation, None);
}

#[test]
fn takes_a_message_of_the_limit_and_rejects_one_byte_more_in_whatever_frames() {
    let limit = usize::try_from(LIMIT).unwrap();
    let whole = wire::encode(&[Frame::text(vec![b'x'; limit])], false);
    assert_eq!(seen(Peer::Upstream, &whole, &[4096]).judged, whole.len());
    let header_of_more = &Frame::text(vec![b'x'; limit + 1]).bytes()[..10];
    rejects(Peer::Upstream, header_of_more, Violation::MessageTooBig(LIMIT));
    let open = [wire::frame(false, TEXT, vec![b'x'; 200])];
    let header_of_rest = &wire::frame(true, CONTINUATION, vec![b'x'; limit - 199]).bytes()[..10];
    rejects_after(&open, Peer::Upstream, header_of_rest, Violation::MessageTooBig(LIMIT));
}
