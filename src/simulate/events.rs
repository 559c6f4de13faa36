//! The shape of a server event: its type first, its id second, then its fields, as the live service orders them.
//!
//! It refuses to know when an event is due and how it travels.

use serde_json::{Map, Value, json};

/// An event that has no id yet.
pub(super) struct Draft {
    kind: &'static str,
    fields: Value,
}

/// An event as it goes to the client.
pub(super) struct Event {
    /// What it says in `type`.
    pub(super) kind: &'static str,
    body: Map<String, Value>,
}

/// What is wrong with a client's event. Becomes an `error` event; the session goes on.
#[derive(Debug)]
pub(super) struct Complaint {
    code: &'static str,
    message: String,
    param: Option<&'static str>,
}

/// An event of this type with these fields (an object).
pub(super) fn draft(kind: &'static str, fields: Value) -> Draft {
    Draft { kind, fields }
}

impl Draft {
    /// The event with its id.
    pub(super) fn stamped(self, event_id: String) -> Event {
        let mut body = Map::new();
        body.insert("type".to_owned(), self.kind.into());
        body.insert("event_id".to_owned(), event_id.into());
        if let Value::Object(fields) = self.fields {
            body.extend(fields);
        }
        Event { kind: self.kind, body }
    }
}

impl Event {
    /// Whether it is a part of what a response says.
    pub(super) fn is_delta_of_response(&self) -> bool {
        self.kind.starts_with("response.") && self.kind.rsplit('.').next() == Some("delta")
    }

    /// Compact JSON, `type` first.
    pub(super) fn text(&self) -> String {
        json_text(&self.body)
    }

    /// Compact JSON, `type` last: legal, and what a reader that decides by the first bytes must survive.
    pub(super) fn text_type_last(&self) -> String {
        let mut body = self.body.clone();
        if let Some(kind) = body.shift_remove("type") {
            body.insert("type".to_owned(), kind);
        }
        json_text(&body)
    }

    /// Compact JSON of a `response.done` that does not say what was used.
    pub(super) fn text_without_usage(&self) -> String {
        let mut body = self.body.clone();
        if let Some(usage) = body.get_mut("response").and_then(|response| response.get_mut("usage")) {
            *usage = Value::Null;
        }
        json_text(&body)
    }

    /// One of its fields, or null.
    #[cfg(test)]
    pub(super) fn field(&self, pointer: &str) -> Value {
        Value::Object(self.body.clone()).pointer(pointer).cloned().unwrap_or_default()
    }
}

impl Complaint {
    /// What is wrong, in the service's words.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None }
    }

    /// The field of the client's event it is about.
    pub(super) fn about(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    /// The `error` event; `cause` is the id that the client gave its own event.
    pub(super) fn event(self, cause: Option<&str>) -> Draft {
        draft("error", error_fields("invalid_request_error", self.code, &self.message, self.param, cause))
    }
}

/// An `error` event that no client's event caused, such as `server_error` or `session_expired`.
pub(super) fn service_error(code: &str) -> Draft {
    let kind = if code == "server_error" { "server_error" } else { "invalid_request_error" };
    let message = match code {
        "server_error" => "The server had an error while processing your request.".to_owned(),
        "invalid_api_key" => "Incorrect API key provided.".to_owned(),
        "model_not_found" => "The model does not exist or you do not have access to it.".to_owned(),
        "session_expired" => "Your session hit the maximum duration of 60 minutes.".to_owned(),
        "insufficient_quota" => {
            "You exceeded your current quota, please check your plan and billing details.".to_owned()
        }
        other => format!("The simulated upstream was asked for the error {other}."),
    };
    draft("error", error_fields(kind, code, &message, None, None))
}

fn error_fields(kind: &str, code: &str, message: &str, param: Option<&str>, cause: Option<&str>) -> Value {
    json!({ "error": { "type": kind, "code": code, "message": message, "param": param, "event_id": cause } })
}

fn json_text(body: &Map<String, Value>) -> String {
    // Maps with string keys and finite numbers always serialise.
    serde_json::to_string(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Complaint, draft};
    use serde_json::json;

    #[test]
    fn type_and_event_id_come_first() {
        let event = draft("rate_limits.updated", json!({ "rate_limits": [] })).stamped("event_1".to_owned());
        assert_eq!(event.text(), r#"{"type":"rate_limits.updated","event_id":"event_1","rate_limits":[]}"#);
        assert_eq!(event.text_type_last(), r#"{"event_id":"event_1","rate_limits":[],"type":"rate_limits.updated"}"#);
    }

    #[test]
    fn an_error_names_the_event_that_caused_it() {
        let complaint = Complaint::new("invalid_value", "No.").about("type");
        let error = complaint.event(Some("mine")).stamped("event_1".to_owned());
        assert_eq!(error.field("/error/event_id"), "mine");
        assert_eq!(error.field("/error/param"), "type");
    }
}
