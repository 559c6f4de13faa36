//! Token usage as the Realtime API tells it, in any of the shapes that its upstreams have.
//!
//! It refuses to know which event carries it.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// Tokens of a response. `cached` is part of `input`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// What went in, cached or not.
    pub input: Tokens,
    /// The part of `input` that was cached: never more than it, per modality.
    pub cached: Tokens,
    /// What came out.
    pub output: Tokens,
}

/// Tokens by modality.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Text, and what a total holds beyond its details.
    pub text: u64,
    /// Audio.
    pub audio: u64,
    /// Images.
    pub image: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RawUsage {
    input_tokens: Count,
    output_tokens: Count,
    input_token_details: Option<RawTokens>,
    output_token_details: Option<RawTokens>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawTokens {
    text_tokens: Count,
    audio_tokens: Count,
    image_tokens: Count,
    cached_tokens: Count,
    /// Of the same shape, one level deep.
    cached_tokens_details: Option<Box<RawTokens>>,
}

impl RawUsage {
    pub(super) fn read(self) -> Usage {
        let raw = self;
        let input = raw.input_token_details.unwrap_or_default();
        let output = raw.output_token_details.unwrap_or_default();
        let cached = *input.cached_tokens_details.unwrap_or_default();
        let cached = tokens(input.cached_tokens, [cached.text_tokens, cached.audio_tokens, cached.image_tokens]);
        let input = tokens(raw.input_tokens, [input.text_tokens, input.audio_tokens, input.image_tokens]);
        Usage {
            input,
            cached: cached.at_most(input),
            output: tokens(raw.output_tokens, [output.text_tokens, output.audio_tokens, output.image_tokens]),
        }
    }
}

/// The details, with what the total holds beyond them counted as text.
fn tokens(total: Count, [text, audio, image]: [Count; 3]) -> Tokens {
    let beyond = total.0.saturating_sub(text.0.saturating_add(audio.0).saturating_add(image.0));
    Tokens { text: text.0.saturating_add(beyond), audio: audio.0, image: image.0 }
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.plus(other.input),
            cached: self.cached.plus(other.cached),
            output: self.output.plus(other.output),
        }
    }
}

impl Tokens {
    fn plus(self, other: Self) -> Self {
        Self {
            text: self.text.saturating_add(other.text),
            audio: self.audio.saturating_add(other.audio),
            image: self.image.saturating_add(other.image),
        }
    }

    fn at_most(self, bound: Self) -> Self {
        Self { text: self.text.min(bound.text), audio: self.audio.min(bound.audio), image: self.image.min(bound.image) }
    }
}

/// A count that may be missing, null, or (some upstreams) written as a float. Below zero is zero.
#[derive(Default, Clone, Copy)]
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a count of tokens")
    }

    fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
        Ok(Count(count))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Count, E> {
        Ok(Count(u64::try_from(count).unwrap_or(0)))
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // saturating is what is meant
    fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
        Ok(Count(count as u64))
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(Count(0))
    }
}
