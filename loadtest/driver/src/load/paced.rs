//! Frames at fixed times, as sessions of speech have them: every link sends 20 a second each way, whether or not the
//! proxy keeps up.
//!
//! A frame carries the time at which it was due, not the time at which it was sent, and its latency counts from there:
//! whoever is late is late for every frame that had to wait for it (no coordinated omission).

use std::time::{Duration, Instant};

use anyhow::ensure;
use hdrhistogram::Histogram;

use super::{Cost, Figures, Phase, Span, Watch};
use crate::account::Account;
use crate::conn::Stream;
use crate::end::{End, Fate};
use crate::frames::{Frame, Sender};
use crate::rig::{Rig, number_of};

/// Payloads: 20 ms of 24 kHz PCM in base64 up, a delta of some 60 ms down.
const UP: usize = 1_300;
const DOWN: usize = 4_096;
/// Each way.
const FRAMES_PER_SECOND: u32 = 20;
/// Frames that are sent before it is looked again what has arrived.
const BURST: usize = 16;
/// Frames that are under way when the window ends are waited for.
const LATE: Duration = Duration::from_secs(1);
/// Significant digits of a latency.
const DIGITS: u8 = 3;

/// When which end sends: all in turns, spread evenly over the time that each of them has.
struct Schedule {
    ends: Vec<usize>,
    began: Instant,
    /// Between two frames of whichever ends.
    step: Duration,
    next: u64,
}

/// What a proxy has done with its frames, over one turn or several.
pub struct Record {
    /// What times in frames count from: the same in each turn, so that a frame that is a turn late is not taken for another.
    epoch: Instant,
    cost: Cost,
    sent: u64,
    arrived: u64,
    /// Not there yet when their window ended.
    late: u64,
    latencies: Histogram<u64>,
    /// How much later than due frames were sent: the driver's own fault.
    lateness: Histogram<u64>,
}

/// What has been sent and has arrived in a turn.
struct Tally<'a> {
    frames: [Frame; 2],
    /// Frames that were due before this time, in nanoseconds, do not count.
    from: u64,
    sent: u64,
    /// Of those that count.
    arrived: u64,
    /// All that have arrived since that time, when ever they were due.
    carried: u64,
    record: &'a mut Record,
}

/// Sends over all busy links for a turn, and adds to the record what that gave.
pub fn run(rig: &mut Rig, account: &Account, span: Span, record: &mut Record) -> anyhow::Result<()> {
    let mut schedule = Schedule::over(rig);
    let mut tally = Tally::new(record)?;
    let mut watch = Watch::start(account, span);
    let mut events = Vec::new();
    loop {
        match watch.look()? {
            Phase::Goes => {}
            Phase::Begins => tally.begin(),
            Phase::Over => break,
        }
        schedule.send_due(rig, &mut tally)?;
        rig.poll(&mut events)?;
        tally.take_all(rig, &events)?;
    }
    let cost = watch.stop(tally.carried)?;
    let late = tally.under_way();
    let deadline = Instant::now() + LATE;
    while tally.under_way() > 0 && Instant::now() < deadline {
        rig.poll(&mut events)?;
        tally.take_all(rig, &events)?;
    }
    let Tally { sent, arrived, record, .. } = tally;
    record.cost.add(cost);
    record.sent += sent;
    record.arrived += arrived;
    record.late += late;
    Ok(())
}

