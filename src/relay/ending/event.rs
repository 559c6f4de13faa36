//! The `error` events that the relay writes itself.
//!
//! It refuses to know which ending has which.

use serde_json::json;

use super::Decision;

/// The `code` of an `error` event of ours, which is also the ending's name where there is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventCode {
    /// The upstream's connection ended without a close frame.
    UpstreamConnectionLost,
    /// The upstream broke RFC 6455.
    UpstreamProtocolError,
    /// The upstream sent a message over the limit.
    UpstreamMessageTooBig,
    /// The relay's own doing.
    Decided(Decision),
}

impl EventCode {
    /// The `code` of the error object.
    pub fn code(self) -> &'static str {
        match self {
            Self::UpstreamConnectionLost => "upstream_connection_lost",
            Self::UpstreamProtocolError => "upstream_protocol_error",
            Self::UpstreamMessageTooBig => "upstream_message_too_big",
            Self::Decided(decision) => decision.code(),
        }
    }

    /// The `type` of the error object.
    fn error_type(self) -> &'static str {
        match self {
            Self::UpstreamConnectionLost | Self::UpstreamProtocolError | Self::UpstreamMessageTooBig => {
                "upstream_error"
            }
            Self::Decided(decision) => decision.error_type(),
        }
    }

    /// The event as text.
    pub fn event(self, message: &str, request_id: &str) -> String {
        error_event(self.error_type(), self.code(), message, request_id)
    }
}

/// An `error` event as text, in the shape of the Realtime API's own.
pub fn error_event(error_type: &str, code: &str, message: &str, request_id: &str) -> String {
    // Written by hand so that `type` stands first, as in every event of the live service.
    let error = json!({
        "type": error_type,
        "code": code,
        "message": format!("{message} (request id: {request_id})"),
        "param": null,
        "event_id": null,
    });
    let event_id = json!(format!("event_{}", request_id.trim_start_matches("req_")));
    format!(r#"{{"type":"error","event_id":{event_id},"error":{error}}}"#)
}
