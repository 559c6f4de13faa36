//! Opens an upstream leg: connection, upgrade, first event. No client is answered before it stands.
//!
//! It refuses to choose the upstream, and to know what a client is told when it fails.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Limited};
use httparse::Header;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER};
use tokio::time::{Instant, timeout_at};

use super::connect::connect;
use super::failure::Failure;
use super::first_event::Listening;
use super::kind;
use super::upgrade::upgrade;
use super::{Candidate, Wanted};
use crate::edge::conn::Conn;
use crate::edge::handshake::{self, Headers};
use crate::edge::query::Route;
use crate::edge::refusal::REQUEST_ID;

/// Of an upstream's own refusal, this much goes to the client.
const MAX_BODY: usize = 64 << 10;
/// So much of an upstream's own request id is kept with each link, in bytes. Those there are have 36.
const MAX_REQUEST_ID: usize = 128;

/// An upstream leg that stands.
#[derive(Debug)]
pub struct OpenLeg {
    /// The raw stream, behind the 101.
    pub stream: Conn,
    /// Bytes of it that have been read already.
    pub early: Bytes,
    /// The upstream's own `x-request-id`.
    pub request_id: Option<String>,
    /// The request id that the upstream was told, where that was not the client's: the leg was opened ahead.
    pub opened_as: Option<HeaderValue>,
    /// How long it took. Zero where nobody waited for it: the leg was opened ahead.
    pub took: Took,
}

/// How long an attempt took that gave a leg.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    /// From DNS to the 101.
    pub dial: Duration,
    /// From there to the first event; `None`: it was not waited for.
    pub first_event: Option<Duration>,
}

/// The deadlines of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// From DNS to the 101.
    pub dial: Duration,
    /// First event included.
    pub all: Duration,
}

/// Opens a leg at a candidate: up to the 101 within `dial`, and in any case until `deadline`.
///
/// Cancel safe: dropped, it closes the connection, and the attempt is over.
pub async fn dial(
    candidate: &Candidate,
    wanted: &Wanted,
    dial: Duration,
    deadline: Instant,
    max_message_bytes: u64,
) -> Result<OpenLeg, Failure> {
    let begun = Instant::now();
    let left = deadline.saturating_duration_since(begun);
    let within = dial.min(left);
    let opening = timeout_at(begun + within, open(candidate, wanted)).await;
    let mut leg = opening.unwrap_or(Err(Failure::Timeout(within)))?;
    leg.took.dial = begun.elapsed();
    // To a call that is under way nothing need be said.
    let speaks_first = !matches!(wanted.route, Route::Call(_));
    if !(candidate.upstream.config.await_first_event && speaks_first) {
        return Ok(leg);
    }
    let mut listening = Listening::new(leg.stream, leg.early, max_message_bytes);
    let heard = timeout_at(deadline, listening.first_event()).await;
    heard.map_err(|_| Failure::Timeout(left))??;
    let (stream, early) = listening.into_parts();
    let took = Took { first_event: Some(begun.elapsed().saturating_sub(leg.took.dial)), ..leg.took };
    Ok(OpenLeg { stream, early, took, ..leg })
}

async fn open(candidate: &Candidate, wanted: &Wanted) -> Result<OpenLeg, Failure> {
    let upstream = &candidate.upstream;
    let ask = kind::ask(candidate, wanted)?;
    let stream = connect(upstream).await?;
    let switched = |headers: &[Header<'_>]| {
        handshake::verify_switch(headers, &ask.key, upstream.asking.offered()).map_err(Failure::NotHttp)?;
        let request_id = headers.values(&REQUEST_ID).next();
        let request_id = request_id.map(|id| &id[..id.len().min(MAX_REQUEST_ID)]);
        Ok(request_id.map(|id| String::from_utf8_lossy(id).into_owned()))
    };
    let (request_id, stream, early) = upgrade(stream, &ask.head, switched, refused).await?;
    Ok(OpenLeg { stream, early, request_id, opened_as: None, took: Took::default() })
}

/// An answer that is no 101, with its body where that is JSON.
async fn refused(response: Response<Incoming>) -> Failure {
    let (status, retry_after) = (response.status(), response.headers().get(RETRY_AFTER).cloned());
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await.ok().map(Collected::to_bytes);
    let body = body.filter(|body| serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok());
    Failure::Answer { status, retry_after, body }
}