impl Record {
    /// Of nothing yet.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            epoch: Instant::now(),
            cost: Cost::default(),
            sent: 0,
            arrived: 0,
            late: 0,
            latencies: Histogram::new(DIGITS)?,
            lateness: Histogram::new(DIGITS)?,
        })
    }

    fn now(&self) -> u64 {
        self.time_of(Instant::now())
    }

    /// Nanoseconds since its epoch.
    fn time_of(&self, time: Instant) -> u64 {
        u64::try_from(time.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    /// What frames cost, and how long they took.
    pub fn figures(&self) -> anyhow::Result<Figures> {
        let mut figures = self.cost.figures("frame")?;
        #[allow(clippy::cast_precision_loss)]
        for (name, value) in [("late", self.late), ("lost", self.sent.saturating_sub(self.arrived))] {
            figures.insert(format!("{name}_share"), value as f64 / self.sent as f64);
        }
        #[allow(clippy::cast_precision_loss)]
        for (name, part) in [("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p999_us", 0.999)] {
            figures.insert(name.to_owned(), self.latencies.value_at_quantile(part) as f64 / 1e3);
        }
        #[allow(clippy::cast_precision_loss)]
        figures.insert("sent_late_us".to_owned(), self.lateness.value_at_quantile(0.99) as f64 / 1e3);
        Ok(figures)
    }
}

impl Schedule {
    fn over(rig: &Rig) -> Self {
        let (clients, upstreams) = (rig.busy(Sender::Client), rig.busy(Sender::Upstream));
        let ends: Vec<_> =
            clients.into_iter().zip(upstreams).flat_map(|(client, upstream)| [client, upstream]).collect();
        let step = Duration::from_secs(1) / FRAMES_PER_SECOND / u32::try_from(ends.len()).unwrap_or(u32::MAX).max(1);
        Self { ends, began: Instant::now(), step, next: 0 }
    }

    fn due(&self) -> Instant {
        let step = u64::try_from(self.step.as_nanos()).unwrap_or(u64::MAX);
        self.began + Duration::from_nanos(step.saturating_mul(self.next))
    }

    /// Sends what is due, or the first of it.
    fn send_due(&mut self, rig: &mut Rig, tally: &mut Tally<'_>) -> anyhow::Result<()> {
        for _ in 0..BURST {
            let due = self.due();
            if due > Instant::now() {
                break;
            }
            let number = self.ends[usize::try_from(self.next % self.ends.len() as u64)?];
            rig.with(number, |end, _| tally.send(end, due))?;
            self.next += 1;
        }
        Ok(())
    }
}

impl<'a> Tally<'a> {
    fn new(record: &'a mut Record) -> anyhow::Result<Self> {
        let frames = [Frame::new(Sender::Client, UP)?, Frame::new(Sender::Upstream, DOWN)?];
        Ok(Self { frames, from: u64::MAX, sent: 0, arrived: 0, carried: 0, record })
    }

    fn begin(&mut self) {
        self.from = self.record.now();
    }

    fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.arrived)
    }

    fn send(&mut self, end: &mut End, due: Instant) -> anyhow::Result<Fate> {
        let due = self.record.time_of(due);
        end.conn.send_all(self.frames[usize::from(end.sender == Sender::Upstream)].at(due))?;
        if due >= self.from {
            self.sent += 1;
            let now = self.record.now();
            self.record.lateness.record(now.saturating_sub(due))?;
        }
        Ok(Fate::Stays)
    }

    fn take_all(&mut self, rig: &mut Rig, events: &[rustix::event::epoll::Event]) -> anyhow::Result<()> {
        for event in events {
            let Some(number) = number_of(event) else { continue };
            rig.with(number, |end, scratch| self.take(end, scratch))?;
        }
        Ok(())
    }

    fn take(&mut self, end: &mut End, scratch: &mut [u8]) -> anyhow::Result<Fate> {
        end.conn.flush()?;
        let partial = &mut end.partial;
        let stream = end.conn.receive(scratch, |bytes| partial.extend_from_slice(bytes))?;
        ensure!(stream == Stream::Open, "the proxy closed a link");
        if !end.busy {
            // Pings.
            partial.clear();
            return Ok(Fate::Stays);
        }
        let now = self.record.now();
        let frame = &self.frames[usize::from(end.sender == Sender::Client)];
        let length = frame.bytes().len();
        let whole = partial.len() / length * length;
        self.carried += u64::from(now >= self.from) * (whole / length) as u64;
        for arrived in partial[..whole].chunks_exact(length) {
            let due = frame.time_of(arrived)?;
            if due >= self.from {
                self.arrived += 1;
                self.record.latencies.record(now.saturating_sub(due))?;
            }
        }
        partial.drain(..whole);
        Ok(Fate::Stays)
    }
}
