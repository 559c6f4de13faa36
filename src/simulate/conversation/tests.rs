//! Whole exchanges, without a socket and without a clock.

use super::Conversation;
use crate::simulate::events::Event;
use crate::simulate::ids::Ids;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::time::Instant;

struct Talk {
    conversation: Conversation,
    events: Vec<Event>,
    now: Instant,
}

impl Talk {
    fn with_seed(seed: u64) -> Self {
        let (conversation, created) = Conversation::open(Some("gpt-realtime"), f64::INFINITY, Ids::new(seed, 1));
        Self { conversation, events: vec![created], now: Instant::now() }
    }

    fn send(mut self, event: &Value) -> Self {
        self.events.extend(self.conversation.receive(event.to_string().as_bytes(), self.now));
        self
    }

    fn say(self, text: &str) -> Self {
        let content = json!([{ "type": "input_text", "text": text }]);
        let item = json!({ "type": "message", "role": "user", "content": content });
        self.send(&json!({ "type": "conversation.item.create", "item": item }))
    }

    fn answer(mut self) -> Self {
        self = self.send(&json!({ "type": "response.create" }));
        self.listen()
    }

    fn listen(mut self) -> Self {
        while self.conversation.due().is_some() {
            self.events.extend(self.conversation.advance());
        }
        self
    }

    fn append(self, ms: usize, level: i16) -> Self {
        let bytes: Vec<u8> = std::iter::repeat_n(level.to_le_bytes(), ms * 24).flatten().collect();
        self.send(&json!({ "type": "input_audio_buffer.append", "audio": STANDARD.encode(bytes) }))
    }

    fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = self.events.iter().map(|event| event.kind).collect();
        kinds.dedup();
        kinds
    }

    fn last(&self, kind: &str) -> &Event {
        self.events.iter().rfind(|event| event.kind == kind).unwrap_or_else(|| panic!("no {kind}"))
    }
}

#[test]
fn the_same_seed_says_the_same_bytes() {
    let run = |seed| {
        let talk = Talk::with_seed(seed).say("Hello").answer().append(300, 3_000).append(220, 0).listen();
        talk.events.iter().map(Event::text).collect::<Vec<String>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_spoken_answer_has_every_event_in_its_place() {
    let talk = Talk::with_seed(1).say("Hi").answer();
    let kinds: Vec<&str> =
        talk.events.iter().filter(|event| !event.is_delta_of_response()).map(|event| event.kind).collect();
    let expected = [
        "session.created",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ];
    assert_eq!(kinds, expected);
    let done = talk.last("response.done");
    assert_eq!(done.field("/response/output/0/content/0/transcript"), "You said: Hi");
    assert_eq!(done.field("/response/status"), "completed");
}

#[test]
fn speech_and_silence_are_answered_without_being_asked() {
    let talk = Talk::with_seed(1).append(300, 3_000).append(220, 0).listen();
    let opening = [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ];
    assert_eq!(talk.kinds()[..opening.len()], opening);
    assert_eq!(talk.last("response.done").field("/response/usage/input_token_details/audio_tokens"), 3);
}

#[test]
fn a_voice_interrupts_the_answer() {
    let talk = Talk::with_seed(1).say("Hi").send(&json!({ "type": "response.create" })).append(100, 3_000);
    let done = talk.last("response.done");
    let details = json!({ "type": "cancelled", "reason": "turn_detected" });
    assert_eq!(done.field("/response/status_details"), details);
}

#[test]
fn a_commit_is_transcribed_where_that_is_configured() {
    let input = json!({ "turn_detection": null, "transcription": { "model": "whisper-1" } });
    let update = json!({ "type": "session.update", "session": { "type": "realtime", "audio": { "input": input } } });
    let talk = Talk::with_seed(1).send(&update).append(150, 0).send(&json!({ "type": "input_audio_buffer.commit" }));
    let completed = talk.last("conversation.item.input_audio_transcription.completed");
    assert_eq!(completed.field("/usage"), json!({ "type": "duration", "seconds": 0.15 }));
    assert!(!talk.kinds().contains(&"response.created"));
}

#[test]
fn a_response_beside_the_conversation_runs_beside_another() {
    let beside = json!({ "conversation": "none", "output_modalities": ["text"], "metadata": { "topic": "a" } });
    let talk = Talk::with_seed(1)
        .say("Hi")
        .send(&json!({ "type": "response.create" }))
        .send(&json!({ "type": "response.create", "response": beside }))
        .listen();
    let done: Vec<&Event> = talk.events.iter().filter(|event| event.kind == "response.done").collect();
    assert_eq!(done.len(), 2);
    let other = done.iter().find(|event| event.field("/response/conversation_id").is_null()).expect("out of band");
    assert_eq!(other.field("/response/metadata/topic"), "a");
    assert_eq!(other.field("/response/usage/output_token_details/audio_tokens"), 0);
}

#[test]
fn what_it_does_not_understand_is_an_error_and_nothing_worse() {
    let code = |event: &Value| {
        let talk = Talk::with_seed(1).send(event);
        (talk.last("error").field("/error/code"), talk.last("error").field("/error/event_id"))
    };
    assert_eq!(code(&json!({ "type": "nonsense", "event_id": "mine" })), ("invalid_value".into(), "mine".into()));
    assert_eq!(code(&json!({ "event_id": "mine" })), ("invalid_event".into(), "mine".into()));
    assert_eq!(code(&json!([])), ("invalid_event".into(), Value::Null));
    let commit = json!({ "type": "input_audio_buffer.commit" });
    assert_eq!(code(&commit).0, "input_audio_buffer_commit_empty");
    assert_eq!(code(&json!({ "type": "response.cancel" })).0, "response_cancel_not_active");
    let mut talk = Talk::with_seed(1);
    let events = talk.conversation.receive(b"{", talk.now);
    assert_eq!(events[0].field("/error/code"), "invalid_json");
}

#[test]
fn an_answer_begins_at_once_and_goes_on_at_its_pace() {
    let (mut conversation, _) = Conversation::open(Some("gpt-realtime"), 2.0, Ids::new(1, 1));
    let began = Instant::now();
    conversation.receive(br#"{"type":"response.create"}"#, began);
    let (mut dues, mut audio_ms) = (Vec::new(), 0);
    while let Some(due) = conversation.due() {
        dues.push(due.duration_since(began).as_millis());
        let deltas = conversation.advance().into_iter().filter(|event| event.kind == "response.output_audio.delta");
        let lengths = deltas.filter_map(|event| STANDARD.decode(event.field("/delta").as_str()?).ok());
        audio_ms += lengths.map(|audio| audio.len() as u128 / 48).sum::<u128>();
    }
    assert_eq!(dues[..2], [0, 0]);
    assert!(dues.is_sorted());
    let last = dues[dues.len() - 1];
    assert!(last < audio_ms / 2 && last > audio_ms / 2 - 100, "the last of {audio_ms} ms is due at {last}");
}
