//! How an upstream does, as operators are told it. Field by field what `GET /upstreams` answers.
//!
//! It refuses to know how any of it is found out.

use serde::Serialize;

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
