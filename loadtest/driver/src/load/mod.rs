//! What is done over the links, and what is measured meanwhile.

pub mod idle;
pub mod paced;
pub mod saturated;
pub mod set_ups;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::account::{Account, own_cpu};

/// What a run has given, by name. The names hold their units.
pub type Figures = BTreeMap<String, f64>;

/// How long a run is, and how much is under way in it.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Before anything is counted.
    pub warm_up: Duration,
    /// While it is.
    pub window: Duration,
    /// After links were closed, until it is looked what is left of them.
    pub after_closing: Duration,
    /// Bytes under way on a saturated link, in each direction.
    pub under_way: usize,
}

/// A proxy under full load runs for at least this part of a window, or something else has its core.
const LEAST: u32 = 10;

/// What a count of something has cost, over one window of time or several.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    wall: Duration,
    /// Of the proxy.
    cpu: Duration,
    /// Of the driver.
    own: Duration,
    count: u64,
}

/// A window of time, from when it is begun.
pub struct Window {
    began: Instant,
    cpu: Duration,
    own: Duration,
}

impl Cost {
    /// Adds what another window has cost.
    pub fn add(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.own += other.own;
        self.count += other.count;
    }

    /// What one of `unit` cost, how many came in a second, and how busy the core of the proxy was, and that of the driver.
    pub fn figures(self, unit: &str) -> anyhow::Result<Figures> {
        let [wall, cpu, own] = [self.wall, self.cpu, self.own].map(|time| time.as_secs_f64());
        #[allow(clippy::cast_precision_loss)] // Counts of seconds, not of years.
        let count = self.count as f64;
        anyhow::ensure!(count > 0.0, "no {unit} came through");
        Ok(Figures::from([
            (format!("cpu_us_per_{unit}"), cpu * 1e6 / count),
            (format!("{unit}s_per_s"), count / wall),
            ("core".to_owned(), cpu / wall),
            ("driver_core".to_owned(), own / wall),
        ]))
    }
}

impl Window {
    /// Begins it.
    pub fn begin(account: &Account) -> anyhow::Result<Self> {
        Ok(Self { cpu: account.cpu()?, own: own_cpu(), began: Instant::now() })
    }

    /// Ends it, after so many of what is counted.
    pub fn end(self, account: &Account, count: u64) -> anyhow::Result<Cost> {
        let (wall, cpu, own) = (self.began.elapsed(), account.cpu()?, own_cpu());
        Ok(Cost { wall, cpu: cpu.saturating_sub(self.cpu), own: own.saturating_sub(self.own), count })
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In its warm-up, or in its window.
    Goes,
    /// The window has begun just now.
    Begins,
    /// The window's time is over.
    Over,
}

/// What a window lacks that a run has: it is not begun during the warm-up.
pub struct Watch<'a> {
    account: &'a Account,
    warm_until: Instant,
    end: Instant,
    /// Of the proxy's time, before a window that is over ends.
    least: Duration,
    window: Option<Window>,
}

impl<'a> Watch<'a> {
    /// Begins the warm-up.
    pub fn start(account: &'a Account, span: Span) -> Self {
        let warm_until = Instant::now() + span.warm_up;
        Self { account, warm_until, end: warm_until + span.window, least: span.window / LEAST, window: None }
    }

    /// Looks at the clock, and begins the window when it is time.
    pub fn look(&mut self) -> anyhow::Result<Phase> {
        let now = Instant::now();
        if self.window.is_some() {
            return Ok(if now >= self.end { Phase::Over } else { Phase::Goes });
        }
        if now < self.warm_until {
            return Ok(Phase::Goes);
        }
        self.window = Some(Window::begin(self.account)?);
        Ok(Phase::Begins)
    }

    /// Whether the proxy has run for long enough since the window began. Frames that were carried before it and arrive in
    /// it are not to count for much.
    pub fn has_run(&self) -> anyhow::Result<bool> {
        let Some(window) = &self.window else { return Ok(false) };
        Ok(self.account.cpu()?.saturating_sub(window.cpu) >= self.least)
    }

    /// Ends the window, after so many of what is counted.
    pub fn stop(self, count: u64) -> anyhow::Result<Cost> {
        let window = self.window.ok_or_else(|| anyhow::anyhow!("stopped before it was warm"))?;
        window.end(self.account, count)
    }
}
