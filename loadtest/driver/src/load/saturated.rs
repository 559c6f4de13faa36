//! As much as goes through: as soon as some has arrived, as much more is sent.
//!
//! What is under way on a link is bounded ([`Span::under_way`]). Without that, tens of megabytes lie in the sockets'
//! buffers, and what is measured is how fast any program can copy from memory that is in no cache.

use std::time::{Duration, Instant};

use rustix::event::epoll::Event;

use super::{Figures, Phase, Span, Watch};
use crate::account::Account;
use crate::conn::Stream;
use crate::end::Fate;
use crate::frames::{Frame, Sender};
use crate::rig::{Rig, number_of};

/// Made ready to be sent, over and over.
const STOCK: usize = 512 << 10;
/// A window may become so many times as long until the proxy has run for long enough.
const PATIENCE: u32 = 20;
/// When a window is over, and the proxy has not: the driver has other things to do.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// A quarter of what may be under way is worth a call.
const WORTH: usize = 4;

/// Both directions of all links. What belongs to clients stands first where there are two of something.
struct Flood {
    stocks: [Vec<u8>; 2],
    /// By the number of the end.
    others: Vec<Option<usize>>,
    sending: Vec<Sending>,
    /// So many bytes are worth a call.
    worth: usize,
    /// Bytes that have arrived from each side.
    arrived: [u64; 2],
}

/// How far a sender is.
#[derive(Debug, Clone, Copy, Default)]
struct Sending {
    /// How much of the stock it has sent.
    at: usize,
    /// How much more it may send.
    credit: usize,
}

/// Saturates all links with frames that have a payload of this many bytes, sent by these.
pub fn run(
    rig: &mut Rig,
    account: &Account,
    senders: &[Sender],
    payload: usize,
    span: Span,
) -> anyhow::Result<Figures> {
    let frames = [Frame::new(Sender::Client, payload)?, Frame::new(Sender::Upstream, payload)?];
    let mut flood = Flood {
        stocks: frames.each_ref().map(|frame| frame.repeated(STOCK)),
        others: rig.others(),
        sending: vec![Sending::default(); rig.ends.len()],
        worth: span.under_way / WORTH,
        arrived: [0; 2],
    };
    let mut watch = Watch::start(account, span);
    let deadline = Instant::now() + (span.warm_up + span.window) * PATIENCE;
    let busy: Vec<_> = senders.iter().flat_map(|&sender| rig.busy(sender)).collect();
    for number in busy {
        flood.sending[number].credit = span.under_way;
        flood.send(rig, number)?;
    }
    let (mut events, mut look_again) = (Vec::new(), Instant::now());
    loop {
        match watch.look()? {
            Phase::Begins => flood.arrived = [0; 2],
            Phase::Over if Instant::now() >= look_again => {
                if watch.has_run()? {
                    break;
                }
                look_again = Instant::now() + LOOK_AGAIN;
                let in_time = Instant::now() < deadline;
                anyhow::ensure!(in_time, "the proxy did not get its core: does something else use it?");
            }
            Phase::Goes | Phase::Over => {}
        }
        rig.poll(&mut events)?;
        for event in &events {
            flood.take(rig, event)?;
        }
    }
    let arrived = frames.iter().zip(flood.arrived).map(|(frame, bytes)| bytes / frame.bytes().len() as u64).sum();
    let mut figures = watch.stop(arrived)?.figures("frame")?;
    let memory = account.memory()?;
    #[allow(clippy::cast_precision_loss)]
    figures.insert("memory_mib".to_owned(), memory as f64 / f64::from(1 << 20));
    Ok(figures)
}

impl Flood {
    /// Counts what has arrived at an end, and has the other one send as much more.
    fn take(&mut self, rig: &mut Rig, event: &Event) -> anyhow::Result<()> {
        let Some(number) = number_of(event) else { return Ok(()) };
        let mut arrived = 0;
        rig.with(number, |end, scratch| {
            end.conn.flush()?;
            let (bytes, stream) = end.conn.count(scratch)?;
            anyhow::ensure!(stream == Stream::Open, "the proxy closed a link");
            arrived = bytes;
            Ok(Fate::Stays)
        })?;
        let Some(other) = self.others.get(number).copied().flatten().filter(|_| arrived > 0) else { return Ok(()) };
        self.sending[other].credit += usize::try_from(arrived)?;
        if self.sending[other].credit >= self.worth {
            self.send(rig, other)?;
        }
        let from_upstream = rig.ends[number].as_ref().is_some_and(|end| end.sender == Sender::Client);
        self.arrived[usize::from(from_upstream)] += arrived;
        Ok(())
    }

    /// Sends what an end may send, as far as its socket takes it.
    fn send(&mut self, rig: &mut Rig, number: usize) -> anyhow::Result<()> {
        let sending = &mut self.sending[number];
        rig.with(number, |end, _| {
            let stock = &self.stocks[usize::from(end.sender == Sender::Upstream)];
            while sending.credit > 0 {
                let until = stock.len().min(sending.at + sending.credit);
                let sent = end.conn.send(&stock[sending.at..until])?;
                if sent == 0 {
                    break;
                }
                sending.credit -= sent;
                sending.at = (sending.at + sent) % stock.len();
            }
            Ok(Fate::Stays)
        })
    }
}
