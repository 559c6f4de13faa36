//! Wrong keys, counted by the address they came from: who guesses is not listened to for a while.
//!
//! One table for all workers, of a fixed size and without a lock: a good client costs one read of one cache line. It
//! refuses to know keys; and it holds no address, only what is left of its hash.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// 64 KiB in all. So many addresses at once are blocked, or on their way there. Where more than [`WAYS`] of one set are,
/// the one that would be forgotten first is forgotten: who has that many addresses guesses faster, and nobody who has not
/// guessed is ever refused because of it.
const SETS: usize = 1024;
/// A set is one cache line.
const WAYS: usize = 8;

/// An entry is a tag above, and below it a moment in milliseconds since the table was made; 40 bits are 34 years. Two
/// addresses share an entry with a probability of 2⁻³⁴, and no one can tell which do: the hash has a random key.
const MOMENT_BITS: u32 = 40;
const MOMENT: u64 = (1 << MOMENT_BITS) - 1;

/// A look and an exchange fail only if another worker has written to the same entry in between. After so many of these
/// it is an attack that is counted well enough.
const EXCHANGES: usize = 8;

/// Addresses that have shown wrong keys of late.
#[derive(Debug)]
pub struct Failures {
    sets: Box<[Set]>,
    hasher: RandomState,
    start: Instant,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// How many wrong keys an address may show. After these it may show one more after each interval; one that stays away
/// for a minute may begin anew (a leaky bucket, as the generic cell rate algorithm counts it).
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Milliseconds from one to the next.
    interval: u64,
    /// So many at once.
    burst: u64,
}

impl Pace {
    /// So many in a minute; at most 60,000.
    pub fn per_minute(failures: NonZeroU32) -> Self {
        let burst = u64::from(failures.get());
        Self { interval: 60_000_u64.div_ceil(burst), burst }
    }

    /// The latest moment that an entry may hold for one more wrong key to be listened to.
    fn tolerance(self) -> u64 {
        self.interval * (self.burst - 1)
    }
}

impl Default for Failures {
    fn default() -> Self {
        let sets = (0..SETS).map(|_| Set::default()).collect();
        Self { sets, hasher: RandomState::new(), start: Instant::now() }
    }
}

impl Failures {
    /// How long this address is not listened to. `None`: it is.
    pub fn wait(&self, address: IpAddr, pace: Pace) -> Option<Duration> {
        self.wait_at(self.now(), address, pace)
    }

    /// Counts a wrong key.
    pub fn count(&self, address: IpAddr, pace: Pace) {
        self.count_at(self.now(), address, pace);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(MOMENT) & MOMENT
    }

    fn wait_at(&self, now: u64, address: IpAddr, pace: Pace) -> Option<Duration> {
        let (set, tag) = self.place(address);
        let entries = set.0.iter().map(|entry| entry.load(Ordering::Relaxed));
        let moment = entries.filter(|entry| tag_of(*entry) == tag).map(moment_of).max()?;
        let wait = moment.saturating_sub(now + pace.tolerance());
        (wait > 0).then(|| Duration::from_millis(wait))
    }

