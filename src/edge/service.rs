//! One HTTP connection of a client: who it is, TLS, one request, and either a link or a refusal that arrives.
//!
//! It refuses to know what the checks are, and what a link does.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::admit::{self, admit};
use super::browser::{self, Farewell};
use super::conn::Conn;
use super::load::Slot;
use super::proxies::Speaker;
use super::proxy_header::HeaderError;
use super::refusal::{REQUEST_ID, Refusal, request_id};
use super::start::{Begun, switching};
use super::upstream::attempts;
use super::upstream::dial::OpenLeg;
use super::{Client, Edge, admin, start};
use crate::control::config::RefuseWith;
use crate::control::link_info::SetUp;
use crate::control::metrics::Stage;
use crate::control::record;
use crate::control::spans::Trace;
use crate::relay::link::Leg;

/// The largest request head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// How long a refused client's input is read and thrown away. A socket that is closed with unread input resets, and the
/// answer would be lost with it.
const LINGER: Duration = Duration::from_secs(2);

/// How HTTP is spoken on every connection.
pub(super) fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).max_buf_size(MAX_HEAD);
    http
}

/// Serves one connection to its end.
///
/// Not cancel safe: dropped, it closes the connection.
pub fn serve(stream: TcpStream, client: Client, edge: Rc<Edge>, slot: Slot) -> impl Future<Output = ()> {
    // Boxed: a link, which is what lasts, needs nothing of it.
    let admission = Box::pin(admission(stream, client, edge, slot));
    async move {
        let Some(link) = admission.await else { return };
        pin!(link).await;
    }
}

/// Serves one connection up to its link. `None`: none has come of it.
async fn admission(
    mut stream: TcpStream,
    client: Client,
    edge: Rc<Edge>,
    slot: Slot,
) -> Option<impl Future<Output = ()>> {
    let accepted = Instant::now();
    let deadline = accepted + edge.limits.handshake_timeout;
    let speaker = match edge.proxies.speaker(client) {
        Some(speaker) => speaker,
        None => Box::pin(introduce(&mut stream, client, &edge, deadline)).await?,
    };
    let stream = begin_tls(stream, speaker.client, &edge, deadline).await?;
    let switched = Rc::new(Cell::new(None));
    let service = Admission { accepted, speaker, edge: edge.clone(), switched: switched.clone() };
    let mut http = edge.http.clone();
    http.header_read_timeout(deadline.saturating_duration_since(Instant::now()));
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = (&mut connection).await {
        record::no_request(speaker.client.address, &error);
        return None;
    }
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    match switched.take() {
        Some(Switched::Link(begun)) => {
            // A copy, so that the few early bytes do not keep hyper's whole buffer alive.
            let leg = Leg { stream, early: Bytes::copy_from_slice(&parts.read_buf) };
            return Some(start::start(*begun, leg, &edge, slot));
        }
        Some(Switched::Refused(farewell)) => Box::pin(linger(stream, Some(farewell))).await,
        None => Box::pin(linger(stream, None)).await,
    }
    None
}

/// Hears who speaks over the connection. `None`: it was not said.
async fn introduce(stream: &mut TcpStream, client: Client, edge: &Edge, deadline: Instant) -> Option<Speaker> {
    let introduced = timeout_at(deadline, edge.proxies.introduce(stream, client)).await;
    let introduced = introduced.unwrap_or(Err(HeaderError::Late));
    introduced.inspect_err(|error| record::not_introduced(client.address, error)).ok()
}

async fn begin_tls(stream: TcpStream, client: Client, edge: &Edge, deadline: Instant) -> Option<Conn> {
    let Some(acceptor) = edge.tls.load_full() else { return Some(Conn::Plain(stream)) };
    match timeout_at(deadline, Box::pin(acceptor.accept(stream))).await {
        Ok(Ok(stream)) => Some(Conn::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            record::tls_failed(client.address, &error);
            edge.measures.tls_failed();
            None
        }
        Err(_) => {
            edge.measures.tls_failed();
            None
        }
    }
}

