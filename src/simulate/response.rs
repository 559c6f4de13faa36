//! One response under way: its events from `response.created` to `response.done`, piece by piece, each piece with the
//! time at which it is due.
//!
//! It refuses to know clocks, ids of events, and why it was asked for.

use super::events::{Draft, draft};
use super::ids::Ids;
use super::items::message;
use super::script::{Content, Output, Script};
use super::session::Session;
use super::usage::{Tokens, Usage};
use serde_json::{Value, json};
use std::time::Duration;

/// A response that has been created and is not done.
pub(super) struct Response {
    id: String,
    item_id: String,
    conversation_id: Option<String>,
    settings: Value,
    script: Script,
    said: String,
    spoken_ms: usize,
    usage: Usage,
}

/// How a response ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Cancelled { reason: &'static str },
}

/// A response that is done: what remains to be told and remembered.
pub(super) struct Finished {
    pub(super) drafts: Vec<Draft>,
    pub(super) done: Draft,
    pub(super) item: Value,
    pub(super) usage: Usage,
}

impl Response {
    /// Plans the whole answer. `conversation_id` is none for a response outside of the conversation.
    pub(super) fn plan(
        script: Script,
        session: &Session,
        metadata: &Value,
        conversation_id: Option<String>,
        usage: Usage,
        ids: &mut Ids,
    ) -> Self {
        let (id, item_id) = (ids.fresh("resp_"), ids.fresh("item_"));
        let settings = json!({
            "output_modalities": session.field("/output_modalities"),
            "max_output_tokens": session.field("/max_output_tokens"),
            "audio": { "output": {
                "format": session.field("/audio/output/format"),
                "voice": session.field("/audio/output/voice"),
            } },
            "metadata": metadata,
        });
        let (said, spoken_ms) = (String::new(), 0);
        Self { id, item_id, conversation_id, settings, script, said, spoken_ms, usage }
    }

    /// `response.created` and the beginning of its item, which stands behind `previous` in the conversation.
    pub(super) fn opening(&self, previous: Option<&str>) -> Vec<Draft> {
        let mut drafts = vec![
            draft(
                "response.created",
                json!({ "response": self.object("in_progress", &Value::Null, &[], &Value::Null) }),
            ),
            self.event(
                "response.output_item.added",
                json!({ "output_index": 0, "item": self.item("in_progress", false) }),
            ),
        ];
        if self.in_conversation() {
            let fields = json!({ "previous_item_id": previous, "item": self.item("in_progress", false) });
            drafts.push(draft("conversation.item.added", fields));
        }
        if let Some(part) = self.part("") {
            drafts.push(self.content_event("response.content_part.added", "part", part));
        }
        drafts
    }

