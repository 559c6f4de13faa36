//! The session object: what the service starts with, how `session.update` changes it, and what it means.
//!
//! It refuses to know what is said in the session.

use super::format::Format;
use serde_json::{Map, Value, json};

/// 2033-05-18, Unix seconds. Fixed, because equal seeds promise equal bytes; far away, because clients look at it.
const EXPIRES_AT: u64 = 2_000_000_000;

const DEFAULT_SILENCE_MS: u64 = 200;

/// Fields that an update cannot change.
const FIXED: [&str; 4] = ["id", "object", "model", "expires_at"];

/// A session, or a session with the overrides of one response.
#[derive(Clone)]
pub(super) struct Session {
    object: Value,
}

/// How the service takes turns by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// Quiet of this length ends a turn.
    pub(super) silence_ms: usize,
    /// An answer follows.
    pub(super) create_response: bool,
    /// A voice ends the answer under way.
    pub(super) interrupt_response: bool,
}

impl Session {
    /// What `session.created` shows of a conversation.
    pub(super) fn realtime(id: &str, model: &str) -> Self {
        let object = json!({
            "type": "realtime",
            "object": "realtime.session",
            "id": id,
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "tracing": null,
            "truncation": "auto",
            "prompt": null,
            "expires_at": EXPIRES_AT,
            "audio": {
                "input": input(&Value::Null),
                "output": { "format": { "type": "audio/pcm", "rate": 24_000 }, "voice": "marin", "speed": 1.0 },
            },
            "include": null,
        });
        Self { object }
    }

    /// What `session.created` shows of a session that only transcribes.
    pub(super) fn transcription(id: &str) -> Self {
        let transcription = json!({ "model": "gpt-4o-transcribe", "language": null, "prompt": "" });
        let object = json!({
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": id,
            "expires_at": EXPIRES_AT,
            "audio": { "input": input(&transcription) },
            "include": null,
        });
        Self { object }
    }

    /// Merges what a `session.update` names, and leaves the rest as it is.
    pub(super) fn update(&mut self, changes: &Value) {
        let mut changes = changes.clone();
        if let Value::Object(fields) = &mut changes {
            fields.retain(|name, _| !FIXED.contains(&name.as_str()));
        }
        merge(&mut self.object, changes);
        if let Some(Value::Object(turns)) = self.object.pointer_mut("/audio/input/turn_detection") {
            complete(turns);
        }
    }

    /// The session as one response sees it. A response that wishes nothing has no overrides (null).
    pub(super) fn with(&self, overrides: &Value) -> Self {
        let mut object = self.object.clone();
        if overrides.is_object() {
            merge(&mut object, overrides.clone());
        }
        Self { object }
    }

    /// As events show it.
    pub(super) fn object(&self) -> &Value {
        &self.object
    }

    /// Any of its fields, by JSON pointer; null where there is none.
    pub(super) fn field(&self, pointer: &str) -> Value {
        self.object.pointer(pointer).cloned().unwrap_or_default()
    }

    /// Whether it answers at all.
    pub(super) fn converses(&self) -> bool {
        self.object.get("type").and_then(Value::as_str) != Some("transcription")
    }

    /// Whether answers are spoken.
    pub(super) fn speaks(&self) -> bool {
        let modalities = self.object.get("output_modalities").and_then(Value::as_array);
        modalities.is_none_or(|list| list.iter().any(|modality| modality == "audio"))
    }

    /// How the client sends audio.
    pub(super) fn input_format(&self) -> Format {
        Format::of(self.object.pointer("/audio/input/format"))
    }

    /// How the client wants audio.
    pub(super) fn output_format(&self) -> Format {
        Format::of(self.object.pointer("/audio/output/format"))
    }

    /// The model that transcribes the client's audio, if one does.
    pub(super) fn transcriber(&self) -> Option<&str> {
        self.object.pointer("/audio/input/transcription/model").and_then(Value::as_str)
    }

