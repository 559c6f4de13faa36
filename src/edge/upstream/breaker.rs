//! The circuit breaker of one upstream: it keeps links from an upstream that fails, and lets one at a time find out
//! whether it is back.
//!
//! It refuses to know what a failure is, who asks, and what time it is: the caller gives the time since a start of its
//! choice, the same for all workers. All workers share one breaker, so it is one atomic word and no lock.

mod word;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use word::{Stage, Word};

/// So many counted failures in a row open it.
const THRESHOLD: u64 = 5;
/// How long the first opening lasts at least. Each failed probe doubles it.
const FIRST_HOLD_MS: u64 = 10_000;
/// No opening lasts longer, jitter and the upstream's own `Retry-After` included.
const LONGEST_HOLD_MS: u64 = 300_000;
/// Enough doublings to reach the longest hold.
const MAX_DOUBLINGS: u64 = 5;
/// An opening by failures lasts up to this much longer than its hold, in thousandths, so that many relays do not probe
/// in step.
const JITTER_PER_MILLE: u64 = 100;
/// What a caller is told to wait while another one probes. A probe ends within seconds.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// The breaker of one upstream.
///
/// Where nothing is wrong, an attempt only reads its word, and counts one reference up and down.
#[derive(Debug, Default)]
pub struct Breaker {
    /// A packed [`Word`]. `Relaxed` is enough for it: it stands for nothing but itself.
    word: AtomicU64,
    jitter: RandomState,
}

/// What the operator sees of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether links may be attempted.
    pub phase: Phase,
    /// Counted failures since the last success, failed probes included. Attempts that began before it opened and
    /// failed after it are not among them.
    pub failures: u64,
}

/// Whether links may be attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All of them.
    Closed,
    /// None.
    Open {
        /// For so long from now.
        remaining: Duration,
    },
    /// One at a time.
    HalfOpen,
}

/// A change worth a line in the log. Each is told to exactly one caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It lets nobody through.
    Opened {
        /// For so long from now.
        hold: Duration,
    },
    /// Its time is over, and the first probe begins.
    HalfOpen,
    /// A probe succeeded: everybody may pass.
    Closed,
}

impl Breaker {
    /// A closed one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leave for one attempt, or how long to stay away.
    pub fn admit(self: &Arc<Self>, now: Duration) -> Result<Permit, Duration> {
        let now = millis(now);
        let permit = |spell, probes, change| Permit { breaker: self.clone(), spell, probes, change };
        match self.update(|word| word.probe(now)) {
            Ok((before, _)) => {
                let change = (before.stage == Stage::Open).then_some(Change::HalfOpen);
                Ok(permit(before.spell, true, change))
            }
            Err(word) => match word.stage {
                Stage::Closed => Ok(permit(word.spell, false, None)),
                Stage::Open => Err(word.remaining(now)),
                Stage::HalfOpen | Stage::Probing => Err(PROBE_PATIENCE),
            },
        }
    }

    /// Closes it, and forgets every failure. Whoever is under way has nothing more to say about it.
    pub fn reset(&self) -> Option<Change> {
        let anew = |word: Word| Word { spell: (word.spell + 1) & Word::MAX_SPELL, until: 0, ..Word::unpack(0) };
        let is_new = |word: Word| word.stage == Stage::Closed && word.failures == 0;
        let (before, _) = self.update(|word| (!is_new(word)).then(|| anew(word))).ok()?;
        (before.stage != Stage::Closed).then_some(Change::Closed)
    }

    /// What it would do now.
    pub fn state(&self, now: Duration) -> State {
        let (word, now) = (Word::unpack(self.word.load(Ordering::Relaxed)), millis(now));
        let phase = match word.stage {
            Stage::Closed => Phase::Closed,
            Stage::Open if now < word.until => Phase::Open { remaining: word.remaining(now) },
            Stage::Open | Stage::HalfOpen | Stage::Probing => Phase::HalfOpen,
        };
        State { phase, failures: word.failures }
    }

