//! The framed forwarder: whole frames go on, built anew; text is validated; nothing is kept that has not come.

use std::collections::HashSet;

use proptest::prelude::*;
use realtime_relay::relay::Peer;
use realtime_relay::relay::pump::{Boundary, Stop};
use realtime_relay::relay::scan::Violation;

use crate::frame::{MASK, decode, header};
use crate::pump::{Forwarder, Run, run_by, sink_sizes};
use crate::wire::{self, BINARY, CLOSE, CONTINUATION, Frame, PING, TEXT, frame};

fn run(sender: Peer, bytes: &[u8], reads: &[usize], sizes: &[usize]) -> Run {
    run_by(Forwarder::Framed, sender, u64::MAX, &[], &wire::split(bytes, reads), sizes)
}

/// All frames in what has gone on.
fn frames_of(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((length, frame)) = decode(bytes) {
        frames.push(frame);
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "half a frame has gone on: {bytes:?}");
    frames
}

/// Without their masks.
fn bare(frames: &[Frame]) -> Vec<Frame> {
    frames.iter().map(|frame| Frame { mask: None, ..frame.clone() }).collect()
}

fn is_invalid(run: &Run) -> bool {
    matches!(run.stop, Stop::Violation(Violation::InvalidUtf8))
}

proptest! {
    #[test]
    fn every_frame_goes_on_as_it_was_meant_under_a_mask_of_the_relays_own(
        frames in wire::legal_text_stream(), early in any::<prop::sample::Index>(), reads in wire::splits(), sizes in sink_sizes(), from_client in any::<bool>(),
    ) {
        let frames = [frames, vec![Frame::close(1014, "größe")]].concat();
        let bytes = wire::encode(&frames, from_client);
        let (early, rest) = bytes.split_at(early.index(bytes.len()));
        let sender = if from_client { Peer::Client } else { Peer::Upstream };
        let run = run_by(Forwarder::Framed, sender, u64::MAX, early, &wire::split(rest, &reads), &sizes);
        prop_assert!(matches!(run.stop, Stop::Close(1014)), "{:?}", run.stop);
        let sent = frames_of(&run.taken);
        prop_assert_eq!(bare(&sent), bare(&frames));
        prop_assert!(sent.iter().all(|frame| frame.mask.is_some() == from_client), "a mask where one belongs");
        prop_assert_eq!(run.flow.bytes.get(), bytes.len() as u64);
        prop_assert_eq!(run.flow.frames.get(), frames.len() as u64);
        prop_assert_eq!(run.pump.boundary(), Boundary::Message);
    }

    #[test]
    fn the_frames_before_a_text_that_is_none_go_on_and_nothing_of_it(
        frames in wire::legal_text_stream(), reads in wire::splits(), sizes in sink_sizes(), from_client in any::<bool>(),
    ) {
        let offence = [frames.clone(), vec![Frame::new(TEXT, b"\xffx"), Frame::close(1000, "")]].concat();
        let sender = if from_client { Peer::Client } else { Peer::Upstream };
        let run = run(sender, &wire::encode(&offence, from_client), &reads, &sizes);
        prop_assert!(is_invalid(&run), "{:?}", run.stop);
        prop_assert_eq!(bare(&frames_of(&run.taken)), bare(&frames));
        prop_assert_eq!(run.pump.boundary(), Boundary::Message);
    }
}

#[test]
fn masks_differ_from_frame_to_frame_and_are_not_the_clients() {
    let run = run(Peer::Client, &Frame::text("again").masked().bytes().repeat(100), &[usize::MAX], &[usize::MAX]);
    let masks: HashSet<_> = frames_of(&run.taken).iter().map(|frame| frame.mask.unwrap()).collect();
    assert!(masks.len() > 90 && !masks.contains(&MASK), "{} masks in 100 frames", masks.len());
}

