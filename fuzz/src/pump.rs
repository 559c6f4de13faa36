//! The pump between a source that delivers in any pieces and a sink that takes in any pieces: out comes the legal front of
//! what went in, byte for byte, and nothing behind a close frame.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use realtime_relay::relay::events::Event;
use realtime_relay::relay::pump::{Boundary, Flow, Stop};
use realtime_relay::relay::scan::Scan;
use realtime_relay::relay::tap::{EventTap, NoTap, Tap};
use realtime_relay::relay::verbatim::Pump;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{self, CLOSE, Frame};
use super::input::Recipe;
use super::scan::{limit, sender};

/// Holds the claim against these bytes. Flag 2: a tap holds what may use something. Flag 3: a part has been read before.
pub fn holds(input: &[u8]) {
    let Some((recipe, stream)) = Recipe::of(input) else { return };
    let run = if recipe.flag(2) {
        run(&recipe, stream, &mut EventTap::new(|_: Event| ()).holding())
    } else {
        run(&recipe, stream, &mut NoTap)
    };
    let parsed = frames::parse(stream, sender(&recipe), limit(&recipe));
    let close = parsed.frames.iter().position(|frame| frame.opcode == CLOSE);
    let legal = &stream[..close.map_or(parsed.legal, |close| parsed.frames[close].end)];
    match (&run.stop, close) {
        (Stop::Close(_), Some(_)) => {}
        (Stop::Violation(violation), None) => assert!(parsed.offences.contains(violation), "{violation:?}"),
        (Stop::SourceLost(None), None) => assert_eq!(parsed.offences, []),
        (stop, close) => panic!("{stop:?}, though the close frame is {close:?}"),
    }
    if recipe.flag(2) {
        // Of a message that is held and never ends nothing goes on, nor does what stood between its frames.
        let (before, last) = legal.split_at(close.map_or(legal.len(), |close| begin_of(&parsed.frames, close)));
        let taken = run.taken.strip_suffix(last).expect("the close frame goes on");
        assert!(before.starts_with(taken), "{} bytes went on", taken.len());
        let unfinished =
            frames::parse(before, sender(&recipe), limit(&recipe)).messages().iter().any(|message| !message.2);
        assert!(taken.len() == before.len() || unfinished);
    } else {
        assert!(run.taken == legal, "{} bytes went on of {}", run.taken.len(), legal.len());
        assert_eq!(run.flow.bytes.get(), legal.len() as u64);
        let frames = close.map_or(parsed.frames.len(), |close| close + 1);
        assert_eq!(run.flow.frames.get(), frames as u64);
    }
    let ends_whole = parsed.frames.last().is_none_or(|frame| frame.is_whole) || close.is_some();
    assert!(run.boundary != Boundary::Inside || !ends_whole);
}

fn begin_of(frames: &[Frame], number: usize) -> usize {
    number.checked_sub(1).map_or(0, |before| frames[before].end)
}

struct Run {
    flow: Rc<Flow>,
    taken: Vec<u8>,
    stop: Stop,
    boundary: Boundary,
}

/// Pumps until nothing more goes on, then flushes.
fn run(recipe: &Recipe, stream: &[u8], tap: &mut impl Tap) -> Run {
    let flow = Rc::new(Flow::default());
    let (early, rest) = stream.split_at(if recipe.flag(3) { stream.len() / 3 } else { 0 });
    let mut pump = Pump::new(Scan::new(sender(recipe), limit(recipe)), Bytes::copy_from_slice(early), flow.clone());
    let mut source = Source { parts: recipe.cut(rest).into_iter().map(<[u8]>::to_vec).collect(), rests: false };
    let mut sink = Sink { taken: Vec::new(), sizes: Box::new(recipe.sizes()) };
    let mut cx = Context::from_waker(Waker::noop());
    // A poll moves a byte, or the next one does.
    let mut polls = 8 * stream.len() + 64;
    let stop = loop {
        polls = polls.checked_sub(1).expect("the pump moves");
        if let Poll::Ready(stop) = pump.poll_pass(&mut cx, &mut source, &mut sink, tap) {
            break stop;
        }
    };
    if let Stop::Close(_) = stop {
        pump.pass_close();
    }
    while pump.poll_flush(&mut cx, &mut sink).is_pending() {
        polls = polls.checked_sub(1).expect("the pump flushes");
    }
    Run { flow, taken: sink.taken, stop, boundary: pump.boundary() }
}

/// Delivers its parts one a read, with a rest after each, then ends.
struct Source {
    parts: VecDeque<Vec<u8>>,
    rests: bool,
}

impl AsyncRead for Source {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.rests = !self.rests;
        if self.rests {
            return Poll::Pending;
        }
        if let Some(mut part) = self.parts.pop_front() {
            let rest = part.split_off(part.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            if !rest.is_empty() {
                self.parts.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes these sizes; 0 is a moment when it takes nothing.
struct Sink {
    taken: Vec<u8>,
    sizes: Box<dyn Iterator<Item = usize>>,
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let size = self.sizes.next().unwrap_or(usize::MAX).min(bytes.len());
        if size == 0 && !bytes.is_empty() {
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
