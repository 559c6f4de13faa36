//! Admission: may this request have a link, and to which upstream?
//!
//! Checked in the order of the lists in [`upgrade`] and [`admit`], cheapest first. It refuses to dial, to wait, and to
//! know how an upstream wants to be asked; nothing of a client that is refused reaches one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request;

use super::gate::Places;
use super::pricing::is_priced;
use super::refusal::{ROOM_PATIENCE, Refusal};
use super::upstream::{Candidate, Wanted};
use super::{Client, Edge, credential, handshake, loopback, query};
use crate::control::config::{self, Allowance, Auth, Key, Secret};
use crate::control::drain::Phase;
use crate::control::keys::Digest;
use credential::Credential;
use query::{Query, Route};

/// Where clients find the relay. The last two are Azure's.
const PATHS: [&str; 3] = ["/v1/realtime", "/openai/v1/realtime", "/openai/realtime"];

/// When a client that came too late for this process may come again: the next one is there, or comes soon.
const SOON: Duration = Duration::from_secs(1);

/// An upgrade to WebSocket that can be answered.
#[derive(Debug)]
pub struct Upgrade {
    /// What our 101 says in `Sec-WebSocket-Accept`.
    pub accept: HeaderValue,
    /// Whether the client offered the subprotocol `realtime`.
    pub offers_realtime: bool,
}

/// A request that may have its link, once an upstream stands.
#[derive(Debug)]
pub struct Admitted {
    /// The name of the client's key; `none` or `passthrough` in those modes.
    pub key_name: Arc<str>,
    /// The key itself, where it is one of the configuration's.
    pub key_digest: Option<Digest>,
    /// What it wants.
    pub wanted: Wanted,
    /// Who can give it: at least one.
    pub candidates: Vec<Candidate>,
    /// Held until the link is gone.
    pub places: Places,
}

/// Whether a request asks for an upgrade, from where it may. One that does not is refused in HTTP in any case: what
/// speaks no WebSocket reads no frame, and to a page of another origin nothing is told.
pub fn upgrade(edge: &Edge, head: &request::Parts) -> Result<Upgrade, Refusal> {
    if !PATHS.contains(&head.uri.path()) {
        let message = format!("there is nothing here; clients connect to {}", PATHS[0]);
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", message));
    }
    let accept = handshake::check_upgrade(head)?;
    check_origin(edge, head)?;
    let offers_realtime = credential::subprotocols(&head.headers).any(|item| item == "realtime");
    Ok(Upgrade { accept, offers_realtime })
}

/// Judges a request for an upgrade.
pub fn admit(
    edge: &Edge,
    head: &request::Parts,
    client: Client,
    request_id: &HeaderValue,
) -> Result<Admitted, Refusal> {
    // How the process is comes first; then who asks, for what, and whether there is room.
    check_drain(edge)?;
    let query = Query::decode(head.uri.query().unwrap_or_default());
    let credential = Credential::of(&head.headers, &query);
    let holder = check_key(edge, client, credential)?;
    let (route, rest) = query.route()?;
    let mut candidates = candidates(edge, holder.key, &route, &head.headers)?;
    check_prices(edge, holder.key, &route, &mut candidates)?;
    check_quota(edge, &holder)?;
    check_ledger(edge)?;
    let places = edge.gate.enter(holder.key)?;
    let wanted = Wanted { request_id: request_id.clone(), route, query: rest, passed_key: holder.passed };
    let key_digest = holder.key.map(|key| key.digest);
    Ok(Admitted { key_name: holder.name, key_digest, wanted, candidates, places })
}

fn check_origin(edge: &Edge, head: &request::Parts) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, "origin_not_allowed", message));
    // Without keys, whoever reaches the listener may spend the upstream's: no web page may, under any name (DNS
    // rebinding shows in `Host`).
    if edge.auth == Auth::None && !loopback::is_named(&head.uri, &head.headers) {
        return refuse("this relay asks for no key, so it answers only to a loopback name in `Host`");
    }
    let mut origins = head.headers.get_all(ORIGIN).iter();
    if origins.all(|origin| origin.to_str().is_ok_and(|origin| edge.origins.allow(origin))) {
        return Ok(());
    }
    refuse("this origin may not use the relay; its operator can add it to `allowed_origins`")
}

/// Connections that were accepted before the listener was closed may still bring a request.
fn check_drain(edge: &Edge) -> Result<(), Refusal> {
    if edge.drain.phase() < Phase::Draining {
        return Ok(());
    }
    let message = "this relay is about to stop and admits nobody any more; connect again";
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "draining", message).with_retry_after(SOON))
}

/// Who asks.
struct Holder<'e> {
    /// The name of its key.
    name: Arc<str>,
    /// What the configuration says of the key; `None`: nothing is limited.
    key: Option<&'e Key>,
    /// The key itself, where it goes upstream.
    passed: Option<Secret>,
}

