//! The pump between a source that delivers in any pieces and a sink that takes in any pieces.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;
use realtime_relay::relay::Peer;
use realtime_relay::relay::pump::{Boundary, Flow, Stop};
use realtime_relay::relay::scan::{Scan, Violation};
use realtime_relay::relay::tap::NoTap;
use realtime_relay::relay::verbatim::Pump;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::{self, Frame, TEXT};

/// Delivers its parts one a read, then ends.
struct Source(VecDeque<Vec<u8>>);

impl AsyncRead for Source {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut part) = self.0.pop_front() {
            let rest = part.split_off(part.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes these sizes, over and over; 0 is a moment when it takes nothing.
struct Sink {
    taken: Vec<u8>,
    sizes: Vec<usize>,
    turn: usize,
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let size = self.sizes[self.turn % self.sizes.len()].min(bytes.len());
        self.turn += 1;
        if size == 0 {
            return Poll::Pending;
        }
        self.taken.extend_from_slice(&bytes[..size]);
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub struct Run {
    pub pump: Pump,
    pub flow: Rc<Flow>,
    pub taken: Vec<u8>,
    pub stop: Stop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarder {
    Verbatim,
    Framed,
}

const BOTH: [Forwarder; 2] = [Forwarder::Verbatim, Forwarder::Framed];

fn run(sender: Peer, limit: u64, early: &[u8], parts: &[&[u8]], sizes: &[usize]) -> Run {
    run_by(Forwarder::Verbatim, sender, limit, early, parts, sizes)
}

fn pump(forwarder: Forwarder, sender: Peer, limit: u64, early: &[u8], flow: Rc<Flow>) -> Pump {
    let pump = Pump::new(Scan::new(sender, limit), Bytes::copy_from_slice(early), flow);
    if forwarder == Forwarder::Framed { pump.framed() } else { pump }
}

/// Pumps until nothing more goes on, then flushes.
pub fn run_by(forwarder: Forwarder, sender: Peer, limit: u64, early: &[u8], parts: &[&[u8]], sizes: &[usize]) -> Run {
    let flow = Rc::new(Flow::default());
    let mut pump = pump(forwarder, sender, limit, early, flow.clone());
    let mut source = Source(parts.iter().map(|part| part.to_vec()).collect());
    let mut sink = Sink { taken: Vec::new(), sizes: sizes.to_vec(), turn: 0 };
    let mut cx = Context::from_waker(Waker::noop());
    let stop = loop {
        if let Poll::Ready(stop) = pump.poll_pass(&mut cx, &mut source, &mut sink, &mut NoTap) {
            break stop;
        }
    };
    if let Stop::Close(_) = stop {
        pump.pass_close();
    }
    while pump.poll_flush(&mut cx, &mut sink).is_pending() {}
    Run { pump, flow, taken: sink.taken, stop }
}

/// A sink that takes anything now and then, also nothing.
pub fn sink_sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..5000_usize, 1..5).prop_map(|mut sizes| {
        sizes.push(7);
        sizes
    })
}

proptest! {
    #[test]
    fn bytes_out_are_bytes_in(
        frames in wire::legal_stream(), early in any::<prop::sample::Index>(), reads in wire::splits(), sizes in sink_sizes(), from_client in any::<bool>(),
    ) {
        let frames = [frames, vec![Frame::close(4321, "done")]].concat();
        let bytes = wire::encode(&frames, from_client);
        let (early, rest) = bytes.split_at(early.index(bytes.len()));
        let sender = if from_client { Peer::Client } else { Peer::Upstream };
        let run = run(sender, u64::MAX, early, &wire::split(rest, &reads), &sizes);
        prop_assert!(matches!(run.stop, Stop::Close(4321)), "{:?}", run.stop);
        prop_assert!(run.taken == bytes, "{} bytes went on of {}", run.taken.len(), bytes.len());
        prop_assert_eq!(run.flow.bytes.get(), bytes.len() as u64);
        prop_assert_eq!(run.flow.frames.get(), frames.len() as u64);
        prop_assert_eq!(run.pump.boundary(), Boundary::Message);
    }

    #[test]
    fn what_stands_before_an_offence_goes_on_and_nothing_of_it(
        frames in wire::legal_text_stream(), reads in wire::splits(), sizes in sink_sizes(), forwarder in prop::sample::select(&BOTH),
    ) {
        let legal = wire::encode(&frames, false);
        let bytes = [&legal[..], &[0xf1, 0x00, 0x00]].concat();
        let run = run_by(forwarder, Peer::Upstream, u64::MAX, &[], &wire::split(&bytes, &reads), &sizes);
        prop_assert!(matches!(run.stop, Stop::Violation(Violation::ReservedBit)), "{:?}", run.stop);
        prop_assert!(run.taken == legal);
        prop_assert_eq!(run.pump.boundary(), Boundary::Message);
    }

    #[test]
    fn nothing_goes_on_behind_a_close_frame(
        reads in wire::splits(), sizes in sink_sizes(), forwarder in prop::sample::select(&BOTH),
    ) {
        let close = wire::encode(&[Frame::close(1000, "")], false);
        let bytes = [&close[..], &Frame::text("too late").bytes()].concat();
        let run = run_by(forwarder, Peer::Upstream, u64::MAX, &[], &wire::split(&bytes, &reads), &sizes);
        prop_assert_eq!(run.taken, close);
    }
}

#[test]
fn forwards_a_frame_before_it_ends() {
    let bytes = Frame::text(vec![b'x'; 5000]).bytes();
    let run = run(Peer::Upstream, u64::MAX, &[], &[&bytes[..100]], &[usize::MAX]);
    assert!(matches!(run.stop, Stop::SourceLost(None)));
    assert_eq!(run.taken, &bytes[..100]);
    assert_eq!(run.pump.boundary(), Boundary::Inside);
}

#[test]
fn withholds_half_a_header_and_half_a_control_frame() {
    let header = Frame::text(vec![b'x'; 70_000]).bytes();
    let ping = wire::frame(true, wire::PING, [b'p'; 100]).bytes();
    for half in [&header[..9], &ping[..101]] {
        for forwarder in BOTH {
            let run = run_by(forwarder, Peer::Upstream, u64::MAX, &[], &[half], &[usize::MAX]);
            assert_eq!(run.taken, b"");
            assert_eq!(run.pump.boundary(), Boundary::Message);
        }
    }
}

#[test]
fn knows_the_boundary_between_two_frames_of_a_message() {
    let half = wire::frame(false, TEXT, "half").bytes();
    for forwarder in BOTH {
        let run = run_by(forwarder, Peer::Upstream, u64::MAX, &[], &[&half], &[usize::MAX]);
        assert_eq!(run.pump.boundary(), Boundary::Frame);
    }
}

#[test]
fn finishes_the_message_under_way_and_stops_there() {
    let frames = [wire::frame(false, TEXT, "a"), wire::frame(true, 0, "b"), Frame::text("c")];
    let bytes = wire::encode(&frames, false);
    let whole = wire::encode(&frames[..2], false).len();
    for (forwarder, split) in BOTH.into_iter().flat_map(|forwarder| (2..whole).map(move |split| (forwarder, split))) {
        let mut sink = Sink { taken: Vec::new(), sizes: vec![usize::MAX], turn: 0 };
        let mut cx = Context::from_waker(Waker::noop());
        let mut pump = pump(forwarder, Peer::Upstream, u64::MAX, &[], Rc::default());
        let mut source = Source([bytes[..split].to_vec()].into());
        let stop = pump.poll_pass(&mut cx, &mut Once(&mut source), &mut sink, &mut NoTap);
        assert!(stop.is_pending());
        pump.finish_message();
        source.0.push_back(bytes[split..].to_vec());
        assert!(matches!(pump.poll_pass(&mut cx, &mut source, &mut sink, &mut NoTap), Poll::Ready(Stop::MessageEnded)));
        assert_eq!(sink.taken, &bytes[..whole], "{forwarder:?}, read in two at {split}");
        assert_eq!(pump.boundary(), Boundary::Message);
    }
}

/// A source that has no more for now, where [`Source`] would end.
struct Once<'s>(&'s mut Source);

impl AsyncRead for Once<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.0.is_empty() { Poll::Pending } else { Pin::new(&mut *self.0).poll_read(cx, buffer) }
    }
}
