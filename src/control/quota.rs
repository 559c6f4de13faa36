//! Quotas: what each key has used in its day, its month, or ever, and whether anything is left. Refuses to know where
//! usage comes from, and what becomes of a key that has none left.
//!
//! A clock may jump. So every period has a count of its own, and usage counts in the period it was recorded in, as it does
//! in the ledger: a jump forward spends nothing of the present period, and the way back finds it as it was.

use std::collections::HashMap;
use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use time::{Date, OffsetDateTime, Time};

use super::config::{Allowance, Key, Period, Quota};
use super::ledger::{Used, unix_ms};

/// The periods whose counts are kept: the present one, one on each side of it, and one for a clock gone wild.
const KEPT_PERIODS: usize = 4;

/// The quotas of all keys. Shared by all workers; nothing in it locks.
#[derive(Debug, Default)]
pub struct Quotas(HashMap<Box<str>, Arc<Counter>>);

impl Quotas {
    /// The quotas of these keys, with what was `used` of each in the periods around `now`: it is asked for a key's name and
    /// a time in Unix milliseconds.
    pub fn new<E>(
        keys: &[Key],
        now: SystemTime,
        used: impl FnMut(&str, &Range<i64>) -> Result<Used, E>,
    ) -> Result<Self, E> {
        Self::default().renewed(keys, now, used)
    }

    /// The quotas of these keys, where these were before. What was counted of a key goes on to be counted; `used` is only
    /// asked for what was not. To be called where nobody counts meanwhile.
    pub fn renewed<E>(
        &self,
        keys: &[Key],
        now: SystemTime,
        mut used: impl FnMut(&str, &Range<i64>) -> Result<Used, E>,
    ) -> Result<Self, E> {
        let mut counters = HashMap::new();
        for key in keys {
            let Some(quota) = key.quota else { continue };
            if let Some(counter) = self.of(&key.name).and_then(|counter| counter.renewed(quota)) {
                counters.insert(key.name.as_str().into(), counter);
                continue;
            }
            let counter = Counter::new(quota);
            for time in counter.periods_around(unix_ms(now)) {
                counter.count(time.start, used(&key.name, &time)?);
            }
            counters.insert(key.name.as_str().into(), Arc::new(counter));
        }
        Ok(Self(counters))
    }

    /// The counter of a key; `None`: it has no quota.
    pub fn of(&self, key: &str) -> Option<&Arc<Counter>> {
        self.0.get(key)
    }

    /// The names of keys that have nothing left.
    pub fn used_up(&self, now: SystemTime) -> Vec<String> {
        self.iter().filter(|(_, counter)| counter.check(now).is_err()).map(|(key, _)| key.to_owned()).collect()
    }

    /// The counter of each key that has a quota.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Counter)> {
        self.0.iter().map(|(key, counter)| (&**key, &**counter))
    }
}

/// What one key has used of its quota. Any thread may count at any time.
#[derive(Debug)]
pub struct Counter {
    quota: Quota,
    /// By the beginning of the period. Replaced as a whole, so that nobody sees half of a change.
    counts: ArcSwap<Vec<(i64, u64)>>,
}

/// Whether usage has used a quota up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossed {
    /// No, or it was used up before.
    No,
    /// This very usage did. Told once in a period: whoever hears it ends the links of the key.
    JustNow,
}

/// Nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quota is used up")]
pub struct QuotaUsedUp {
    /// How long until there is more; `None`: never.
    pub retry_after: Option<Duration>,
}

/// How it stands, for those who want to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What may be used.
    pub quota: Quota,
    /// What has been, in nano-dollars or in tokens. It may exceed the quota by what was under way.
    pub used: u64,
    /// What is left, in the same unit.
    pub left: u64,
}

impl Standing {
    /// The part that is used; more than 1 where it was overrun.
    #[allow(clippy::cast_precision_loss)] // for those who plot it
    pub fn ratio(&self) -> f64 {
        let most = match self.quota.allowance {
            Allowance::Usd(amount) => amount.nano(),
            Allowance::Tokens(count) => count,
        };
        // Of nothing, nothing is left.
        if most == 0 { 1.0 } else { self.used as f64 / most as f64 }
    }
}

impl Counter {
    fn new(quota: Quota) -> Self {
        Self { quota, counts: ArcSwap::default() }
    }

