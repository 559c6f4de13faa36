//! What a response is said to have used: tokens by modality that add up.
//!
//! It refuses to know prices, and what the tokens were about.

use serde_json::{Value, json};
use std::ops::AddAssign;

/// Rates of the live service: a token of audio is 100 ms heard, or 50 ms spoken.
const MS_PER_HEARD_TOKEN: usize = 100;
const MS_PER_SPOKEN_TOKEN: usize = 50;

/// The rule of thumb for English text.
const CHARACTERS_PER_TOKEN: usize = 4;

/// What an image costs here, whatever its size.
pub(super) const TOKENS_PER_IMAGE: usize = 258;

/// What the service adds to every request of its own.
const TOKENS_OF_OVERHEAD: usize = 96;

/// The live service caches whole blocks of a prompt.
const CACHE_BLOCK_TOKENS: usize = 64;

/// Tokens by modality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) text: usize,
    pub(super) audio: usize,
    pub(super) image: usize,
}

/// What one response used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    input: Tokens,
    cached: Tokens,
    pub(super) output: Tokens,
}

/// Knows what earlier responses of a connection have left in the cache.
#[derive(Default)]
pub(super) struct Meter {
    seen: Tokens,
}

impl Meter {
    /// The input side of a response over this context. What the response before it has seen comes from the cache.
    pub(super) fn begin(&mut self, mut context: Tokens) -> Usage {
        context.text += TOKENS_OF_OVERHEAD;
        let blocks = |seen: usize, now: usize| seen.min(now) / CACHE_BLOCK_TOKENS * CACHE_BLOCK_TOKENS;
        let cached = Tokens {
            text: blocks(self.seen.text, context.text),
            audio: blocks(self.seen.audio, context.audio),
            image: blocks(self.seen.image, context.image),
        };
        self.seen = context;
        Usage { input: context, cached, output: Tokens::default() }
    }
}

impl Usage {
    /// Input and output.
    pub(super) fn total(&self) -> usize {
        self.input.total() + self.output.total()
    }

    /// The `usage` of a `response.done`.
    pub(super) fn object(&self) -> Value {
        json!({
            "total_tokens": self.total(),
            "input_tokens": self.input.total(),
            "output_tokens": self.output.total(),
            "input_token_details": {
                "text_tokens": self.input.text,
                "audio_tokens": self.input.audio,
                "image_tokens": self.input.image,
                "cached_tokens": self.cached.total(),
                "cached_tokens_details": self.cached.details(),
            },
            "output_token_details": { "text_tokens": self.output.text, "audio_tokens": self.output.audio },
        })
    }
}

impl Tokens {
    /// Of this text.
    pub(super) fn of_text(text: &str) -> Self {
        Self { text: text.chars().count().div_ceil(CHARACTERS_PER_TOKEN), ..Self::default() }
    }

    /// Of audio that the client sent.
    pub(super) fn heard(ms: usize) -> Self {
        Self { audio: ms.div_ceil(MS_PER_HEARD_TOKEN), ..Self::default() }
    }

    /// Of audio that the service sent.
    pub(super) fn spoken(ms: usize) -> Self {
        Self { audio: ms.div_ceil(MS_PER_SPOKEN_TOKEN), ..Self::default() }
    }

    /// Over all modalities.
    pub(super) fn total(&self) -> usize {
        self.text + self.audio + self.image
    }

    fn details(&self) -> Value {
        json!({ "text_tokens": self.text, "audio_tokens": self.audio, "image_tokens": self.image })
    }
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, more: Self) {
        self.text += more.text;
        self.audio += more.audio;
        self.image += more.image;
    }
}

/// The `usage` of a transcription: whisper is billed by duration, its successors by tokens.
pub(super) fn transcription(model: &str, ms: usize, transcript: &str) -> Value {
    if model.starts_with("whisper") {
        let milliseconds = u32::try_from(ms).unwrap_or(u32::MAX);
        return json!({ "type": "duration", "seconds": f64::from(milliseconds) / 1_000.0 });
    }
    let (heard, written) = (Tokens::heard(ms).audio, Tokens::of_text(transcript).text);
    json!({
        "type": "tokens",
        "total_tokens": heard + written,
        "input_tokens": heard,
        "input_token_details": { "text_tokens": 0, "audio_tokens": heard },
        "output_tokens": written,
    })
}

#[cfg(test)]
mod tests {
    use super::{Meter, Tokens, transcription};

    #[test]
    fn the_parts_add_up_to_the_total() {
        let mut meter = Meter::default();
        meter.begin(Tokens { text: 10, audio: 130, image: 0 });
        let mut usage = meter.begin(Tokens { text: 50, audio: 150, image: 258 });
        usage.output += Tokens { text: 9, audio: 40, image: 0 };
        let object = usage.object();
        let count = |pointer: &str| object.pointer(pointer).and_then(serde_json::Value::as_u64).expect(pointer);
        assert_eq!(count("/total_tokens"), count("/input_tokens") + count("/output_tokens"));
        let details = ["text_tokens", "audio_tokens", "image_tokens"];
        let sum = |at: &str| details.iter().map(|name| count(&format!("{at}/{name}"))).sum::<u64>();
        assert_eq!(count("/input_tokens"), sum("/input_token_details"));
        assert_eq!(count("/input_token_details/cached_tokens"), sum("/input_token_details/cached_tokens_details"));
        assert_eq!(count("/output_tokens"), 49);
    }

    #[test]
    fn the_second_response_is_served_from_the_cache_in_part() {
        let mut meter = Meter::default();
        let first = meter.begin(Tokens::heard(20_000));
        let second = meter.begin(Tokens::heard(25_000));
        assert_eq!(first.cached.total(), 0);
        assert_eq!(second.cached, Tokens { text: 64, audio: 192, image: 0 });
    }

    #[test]
    fn whisper_is_billed_by_duration() {
        assert_eq!(transcription("whisper-1", 1_500, "Hello.")["seconds"], 1.5);
        assert_eq!(transcription("gpt-4o-transcribe", 1_500, "Hello.")["total_tokens"], 17);
    }
}