    /// Takes the step that `next` chooses: gives the words before and after it, or the word at which there was none.
    fn update(&self, next: impl Fn(Word) -> Option<Word>) -> Result<(Word, Word), Word> {
        let mut packed = self.word.load(Ordering::Relaxed);
        loop {
            let word = Word::unpack(packed);
            let after = next(word).filter(|after| *after != word).ok_or(word)?;
            match self.word.compare_exchange_weak(packed, after.pack(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok((word, after)),
                Err(found) => packed = found,
            }
        }
    }

    /// How long it stays open after so many failures in a row.
    fn hold(&self, word: Word) -> u64 {
        let doublings = word.failures.saturating_sub(THRESHOLD).min(MAX_DOUBLINGS);
        let longest = LONGEST_HOLD_MS * 1000 / (1000 + JITTER_PER_MILLE);
        let hold = (FIRST_HOLD_MS << doublings).min(longest);
        let jitter = self.jitter.hash_one(word.pack()) % (JITTER_PER_MILLE + 1);
        hold + hold * jitter / 1000
    }
}

/// Leave for one attempt at the upstream. Say how it went; dropped instead, it is as [`neutral`](Self::neutral).
///
/// A verdict on an attempt that began before the breaker last opened comes too late to count: it neither closes the
/// breaker nor opens it again.
#[derive(Debug)]
#[must_use = "dropped, it says nothing about the upstream"]
pub struct Permit {
    breaker: Arc<Breaker>,
    /// The spell it was given in, the only one it may end.
    spell: u64,
    probes: bool,
    change: Option<Change>,
}

impl Permit {
    /// What giving it changed.
    pub fn change(&self) -> Option<Change> {
        self.change
    }

    /// Whether it is the one that finds out if the upstream is back.
    pub fn is_probe(&self) -> bool {
        self.probes
    }

    /// The leg stands. Ends a row of failures; a probe closes the breaker.
    pub fn succeeded(self) -> Option<Change> {
        let success = |word: Word| Word { stage: Stage::Closed, failures: 0, ..word };
        let (before, _) = self.update(|word| Some(success(word))).ok()?;
        (before.stage == Stage::Probing).then_some(Change::Closed)
    }

    /// A failure that counts. A probe opens the breaker again, once five failed in a row for twice as long each time.
    pub fn failed(self, now: Duration) -> Option<Change> {
        let now = millis(now);
        let failure = |word: Word| {
            let word = Word { failures: (word.failures + 1).min(Word::MAX_FAILURES), ..word };
            let opens = word.stage == Stage::Probing || word.failures >= THRESHOLD;
            if opens { word.opened(now, self.breaker.hold(word)) } else { word }
        };
        let (_, after) = self.update(|word| Some(failure(word))).ok()?;
        opened(after, now)
    }

    /// It answered 429, and said when to come back or did not. That is no failure: the breaker opens for that long,
    /// without jitter, or does not care. While it is open already, even a late verdict can make it stay open longer.
    pub fn rate_limited(self, now: Duration, retry_after: Option<Duration>) -> Option<Change> {
        let hold = millis(retry_after?).min(LONGEST_HOLD_MS);
        if hold == 0 {
            return None;
        }
        let now = millis(now);
        if let Ok((_, after)) = self.update(|word| Some(word.opened(now, hold))) {
            return opened(after, now);
        }
        // The outcome is nobody's news: it was open before and is open now.
        let _ = self.breaker.update(|word| {
            let is_open = word.stage == Stage::Open && now < word.until;
            is_open.then(|| Word { until: word.until.max(now + hold), ..word })
        });
        None
    }

    /// What happened says nothing about the upstream: the client's doing, or the credential's. It neither adds to a row
    /// of failures nor ends it, else a client could hold a breaker closed, or close it, by what it asks for. A probe
    /// gives its slot to the next caller. Never changes anything; there so that every verdict reads alike.
    pub fn neutral(self) -> Option<Change> {
        None
    }

    /// Takes a step, if the spell that it was given in still lasts.
    fn update(&self, next: impl Fn(Word) -> Option<Word>) -> Result<(Word, Word), Word> {
        let is_own = |word: Word| word.spell == self.spell && matches!(word.stage, Stage::Closed | Stage::Probing);
        self.breaker.update(|word| if is_own(word) { next(word) } else { None })
    }
}

impl Drop for Permit {
    /// A probe without a verdict gives its slot back. After a verdict the spell is over, or nobody probes in it.
    fn drop(&mut self) {
        let _ = self.update(|word| (word.stage == Stage::Probing).then_some(Word { stage: Stage::HalfOpen, ..word }));
    }
}

fn opened(after: Word, now: u64) -> Option<Change> {
    (after.stage == Stage::Open).then(|| Change::Opened { hold: after.remaining(now) })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(Word::MAX_UNTIL)
}

#[cfg(test)]
mod tests;