#[test]
fn half_a_frame_does_not_go_on_and_the_sink_stands_before_it() {
    let whole = [frame(false, TEXT, "begun"), Frame::ping("between")];
    for (before, boundary) in [(&whole[..0], Boundary::Message), (&whole[..], Boundary::Frame)] {
        let opcode = if before.is_empty() { TEXT } else { CONTINUATION };
        let half = frame(true, opcode, vec![b'x'; 5000]).bytes();
        for length in [1, 3, 4, 5, 100, half.len() - 1] {
            let bytes = [&wire::encode(before, false)[..], &half[..length]].concat();
            let run = run(Peer::Upstream, &bytes, &[1], &[usize::MAX]);
            assert!(matches!(run.stop, Stop::SourceLost(None)), "{:?}", run.stop);
            assert_eq!(frames_of(&run.taken), before, "with {length} bytes of the next");
            assert_eq!(run.pump.boundary(), boundary);
            assert_eq!(run.flow.frames.get(), before.len() as u64);
        }
    }
}

#[test]
fn a_text_may_be_cut_inside_a_character_at_every_place() {
    let text = "größe €uro 𝄞";
    for cut in 0..=text.len() {
        let (front, back) = text.as_bytes().split_at(cut);
        let frames = [frame(false, TEXT, front), Frame::ping([0xff, 0xfe]), frame(true, CONTINUATION, back)];
        let run = run(Peer::Upstream, &wire::encode(&frames, false), &[1], &[usize::MAX]);
        assert!(matches!(run.stop, Stop::SourceLost(None)), "cut at {cut}: {:?}", run.stop);
        assert_eq!(frames_of(&run.taken), frames);
    }
}

#[test]
fn a_text_that_ends_inside_a_character_is_none() {
    let frames = [frame(false, TEXT, b"\xf0\x9d"), frame(false, CONTINUATION, b"\x84"), frame(true, CONTINUATION, b"")];
    let run = run(Peer::Upstream, &wire::encode(&frames, false), &[usize::MAX], &[usize::MAX]);
    assert!(is_invalid(&run), "{:?}", run.stop);
    assert_eq!(frames_of(&run.taken), &frames[..2]);
    assert_eq!(run.pump.boundary(), Boundary::Frame, "of the message something has gone on");
}

#[test]
fn an_offence_in_the_first_of_many_frames_leaves_no_message_open() {
    let run = run(Peer::Upstream, &frame(false, TEXT, b"\xc3\x28").bytes(), &[usize::MAX], &[usize::MAX]);
    assert!(is_invalid(&run), "{:?}", run.stop);
    assert_eq!((run.taken, run.pump.boundary()), (vec![], Boundary::Message));
}

#[test]
fn neither_binary_messages_nor_pings_need_be_text() {
    let frames = [frame(false, BINARY, b"\xff"), frame(true, CONTINUATION, b"\xfe"), frame(true, PING, b"\xfd")];
    let run = run(Peer::Upstream, &wire::encode(&frames, false), &[usize::MAX], &[usize::MAX]);
    assert_eq!(frames_of(&run.taken), frames);
}

#[test]
fn a_reason_to_close_that_is_no_text_does_not_go_on() {
    for sender in [Peer::Client, Peer::Upstream] {
        let close = wire::encode(&[frame(true, CLOSE, b"\x03\xe8\xc3")], sender == Peer::Client);
        let run = run(sender, &close, &[1], &[usize::MAX]);
        assert!(is_invalid(&run), "{:?}", run.stop);
        assert_eq!(run.taken, b"");
    }
}

#[test]
fn a_large_frame_goes_on_whole_whatever_its_neighbours_are() {
    let large = Frame::new(BINARY, (0..300_000_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    let frames = [Frame::text("before"), large.clone(), Frame::text("between"), large, Frame::text("behind")];
    for (sizes, reads) in [(vec![usize::MAX], usize::MAX), (vec![3, 0, 70_000], 50_000), (vec![0, 16_385], 300_003)] {
        let run = run(Peer::Client, &wire::encode(&frames, true), &[reads], &sizes);
        assert_eq!(bare(&frames_of(&run.taken)), frames);
    }
}

#[test]
fn a_frame_that_is_only_announced_is_no_frame() {
    let head = [header(true, TEXT, true, 24 << 20), MASK.to_vec(), b"x".to_vec()].concat();
    let run = run(Peer::Client, &head, &[usize::MAX], &[usize::MAX]);
    assert_eq!((run.taken, run.flow.frames.get()), (vec![], 0));
}