    fn count_at(&self, now: u64, address: IpAddr, pace: Pace) {
        let (set, tag) = self.place(address);
        for _ in 0..EXCHANGES {
            let entries = set.0.iter().map(|entry| (entry, entry.load(Ordering::Relaxed)));
            // Its own, else the one that matters least: one that was never used, is over, or is over first.
            let least = |(_, entry): &(_, u64)| if tag_of(*entry) == tag { 0 } else { 1 + moment_of(*entry) };
            let Some((entry, old)) = entries.min_by_key(least) else { return };
            let from = if tag_of(old) == tag { moment_of(old).max(now) } else { now };
            // Requests that came at once have passed the check together; none of them makes it longer than a minute.
            let moment = (from + pace.interval).min(now + pace.interval * pace.burst) & MOMENT;
            let new = tag << MOMENT_BITS | moment;
            if entry.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    fn place(&self, address: IpAddr) -> (&Set, u64) {
        let hash = self.hasher.hash_one(Origin::of(address));
        let tag = (hash >> MOMENT_BITS).max(1); // 0 is an entry that was never used
        (&self.sets[usize::try_from(hash).unwrap_or_default() % SETS], tag)
    }
}

fn tag_of(entry: u64) -> u64 {
    entry >> MOMENT_BITS
}

fn moment_of(entry: u64) -> u64 {
    entry & MOMENT
}

/// What stands for whoever is behind an address.
#[derive(Hash)]
enum Origin {
    /// The address.
    V4(u32),
    /// Its /64: whoever has one address of it has all of them.
    V6(u64),
}

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(failures: u32) -> Pace {
        Pace::per_minute(NonZeroU32::new(failures).unwrap())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_are_let_pass_and_then_one_each_interval() {
        let (failures, client, pace) = (Failures::default(), address("192.0.2.1"), pace(30));
        let now = 1_000;
        for _ in 0..30 {
            assert_eq!(failures.wait_at(now, client, pace), None);
            failures.count_at(now, client, pace);
        }
        assert_eq!(failures.wait_at(now, client, pace), Some(Duration::from_secs(2)));
        assert_eq!(failures.wait_at(now + 1_999, client, pace), Some(Duration::from_millis(1)));
        assert_eq!(failures.wait_at(now + 2_000, client, pace), None);
        failures.count_at(now + 2_000, client, pace);
        assert_eq!(failures.wait_at(now + 2_000, client, pace), Some(Duration::from_secs(2)));
        // After a quiet minute everything is as it was.
        for _ in 0..30 {
            assert_eq!(failures.wait_at(now + 62_000, client, pace), None);
            failures.count_at(now + 62_000, client, pace);
        }
        assert!(failures.wait_at(now + 62_000, client, pace).is_some());
    }

    #[test]
    fn nobody_waits_longer_than_an_interval_whatever_comes_at_once() {
        let (failures, client, pace) = (Failures::default(), address("192.0.2.1"), pace(1));
        for _ in 0..1_000 {
            failures.count_at(0, client, pace);
        }
        assert_eq!(failures.wait_at(0, client, pace), Some(Duration::from_mins(1)));
    }

    #[test]
    fn whoever_has_a_64_is_one_and_an_ipv4_address_is_one_in_both_spellings() {
        let (failures, pace) = (Failures::default(), pace(1));
        let is_blocked = |text| failures.wait_at(0, address(text), pace).is_some();
        failures.count_at(0, address("2001:db8:1:2:aaaa::1"), pace);
        assert!(is_blocked("2001:db8:1:2::ffff") && !is_blocked("2001:db8:1:3:aaaa::1"));
        failures.count_at(0, address("::ffff:192.0.2.1"), pace);
        assert!(is_blocked("192.0.2.1") && !is_blocked("192.0.2.2"));
    }

    #[test]
    fn a_table_that_is_full_forgets_and_blocks_nobody_who_has_not_guessed() {
        let (failures, pace) = (Failures::default(), pace(2));
        let guessing = (0..100_000).map(|bits| IpAddr::from(std::net::Ipv4Addr::from_bits(bits)));
        for (guess, client) in (0..).zip(guessing.clone()) {
            failures.count_at(guess / 100, client, pace);
            failures.count_at(guess / 100, client, pace);
        }
        let is_blocked = |client: &IpAddr| failures.wait_at(1_000, *client, pace).is_some();
        let blocked = guessing.filter(is_blocked).count();
        // One run in seven has two of them share an entry, so that both are blocked by it.
        assert!((SETS * WAYS - 500..=SETS * WAYS + 5).contains(&blocked), "{blocked}");
        let quiet = (0..100_000).map(|bits| IpAddr::from(std::net::Ipv4Addr::from_bits(1 << 31 | bits)));
        let unlucky = quiet.filter(is_blocked).count();
        // 8,192 tags of 24 bits: one in two million of those who come shares one.
        assert!(unlucky <= 2, "{unlucky} of 100,000 share an entry with somebody else");
    }

    #[test]
    fn workers_count_together() {
        let (failures, client, pace) = (Failures::default(), address("192.0.2.1"), pace(60_000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| failures.count_at(0, client, pace)));
            }
        });
        // A millisecond each. A few exchanges may have been given up.
        let (set, tag) = failures.place(client);
        let entries = set.0.iter().map(|entry| entry.load(Ordering::Relaxed));
        let counted: u64 = entries.filter(|entry| tag_of(*entry) == tag).map(moment_of).sum();
        assert!((3_000..=4_000).contains(&counted), "{counted}");
    }
}
