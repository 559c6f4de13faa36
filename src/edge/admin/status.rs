//! How an upstream and a link do, as operators are told it. Field by field what `GET /upstreams` and `GET /links` answer.
//!
//! It refuses to know how any of it is found out.

use std::time::UNIX_EPOCH;

use serde::Serialize;
use uuid::Uuid;

use crate::control::client_address::ClientAddress;
use crate::control::link_info::LinkInfo;

/// One upstream at one moment, over all workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamStatus {
    /// What the configuration calls it.
    pub name: String,
    /// `openai`, `azure` or `compatible`.
    pub kind: &'static str,
    /// Whether it is asked at all.
    pub breaker: BreakerState,
    /// How long until it is asked again; 0 unless the breaker is open.
    pub retry_after_ms: u64,
    /// Failures in a row that count.
    pub failures: u64,
    /// Links that are up, and attempts under way.
    pub links: usize,
    /// Legs that wait, opened ahead.
    pub warm: usize,
    /// What went wrong last; for people. No key, no internal address.
    pub last_error: Option<String>,
    /// How often it did not take our credential.
    pub credential_rejected: u64,
}

/// What a circuit breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One attempt, which decides.
    HalfOpen,
}

/// One link at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkStatus {
    /// By which it can be ended.
    pub id: Uuid,
    /// Of the request that opened it.
    pub request_id: String,
    /// The name of the client's key.
    pub key: String,
    /// What the upstream was sent.
    pub model: String,
    /// The upstream's name.
    pub upstream: String,
    /// Who connected.
    pub client: ClientAddress,
    /// When its 101 was answered, in Unix milliseconds.
    pub opened_ms: u64,
    /// Frames from the client.
    pub frames_up: u64,
    /// Frames from the upstream.
    pub frames_down: u64,
    /// Bytes from the client, frame headers included.
    pub bytes_up: u64,
    /// Bytes from the upstream, frame headers included.
    pub bytes_down: u64,
    /// `pcm16`, `g711_ulaw`, `g711_alaw`, or the upstream's own word.
    pub input_audio_format: String,
    /// The same of what the upstream sends.
    pub output_audio_format: String,
    /// What its responses have used so far.
    pub usage: LinkUsage,
}

/// What a link has used: tokens, by the names of the ledger's columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // the names say it
pub struct LinkUsage {
    pub responses: u64,
    pub input_text: u64,
    pub input_audio: u64,
    pub input_image: u64,
    pub cached_text: u64,
    pub cached_audio: u64,
    pub cached_image: u64,
    pub output_text: u64,
    pub output_audio: u64,
}

impl LinkStatus {
    /// How this link does now.
    pub fn of(link: &LinkInfo) -> Self {
        let opened = link.opened_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: link.id,
            request_id: link.request_id.to_string(),
            key: link.key.to_string(),
            model: link.model_sent.to_string(),
            upstream: link.upstream.to_string(),
            client: link.client,
            opened_ms: u64::try_from(opened.as_millis()).unwrap_or(u64::MAX),
            frames_up: link.traffic.up.frames.get(),
            frames_down: link.traffic.down.frames.get(),
            bytes_up: link.traffic.up.bytes.get(),
            bytes_down: link.traffic.down.bytes.get(),
            input_audio_format: link.input_audio_format().into_owned(),
            output_audio_format: link.output_audio_format().into_owned(),
            usage: LinkUsage::of(link),
        }
    }
}

impl LinkUsage {
    fn of(link: &LinkInfo) -> Self {
        let used = link.used();
        Self {
            responses: link.responses(),
            input_text: used.input.text,
            input_audio: used.input.audio,
            input_image: used.input.image,
            cached_text: used.cached.text,
            cached_audio: used.cached.audio,
            cached_image: used.cached.image,
            output_text: used.output.text,
            output_audio: used.output.audio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_by_these_names() {
        let status = UpstreamStatus {
            name: "main".into(),
            kind: "openai",
            breaker: BreakerState::HalfOpen,
            retry_after_ms: 1500,
            failures: 5,
            links: 3,
            warm: 2,
            last_error: Some("it answered 503".into()),
            credential_rejected: 1,
        };
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            r#"{"name":"main","kind":"openai","breaker":"half_open","retry_after_ms":1500,"failures":5,"links":3,"warm":2,"last_error":"it answered 503","credential_rejected":1}"#
        );
    }
}