    /// The counter of another quota of the same key, where what was counted still says something: in the same unit, and the
    /// same periods.
    fn renewed(self: &Arc<Self>, quota: Quota) -> Option<Arc<Self>> {
        let unit = |quota: Quota| mem::discriminant(&quota.allowance);
        if quota == self.quota {
            return Some(self.clone());
        }
        let fits = quota.per == self.quota.per && unit(quota) == unit(self.quota);
        fits.then(|| Arc::new(Self { quota, counts: ArcSwap::new(self.counts.load_full()) }))
    }

    /// Whether anything is left at `now`.
    pub fn check(&self, now: SystemTime) -> Result<(), QuotaUsedUp> {
        let now = unix_ms(now);
        let time = period(self.quota.per, now);
        if self.used_in(time.start) < self.limit() {
            return Ok(());
        }
        let wait = (self.quota.per != Period::Total).then(|| time.end.saturating_sub(now));
        Err(QuotaUsedUp { retry_after: wait.map(|wait| Duration::from_millis(u64::try_from(wait).unwrap_or(0))) })
    }

    /// Counts what was used `at` a time in Unix milliseconds. Late usage may belong to a period that is over at `now`: it
    /// is counted there, and ends nobody's links.
    pub fn add(&self, at: i64, used: Used, now: SystemTime) -> Crossed {
        let start = period(self.quota.per, at).start;
        let (before, after) = self.count(start, used);
        let present = period(self.quota.per, unix_ms(now)).start == start;
        if present && before < self.limit() && after >= self.limit() { Crossed::JustNow } else { Crossed::No }
    }

    /// How it stands at `now`.
    pub fn standing(&self, now: SystemTime) -> Standing {
        let used = self.used_in(period(self.quota.per, unix_ms(now)).start);
        Standing { quota: self.quota, used, left: self.limit().saturating_sub(used) }
    }

    /// Adds to the count of a period, and tells it before and after. Whoever else counts at the same time tells another
    /// pair, so that of all who count only one sees the limit between the two.
    fn count(&self, start: i64, used: Used) -> (u64, u64) {
        let amount = match self.quota.allowance {
            Allowance::Usd(_) => used.cost.nano(),
            Allowance::Tokens(_) => used.tokens,
        };
        let before = self.counts.rcu(|counts| counted(counts, start, amount));
        let before = count_of(&before, start);
        (before, before.saturating_add(amount))
    }

    fn used_in(&self, start: i64) -> u64 {
        count_of(&self.counts.load(), start)
    }

    fn limit(&self) -> u64 {
        match self.quota.allowance {
            Allowance::Usd(amount) => amount.nano(),
            Allowance::Tokens(count) => count,
        }
    }

    /// The period before, the present one, and the next: what a clock that is set right soon may still need.
    fn periods_around(&self, now: i64) -> Vec<Range<i64>> {
        let of = |at| period(self.quota.per, at);
        let present = of(now);
        let mut periods = vec![of(present.start.saturating_sub(1)), of(present.end), present];
        periods.dedup(); // there is one that is for ever
        periods
    }
}

/// The counts with one more, which stands last. Where there are too many, the one that has not grown for longest goes.
fn counted(counts: &[(i64, u64)], start: i64, amount: u64) -> Vec<(i64, u64)> {
    let others = counts.iter().filter(|(period, _)| *period != start).count();
    let kept = counts.iter().filter(|(period, _)| *period != start).skip((others + 1).saturating_sub(KEPT_PERIODS));
    kept.copied().chain([(start, count_of(counts, start).saturating_add(amount))]).collect()
}

fn count_of(counts: &[(i64, u64)], start: i64) -> u64 {
    counts.iter().find(|(period, _)| *period == start).map_or(0, |(_, count)| *count)
}

/// The period that a moment is in, in Unix milliseconds, UTC. A moment that no calendar has (after 9999) counts as 1970.
fn period(per: Period, at: i64) -> Range<i64> {
    let moment = OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let date = moment.date();
    let (first, next) = match per {
        Period::Total => return i64::MIN..i64::MAX,
        Period::Day => (date, date.next_day()),
        Period::Month => {
            let (year, month) = (date.year(), date.month());
            let next_year = if month.next() == time::Month::January { year + 1 } else { year };
            (date.replace_day(1).unwrap_or(date), Date::from_calendar_date(next_year, month.next(), 1).ok())
        }
    };
    let midnight = |date: Date| date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp().saturating_mul(1000);
    midnight(first)..next.map_or(i64::MAX, midnight)
}
