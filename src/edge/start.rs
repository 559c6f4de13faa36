//! The 101, and the first moment of a link: from here on HTTP is forgotten.
//!
//! It refuses to know how the legs came to stand.

use std::rc::Rc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use hyper::{Response, StatusCode};

use super::admit::{Admitted, Upgrade};
use super::conn::Conn;
use super::handshake::WEBSOCKET;
use super::load::Slot;
use super::pricing::pricing;
use super::query::Route;
use super::refusal::REQUEST_ID;
use super::upstream::attempts::Opened;
use super::{Client, Edge};
use crate::control::config::Forwarding;
use crate::control::link_info::{Heard, LinkInfo, SetUp};
use crate::control::meter::Meter;
use crate::control::record;
use crate::control::spans::Trace;
use crate::relay::link::{Leg, Link, Traffic};
use crate::relay::tap::EventTap;

/// A link that begins as soon as the client has its 101.
#[derive(Debug)]
pub struct Begun {
    /// What the client asked for.
    pub admitted: Admitted,
    /// The leg that stands.
    pub opened: Opened,
    /// Who asked.
    pub client: Client,
    /// How long that took.
    pub set_up: SetUp,
    /// What it is a part of.
    pub trace: Trace,
}

/// The answer to a client whose upgrade is taken.
pub fn switching(upgrade: Upgrade, request_id: &HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, WEBSOCKET);
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, upgrade.accept);
    headers.insert(REQUEST_ID, request_id.clone());
    if upgrade.offers_realtime {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("realtime"));
    }
    response
}

/// Begins the link on the worker of `edge`, and gives what carries it to its end. `slot` counts it there until then.
pub fn start(begun: Begun, client: Leg<Conn>, edge: &Edge, slot: Slot) -> impl Future<Output = ()> + use<> {
    let Begun { admitted, opened, client: Client { address }, set_up, trace } = begun;
    let places = admitted.places;
    let Opened { upstream, model_sent, leg, place } = opened;
    let pricing = pricing(&admitted.wanted.route, &upstream.config);
    let trace = trace.to(&upstream.config);
    let transcribes = edge.metering.transcription || matches!(admitted.wanted.route, Route::Transcription);
    let model_asked = match admitted.wanted.route {
        Route::Model(asked) => asked,
        // Nobody asked for one by name.
        Route::Transcription | Route::Call(_) => model_sent.clone(),
    };
    let traffic = Traffic::one_of(&edge.measures.tallies);
    let info = Rc::new(LinkInfo {
        id: uuid::Uuid::now_v7(),
        request_id: admitted.wanted.request_id.to_str().unwrap_or_default().into(),
        opened_as: leg.opened_as.as_ref().and_then(|id| id.to_str().ok()).map(Into::into),
        upstream_request_id: leg.request_id.map(Into::into),
        key: admitted.key_name,
        client: address,
        upstream: upstream.shared.name.clone(),
        model_asked: model_asked.into(),
        model_sent: model_sent.into(),
        opened: Instant::now(),
        set_up,
        opened_at: SystemTime::now(),
        heard: Heard::default(),
        traffic,
    });
    let upstream = Leg { stream: leg.stream, early: leg.early };
    let mut tap = EventTap::new(Meter::new(info.clone(), edge.metering.clone(), pricing));
    if transcribes {
        tap = tap.with_transcription();
    }
    if edge.metering.before_delivery {
        tap = tap.holding();
    }
    let mut link = Link::new(client, upstream, tap, edge.link_limits.clone(), &info.traffic);
    if edge.forwarding == Forwarding::Framed {
        link = link.framed();
    }
    record::opened(&info);
    let open = edge.measures.link_opened(&info);
    let registered = edge.links.register(&info, admitted.key_digest.as_ref(), &edge.metering);
    async move {
        let recorded = {
            let report = link.run(&registered.orders, &info.request_id).await;
            record::ended(&info, &report);
            open.ended(&report);
            trace.ended(&info, &report);
            // Boxed: only the end needs it, and this future is most of what an idle link costs.
            Box::pin(link.into_tap().into_observer().end(report))
        };
        recorded.await;
        drop((registered, slot, places, place));
    }
}
