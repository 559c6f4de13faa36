//! The service's side of one connection: client events go in, server events come out.
//!
//! It refuses to know sockets, frames and faults. Time is given to it, so that a test needs no clock.

use super::answer::PHRASES;
use super::events::{Complaint, Draft, Event, draft};
use super::ids::Ids;
use super::input::{Heard, Input};
use super::items::{Item, Items, unknown};
use super::responses::Responses;
use super::session::Session;
use super::usage;
use serde_json::{Value, json};
use tokio::time::Instant;

/// One connection.
pub(super) struct Conversation {
    session: Session,
    items: Items,
    input: Input,
    responses: Responses,
    ids: Ids,
    out: Vec<Event>,
}

impl Conversation {
    /// Begins with `session.created`. Without a model it is a session that transcribes.
    pub(super) fn open(model: Option<&str>, pace: f64, mut ids: Ids) -> (Self, Event) {
        let session_id = ids.fresh("sess_");
        let session = match model {
            Some(model) => Session::realtime(&session_id, model),
            None => Session::transcription(&session_id),
        };
        let created = draft("session.created", json!({ "session": session.object() })).stamped(ids.fresh("event_"));
        let conversation = Self {
            session,
            items: Items::default(),
            input: Input::default(),
            responses: Responses::new(ids.fresh("conv_"), pace),
            ids,
            out: Vec::new(),
        };
        (conversation, created)
    }

    /// Takes one message of the client, and answers it.
    pub(super) fn receive(&mut self, message: &[u8], now: Instant) -> Vec<Event> {
        match serde_json::from_slice::<Value>(message) {
            Ok(event) => {
                if let Err(complaint) = self.dispatch(&event, now) {
                    self.emit(complaint.event(event.get("event_id").and_then(Value::as_str)));
                }
            }
            Err(error) => {
                let message = format!("We could not parse the JSON of your event: {error}.");
                self.emit(Complaint::new("invalid_json", message).event(None));
            }
        }
        std::mem::take(&mut self.out)
    }

