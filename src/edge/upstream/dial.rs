//! Opens an upstream leg: DNS, TCP, TLS, upgrade, first event. No client is answered before it stands.
//!
//! It refuses to choose the upstream, and to know what a client is told when it fails.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::RETRY_AFTER;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::Failure;
use super::first_event::Listening;
use super::kind::{self, Ask};
use super::{Candidate, Upstream, Wanted};
use crate::edge::handshake;
use crate::edge::query::Route;
use crate::edge::refusal::REQUEST_ID;
use crate::edge::tls::Conn;

/// The head of an upstream's answer may be this long.
const MAX_HEAD: usize = 64 << 10;
/// Of an upstream's own refusal, this much goes to the client.
const MAX_BODY: usize = 64 << 10;

/// An upstream leg that stands.
#[derive(Debug)]
pub struct OpenLeg {
    /// The raw stream, behind the 101.
    pub stream: Conn,
    /// Bytes of it that have been read already.
    pub early: Bytes,
    /// The upstream's own `x-request-id`.
    pub request_id: Option<String>,
}

/// The deadlines of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From DNS to the 101.
    pub dial: Duration,
    /// First event included.
    pub all: Duration,
}

/// Opens a leg at a candidate.
///
/// Cancel safe: dropped, it closes the connection, and the attempt is over.
pub async fn dial(
    candidate: &Candidate,
    wanted: &Wanted,
    deadlines: Deadlines,
    max_message_bytes: u64,
) -> Result<OpenLeg, Failure> {
    let attempt = async {
        let opening = timeout(deadlines.dial, open(candidate, wanted)).await;
        let leg = opening.unwrap_or(Err(Failure::Timeout(deadlines.dial)))?;
        // To a call that is under way nothing need be said.
        let speaks_first = !matches!(wanted.route, Route::Call(_));
        if !(candidate.upstream.config.await_first_event && speaks_first) {
            return Ok(leg);
        }
        let mut listening = Listening::new(leg.stream, leg.early, max_message_bytes);
        listening.first_event().await?;
        let (stream, early) = listening.into_parts();
        Ok(OpenLeg { stream, early, ..leg })
    };
    timeout(deadlines.all, attempt).await.unwrap_or(Err(Failure::Timeout(deadlines.all)))
}

async fn open(candidate: &Candidate, wanted: &Wanted) -> Result<OpenLeg, Failure> {
    let ask = kind::ask(candidate, wanted).ok_or(Failure::UnsendableKey)?;
    let stream = connect(&candidate.upstream).await?;
    switch(stream, ask).await
}

async fn connect(upstream: &Upstream) -> Result<Conn, Failure> {
    let url = &upstream.config.url;
    let addresses = tokio::net::lookup_host((url.host.as_str(), url.port)).await.map_err(Failure::Dns)?;
    let mut failed = Failure::Dns(std::io::ErrorKind::NotFound.into());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(Failure::Tcp)?;
                return match &upstream.tls {
                    Some(tls) => tls.connect(&url.host, stream).await.map_err(Failure::Tls),
                    None => Ok(Conn::Plain(stream)),
                };
            }
            Err(error) => failed = Failure::Tcp(error),
        }
    }
    Err(failed)
}

/// Sends the upgrade, and verifies its answer.
async fn switch(stream: Conn, ask: Ask) -> Result<OpenLeg, Failure> {
    let not_http = |_| Failure::NotHttp("its answer is no HTTP");
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(not_http)?;
    let mut connection = std::pin::pin!(connection.without_shutdown());
    let mut parts = None;
    let exchange = async {
        let response = sender.send_request(ask.request).await.map_err(not_http)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS { Ok(response) } else { Err(refused(response).await) }
    };
    let mut exchange = std::pin::pin!(exchange);
    // The connection only moves while it is polled, and it may end before the answer has been looked at.
    let response = loop {
        tokio::select! {
            biased;
            response = &mut exchange => break response?,
            ended = &mut connection, if parts.is_none() => parts = Some(ended.map_err(not_http)?),
        }
    };
    handshake::verify_switch(response.headers(), &ask.key, &ask.offered).map_err(Failure::NotHttp)?;
    let parts = match parts {
        Some(parts) => parts,
        None => connection.await.map_err(not_http)?,
    };
    Ok(OpenLeg {
        stream: parts.io.into_inner(),
        early: parts.read_buf,
        request_id: response.headers().get(REQUEST_ID).map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()),
    })
}

/// An answer that is no 101, with its body where that is JSON.
async fn refused(response: Response<Incoming>) -> Failure {
    let (status, retry_after) = (response.status(), response.headers().get(RETRY_AFTER).cloned());
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await.ok().map(Collected::to_bytes);
    let body = body.filter(|body| serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok());
    Failure::Answer { status, retry_after, body }
}
