//! Reads the few server events that the relay understands, as the Realtime API publishes them.
//!
//! It refuses to know frames, streams and prices: text goes in, an [`Event`] comes out.

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};

/// The `type`s of interest. Every other event is never looked at again.
pub const NAMES: [(&str, Name); 4] = [
    ("response.done", Name::ResponseDone),
    ("response.created", Name::ResponseCreated),
    ("session.created", Name::Session),
    ("session.updated", Name::Session),
];

/// Which event of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// A response has ended; carries the usage.
    ResponseDone,
    /// A response is under way.
    ResponseCreated,
    /// The session's settings, as created or updated.
    Session,
}

/// What an event of interest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `response.done`.
    ResponseDone(ResponseDone),
    /// `response.created`.
    ResponseCreated {
        /// `response.id`
        id: Option<String>,
    },
    /// `session.created`, `session.updated`.
    Session(AudioFormats),
}

/// The end of a response, and what it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseDone {
    /// `response.id`; identifies the record together with the link.
    pub id: Option<String>,
    /// `response.status` (`completed`, `cancelled`, `failed`, `incomplete`), or [`UNREADABLE`].
    pub status: String,
    /// Zero where the event carries none.
    pub usage: Usage,
}

/// The status of a `response.done` that could not be read: larger than the tap keeps, or not the JSON it should be.
pub const UNREADABLE: &str = "unreadable";

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

/// The audio formats that a session event names; `None` where it does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AudioFormats {
    /// What the client sends: `pcm16`, `g711_ulaw`, `g711_alaw`, or the upstream's own word.
    pub input: Option<String>,
    /// What the upstream sends.
    pub output: Option<String>,
}

impl ResponseDone {
    /// The record of a `response.done` that could not be read.
    pub fn unreadable() -> Self {
        Self { id: None, status: UNREADABLE.to_owned(), usage: Usage::default() }
    }
}

/// The name of interest that this `type` is.
pub fn name_of(event_type: &str) -> Option<Name> {
    NAMES.iter().find(|(text, _)| *text == event_type).map(|(_, name)| *name)
}

/// The top-level `type` of an event; `None` where the text is no JSON object or has no such string.
pub fn top_level_type(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    serde_json::from_slice::<Typed>(text).ok().map(|event| event.r#type)
}

/// What `text`, whose type is `name`, says. A `response.done` always says something: in doubt, that it is unreadable.
pub fn read(name: Name, text: &[u8]) -> Option<Event> {
    match name {
        Name::ResponseDone => {
            let done = serde_json::from_slice(text).map_or_else(|_| ResponseDone::unreadable(), response_done);
            Some(Event::ResponseDone(done))
        }
        Name::ResponseCreated => {
            let event: ResponseEvent = serde_json::from_slice(text).ok()?;
            Some(Event::ResponseCreated { id: event.response.and_then(|response| response.id) })
        }
        Name::Session => {
            let event: SessionEvent = serde_json::from_slice(text).ok()?;
            Some(Event::Session(audio_formats(event.session?)))
        }
    }
}

#[derive(Deserialize)]
struct ResponseEvent {
    response: Option<RawResponse>,
}

#[derive(Deserialize)]
struct RawResponse {
    id: Option<String>,
    status: Option<String>,
    usage: Option<RawUsage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawUsage {
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

fn response_done(event: ResponseEvent) -> ResponseDone {
    let Some(response) = event.response else { return ResponseDone::unreadable() };
    ResponseDone {
        id: response.id,
        status: response.status.unwrap_or_else(|| "unknown".to_owned()),
        usage: response.usage.map(usage).unwrap_or_default(),
    }
}

fn usage(raw: RawUsage) -> Usage {
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
struct Count(u64);

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

#[derive(Deserialize)]
struct SessionEvent {
    session: Option<RawSession>,
}

/// Both shapes: the current one nests the formats in `audio`, the older one names them flat.
#[derive(Deserialize)]
struct RawSession {
    audio: Option<RawAudio>,
    input_audio_format: Option<String>,
    output_audio_format: Option<String>,
}

#[derive(Deserialize)]
struct RawAudio {
    input: Option<RawAudioSide>,
    output: Option<RawAudioSide>,
}

#[derive(Deserialize)]
struct RawAudioSide {
    format: Option<RawFormat>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawFormat {
    Object { r#type: String },
    Name(String),
}

fn audio_formats(session: RawSession) -> AudioFormats {
    let (input, output) = session.audio.map_or((None, None), |audio| (audio.input, audio.output));
    let name = |side: Option<RawAudioSide>, flat| side.and_then(|side| side.format).map(format_name).or(flat);
    AudioFormats { input: name(input, session.input_audio_format), output: name(output, session.output_audio_format) }
}

fn format_name(format: RawFormat) -> String {
    let (RawFormat::Object { r#type: name } | RawFormat::Name(name)) = format;
    match name.as_str() {
        "audio/pcm" => "pcm16".to_owned(),
        "audio/pcmu" => "g711_ulaw".to_owned(),
        "audio/pcma" => "g711_alaw".to_owned(),
        _ => name,
    }
}
