//! The memory of a breaker: one word of 64 bits, so that a step from one state to the next is one swap.
//!
//! It refuses to know when a step is taken.

use std::time::Duration;

/// Everything there is to know, small enough to be swapped at once.
///
/// A spell begins with every opening and lasts until the next: it is open, half-open and then, with luck, closed. While
/// it is probed only the probe holds a permit of it, so equal spells are enough to tell who may still change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) stage: Stage,
    /// In a row. Stops counting at its maximum.
    pub(super) failures: u64,
    /// Wraps: no attempt outlives as many openings as it can count.
    pub(super) spell: u64,
    /// When an open one lets a probe through, in milliseconds.
    pub(super) until: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Zero, so that a breaker begins with it.
    Closed = 0,
    Open = 1,
    /// The slot of the probe is free.
    HalfOpen = 2,
    Probing = 3,
}

impl Word {
    const STAGE_BITS: u32 = 2;
    const FAILURE_BITS: u32 = 8;
    const SPELL_BITS: u32 = 14;
    /// The rest, which is 34 years.
    const UNTIL_BITS: u32 = u64::BITS - Self::STAGE_BITS - Self::FAILURE_BITS - Self::SPELL_BITS;

    pub(super) const MAX_FAILURES: u64 = (1 << Self::FAILURE_BITS) - 1;
    pub(super) const MAX_SPELL: u64 = (1 << Self::SPELL_BITS) - 1;
    pub(super) const MAX_UNTIL: u64 = (1 << Self::UNTIL_BITS) - 1;

    pub(super) fn pack(self) -> u64 {
        let packed = self.until.min(Self::MAX_UNTIL);
        let packed = packed << Self::SPELL_BITS | (self.spell & Self::MAX_SPELL);
        let packed = packed << Self::FAILURE_BITS | self.failures.min(Self::MAX_FAILURES);
        packed << Self::STAGE_BITS | self.stage as u64
    }

    pub(super) fn unpack(packed: u64) -> Self {
        let stage = match packed & ((1 << Self::STAGE_BITS) - 1) {
            0 => Stage::Closed,
            1 => Stage::Open,
            2 => Stage::HalfOpen,
            _ => Stage::Probing,
        };
        let packed = packed >> Self::STAGE_BITS;
        let failures = packed & Self::MAX_FAILURES;
        let packed = packed >> Self::FAILURE_BITS;
        Self { stage, failures, spell: packed & Self::MAX_SPELL, until: packed >> Self::SPELL_BITS }
    }

    /// The slot of the probe taken, where it is free.
    pub(super) fn probe(self, now: u64) -> Option<Self> {
        let is_free = match self.stage {
            Stage::Open => now >= self.until,
            Stage::HalfOpen => true,
            Stage::Closed | Stage::Probing => false,
        };
        is_free.then_some(Self { stage: Stage::Probing, ..self })
    }

    pub(super) fn opened(self, now: u64, hold: u64) -> Self {
        Self { stage: Stage::Open, spell: (self.spell + 1) & Self::MAX_SPELL, until: now + hold, ..self }
    }

    pub(super) fn remaining(self, now: u64) -> Duration {
        Duration::from_millis(self.until.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_survives_packing_at_its_bounds() {
        for stage in [Stage::Closed, Stage::Open, Stage::HalfOpen, Stage::Probing] {
            for (failures, spell, until) in
                [(0, 0, 0), (Word::MAX_FAILURES, Word::MAX_SPELL, Word::MAX_UNTIL), (5, 1, 9)]
            {
                let word = Word { stage, failures, spell, until };
                assert_eq!(Word::unpack(word.pack()), word);
            }
        }
        let word = Word::unpack(0);
        assert_eq!((word.stage, word.failures), (Stage::Closed, 0));
    }
}
