//! The items of a conversation: what was said by whom, in order, and what it weighs in tokens.
//!
//! It refuses to know when items come about, and keeps no audio.

use super::events::Complaint;
use super::format::Format;
use super::ids::Ids;
use super::usage::{TOKENS_PER_IMAGE, Tokens};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A load test may keep a connection for hours: the oldest item goes when there are more.
const MOST_ITEMS: usize = 1_000;

/// One item.
pub(super) struct Item {
    value: Value,
    tokens: Tokens,
}

/// What was said last: an answer depends on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LastWord<'a> {
    Nothing,
    Said(String),
    FunctionAnswered(&'a str),
}

/// The conversation, oldest first.
#[derive(Default)]
pub(super) struct Items {
    list: Vec<Item>,
}

impl Item {
    /// Reads the `item` of a `conversation.item.create`.
    pub(super) fn from_client(item: &Value, ids: &mut Ids, format: Format) -> Result<Self, Complaint> {
        let mut value = item.clone();
        let missing = |name, param| {
            Complaint::new("missing_required_parameter", format!("Missing required parameter: '{name}'.")).about(param)
        };
        let Some(fields) = value.as_object_mut() else {
            return Err(missing("item", "item"));
        };
        let kind = fields.get("type").and_then(Value::as_str).ok_or_else(|| missing("item.type", "item.type"))?;
        if !matches!(kind, "message" | "function_call" | "function_call_output") {
            return Err(Complaint::new("invalid_value", format!("Invalid value: '{kind}'.")).about("item.type"));
        }
        let id = match fields.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => ids.fresh("item_"),
        };
        fields.insert("id".to_owned(), id.into());
        fields.insert("object".to_owned(), "realtime.item".into());
        fields.insert("status".to_owned(), "completed".into());
        let tokens = weigh(&value, format);
        if let Some(Value::Array(parts)) = value.get_mut("content") {
            parts.iter_mut().for_each(forget_audio);
        }
        Ok(Self { value, tokens })
    }

    /// What the client said in its audio.
    pub(super) fn heard(id: &str, ms: usize, transcript: &str) -> Self {
        let content = json!([{ "type": "input_audio", "transcript": transcript }]);
        Self { value: message(id, "user", "completed", &content), tokens: Tokens::heard(ms) }
    }

    /// What the service says: filled in when it has said it.
    pub(super) fn spoken(value: Value, tokens: Tokens) -> Self {
        Self { value, tokens }
    }

    /// As events show it.
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Its name.
    pub(super) fn id(&self) -> &str {
        text_of(&self.value, "id")
    }

    fn role(&self) -> &str {
        text_of(&self.value, "role")
    }

    fn text(&self) -> String {
        let parts = self.value.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let texts = parts.iter().map(|part| [text_of(part, "text"), text_of(part, "transcript")].concat());
        texts.collect::<Vec<String>>().join(" ").trim().to_owned()
    }
}

impl Items {
    /// Adds one at the end, or behind the item named.
    pub(super) fn insert(&mut self, item: Item, behind: Option<&str>) -> Result<(), Complaint> {
        if self.find(item.id()).is_some() {
            let message = format!("Item with item_id already exists: {}.", item.id());
            return Err(Complaint::new("item_create_duplicate_item_id", message).about("item.id"));
        }
        let at = match behind {
            None => self.list.len(),
            Some("root") => 0,
            Some(id) => match self.position(id) {
                Some(position) => position + 1,
                None => return Err(unknown("item_create_invalid_previous_item_id", "previous_item_id", id)),
            },
        };
        self.list.insert(at, item);
        if self.list.len() > MOST_ITEMS {
            self.list.remove(0);
        }
        Ok(())
    }

    /// Puts the finished item where the unfinished one is. It may have been deleted meanwhile.
    pub(super) fn replace(&mut self, item: Item) {
        if let Some(position) = self.position(item.id()) {
            self.list[position] = item;
        }
    }

    /// Takes one out.
    pub(super) fn delete(&mut self, id: &str) -> Result<(), Complaint> {
        let position = self.position(id).ok_or_else(|| unknown("item_delete_invalid_item_id", "item_id", id))?;
        self.list.remove(position);
        Ok(())
    }

    /// The item of this name.
    pub(super) fn find(&self, id: &str) -> Option<&Item> {
        self.position(id).map(|position| &self.list[position])
    }