/// Sees to it that a refusal arrives: the answer that hyper has sent, or the farewell behind a 101.
async fn linger(mut stream: Conn, farewell: Option<Farewell>) {
    let mut scrap = [0; 1024];
    let until_end = async {
        if let Some(farewell) = farewell {
            farewell.tell(&mut stream).await.ok();
        }
        // Everything is said; a client that is polite closes now.
        stream.shutdown().await.ok();
        while stream.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
    };
    let _ = timeout(LINGER, until_end).await;
}

/// Answers the requests of one connection. What becomes of it behind a 101 leaves it in `switched`.
struct Admission {
    accepted: Instant,
    speaker: Speaker,
    edge: Rc<Edge>,
    switched: Rc<Cell<Option<Switched>>>,
}

/// A connection that speaks WebSocket from now on.
enum Switched {
    Link(Box<Begun>),
    /// It ends with these frames.
    Refused(Farewell),
}

impl Service<Request<Incoming>> for Admission {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let arrived = self.accepted.elapsed();
        Box::pin(answer(request, arrived, self.speaker, self.edge.clone(), self.switched.clone()))
    }
}

async fn answer(
    request: Request<Incoming>,
    arrived: Duration,
    speaker: Speaker,
    edge: Rc<Edge>,
    switched: Rc<Cell<Option<Switched>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if let Some(response) = admin::probe(&request, edge.unready()) {
        return Ok(response);
    }
    let begun = Instant::now();
    let (head, _) = request.into_parts();
    let client = edge.proxies.client_of(speaker, &head.headers);
    let request_id = request_id(head.headers.get(REQUEST_ID));
    let note = |refusal: &Refusal| {
        edge.measures.refused(refusal.code);
        record::refused(&request_id, client.address, refusal.status.as_u16(), refusal.code, &refusal.message);
    };
    let upgrade = match admit::upgrade(&edge, &head).inspect_err(note) {
        Ok(upgrade) => upgrade,
        Err(refusal) => return Ok(refusal.response(&request_id)),
    };
    let outcome = match open(&head, &request_id, (arrived, begun), client, &edge).await.inspect_err(note) {
        Ok(begun) => Switched::Link(Box::new(begun)),
        Err(refusal) if edge.refuse_browsers_with == RefuseWith::Event && browser::asks(&head) => {
            Switched::Refused(Farewell::new(&refusal, request_id.to_str().unwrap_or_default()))
        }
        Err(refusal) => return Ok(refusal.response(&request_id)),
    };
    switched.set(Some(outcome));
    Ok(switching(upgrade, &request_id))
}

async fn open(
    head: &hyper::http::request::Parts,
    request_id: &HeaderValue,
    (arrived, begun): (Duration, Instant),
    client: Client,
    edge: &Edge,
) -> Result<Begun, Refusal> {
    let admitted = admit(edge, head, client, request_id)?;
    let dialled = Instant::now();
    edge.measures.took(Stage::Admission, dialled - begun);
    let max_message_bytes = edge.limits.max_message_bytes;
    let opened = attempts::open(&admitted.candidates, &admitted.wanted, edge.deadlines(), max_message_bytes).await?;
    note_setup(edge, &opened.leg);
    let set_up = SetUp::new(arrived, dialled.elapsed());
    Ok(Begun { admitted, opened, client, set_up, trace: Trace::of(&head.headers) })
}

/// Measures what the client has waited for, which is nothing where its leg was opened ahead.
fn note_setup(edge: &Edge, leg: &OpenLeg) {
    if leg.opened_as.is_some() {
        return;
    }
    edge.measures.took(Stage::Dial, leg.took.dial);
    if let Some(first_event) = leg.took.first_event {
        edge.measures.took(Stage::FirstEvent, first_event);
    }
}
