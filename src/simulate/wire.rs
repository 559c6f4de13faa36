//! Events as frames, with the faults that are made of frames.
//!
//! It refuses to know sockets: it returns bytes, and says what comes after them.

use super::events::{Event, draft, service_error};
use super::fault::Fault;
use fastwebsockets::{Frame, OpCode, Payload};
use serde_json::json;

/// Opcode 3 is reserved (RFC 6455, section 5.2); final, empty.
const ILLEGAL_FRAME: [u8; 2] = [0x83, 0x00];

/// Any mask will do where there must be none.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

const HUGE_BYTES: usize = 30 << 20;

/// What every ping says.
const PING: &[u8] = b"simulated";

/// What follows the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The conversation goes on.
    GoOn,
    /// The connection ends, without a word.
    HangUp,
    /// A close frame was sent: wait for the other side's.
    AwaitClose,
}

/// Bytes, and what follows them.
pub(super) type Step = (Vec<u8>, Next);

/// The frames of one connection.
pub(super) struct Wire {
    fault: Option<Fault>,
    struck: bool,
}

impl Wire {
    /// With this fault, or none.
    pub(super) fn new(fault: Option<Fault>) -> Self {
        Self { fault, struck: false }
    }

    /// What is sent first: `created`, unless the fault says otherwise.
    pub(super) fn first(&mut self, created: &Event) -> Step {
        match &self.fault {
            Some(Fault::Close(code)) => (close(*code, reason(*code)), Next::AwaitClose),
            Some(Fault::CloseEmpty) => (close_with(&[]), Next::AwaitClose),
            Some(Fault::Error(code)) => {
                let error = service_error(code).stamped("event_refused".to_owned());
                ([text_frame(&error.text()), close(1_000, "")].concat(), Next::AwaitClose)
            }
            Some(Fault::EofFirst) => (Vec::new(), Next::HangUp),
            Some(Fault::IllegalFrameFirst) => (ILLEGAL_FRAME.to_vec(), Next::AwaitClose),
            Some(Fault::PingFirst) => ([ping(), text_frame(&created.text())].concat(), Next::GoOn),
            _ => self.event(created),
        }
    }

    /// One event.
    pub(super) fn event(&mut self, event: &Event) -> Step {
        let text = event.text();
        let strikes = !self.struck && event.is_delta_of_response();
        match &self.fault {
            Some(fault) if strikes && disturbs_answers(fault) => {
                self.struck = true;
                disturbed(fault, &text)
            }
            Some(Fault::Silent) => (Vec::new(), Next::GoOn),
            Some(Fault::TypeLast) => (text_frame(&event.text_type_last()), Next::GoOn),
            Some(Fault::Fragments) => (fragments(&text), Next::GoOn),
            Some(Fault::NoDone) if event.kind == "response.done" => (Vec::new(), Next::GoOn),
            Some(Fault::DuplicateDone) if event.kind == "response.done" => (text_frame(&text).repeat(2), Next::GoOn),
            Some(Fault::NullUsage) if event.kind == "response.done" => {
                (text_frame(&event.text_without_usage()), Next::GoOn)
            }
            _ => (text_frame(&text), Next::GoOn),
        }
    }
}

/// The answer to a ping.
pub(super) fn pong(payload: Vec<u8>) -> Vec<u8> {
    bytes(Frame::pong(payload.into()))
}

/// A close frame.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    bytes(Frame::close(code, reason.as_bytes()))
}

/// A close frame with this payload: code and reason, or nothing.
pub(super) fn close_with(payload: &[u8]) -> Vec<u8> {
    bytes(Frame::close_raw(payload.into()))
}

/// The faults that strike at a response's first delta.
fn disturbs_answers(fault: &Fault) -> bool {
    use Fault::{CloseMidResponse, Drop, DropMidFrame, DropMidMessage, Huge, MaskedFrame};
    matches!(fault, CloseMidResponse | Drop | DropMidFrame | DropMidMessage | Huge | MaskedFrame)
}

fn disturbed(fault: &Fault, text: &str) -> Step {
    let whole = text_frame(text);
    match fault {
        Fault::DropMidFrame => (whole[..whole.len() / 2].to_vec(), Next::HangUp),
        Fault::Drop => (whole, Next::HangUp),
        Fault::DropMidMessage => (data_frame(false, OpCode::Text, &text.as_bytes()[..text.len() / 2]), Next::HangUp),
        Fault::CloseMidResponse => ([whole, close(1_001, "going away")].concat(), Next::AwaitClose),
        Fault::MaskedFrame => {
            let mut frame = Frame::new(true, OpCode::Text, Some(MASK), Payload::Owned(text.as_bytes().to_vec()));
            frame.mask();
            (bytes(frame), Next::GoOn)
        }
        Fault::Huge => {
            let fields = json!({ "padding": "A".repeat(HUGE_BYTES) });
            let huge = draft("simulated.huge", fields).stamped("event_huge".to_owned());
            ([whole, text_frame(&huge.text())].concat(), Next::GoOn)
        }
        _ => (whole, Next::GoOn),
    }
}

/// Three, cut anywhere: also within a character.
fn fragments(text: &str) -> Vec<u8> {
    let (first, rest) = text.as_bytes().split_at(text.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    let frames = [
        data_frame(false, OpCode::Text, first),
        ping(),
        data_frame(false, OpCode::Continuation, second),
        ping(),
        data_frame(true, OpCode::Continuation, third),
    ];
    frames.concat()
}

fn reason(code: u16) -> &'static str {
    match code {
        1_001 => "going away",
        1_011 => "internal error",
        1_012 => "service restart",
        1_013 => "try again later",
        3_000 => "invalid_request_error.invalid_api_key",
        4_000 => "invalid_request_error.beta_api_shape_disabled",
        _ => "simulated",
    }
}

fn text_frame(text: &str) -> Vec<u8> {
    data_frame(true, OpCode::Text, text.as_bytes())
}

fn data_frame(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    bytes(Frame::new(fin, opcode, None, payload.into()))
}

fn ping() -> Vec<u8> {
    data_frame(true, OpCode::Ping, PING)
}

fn bytes(mut frame: Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let length = frame.write(&mut bytes).len();
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Event, Fault, Next, Wire, draft};
    use serde_json::json;

    fn event(kind: &'static str) -> Event {
        draft(kind, json!({ "delta": "hello" })).stamped("event_1".to_owned())
    }

    #[test]
    fn an_answer_is_disturbed_once_and_only_at_its_first_delta() {
        let mut wire = Wire::new(Some(Fault::MaskedFrame));
        let masked = |step: &(Vec<u8>, Next)| step.0[1] & 0x80 != 0;
        assert!(!masked(&wire.first(&event("session.created"))));
        assert!(masked(&wire.event(&event("response.output_audio.delta"))));
        assert!(!masked(&wire.event(&event("response.output_audio.delta"))));
    }

    #[test]
    fn half_a_frame_promises_more_than_it_brings() {
        let mut wire = Wire::new(Some(Fault::DropMidFrame));
        let (bytes, next) = wire.event(&event("response.output_text.delta"));
        assert_eq!(next, Next::HangUp);
        assert!(usize::from(bytes[1]) > bytes.len() - 2);
    }

    #[test]
    fn a_bad_key_is_refused_in_the_services_own_words() {
        let (bytes, next) = Wire::new(Some(Fault::Close(3_000))).first(&event("session.created"));
        assert_eq!((&bytes[2..4], next), (&3_000_u16.to_be_bytes()[..], Next::AwaitClose));
        assert_eq!(&bytes[4..], b"invalid_request_error.invalid_api_key");
    }
}