    /// What stands before it, for `previous_item_id`.
    pub(super) fn before(&self, id: &str) -> Option<&str> {
        let position = self.position(id)?.checked_sub(1)?;
        Some(self.list[position].id())
    }

    /// The end of the conversation, for `previous_item_id`.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.list.last().map(Item::id)
    }

    /// What an answer has to answer.
    pub(super) fn last_word(&self) -> LastWord<'_> {
        if let Some(last) = self.list.last()
            && text_of(&last.value, "type") == "function_call_output"
        {
            return LastWord::FunctionAnswered(text_of(&last.value, "output"));
        }
        let said = self.list.iter().rev().find(|item| item.role() == "user").map(Item::text);
        said.filter(|text| !text.is_empty()).map_or(LastWord::Nothing, LastWord::Said)
    }

    /// What the conversation weighs.
    pub(super) fn tokens(&self) -> Tokens {
        let mut sum = Tokens::default();
        self.list.iter().for_each(|item| sum += item.tokens);
        sum
    }

    fn position(&self, id: &str) -> Option<usize> {
        // From the end: what is looked for is almost always young.
        self.list.iter().rposition(|item| item.id() == id)
    }
}

/// A message item.
pub(super) fn message(id: &str, role: &str, status: &str, content: &Value) -> Value {
    json!({
        "id": id, "object": "realtime.item", "type": "message", "status": status, "role": role, "content": content,
    })
}

/// The complaint about an item that is not there.
pub(super) fn unknown(code: &'static str, param: &'static str, id: &str) -> Complaint {
    Complaint::new(code, format!("Item with item_id not found: {id}.")).about(param)
}

fn weigh(item: &Value, format: Format) -> Tokens {
    let mut tokens = Tokens::default();
    for name in ["name", "arguments", "output"] {
        tokens += Tokens::of_text(text_of(item, name));
    }
    for part in item.get("content").and_then(Value::as_array).into_iter().flatten() {
        tokens += Tokens::of_text(text_of(part, "text"));
        if text_of(part, "type") == "input_image" {
            tokens.image += TOKENS_PER_IMAGE;
        }
        let audio = STANDARD.decode(text_of(part, "audio")).unwrap_or_default();
        tokens += Tokens::heard(audio.len() / format.bytes_per_ms());
    }
    tokens
}

fn forget_audio(part: &mut Value) {
    if let Some(fields) = part.as_object_mut() {
        fields.shift_remove("audio");
    }
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Item, Items, LastWord};
    use crate::simulate::format::Format;
    use crate::simulate::ids::Ids;
    use serde_json::json;

    fn said(text: &str) -> Item {
        let item = json!({ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": text }] });
        Item::from_client(&item, &mut Ids::new(0, text.len() as u64), Format::Pcm16).expect("a message")
    }

    #[test]
    fn the_last_word_is_the_users_unless_a_function_has_answered() {
        let mut items = Items::default();
        assert_eq!(items.last_word(), LastWord::Nothing);
        items.insert(said("Hello"), None).expect("inserted");
        assert_eq!(items.last_word(), LastWord::Said("Hello".to_owned()));
        let output = json!({ "type": "function_call_output", "call_id": "call_1", "output": "21" });
        let output = Item::from_client(&output, &mut Ids::new(0, 99), Format::Pcm16).expect("an output");
        items.insert(output, None).expect("inserted");
        assert_eq!(items.last_word(), LastWord::FunctionAnswered("21"));
    }

    #[test]
    fn items_weigh_what_they_hold() {
        let content = json!([
            { "type": "input_text", "text": "12345678" },
            { "type": "input_image", "image_url": "data:" },
            { "type": "input_audio", "audio": "A".repeat(64_000) },
        ]);
        let item = json!({ "type": "message", "role": "user", "content": content });
        let item = Item::from_client(&item, &mut Ids::new(0, 0), Format::Pcm16).expect("a message");
        assert_eq!((item.tokens.text, item.tokens.image, item.tokens.audio), (2, 258, 10));
        assert_eq!(item.value().pointer("/content/2"), Some(&json!({ "type": "input_audio" })));
    }

    #[test]
    fn an_item_goes_behind_the_one_that_is_named() {
        let mut items = Items::default();
        items.insert(said("a"), None).expect("inserted");
        items.insert(said("bb"), Some("root")).expect("inserted");
        assert_eq!(items.last_word(), LastWord::Said("a".to_owned()));
        assert!(items.insert(said("ccc"), Some("item_none")).is_err());
        assert!(items.insert(said("a"), None).is_err());
    }
}
