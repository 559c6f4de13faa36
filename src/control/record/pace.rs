//! How fast lines of one kind are written: a flood of them is cut, and the first line behind it says how many are left out.
//!
//! Each thread has its own paces, so no lock is taken and a flood on one worker hides nothing of the others. It refuses to
//! know what a line says.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// How many lines of a kind come at once.
const BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// How many a second then. On each worker: still readable, and some hundred megabytes a day at the very most.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// A worker's links may have so many responses in a second, and each has a line; who has more reads the ledger.
const RESPONSES: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// How often the same mistake of an operator is told.
const REMINDER: Duration = Duration::from_mins(1);

thread_local! {
    static PACES: Paces = Paces {
        refused: Pace::new(usual()),
        dial_failed: Pace::new(usual()),
        no_request: Pace::new(usual()),
        tls_failed: Pace::new(usual()),
        not_introduced: Pace::new(usual()),
        needs_proxy: Pace::new(Quota::with_period(REMINDER).expect("a minute is not zero")),
        usage: Pace::new(Quota::per_second(RESPONSES)),
    };
}

/// A pace for each kind of line that a peer could repeat without end. What opens and ends a link has none: as many links
/// as there may be, as many lines.
pub(super) struct Paces {
    pub(super) refused: Pace,
    pub(super) dial_failed: Pace,
    pub(super) no_request: Pace,
    pub(super) tls_failed: Pace,
    pub(super) not_introduced: Pace,
    pub(super) needs_proxy: Pace,
    pub(super) usage: Pace,
}

/// One kind of line.
pub(super) struct Pace<C: Clock = DefaultClock> {
    limiter: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    left_out: Cell<u64>,
}

/// A line is not written, but counted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut;

/// Asks for one more line of a kind. Where it may be written, it says that so many before it were not; `None`: all were.
pub(super) fn keep(kind: impl FnOnce(&Paces) -> &Pace) -> Result<Option<u64>, LeftOut> {
    PACES.with(|paces| kind(paces).ask())
}

fn usual() -> Quota {
    Quota::per_second(PER_SECOND).allow_burst(BURST)
}

impl Pace {
    fn new(quota: Quota) -> Self {
        Self::with_clock(quota, DefaultClock::default())
    }
}

impl<C: Clock> Pace<C> {
    fn with_clock(quota: Quota, clock: C) -> Self {
        Self { limiter: RateLimiter::direct_with_clock(quota, clock), left_out: Cell::new(0) }
    }

    fn ask(&self) -> Result<Option<u64>, LeftOut> {
        if self.limiter.check().is_err() {
            self.left_out.set(self.left_out.get() + 1);
            return Err(LeftOut);
        }
        Ok(Some(self.left_out.take()).filter(|left_out| *left_out > 0))
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn written(pace: &Pace<FakeRelativeClock>, asked: usize) -> usize {
        (0..asked).filter(|_| pace.ask().is_ok()).count()
    }

    #[test]
    fn so_many_lines_are_written_at_once_and_then_so_many_a_second() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::with_clock(usual(), clock.clone());
        assert_eq!(written(&pace, 1_000), 100);
        clock.advance(Duration::from_secs(1));
        assert_eq!(written(&pace, 1_000), 10);
        clock.advance(Duration::from_hours(1));
        assert_eq!(written(&pace, 1_000), 100, "no more are saved up");
    }

    #[test]
    fn the_first_line_behind_a_flood_says_how_many_are_left_out() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::with_clock(usual(), clock.clone());
        for _ in 0..100 {
            assert_eq!(pace.ask(), Ok(None));
        }
        for _ in 0..17 {
            assert_eq!(pace.ask(), Err(LeftOut));
        }
        clock.advance(Duration::from_millis(200));
        assert_eq!([pace.ask(), pace.ask(), pace.ask()], [Ok(Some(17)), Ok(None), Err(LeftOut)]);
        clock.advance(Duration::from_millis(100));
        assert_eq!(pace.ask(), Ok(Some(1)));
    }

    #[test]
    fn a_reminder_comes_once_a_minute() {
        let clock = FakeRelativeClock::default();
        let pace = Pace::with_clock(Quota::with_period(REMINDER).unwrap(), clock.clone());
        assert_eq!(written(&pace, 10), 1);
        clock.advance(Duration::from_secs(59));
        assert_eq!(written(&pace, 10), 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(written(&pace, 10), 1);
    }

    #[test]
    fn one_kind_of_line_is_not_in_the_way_of_another() {
        while keep(|paces| &paces.not_introduced).is_ok() {}
        assert_eq!(keep(|paces| &paces.needs_proxy), Ok(None));
    }
}
