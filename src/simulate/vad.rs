//! Voice activity: where in the client's audio a turn begins and ends.
//!
//! It refuses to know formats and events: it is given samples, and answers with times.

/// The step in which loudness is judged.
const STEP_MS: usize = 20;

/// Peaks below this are silence. Noise of a quiet room stays below it, a tone or a voice does not.
const THRESHOLD: u16 = 500;

/// What happened in the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Somebody speaks; milliseconds since the first sample.
    Began { at_ms: usize },
    /// It has been quiet for long enough; where the voice ended.
    Ended { at_ms: usize },
}

/// Follows one input.
#[derive(Default)]
pub(super) struct Vad {
    state: State,
    heard_ms: usize,
    step_samples: usize,
    step_peak: u16,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Quiet,
    Speaking {
        last_voice_ms: usize,
    },
}

impl Vad {
    /// Takes the samples, and says what turned. `silence_ms` of quiet end a turn.
    pub(super) fn hear(&mut self, samples: &[i16], samples_per_ms: usize, silence_ms: usize) -> Vec<Turn> {
        let mut turns = Vec::new();
        for sample in samples {
            self.step_peak = self.step_peak.max(sample.unsigned_abs());
            self.step_samples += 1;
            if self.step_samples >= STEP_MS * samples_per_ms {
                turns.extend(self.step(silence_ms));
                self.step_samples = 0;
                self.step_peak = 0;
            }
        }
        turns
    }

    /// Forgets a turn under way: its audio was taken or thrown away.
    pub(super) fn rest(&mut self) {
        self.state = State::Quiet;
    }

    fn step(&mut self, silence_ms: usize) -> Option<Turn> {
        let began_ms = self.heard_ms;
        self.heard_ms += STEP_MS;
        let voice = self.step_peak > THRESHOLD;
        match self.state {
            State::Quiet if voice => {
                self.state = State::Speaking { last_voice_ms: self.heard_ms };
                Some(Turn::Began { at_ms: began_ms })
            }
            State::Speaking { .. } if voice => {
                self.state = State::Speaking { last_voice_ms: self.heard_ms };
                None
            }
            State::Speaking { last_voice_ms } if self.heard_ms - last_voice_ms >= silence_ms => {
                self.state = State::Quiet;
                Some(Turn::Ended { at_ms: last_voice_ms })
            }
            State::Quiet | State::Speaking { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Turn, Vad};

    const PER_MS: usize = 24;

    fn audio(parts: &[(usize, i16)]) -> Vec<i16> {
        parts.iter().flat_map(|(ms, level)| vec![*level; ms * PER_MS]).collect()
    }

    #[test]
    fn a_voice_and_then_silence_is_a_turn() {
        let mut vad = Vad::default();
        let turns = vad.hear(&audio(&[(100, 0), (300, 4_000), (400, 0)]), PER_MS, 200);
        assert_eq!(turns, [Turn::Began { at_ms: 100 }, Turn::Ended { at_ms: 400 }]);
    }

    #[test]
    fn a_pause_shorter_than_the_limit_does_not_end_a_turn() {
        let mut vad = Vad::default();
        let turns = vad.hear(&audio(&[(100, 4_000), (180, 0), (100, 4_000), (180, 0)]), PER_MS, 200);
        assert_eq!(turns, [Turn::Began { at_ms: 0 }]);
    }

    #[test]
    fn it_does_not_matter_how_the_audio_is_cut() {
        let whole = audio(&[(100, 0), (300, 4_000), (400, 0), (60, 9_000)]);
        let mut vad = Vad::default();
        let turns: Vec<Turn> = whole.chunks(77).flat_map(|part| vad.hear(part, PER_MS, 200)).collect();
        assert_eq!(turns, Vad::default().hear(&whole, PER_MS, 200));
    }
}
