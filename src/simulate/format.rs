//! The audio formats of the protocol: 24 kHz pcm16, and G.711 in both its laws at 8 kHz.
//!
//! It refuses to know what the samples sound like.

use serde_json::Value;

/// Samples that `Format::encode` takes per millisecond.
pub(super) const PCM_SAMPLES_PER_MS: usize = 24;

/// 24 kHz to 8 kHz: every third sample. The tones end far below 4 kHz, so nothing needs filtering.
const PCM_SAMPLES_PER_G711_SAMPLE: usize = 3;

const MULAW_BIAS: u16 = 0x84;
const MULAW_CLIP: u16 = 32_635;

/// How audio is written in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Pcm16,
    Mulaw,
    Alaw,
}

impl Format {
    /// Reads `{"type":"audio/pcmu"}`, and the names that older documents use. Anything else is pcm16.
    pub(super) fn of(format: Option<&Value>) -> Self {
        let name = format.and_then(|format| format.get("type").or(Some(format))).and_then(Value::as_str);
        match name {
            Some("audio/pcmu" | "g711_ulaw") => Self::Mulaw,
            Some("audio/pcma" | "g711_alaw") => Self::Alaw,
            _ => Self::Pcm16,
        }
    }

    /// Bytes of one millisecond.
    pub(super) fn bytes_per_ms(self) -> usize {
        match self {
            Self::Pcm16 => PCM_SAMPLES_PER_MS * 2,
            Self::Mulaw | Self::Alaw => PCM_SAMPLES_PER_MS / PCM_SAMPLES_PER_G711_SAMPLE,
        }
    }

    /// Samples of one millisecond.
    pub(super) fn samples_per_ms(self) -> usize {
        match self {
            Self::Pcm16 => PCM_SAMPLES_PER_MS,
            Self::Mulaw | Self::Alaw => PCM_SAMPLES_PER_MS / PCM_SAMPLES_PER_G711_SAMPLE,
        }
    }

    /// 24 kHz samples in this format.
    pub(super) fn encode(self, samples: &[i16]) -> Vec<u8> {
        let thirds = samples.iter().step_by(PCM_SAMPLES_PER_G711_SAMPLE);
        match self {
            Self::Pcm16 => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
            Self::Mulaw => thirds.map(|sample| mulaw_from(*sample)).collect(),
            Self::Alaw => thirds.map(|sample| alaw_from(*sample)).collect(),
        }
    }

    /// The samples in these bytes, at the format's own rate.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<i16> {
        match self {
            Self::Pcm16 => bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect(),
            Self::Mulaw => bytes.iter().map(|byte| mulaw_to(*byte)).collect(),
            Self::Alaw => bytes.iter().map(|byte| alaw_to(*byte)).collect(),
        }
    }
}

fn mulaw_from(sample: i16) -> u8 {
    let magnitude = sample.unsigned_abs().min(MULAW_CLIP) + MULAW_BIAS;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | segment(magnitude))
}

fn mulaw_to(byte: u8) -> i16 {
    let bits = !byte;
    let shift = (bits & 0x70) >> 4;
    let magnitude = (((i16::from(bits & 0x0f) << 3) + MULAW_BIAS.cast_signed()) << shift) - MULAW_BIAS.cast_signed();
    if bits & 0x80 == 0 { magnitude } else { -magnitude }
}

fn alaw_from(sample: i16) -> u8 {
    let magnitude = if sample < 0 { !sample } else { sample }.cast_unsigned();
    let sign = if sample < 0 { 0 } else { 0x80 };
    let code = if magnitude < 0x100 { low_byte(magnitude >> 4) } else { segment(magnitude) };
    (sign | code) ^ 0x55
}

fn alaw_to(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let mantissa = i16::from(bits & 0x0f) << 4;
    let magnitude = match (bits & 0x70) >> 4 {
        0 => mantissa + 8,
        shift => (mantissa + 0x108) << (shift - 1),
    };
    if bits & 0x80 == 0 { -magnitude } else { magnitude }
}

/// Three bits of exponent and four of mantissa, which both laws share. The magnitude is at least 128.
fn segment(magnitude: u16) -> u8 {
    let exponent = u8::try_from(magnitude.ilog2().saturating_sub(7)).unwrap_or(7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    low_byte(mantissa) | (exponent << 4)
}

fn low_byte(value: u16) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::Format;
    use serde_json::json;

    #[test]
    fn g711_comes_back_within_its_own_precision() {
        for format in [Format::Mulaw, Format::Alaw] {
            for sample in (-32_000..32_000).step_by(97) {
                let back = format.decode(&format.encode(&[sample]))[0];
                let error = (i32::from(back) - i32::from(sample)).abs();
                assert!(error <= 8 + i32::from(sample).abs() / 16, "{format:?}: {sample} came back as {back}");
            }
        }
    }

    #[test]
    fn g711_writes_silence_as_every_telephone_does() {
        assert_eq!(Format::Mulaw.encode(&[0]), [0xff]);
        assert_eq!(Format::Alaw.encode(&[0]), [0xd5]);
    }

    #[test]
    fn formats_are_read_in_their_new_and_old_names() {
        assert_eq!(Format::of(Some(&json!({ "type": "audio/pcmu" }))), Format::Mulaw);
        assert_eq!(Format::of(Some(&json!("g711_alaw"))), Format::Alaw);
        assert_eq!(Format::of(Some(&json!({ "type": "audio/pcm", "rate": 24_000 }))), Format::Pcm16);
        assert_eq!(Format::of(None), Format::Pcm16);
    }
}
