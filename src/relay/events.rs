//! Reads the few server events that the relay understands, as the Realtime API publishes them.
//!
//! It refuses to know frames, streams and prices: text goes in, an [`Event`] comes out.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

mod session;
mod usage;

pub use session::SessionSettings;
pub use usage::{Tokens, Usage};

use self::usage::{Count, RawUsage};

/// The `type`s of interest, and which event each is. Every other event is never looked at again.
pub type Names = &'static [(&'static str, Name)];

/// Those of every link.
pub const NAMES: [(&str, Name); 4] = [
    ("response.done", Name::ResponseDone),
    ("response.created", Name::ResponseCreated),
    ("session.created", Name::Session),
    ("session.updated", Name::Session),
];

/// Those of a link whose transcriptions are metered as well.
pub const NAMES_WITH_TRANSCRIPTION: [(&str, Name); 5] = [
    NAMES[0],
    NAMES[1],
    NAMES[2],
    NAMES[3],
    ("conversation.item.input_audio_transcription.completed", Name::Transcription),
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
    /// What the client said was transcribed; carries the usage of the model that did it.
    Transcription,
}

/// What an event of interest says.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// `response.done`.
    ResponseDone(ResponseDone),
    /// `response.created`.
    ResponseCreated {
        /// `response.id`
        id: Option<String>,
    },
    /// `session.created`, `session.updated`.
    Session(SessionSettings),
    /// `conversation.item.input_audio_transcription.completed`.
    Transcription(Transcription),
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

/// A transcription, and what it used.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcription {
    /// The item's id and the index of its content: identifies the record together with the link.
    pub id: Option<String>,
    /// `completed`, or [`UNREADABLE`].
    pub status: &'static str,
    /// In tokens, where that is what is billed; else zero.
    pub usage: Usage,
    /// In seconds of audio, where that is what is billed.
    pub seconds: Option<f64>,
}

impl ResponseDone {
    /// The record of a `response.done` that could not be read.
    pub fn unreadable() -> Self {
        Self { id: None, status: UNREADABLE.to_owned(), usage: Usage::default() }
    }
}

impl Transcription {
    /// The record of a transcription that could not be read.
    pub fn unreadable() -> Self {
        Self { id: None, status: UNREADABLE, usage: Usage::default(), seconds: None }
    }
}

/// Which of `names` this `type` is.
pub fn name_of(names: Names, event_type: &str) -> Option<Name> {
    names.iter().find(|(text, _)| *text == event_type).map(|(_, name)| *name)
}

/// The top-level `type` of an event, the first where it is repeated; `None` where the text is no JSON object or that is no
/// string.
pub fn top_level_type(text: &[u8]) -> Option<String> {
    serde_json::from_slice(text).ok().and_then(|FirstType(event_type)| event_type)
}

/// By hand, since a derived one takes an array for an object, and none with a `type` that is repeated.
struct FirstType(Option<String>);

impl<'de> Deserialize<'de> for FirstType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FirstTypeVisitor)
    }
}

struct FirstTypeVisitor;

impl<'de> Visitor<'de> for FirstTypeVisitor {
    type Value = FirstType;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<FirstType, A::Error> {
        let mut first = None;
        while let Some(key) = pairs.next_key::<String>()? {
            if key == "type" && first.is_none() {
                first = Some(pairs.next_value::<serde_json::Value>()?);
            } else {
                pairs.next_value::<IgnoredAny>()?;
            }
        }
        Ok(FirstType(first.and_then(|first| first.as_str().map(str::to_owned))))
    }
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
        Name::Session => session::read(text).map(Event::Session),
        Name::Transcription => {
            let done = serde_json::from_slice(text).map_or_else(|_| Transcription::unreadable(), transcription);
            Some(Event::Transcription(done))
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

fn response_done(event: ResponseEvent) -> ResponseDone {
    let Some(response) = event.response else { return ResponseDone::unreadable() };
    ResponseDone {
        id: response.id,
        status: response.status.unwrap_or_else(|| "unknown".to_owned()),
        usage: response.usage.map(RawUsage::read).unwrap_or_default(),
    }
}

#[derive(Deserialize)]
struct TranscriptionEvent {
    item_id: Option<String>,
    #[serde(default)]
    content_index: Count,
    usage: Option<TranscriptionUsage>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TranscriptionUsage {
    Duration { seconds: f64 },
    Tokens(RawUsage),
}

fn transcription(event: TranscriptionEvent) -> Transcription {
    let (usage, seconds) = match event.usage {
        None => (Usage::default(), None),
        Some(TranscriptionUsage::Duration { seconds }) => (Usage::default(), Some(seconds)),
        Some(TranscriptionUsage::Tokens(usage)) => (usage.read(), None),
    };
    Transcription {
        status: "completed",
        id: event.item_id.map(|item| format!("{item}:{}", event.content_index.0)),
        usage,
        seconds,
    }
}