    /// When there is something to say without being asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.responses.due()
    }

    /// Says what is due.
    pub(super) fn advance(&mut self) -> Vec<Event> {
        let drafts = self.responses.advance(&mut self.items);
        self.emit_all(drafts);
        std::mem::take(&mut self.out)
    }

    fn dispatch(&mut self, event: &Value, now: Instant) -> Result<(), Complaint> {
        let kind = event.get("type").and_then(Value::as_str);
        match kind.ok_or_else(|| Complaint::new("invalid_event", "The 'type' field is missing."))? {
            "session.update" => self.update(event),
            "input_audio_buffer.append" => self.append(text(event, "audio")?, now),
            "input_audio_buffer.commit" => {
                let (item_id, ms) = self.input.take(self.session.input_format(), &mut self.ids)?;
                self.commit(&item_id, ms)
            }
            "input_audio_buffer.clear" => {
                self.input.clear();
                self.emit(draft("input_audio_buffer.cleared", json!({})));
                Ok(())
            }
            "conversation.item.create" => self.create_item(event),
            "conversation.item.retrieve" => self.retrieve_item(text(event, "item_id")?),
            "conversation.item.delete" => self.delete_item(text(event, "item_id")?),
            "conversation.item.truncate" => self.truncate_item(event),
            "response.create" => self.respond(event.get("response").unwrap_or(&Value::Null), now),
            "response.cancel" => {
                let id = event.get("response_id").and_then(Value::as_str);
                let drafts = self.responses.cancel(id, &mut self.items)?;
                self.emit_all(drafts);
                Ok(())
            }
            other => {
                let message = format!("Invalid value: '{other}'. Supported values are the client events of the API.");
                Err(Complaint::new("invalid_value", message).about("type"))
            }
        }
    }

    fn update(&mut self, event: &Value) -> Result<(), Complaint> {
        let changes = event.get("session").filter(|session| session.is_object()).ok_or_else(|| missing("session"))?;
        self.session.update(changes);
        self.emit(draft("session.updated", json!({ "session": self.session.object() })));
        Ok(())
    }

    fn append(&mut self, audio: &str, now: Instant) -> Result<(), Complaint> {
        let turns = self.session.turns();
        for heard in self.input.append(audio, self.session.input_format(), turns, &mut self.ids)? {
            match heard {
                Heard::SpeechStarted { at_ms, item_id } => {
                    let fields = json!({ "audio_start_ms": at_ms, "item_id": item_id });
                    self.emit(draft("input_audio_buffer.speech_started", fields));
                    if turns.is_some_and(|turns| turns.interrupt_response) {
                        let drafts = self.responses.interrupt(&mut self.items);
                        self.emit_all(drafts);
                    }
                }
                Heard::SpeechStopped { at_ms, item_id, length_ms } => {
                    let fields = json!({ "audio_end_ms": at_ms, "item_id": item_id });
                    self.emit(draft("input_audio_buffer.speech_stopped", fields));
                    self.commit(&item_id, length_ms)?;
                    let answers = self.session.converses() && turns.is_some_and(|turns| turns.create_response);
                    if answers && !self.responses.is_busy() {
                        self.respond(&Value::Null, now)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn commit(&mut self, item_id: &str, ms: usize) -> Result<(), Complaint> {
        let previous = self.items.last_id().map(str::to_owned);
        self.emit(draft("input_audio_buffer.committed", json!({ "previous_item_id": previous, "item_id": item_id })));
        let transcript = *self.ids.pick(&PHRASES);
        self.insert(Item::heard(item_id, ms, transcript), None)?;
        let Some(model) = self.session.transcriber() else { return Ok(()) };
        let usage = usage::transcription(model, ms, transcript);
        for word in transcript.split_inclusive(' ') {
            let fields = json!({ "item_id": item_id, "content_index": 0, "delta": word });
            self.emit(draft("conversation.item.input_audio_transcription.delta", fields));
        }
        let fields = json!({ "item_id": item_id, "content_index": 0, "transcript": transcript, "usage": usage });
        self.emit(draft("conversation.item.input_audio_transcription.completed", fields));
        Ok(())
    }

    fn create_item(&mut self, event: &Value) -> Result<(), Complaint> {
        let item = event.get("item").unwrap_or(&Value::Null);
        let item = Item::from_client(item, &mut self.ids, self.session.input_format())?;
        self.insert(item, event.get("previous_item_id").and_then(Value::as_str))
    }

    fn insert(&mut self, item: Item, behind: Option<&str>) -> Result<(), Complaint> {
        let (id, value) = (item.id().to_owned(), item.value().clone());
        self.items.insert(item, behind)?;
        let fields = json!({ "previous_item_id": self.items.before(&id), "item": value });
        self.emit(draft("conversation.item.added", fields.clone()));
        self.emit(draft("conversation.item.done", fields));
        Ok(())
    }

    fn retrieve_item(&mut self, id: &str) -> Result<(), Complaint> {
        let item = self.items.find(id).ok_or_else(|| unknown("item_retrieve_invalid_item_id", "item_id", id))?;
        let fields = json!({ "item": item.value() });
        self.emit(draft("conversation.item.retrieved", fields));
        Ok(())
    }

    fn delete_item(&mut self, id: &str) -> Result<(), Complaint> {
        self.items.delete(id)?;
        self.emit(draft("conversation.item.deleted", json!({ "item_id": id })));
        Ok(())
    }

    fn truncate_item(&mut self, event: &Value) -> Result<(), Complaint> {
        let id = text(event, "item_id")?;
        self.items.find(id).ok_or_else(|| unknown("item_truncate_invalid_item_id", "item_id", id))?;
        let number = |name: &str| event.get(name).and_then(Value::as_u64).unwrap_or_default();
        let (content_index, audio_end_ms) = (number("content_index"), number("audio_end_ms"));
        let fields = json!({ "item_id": id, "content_index": content_index, "audio_end_ms": audio_end_ms });
        self.emit(draft("conversation.item.truncated", fields));
        Ok(())
    }

    fn respond(&mut self, wishes: &Value, now: Instant) -> Result<(), Complaint> {
        let drafts = self.responses.begin(wishes, &self.session, &mut self.items, &mut self.ids, now)?;
        self.emit_all(drafts);
        Ok(())
    }

    fn emit_all(&mut self, drafts: Vec<Draft>) {
        for draft in drafts {
            self.emit(draft);
        }
    }

    fn emit(&mut self, draft: Draft) {
        let id = self.ids.fresh("event_");
        self.out.push(draft.stamped(id));
    }
}

/// A field that an event cannot do without.
fn text<'a>(event: &'a Value, name: &'static str) -> Result<&'a str, Complaint> {
    event.get(name).and_then(Value::as_str).ok_or_else(|| missing(name))
}

fn missing(name: &'static str) -> Complaint {
    Complaint::new("missing_required_parameter", format!("Missing required parameter: '{name}'.")).about(name)
}

#[cfg(test)]
mod tests;
