//! Attempts: the candidates of a route one after the other, until a leg stands or nothing is left to try.
//!
//! It refuses to know how a leg is opened and how a candidate is asked; what each failure means is said in `failure`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::time::Instant;

use super::breaker::Permit;
use super::dial::{Deadlines, OpenLeg, dial};
use super::failure::{Failure, Verdict};
use super::pick::{self, Standing};
use super::shared::{Place, now};
use super::{Candidate, Upstream, Wanted};
use crate::control::record;
use crate::edge::query::Route;
use crate::edge::refusal::Refusal;

/// What a client is told to wait for a place at an upstream that is full.
const FULL_PATIENCE: Duration = Duration::from_secs(1);

/// A leg that stands, and whose it is.
#[derive(Debug)]
pub struct Opened {
    /// The upstream that took the client.
    pub upstream: Rc<Upstream>,
    /// The name that it was sent.
    pub model_sent: String,
    /// The leg.
    pub leg: OpenLeg,
    /// Held until the link is gone.
    pub place: Place,
}

/// How an attempt went that gave no leg.
struct Tried<'a> {
    upstream: &'a Upstream,
    outcome: Outcome,
}

enum Outcome {
    /// Nothing was dialled: its breaker is open, or it carries all the links it may.
    Unavailable { why: &'static str, retry_after: Duration },
    /// It was dialled in vain.
    Failed(Failure),
}

/// Opens a leg at the first of `candidates` that gives one, or has one waiting that fits.
///
/// Cancel safe: dropped, it ends the attempt under way, which then says nothing about the upstream.
pub async fn open(
    candidates: &[Candidate],
    wanted: &Wanted,
    deadlines: Deadlines,
    max_message_bytes: u64,
) -> Result<Opened, Refusal> {
    // A waiting leg was opened for the model alone, so it fits those who ask for nothing else.
    let plain = matches!(wanted.route, Route::Model(_)) && wanted.query.is_empty() && wanted.passed_key.is_none();
    let may_be_warm = |candidate: &Candidate| plain && candidate.forwarded.is_empty();
    attempt(candidates, wanted, deadlines, max_message_bytes, may_be_warm).await
}

/// The same without the legs that wait: to open those.
pub async fn open_cold(
    candidates: &[Candidate],
    wanted: &Wanted,
    deadlines: Deadlines,
    max_message_bytes: u64,
) -> Result<Opened, Refusal> {
    attempt(candidates, wanted, deadlines, max_message_bytes, |_| false).await
}

async fn attempt(
    candidates: &[Candidate],
    wanted: &Wanted,
    deadlines: Deadlines,
    max_message_bytes: u64,
    may_be_warm: impl Fn(&Candidate) -> bool,
) -> Result<Opened, Refusal> {
    let passthrough = wanted.passed_key.is_some();
    let deadline = Instant::now() + deadlines.all;
    let mut tried = Vec::new();
    for candidate in in_order(candidates) {
        let upstream = &candidate.upstream;
        let opened = |leg, place| {
            let model_sent = candidate.model_sent.clone();
            Opened { upstream: upstream.clone(), model_sent, leg, place }
        };
        if may_be_warm(candidate)
            && let Some((leg, place)) = upstream.pool.take(&candidate.model_sent)
        {
            upstream.measures.warm_leg_used(&upstream.shared.name);
            return Ok(opened(leg, place));
        }
        let outcome = match admission(upstream) {
            Err((reason, unavailable)) => {
                upstream.measures.passed_over(&upstream.shared.name, reason);
                unavailable
            }
            Ok((permit, place)) => {
                upstream.measures.attempted(&upstream.shared.name);
                match dial(candidate, wanted, deadlines.dial, deadline, max_message_bytes).await {
                    Ok(leg) => {
                        upstream.shared.note_change(permit.succeeded());
                        return Ok(opened(leg, place));
                    }
                    Err(failure) => {
                        note(&wanted.request_id, upstream, permit, &failure, passthrough);
                        Outcome::Failed(failure)
                    }
                }
            }
        };
        let goes_on = outcome.goes_on(passthrough) && Instant::now() < deadline;
        tried.push(Tried { upstream, outcome });
        if !goes_on {
            break;
        }
    }
    Err(refusal(tried, passthrough))
}

fn in_order(candidates: &[Candidate]) -> impl Iterator<Item = &Candidate> {
    let standing = |candidate: &Candidate| {
        let config = &candidate.upstream.config;
        Standing { priority: config.priority, weight: config.weight }
    };
    let standings: Vec<_> = candidates.iter().map(standing).collect();
    // The first two bits of that half are the variant, the same in every UUID.
    let random = || uuid::Uuid::new_v4().as_u64_pair().1 << 2;
    pick::order(&standings, random).into_iter().map(|index| &candidates[index])
}

/// Whether an upstream may be dialled. Fails with the reason in one word, for machines.
fn admission(upstream: &Upstream) -> Result<(Permit, Place), (&'static str, Outcome)> {
    let most = upstream.config.max_links.map_or(usize::MAX, NonZeroUsize::get);
    let take = || upstream.shared.take_place(most);
    let place = take().or_else(|| upstream.pool.give_up_one().then(take).flatten());
    let full = Outcome::Unavailable { why: "it carries all the links it may", retry_after: FULL_PATIENCE };
    let place = place.ok_or(("full", full))?;
    let permit = upstream.shared.breaker.admit(now());
    let broken = |retry_after| ("breaker_open", Outcome::Unavailable { why: "its breaker is open", retry_after });
    let permit = permit.map_err(broken)?;
    upstream.shared.note_change(permit.change());
    Ok((permit, place))
}

/// Tells the breaker, the operator and the log what went wrong.
fn note(request_id: &HeaderValue, upstream: &Upstream, permit: Permit, failure: &Failure, passthrough: bool) {
    let shared = &upstream.shared;
    upstream.measures.attempt_failed(&shared.name, failure.kind());
    let source = std::error::Error::source(failure).map(ToString::to_string);
    record::dial_failed(request_id, &shared.name, failure.kind(), &failure.to_string(), source.as_deref());
    let verdict = failure.verdict(passthrough);
    if !matches!(verdict, Verdict::ClientsOwn | Verdict::OurOwn) {
        shared.note_error(failure.to_string());
    }
    let change = match verdict {
        Verdict::Counts => permit.failed(now()),
        Verdict::RateLimited(retry_after) => permit.rate_limited(now(), retry_after),
        Verdict::CredentialRejected => {
            shared.credential_rejected.fetch_add(1, Ordering::Relaxed);
            permit.neutral()
        }
        Verdict::ClientsOwn | Verdict::OurOwn => permit.neutral(),
    };
    shared.note_change(change);
}

impl Outcome {
    /// Whether the next candidate is tried.
    fn goes_on(&self, passthrough: bool) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Failed(failure) => !matches!(failure.verdict(passthrough), Verdict::ClientsOwn | Verdict::OurOwn),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Unavailable { why, .. } => (*why).to_owned(),
            Self::Failed(failure) => failure.to_string(),
        }
    }
}

