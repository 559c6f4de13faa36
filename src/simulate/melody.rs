//! The voice of the simulated upstream: one short pentatonic tone a syllable, so that a listener hears what is said
//! begin, go on and end.
//!
//! It refuses to know how the samples are encoded and when they are sent.

use super::format::PCM_SAMPLES_PER_MS;
use super::ids::Ids;
use std::f64::consts::TAU;
use std::sync::OnceLock;

/// A syllable is two slots of tone, a gap between words one of silence.
const SLOT_MS: usize = 40;
const SLOT_SAMPLES: usize = SLOT_MS * PCM_SAMPLES_PER_MS;
const TONE_SAMPLES: usize = SLOT_SAMPLES * 2;

const SAMPLES_PER_SECOND: f64 = 24_000.0;

/// C, D, E, G and A above middle C, in Hz.
const PENTATONIC: [f64; 5] = [523.25, 587.33, 659.26, 783.99, 880.0];

/// A quarter of full scale: loud enough for any detector, quiet enough for headphones.
const AMPLITUDE: f64 = 8_000.0;

const NOTES: [usize; 5] = [0, 1, 2, 3, 4];

/// The tones of one answer.
pub(super) struct Melody {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy)]
enum Slot {
    Rest,
    Rise(usize),
    Fall(usize),
}

impl Melody {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// Adds a word, and says at which millisecond it begins.
    pub(super) fn sing(&mut self, word: &str, ids: &mut Ids) -> usize {
        let begins = self.length_ms();
        for _ in 0..syllables(word) {
            let note = *ids.pick(&NOTES);
            self.slots.extend([Slot::Rise(note), Slot::Fall(note)]);
        }
        self.slots.push(Slot::Rest);
        begins
    }

    /// How long it lasts.
    pub(super) fn length_ms(&self) -> usize {
        self.slots.len() * SLOT_MS
    }

    /// The 24 kHz samples of these milliseconds.
    pub(super) fn samples(&self, from_ms: usize, to_ms: usize) -> Vec<i16> {
        let to = to_ms.min(self.length_ms()) * PCM_SAMPLES_PER_MS;
        let mut at = from_ms * PCM_SAMPLES_PER_MS;
        let mut samples = Vec::with_capacity(to.saturating_sub(at));
        while at < to {
            let (slot, offset) = (at / SLOT_SAMPLES, at % SLOT_SAMPLES);
            let length = (SLOT_SAMPLES - offset).min(to - at);
            match self.slots[slot] {
                Slot::Rest => samples.resize(samples.len() + length, 0),
                Slot::Rise(note) => samples.extend(&tones()[note][offset..offset + length]),
                Slot::Fall(note) => {
                    samples.extend(&tones()[note][SLOT_SAMPLES + offset..SLOT_SAMPLES + offset + length]);
                }
            }
            at += length;
        }
        samples
    }
}

/// Groups of vowels: close enough to what a voice would make of the word.
fn syllables(word: &str) -> usize {
    let mut count = 0;
    let mut in_vowels = false;
    for letter in word.chars() {
        let vowel = "aeiouyAEIOUYäöüÄÖÜéèê".contains(letter);
        count += usize::from(vowel && !in_vowels);
        in_vowels = vowel;
    }
    count.max(1)
}

/// The five tones, computed once: a load test must not spend its time on sines.
fn tones() -> &'static [Vec<i16>] {
    static TONES: OnceLock<Vec<Vec<i16>>> = OnceLock::new();
    TONES.get_or_init(|| PENTATONIC.iter().map(|frequency| tone(*frequency)).collect())
}

fn tone(frequency: f64) -> Vec<i16> {
    (0..TONE_SAMPLES).map(|index| sample(frequency, index)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "the index of a sample is below two thousand")]
#[expect(clippy::cast_possible_truncation, reason = "the amplitude keeps it within 16 bits")]
fn sample(frequency: f64, index: usize) -> i16 {
    let through = index as f64 / TONE_SAMPLES as f64;
    // Rises in a tenth of the tone, then fades to nothing: no click at either end.
    let envelope = (through * 10.0).min(1.0) * (1.0 - through);
    ((TAU * frequency * index as f64 / SAMPLES_PER_SECOND).sin() * envelope * AMPLITUDE) as i16
}

#[cfg(test)]
mod tests {
    use super::{Melody, syllables};
    use crate::simulate::ids::Ids;

    #[test]
    fn a_word_lasts_as_long_as_its_syllables() {
        assert_eq!(syllables("today"), 2);
        assert_eq!(syllables("hmm"), 1);
        let mut melody = Melody::new();
        let mut ids = Ids::new(1, 1);
        assert_eq!(melody.sing("Hello", &mut ids), 0);
        assert_eq!(melody.sing("you", &mut ids), 200);
        assert_eq!(melody.length_ms(), 320);
    }

    #[test]
    fn slices_join_to_the_whole() {
        let mut melody = Melody::new();
        let mut ids = Ids::new(1, 1);
        for word in "the weather is fine".split(' ') {
            melody.sing(word, &mut ids);
        }
        let whole = melody.samples(0, melody.length_ms());
        let parts: Vec<i16> =
            (0..melody.length_ms()).step_by(70).flat_map(|from| melody.samples(from, from + 70)).collect();
        assert_eq!(whole, parts);
        assert!(whole.iter().any(|sample| sample.unsigned_abs() > 4_000));
    }
}
