//! Refusals for browsers, which see nothing of an HTTP answer but that there is no link (close code 1006): a 101, an
//! `error` event and a close frame that say what the answer would have said.
//!
//! It refuses to know why a client is refused.

use bytes::Bytes;
use hyper::header::ORIGIN;
use hyper::http::request;
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::credential::{Credential, Source};
use super::query::Query;
use super::refusal::Refusal;
use crate::relay::ending::error_event;
use crate::relay::{Peer, inject};

/// Added to the HTTP status it makes the code of the close frame: 4401. The range from 4000 on is for private use (RFC
/// 6455 section 7.4.2).
const CLOSE_CODES: u16 = 4000;

/// Whether a browser asks: only a browser sends `Origin`, and whoever has put its key where a browser must could not set
/// a header.
pub fn asks(head: &request::Parts) -> bool {
    let key = || Credential::of(&head.headers, &Query::decode(head.uri.query().unwrap_or_default()));
    head.headers.contains_key(ORIGIN) || key().is_some_and(|key| key.source() != Source::Header)
}

/// A refusal in frames.
#[derive(Debug)]
pub struct Farewell(Vec<u8>);

impl Farewell {
    /// What a client is told instead of this HTTP answer. Where that has an upstream's own words, these are told.
    pub fn new(refusal: &Refusal, request_id: &str) -> Self {
        let upstreams = refusal.body.as_ref().map(upstreams_words).unwrap_or_default();
        let word = |name| upstreams[name].as_str().filter(|word| !word.is_empty());
        let error_type = word("type").unwrap_or_else(|| refusal.error_type());
        let (code, message) = (word("code").unwrap_or(refusal.code), word("message").unwrap_or(&refusal.message));
        let mut frames = inject::text(Peer::Client, &error_event(error_type, code, message, request_id));
        let reason = format!("{code}: {message}");
        frames.extend(inject::close(Peer::Client, CLOSE_CODES + refusal.status.as_u16(), &reason));
        Self(frames)
    }

    /// Tells it, behind the 101.
    ///
    /// Not cancel safe: dropped, it may have told a part.
    pub async fn tell(self, stream: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        stream.write_all(&self.0).await?;
        stream.flush().await
    }
}

/// The error object of an upstream's answer; null where it has none.
fn upstreams_words(body: &Bytes) -> Value {
    let body = serde_json::from_slice::<Value>(body).ok();
    body.and_then(|mut body| body.get_mut("error").map(Value::take)).unwrap_or_default()
}