/// What the client is told: the last attempt decides, but that the rate is limited is told only where all attempts were.
fn refusal(mut tried: Vec<Tried<'_>>, passthrough: bool) -> Refusal {
    let message: Vec<_> =
        tried.iter().map(|it| format!("upstream {}: {}", it.upstream.shared.name, it.outcome.words())).collect();
    let message = message.join("; ");
    let all_limited = tried.iter().all(|it| matches!(&it.outcome, Outcome::Failed(failure) if failure.is_rate_limit()));
    let Some(Tried { upstream, outcome }) = tried.pop() else {
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable", "no upstream is left to try");
    };
    let refusal = match outcome {
        Outcome::Unavailable { retry_after, .. } => {
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "upstream_unavailable", message).with_retry_after(retry_after)
        }
        Outcome::Failed(failure) if failure.is_rate_limit() && !all_limited && !passthrough => {
            Refusal::new(StatusCode::BAD_GATEWAY, "upstream_refused", message)
        }
        Outcome::Failed(failure) => failure.refusal(message, passthrough),
    };
    mapped(refusal, &upstream.config.status_map)
}

/// The status as the operator wants clients to see it.
fn mapped(refusal: Refusal, map: &BTreeMap<StatusCode, StatusCode>) -> Refusal {
    let status = map.get(&refusal.status).copied().unwrap_or(refusal.status);
    Refusal { status, ..refusal }
}
