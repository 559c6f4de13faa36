//! How a link ends, and what each leg is told of it: the table of endings.
//!
//! It refuses to know streams and time: an [`Ending`] goes in, a [`Farewell`] for each leg comes out.

use std::io;

use serde_json::json;

use super::Peer;
use super::scan::Violation;

/// What ended a link, and whose doing it was.
#[derive(Debug)]
pub enum Ending {
    /// This peer sent a close frame (1005: without a code).
    Close(Peer, u16),
    /// This peer's connection ended (`None`) or failed without a close frame.
    Lost(Peer, Option<io::Error>),
    /// This peer broke RFC 6455, or sent a message larger than the limit.
    Violation(Peer, Violation),
    /// This peer took none of the bytes that waited for it within the write timeout.
    Stalled(Peer),
}

/// What one leg is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// The other peer's own close frame.
    Theirs,
    /// A close frame of ours, with an `error` event before it where one may stand.
    Ours {
        /// For clients only.
        event: Option<EventCode>,
        /// RFC 6455 section 7.4.
        close: u16,
    },
    /// Nothing: there is nobody left to tell.
    Nothing,
    /// A reset: it takes nothing more.
    Abort,
}

/// The `code` of an `error` event of ours, which is also the ending's name where there is an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventCode {
    /// The upstream's connection ended without a close frame.
    UpstreamConnectionLost,
    /// The upstream broke RFC 6455.
    UpstreamProtocolError,
    /// The upstream sent a message over the limit.
    UpstreamMessageTooBig,
}

// Close codes, RFC 6455 section 7.4.1.
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const MESSAGE_TOO_BIG: u16 = 1009;
const INTERNAL_ERROR: u16 = 1011;

impl Ending {
    /// The word for it in records and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Close(Peer::Client, _) => "client_close",
            Self::Close(Peer::Upstream, _) => "upstream_close",
            Self::Lost(Peer::Client, _) => "client_lost",
            Self::Lost(Peer::Upstream, _) => "upstream_lost",
            Self::Violation(Peer::Client, Violation::MessageTooBig(_)) => "client_message_too_big",
            Self::Violation(Peer::Upstream, Violation::MessageTooBig(_)) => "upstream_message_too_big",
            Self::Violation(Peer::Client, _) => "client_protocol_error",
            Self::Violation(Peer::Upstream, _) => "upstream_protocol_error",
            Self::Stalled(Peer::Client) => "client_stalled",
            Self::Stalled(Peer::Upstream) => "upstream_stalled",
        }
    }

    /// What `peer` is told.
    pub fn farewell(&self, peer: Peer) -> Farewell {
        let event = |code, close| Farewell::Ours { event: Some(code), close };
        let close = |close| Farewell::Ours { event: None, close };
        match (self, peer) {
            // To the other leg the frame itself has gone on; to its sender goes the other's answer.
            (Self::Close(..), _) => Farewell::Theirs,
            (Self::Lost(who, _), peer) if *who == peer => Farewell::Nothing,
            (Self::Stalled(who), peer) if *who == peer => Farewell::Abort,
            (Self::Lost(..), Peer::Client) => event(EventCode::UpstreamConnectionLost, INTERNAL_ERROR),
            (Self::Violation(Peer::Upstream, Violation::MessageTooBig(_)), Peer::Client) => {
                event(EventCode::UpstreamMessageTooBig, INTERNAL_ERROR)
            }
            (Self::Violation(Peer::Upstream, _), Peer::Client) => {
                event(EventCode::UpstreamProtocolError, INTERNAL_ERROR)
            }
            (Self::Violation(who, Violation::MessageTooBig(_)), peer) if *who == peer => close(MESSAGE_TOO_BIG),
            (Self::Violation(who, _), peer) if *who == peer => close(PROTOCOL_ERROR),
            (Self::Lost(..) | Self::Violation(..) | Self::Stalled(_), _) => close(GOING_AWAY),
        }
    }

    /// What is told in words, in the close frame's reason, the event's message and the log; no secrets, no addresses.
    pub fn reason(&self) -> String {
        match self {
            Self::Close(peer, code) => format!("the {} closed with {code}", peer.name()),
            Self::Lost(peer, None) => format!("the {}'s connection ended without a close frame", peer.name()),
            Self::Lost(peer, Some(error)) => {
                format!("the {}'s connection failed without a close frame: {}", peer.name(), error.kind())
            }
            Self::Violation(peer, violation) => format!("the {} broke the protocol: {violation}", peer.name()),
            Self::Stalled(peer) => format!("the {} took no bytes within the write timeout", peer.name()),
        }
    }
}

impl EventCode {
    /// The `code` of the error object.
    pub fn code(self) -> &'static str {
        match self {
            Self::UpstreamConnectionLost => "upstream_connection_lost",
            Self::UpstreamProtocolError => "upstream_protocol_error",
            Self::UpstreamMessageTooBig => "upstream_message_too_big",
        }
    }

    /// The `type` of the error object.
    fn error_type(self) -> &'static str {
        match self {
            Self::UpstreamConnectionLost | Self::UpstreamProtocolError | Self::UpstreamMessageTooBig => {
                "upstream_error"
            }
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
