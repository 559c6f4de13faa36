//! Admission: may this request have a link, and to which upstream?
//!
//! Checked in the order of the list in [`admit`], cheapest first. It refuses to dial, to wait, and to know how an
//! upstream wants to be asked; nothing of a client that is refused reaches one.

use std::rc::Rc;
use std::time::SystemTime;

use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request;
use hyper::http::uri::Authority;
use hyper::{StatusCode, Uri};

use super::refusal::Refusal;
use super::upstream::Upstream;
use super::{Edge, credential, handshake, query};
use crate::control::config::{Auth, Key, Secret};
use credential::Credential;
use query::{Query, Route};

/// Where clients find the relay. The last two are Azure's.
const PATHS: [&str; 3] = ["/v1/realtime", "/openai/v1/realtime", "/openai/realtime"];

/// A request that may have its link, once its upstream stands.
#[derive(Debug)]
pub struct Admitted {
    /// The client's own where it sent a valid one.
    pub request_id: HeaderValue,
    /// The name of the client's key; `none` or `passthrough` in those modes.
    pub key_name: Rc<str>,
    /// The client's own key, where it goes upstream.
    pub passed_key: Option<Secret>,
    /// Where it goes.
    pub upstream: Rc<Upstream>,
    /// The model that the client asked for.
    pub model_asked: String,
    /// The name that the upstream is sent.
    pub model_sent: String,
    /// The client's other query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// The client's headers that go on.
    pub forwarded: HeaderMap,
    /// What our 101 says in `Sec-WebSocket-Accept`.
    pub accept: HeaderValue,
    /// Whether the client offered the subprotocol `realtime`.
    pub offers_realtime: bool,
}

/// Judges a request.
pub fn admit(edge: &Edge, head: &request::Parts, request_id: &HeaderValue) -> Result<Admitted, Refusal> {
    if !PATHS.contains(&head.uri.path()) {
        let message = format!("there is nothing here; clients connect to {}", PATHS[0]);
        return Err(Refusal::new(StatusCode::NOT_FOUND, "not_found", message));
    }
    let accept = handshake::check_upgrade(head)?;
    check_origin(edge, head)?;
    let query = Query::decode(head.uri.query().unwrap_or_default());
    let credential = Credential::of(&head.headers, &query);
    let holder = check_key(edge, credential)?;
    let (route, rest) = query.route()?;
    let Route::Model(model_asked) = route else {
        let message = format!("no upstream here serves {route}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message));
    };
    let (upstream, model_sent) = find_upstream(edge, holder.key, &model_asked)?;
    Ok(Admitted {
        request_id: request_id.clone(),
        key_name: holder.name,
        passed_key: holder.passed,
        forwarded: forwarded(&head.headers, &upstream.config.forward_headers),
        upstream,
        model_asked,
        model_sent,
        query: rest,
        accept,
        offers_realtime: credential::subprotocols(&head.headers).any(|item| item == "realtime"),
    })
}

fn check_origin(edge: &Edge, head: &request::Parts) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::new(StatusCode::FORBIDDEN, "origin_not_allowed", message));
    // Without keys, whoever reaches the listener may spend the upstream's: no web page may, under any name (DNS
    // rebinding shows in `Host`).
    if edge.auth == Auth::None && !names_loopback(&head.uri, &head.headers) {
        return refuse("this relay asks for no key, so it answers only to a loopback name in `Host`");
    }
    let mut origins = head.headers.get_all(ORIGIN).iter();
    if origins.all(|origin| origin.to_str().is_ok_and(|origin| edge.origins.allow(origin))) {
        return Ok(());
    }
    refuse("this origin may not use the relay; its operator can add it to `allowed_origins`")
}

fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_loopback = |authority: &Authority| {
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    };
    let host = handshake::only(headers, HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.as_ref().is_some_and(is_loopback) && uri.authority().is_none_or(is_loopback)
}

/// Who asks.
struct Holder<'e> {
    /// The name of its key.
    name: Rc<str>,
    /// What the configuration says of the key; `None`: nothing is limited.
    key: Option<&'e Key>,
    /// The key itself, where it goes upstream.
    passed: Option<Secret>,
}

fn check_key(edge: &Edge, credential: Option<Credential>) -> Result<Holder<'_>, Refusal> {
    if edge.auth == Auth::None {
        return Ok(Holder { name: "none".into(), key: None, passed: None });
    }
    let credential = credential.ok_or_else(|| unauthorized("no API key was sent"))?;
    if edge.auth == Auth::Passthrough {
        return Ok(Holder { name: "passthrough".into(), key: None, passed: Some(credential.into_secret()) });
    }
    let key = edge.keys.find(credential.expose(), SystemTime::now());
    let key = key.ok_or_else(|| unauthorized("the API key is not known here, or has expired"))?;
    Ok(Holder { name: key.name.as_str().into(), key: Some(key), passed: None })
}

fn unauthorized(what: &str) -> Refusal {
    let message = format!("{what}; send it as `Authorization: Bearer <key>`");
    Refusal::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
        .with_header(hyper::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// The best candidate for a model, and the name it is sent.
fn find_upstream(edge: &Edge, key: Option<&Key>, model: &str) -> Result<(Rc<Upstream>, String), Refusal> {
    let serving = |upstream: &&Rc<Upstream>| upstream.config.models.sent_as(model).is_some();
    if !edge.upstreams.iter().any(|upstream| serving(&upstream)) {
        let message = format!("no upstream here serves the model {model:?}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "model_not_found", message));
    }
    let may_ask = key.and_then(|key| key.models.as_ref()).is_none_or(|models| models.iter().any(|name| name == model));
    let may_use = |upstream: &&Rc<Upstream>| {
        let allowed = key.and_then(|key| key.upstreams.as_ref());
        allowed.is_none_or(|names| names.contains(&upstream.config.name))
    };
    let best = edge.upstreams.iter().filter(serving).find(may_use).filter(|_| may_ask);
    let Some(upstream) = best else {
        let message = format!("this key may not use the model {model:?}");
        return Err(Refusal::new(StatusCode::FORBIDDEN, "model_not_allowed", message));
    };
    let sent = upstream.config.models.sent_as(model).unwrap_or(model).to_owned();
    Ok((upstream.clone(), sent))
}

/// The headers on the list, but for those that `Connection` nominates: they end here (RFC 9110 section 7.6.1).
fn forwarded(headers: &HeaderMap, list: &[HeaderName]) -> HeaderMap {
    let goes_on = |name: &&HeaderName| !handshake::lists(headers, CONNECTION, name.as_str());
    let pairs =
        list.iter().filter(goes_on).flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
}
