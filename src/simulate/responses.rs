//! The responses under way on one connection: one in the conversation, others beside it.
//!
//! It refuses to know what a response consists of.

use super::answer::Answer;
use super::events::{Complaint, Draft, draft};
use super::ids::Ids;
use super::items::{Item, Items};
use super::response::{Outcome, Response};
use super::script::Script;
use super::session::Session;
use super::usage::{Meter, Tokens};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Out-of-band responses run side by side; more than these are refused.
const MOST_RESPONSES: usize = 16;

/// The limit that `rate_limits.updated` counts down from, and its window.
const TOKENS_A_MINUTE: usize = 2_000_000;
const RATE_WINDOW_SECONDS: u64 = 60;

/// All of them.
pub(super) struct Responses {
    conversation_id: String,
    running: Vec<Running>,
    meter: Meter,
    tokens_left: usize,
    pace: f64,
}

struct Running {
    response: Response,
    began: Instant,
}

impl Responses {
    /// None yet. `pace` is their speed relative to real time.
    pub(super) fn new(conversation_id: String, pace: f64) -> Self {
        let (running, meter, tokens_left) = (Vec::new(), Meter::default(), TOKENS_A_MINUTE);
        Self { conversation_id, running, meter, tokens_left, pace }
    }

    /// Begins one. `wishes` is the `response` of a `response.create`, or null.
    pub(super) fn begin(
        &mut self,
        wishes: &Value,
        session: &Session,
        items: &mut Items,
        ids: &mut Ids,
        now: Instant,
    ) -> Result<Vec<Draft>, Complaint> {
        let beside = wishes.get("conversation").and_then(Value::as_str) == Some("none");
        self.admit(session, beside)?;
        let session = session.with(wishes);
        let own_input = wishes.get("input").and_then(Value::as_array);
        let given = own_input.map(|input| context(input, &session, ids)).transpose()?;
        let seen = given.as_ref().unwrap_or(items);
        let script = Script::of(Answer::to(&seen.last_word(), &session), &session, ids);
        let usage = self.meter.begin(seen.tokens());
        let metadata = wishes.get("metadata").unwrap_or(&Value::Null);
        let conversation_id = (!beside).then(|| self.conversation_id.clone());
        let response = Response::plan(script, &session, metadata, conversation_id, usage, ids);
        let opening = response.opening(items.last_id());
        if response.in_conversation() {
            items.insert(Item::spoken(response.unfinished_item(), Tokens::default()), None)?;
        }
        self.running.push(Running { response, began: now });
        Ok(opening)
    }

    /// When the next piece of any of them is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.running.iter().map(|running| running.due(self.pace)).min()
    }

    /// Says what is due first, and ends what has been said.
    pub(super) fn advance(&mut self, items: &mut Items) -> Vec<Draft> {
        let pace = self.pace;
        let next = self.running.iter_mut().enumerate().min_by_key(|(_, running)| running.due(pace));
        let Some((index, running)) = next else { return Vec::new() };
        let mut drafts: Vec<Draft> = running.response.advance().into_iter().collect();
        if running.response.is_complete() {
            drafts.extend(self.finish(index, Outcome::Completed, items));
        }
        drafts
    }

    /// Ends the one of this name, or the one in the conversation.
    pub(super) fn cancel(&mut self, id: Option<&str>, items: &mut Items) -> Result<Vec<Draft>, Complaint> {
        let wanted = |running: &Running| match id {
            Some(id) => running.response.id() == id,
            None => running.response.in_conversation(),
        };
        let index = self.running.iter().position(wanted).ok_or_else(|| {
            Complaint::new("response_cancel_not_active", "Cancellation failed: no active response found")
        })?;
        Ok(self.finish(index, Outcome::Cancelled { reason: "client_cancelled" }, items))
    }

    /// Somebody speaks: ends the one in the conversation, if there is one.
    pub(super) fn interrupt(&mut self, items: &mut Items) -> Vec<Draft> {
        let outcome = Outcome::Cancelled { reason: "turn_detected" };
        self.in_conversation().map_or_else(Vec::new, |index| self.finish(index, outcome, items))
    }

    /// Whether the conversation waits for the end of one.
    pub(super) fn is_busy(&self) -> bool {
        self.in_conversation().is_some()
    }

    fn admit(&self, session: &Session, beside: bool) -> Result<(), Complaint> {
        if !session.converses() {
            let message = "A transcription session does not create responses.";
            return Err(Complaint::new("invalid_value", message).about("type"));
        }
        if let (Some(index), false) = (self.in_conversation(), beside) {
            let message = format!(
                "Conversation already has an active response in progress: {}. Wait until the response is finished \
                 before creating a new one.",
                self.running[index].response.id()
            );
            return Err(Complaint::new("conversation_already_has_active_response", message));
        }
        if self.running.len() >= MOST_RESPONSES {
            return Err(Complaint::new("rate_limit_exceeded", "Too many responses are under way."));
        }
        Ok(())
    }

    fn in_conversation(&self) -> Option<usize> {
        self.running.iter().position(|running| running.response.in_conversation())
    }

    fn finish(&mut self, index: usize, outcome: Outcome, items: &mut Items) -> Vec<Draft> {
        let Running { response, .. } = self.running.remove(index);
        let remembered = response.in_conversation();
        let previous = items.before(response.item_id()).map(str::to_owned);
        let finished = response.finish(outcome, previous.as_deref());
        if remembered {
            items.replace(Item::spoken(finished.item, finished.usage.output));
        }
        self.tokens_left = self.tokens_left.saturating_sub(finished.usage.total());
        let mut drafts = finished.drafts;
        drafts.extend([finished.done, self.rate_limits()]);
        drafts
    }

    fn rate_limits(&self) -> Draft {
        let tokens = json!({
            "name": "tokens", "limit": TOKENS_A_MINUTE, "remaining": self.tokens_left,
            "reset_seconds": RATE_WINDOW_SECONDS,
        });
        draft("rate_limits.updated", json!({ "rate_limits": [tokens] }))
    }
}

impl Running {
    fn due(&self, pace: f64) -> Instant {
        let paced = self.response.due().as_secs_f64() / pace;
        self.began + Duration::try_from_secs_f64(paced).unwrap_or(Duration::ZERO)
    }
}

/// The `input` of a response stands in for the conversation.
fn context(input: &[Value], session: &Session, ids: &mut Ids) -> Result<Items, Complaint> {
    let mut items = Items::default();
    for item in input.iter().filter(|item| item.get("type").and_then(Value::as_str) != Some("item_reference")) {
        items.insert(Item::from_client(item, ids, session.input_format())?, None)?;
    }
    Ok(items)
}