fn check_key(edge: &Edge, client: Client, credential: Option<Credential>) -> Result<Holder<'_>, Refusal> {
    let sent = |credential: Option<_>| credential.ok_or_else(|| unauthorized("no API key was sent"));
    match edge.auth {
        Auth::None => Ok(Holder { name: "none".into(), key: None, passed: None }),
        Auth::Passthrough => {
            let passed = Some(sent(credential)?.into_secret());
            Ok(Holder { name: "passthrough".into(), key: None, passed })
        }
        Auth::Keys => {
            let address = client.address.ip();
            // Before the key is looked at: else who guesses would learn when one is right.
            edge.gate.listens_to(address)?;
            let key = sent(credential).and_then(|credential| find_key(edge, &credential));
            let key = key.inspect_err(|_| edge.gate.count_failure(address))?;
            Ok(Holder { name: key.name.as_str().into(), key: Some(key), passed: None })
        }
    }
}

fn find_key<'e>(edge: &'e Edge, credential: &Credential) -> Result<&'e Key, Refusal> {
    let key = edge.keys.find(credential.expose(), SystemTime::now());
    key.ok_or_else(|| unauthorized("the API key is not known here, or has expired"))
}

fn unauthorized(what: &str) -> Refusal {
    let message = format!("{what}; send it as `Authorization: Bearer <key>`");
    Refusal::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
        .with_header(hyper::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// Who serves a route and may be used for it.
fn candidates(edge: &Edge, key: Option<&Key>, route: &Route, headers: &HeaderMap) -> Result<Vec<Candidate>, Refusal> {
    let serving = edge.upstreams.iter().filter_map(|upstream| Some((upstream, served_as(route, &upstream.config)?)));
    let mut serving = serving.peekable();
    if serving.peek().is_none() {
        let message = format!("no upstream here serves {route}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message));
    }
    let may_ask = key.is_none_or(|key| may_ask(key, route));
    let allowed = key.and_then(|key| key.upstreams.as_ref());
    let usable =
        serving.filter(|(upstream, _)| may_ask && allowed.is_none_or(|names| names.contains(&upstream.config.name)));
    let candidates: Vec<_> = usable
        .map(|(upstream, sent)| Candidate {
            upstream: upstream.clone(),
            model_sent: sent.to_owned(),
            forwarded: forwarded(headers, &upstream.config.forward_headers),
        })
        .collect();
    if candidates.is_empty() {
        let message = format!("this key may not use {route}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "model_not_allowed", message));
    }
    Ok(candidates)
}

/// A quota in dollars can only be kept where everything has a price.
fn check_prices(edge: &Edge, key: Option<&Key>, route: &Route, candidates: &mut Vec<Candidate>) -> Result<(), Refusal> {
    let allowance = key.and_then(|key| key.quota).map(|quota| quota.allowance);
    if let Some(Allowance::Usd(_)) = allowance {
        candidates.retain(|candidate| is_priced(edge, route, &candidate.upstream.config));
        if candidates.is_empty() {
            let message = format!("{route} has no price here, and this key has a quota in dollars");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "model_unpriced", message));
        }
    }
    Ok(())
}

fn check_quota(edge: &Edge, holder: &Holder<'_>) -> Result<(), Refusal> {
    let Err(used_up) = edge.metering.check_quota(&holder.name) else { return Ok(()) };
    let message = "the quota of this key is used up";
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", message);
    Err(match used_up.retry_after {
        Some(wait) => refusal.with_retry_after(wait),
        None => refusal,
    })
}

fn check_ledger(edge: &Edge) -> Result<(), Refusal> {
    if edge.metering.unavailable().is_none() {
        return Ok(());
    }
    let message = "the relay cannot record what a session uses, so it begins none; try again later";
    Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", message).with_retry_after(ROOM_PATIENCE))
}

/// The name that an upstream has for what a route asks for; a call has none. `None`: it does not serve the route.
fn served_as<'a>(route: &'a Route, upstream: &'a config::Upstream) -> Option<&'a str> {
    match route {
        Route::Model(asked) => upstream.models.sent_as(asked),
        Route::Transcription => upstream.transcription.as_deref(),
        Route::Call(_) => upstream.calls.then_some(""),
    }
}

/// Whether a key opens a route, wherever that leads. Its list of models says nothing of the routes without one.
fn may_ask(key: &Key, route: &Route) -> bool {
    match route {
        Route::Model(asked) => key.models.as_ref().is_none_or(|models| models.contains(asked)),
        Route::Transcription => key.allow.transcription,
        Route::Call(_) => key.allow.calls,
    }
}

/// The headers on the list, but for those that `Connection` nominates: they end here (RFC 9110 section 7.6.1).
fn forwarded(headers: &HeaderMap, list: &[HeaderName]) -> HeaderMap {
    let goes_on =
        |name: &&HeaderName| headers.contains_key(*name) && !handshake::lists(headers, &CONNECTION, name.as_str());
    let pairs =
        list.iter().filter(goes_on).flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
}
