//! What the demo's client says, and how what it hears is kept. It refuses to know how either travels.

use std::f64::consts::{PI, TAU};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hound::{SampleFormat, WavSpec, WavWriter};

/// Of `audio/pcm` in the Realtime API: 16 bits, mono.
const SAMPLES_PER_SECOND: u32 = 24_000;
/// How much audio one append carries; what a browser or a telephone would send.
pub(super) const APPEND_MS: u32 = 40;
const SAMPLES_PER_APPEND: usize = (SAMPLES_PER_SECOND / 1_000 * APPEND_MS) as usize;
/// How long the client speaks.
const SPOKEN_SECONDS: u32 = 2;

/// A low voice, in Hz, and how fast it speaks.
const PITCH: f64 = 130.0;
const SYLLABLES_PER_SECOND: f64 = 4.0;
/// How loud the pitch and its overtones are, as shares of [`AMPLITUDE`].
const OVERTONES: [(f64, f64); 4] = [(1.0, 0.5), (2.0, 0.25), (3.0, 0.15), (5.0, 0.1)];
/// A third of full scale.
const AMPLITUDE: f64 = 11_000.0;

/// Two seconds that sound somewhat like speech, in the pieces in which they are sent: base64 of little-endian samples.
pub(super) fn question() -> Vec<String> {
    let samples: Vec<i16> = (0..SPOKEN_SECONDS * SAMPLES_PER_SECOND).map(sample).collect();
    samples.chunks(SAMPLES_PER_APPEND).map(encode).collect()
}

fn encode(samples: &[i16]) -> String {
    STANDARD.encode(samples.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<u8>>())
}

/// The samples of one audio delta; `None` if it holds none.
pub(super) fn decode(delta: &str) -> Option<Vec<i16>> {
    let bytes = STANDARD.decode(delta).ok()?;
    let (samples, []) = bytes.as_chunks::<2>() else { return None };
    Some(samples.iter().copied().map(i16::from_le_bytes).collect())
}

/// How long so many samples last.
#[expect(clippy::cast_precision_loss, reason = "an answer has fewer than 2^52 samples")]
pub(super) fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(SAMPLES_PER_SECOND)
}

/// Writes a WAV file, over what is there.
pub(super) fn write(path: impl AsRef<Path>, samples: &[i16]) -> hound::Result<()> {
    let (channels, bits_per_sample) = (1, 16);
    let spec = WavSpec { channels, sample_rate: SAMPLES_PER_SECOND, bits_per_sample, sample_format: SampleFormat::Int };
    let mut file = WavWriter::create(path, spec)?;
    for sample in samples {
        file.write_sample(*sample)?;
    }
    file.finalize()
}

#[expect(clippy::cast_possible_truncation, reason = "the shares of the overtones add up to one amplitude")]
fn sample(index: u32) -> i16 {
    let at = f64::from(index) / f64::from(SAMPLES_PER_SECOND);
    let loudness = (PI * (at * SYLLABLES_PER_SECOND).fract()).sin();
    let voice: f64 = OVERTONES.iter().map(|(multiple, share)| share * (TAU * PITCH * multiple * at).sin()).sum();
    (voice * loudness * AMPLITUDE) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_can_be_heard_again() {
        let question = question();
        let heard: Vec<i16> = question.iter().flat_map(|piece| decode(piece).expect("whole samples")).collect();
        assert_eq!((question.len(), heard.len()), (50, 48_000));
        assert!(heard.iter().any(|sample| sample.unsigned_abs() > 4_000));
        assert_eq!((decode("AAA="), decode("AA=="), decode("*")), (Some(vec![0]), None, None));
    }
}