    /// How turns are detected, unless the client commits by itself.
    pub(super) fn turns(&self) -> Option<Turns> {
        let turns = self.object.pointer("/audio/input/turn_detection").filter(|turns| turns.is_object())?;
        let silence = turns.get("silence_duration_ms").and_then(Value::as_u64).unwrap_or(DEFAULT_SILENCE_MS);
        let flag = |name: &str| turns.get(name).and_then(Value::as_bool).unwrap_or(true);
        Some(Turns {
            silence_ms: usize::try_from(silence).unwrap_or(usize::MAX),
            create_response: flag("create_response"),
            interrupt_response: flag("interrupt_response"),
        })
    }

    /// The names and parameters of its functions.
    pub(super) fn tools(&self) -> &[Value] {
        self.object.get("tools").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

fn input(transcription: &Value) -> Value {
    json!({
        "format": { "type": "audio/pcm", "rate": 24_000 },
        "transcription": transcription,
        "noise_reduction": null,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": DEFAULT_SILENCE_MS,
            "create_response": true,
            "interrupt_response": true,
        },
    })
}

/// What the service fills in where a client only says `{"type":"server_vad"}`.
fn complete(turns: &mut Map<String, Value>) {
    if turns.get("type").and_then(Value::as_str) == Some("server_vad") {
        turns.entry("threshold").or_insert(json!(0.5));
        turns.entry("prefix_padding_ms").or_insert(json!(300));
        turns.entry("silence_duration_ms").or_insert(json!(DEFAULT_SILENCE_MS));
    }
    turns.entry("create_response").or_insert(json!(true));
    turns.entry("interrupt_response").or_insert(json!(true));
}

/// Objects merge field by field, anything else replaces. An object of another `type` is another variant, and replaces
/// too: `audio/pcmu` must not keep the rate of `audio/pcm`.
fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) if !other_variant(into, &changes) => {
            for (name, change) in changes {
                merge(into.entry(name).or_insert(Value::Null), change);
            }
        }
        (into, changes) => *into = changes,
    }
}

fn other_variant(into: &Map<String, Value>, changes: &Map<String, Value>) -> bool {
    matches!((into.get("type"), changes.get("type")), (Some(old), Some(new)) if old != new)
}

#[cfg(test)]
mod tests {
    use super::{Session, Turns};
    use crate::simulate::format::Format;
    use serde_json::json;

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let mut session = Session::realtime("sess_1", "gpt-realtime");
        session.update(&json!({ "type": "realtime", "model": "other", "audio": { "output": { "voice": "cedar" } } }));
        assert_eq!(session.field("/audio/output/voice"), "cedar");
        assert_eq!(session.field("/audio/output/format/rate"), 24_000);
        assert_eq!(session.field("/model"), "gpt-realtime");
    }

    #[test]
    fn a_format_of_another_type_replaces_the_whole_format() {
        let mut session = Session::realtime("sess_1", "gpt-realtime");
        session.update(&json!({ "audio": { "output": { "format": { "type": "audio/pcmu" } } } }));
        assert_eq!(session.field("/audio/output/format"), json!({ "type": "audio/pcmu" }));
        assert_eq!(session.output_format(), Format::Mulaw);
        assert_eq!(session.input_format(), Format::Pcm16);
    }

    #[test]
    fn turn_detection_goes_away_and_comes_back_with_its_defaults() {
        let mut session = Session::realtime("sess_1", "gpt-realtime");
        session.update(&json!({ "audio": { "input": { "turn_detection": null } } }));
        assert_eq!(session.turns(), None);
        session.update(&json!({ "audio": { "input": { "turn_detection": { "type": "server_vad" } } } }));
        let turns = Turns { silence_ms: 200, create_response: true, interrupt_response: true };
        assert_eq!(session.turns(), Some(turns));
    }

    #[test]
    fn a_response_may_override_without_changing_the_session() {
        let session = Session::realtime("sess_1", "gpt-realtime");
        assert!(!session.with(&json!({ "output_modalities": ["text"] })).speaks());
        assert!(session.speaks());
        assert_eq!(session.with(&json!(null)).object(), session.object());
    }
}