    /// When the next piece is due, since its beginning and at real time. A response without one is complete.
    pub(super) fn due(&self) -> Duration {
        let ms = self.script.pieces.front().map_or(0, |piece| piece.due_ms);
        Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// The next piece.
    pub(super) fn advance(&mut self) -> Option<Draft> {
        let piece = self.script.pieces.pop_front()?;
        Some(match piece.content {
            Content::Text(text) => {
                self.said.push_str(&text);
                match &self.script.output {
                    Output::Speech { .. } => {
                        self.content_event("response.output_audio_transcript.delta", "delta", text.into())
                    }
                    Output::Text => self.content_event("response.output_text.delta", "delta", text.into()),
                    Output::Call { call_id, .. } => {
                        let fields = json!({ "call_id": call_id, "delta": text });
                        self.item_event("response.function_call_arguments.delta", fields)
                    }
                }
            }
            Content::Audio { from_ms } => {
                let (audio, to_ms) = self.script.audio(from_ms);
                self.spoken_ms = to_ms;
                self.content_event("response.output_audio.delta", "delta", audio.into())
            }
        })
    }

    /// The events that close it, whatever is still unsaid.
    pub(super) fn finish(mut self, outcome: Outcome, previous: Option<&str>) -> Finished {
        let status = match outcome {
            Outcome::Completed => "completed",
            Outcome::Cancelled { .. } => "incomplete",
        };
        let mut drafts = self.ends_of_content();
        let item = self.item(status, true);
        if self.in_conversation() {
            drafts.push(draft("conversation.item.done", json!({ "previous_item_id": previous, "item": item })));
        }
        drafts.push(self.event("response.output_item.done", json!({ "output_index": 0, "item": item })));
        self.usage.output = self.tokens();
        let (status, details) = match outcome {
            Outcome::Completed => ("completed", Value::Null),
            Outcome::Cancelled { reason } => ("cancelled", json!({ "type": "cancelled", "reason": reason })),
        };
        let response = self.object(status, &details, std::slice::from_ref(&item), &self.usage.object());
        let done = draft("response.done", json!({ "response": response }));
        Finished { drafts, done, item, usage: self.usage }
    }

    /// Its name.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The item it makes.
    pub(super) fn item_id(&self) -> &str {
        &self.item_id
    }

    /// The item as it is now.
    pub(super) fn unfinished_item(&self) -> Value {
        self.item("in_progress", false)
    }

    /// Whether what it says becomes a part of the conversation.
    pub(super) fn in_conversation(&self) -> bool {
        self.conversation_id.is_some()
    }

    /// Whether all has been said.
    pub(super) fn is_complete(&self) -> bool {
        self.script.pieces.is_empty()
    }

    fn ends_of_content(&self) -> Vec<Draft> {
        let said = || Value::from(self.said.as_str());
        let mut drafts = match &self.script.output {
            Output::Speech { .. } => vec![
                self.item_event("response.output_audio.done", json!({ "content_index": 0 })),
                self.content_event("response.output_audio_transcript.done", "transcript", said()),
            ],
            Output::Text => vec![self.content_event("response.output_text.done", "text", said())],
            Output::Call { name, call_id } => {
                let fields = json!({ "call_id": call_id, "name": name, "arguments": self.said });
                vec![self.item_event("response.function_call_arguments.done", fields)]
            }
        };
        if let Some(part) = self.part(&self.said) {
            drafts.push(self.content_event("response.content_part.done", "part", part));
        }
        drafts
    }

    fn tokens(&self) -> Tokens {
        let mut tokens = Tokens::of_text(&self.said);
        tokens += Tokens::spoken(self.spoken_ms);
        tokens
    }

    fn object(&self, status: &str, details: &Value, output: &[Value], usage: &Value) -> Value {
        json!({
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self.conversation_id,
            "output_modalities": self.settings["output_modalities"],
            "max_output_tokens": self.settings["max_output_tokens"],
            "audio": self.settings["audio"],
            "usage": usage,
            "metadata": self.settings["metadata"],
        })
    }

    fn item(&self, status: &str, said: bool) -> Value {
        let content = match &self.script.output {
            Output::Call { name, call_id } => {
                let arguments = if said { self.said.as_str() } else { "" };
                return json!({
                    "id": self.item_id, "object": "realtime.item", "type": "function_call", "status": status,
                    "name": name, "call_id": call_id, "arguments": arguments,
                });
            }
            _ if !said => json!([]),
            Output::Speech { .. } => json!([{ "type": "output_audio", "transcript": self.said }]),
            Output::Text => json!([{ "type": "output_text", "text": self.said }]),
        };
        message(&self.item_id, "assistant", status, &content)
    }

    fn part(&self, said: &str) -> Option<Value> {
        match self.script.output {
            Output::Speech { .. } => Some(json!({ "type": "audio", "transcript": said })),
            Output::Text => Some(json!({ "type": "text", "text": said })),
            Output::Call { .. } => None,
        }
    }

    fn content_event(&self, kind: &'static str, name: &str, value: Value) -> Draft {
        let mut fields = json!({ "content_index": 0 });
        fields[name] = value;
        self.item_event(kind, fields)
    }

    fn item_event(&self, kind: &'static str, more: Value) -> Draft {
        let mut fields = json!({ "item_id": self.item_id, "output_index": 0 });
        extend(&mut fields, more);
        self.event(kind, fields)
    }

    fn event(&self, kind: &'static str, more: Value) -> Draft {
        let mut fields = json!({ "response_id": self.id });
        extend(&mut fields, more);
        draft(kind, fields)
    }
}

fn extend(fields: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (fields, more) {
        fields.extend(more);
    }
}
