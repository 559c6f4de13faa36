//! The HTTP part of one connection, up to an upgrade.
//!
//! hyper parses the head, and answers what is no upgrade. An upgrade is never answered by hyper: most faults are about
//! the bytes of the 101, so the socket is taken out of hyper's hands before there is an answer.
//! It refuses to know what makes a request an upgrade.

use super::Options;
use super::handshake::Asked;
use super::ids::Ids;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A socket on which an upgrade was asked for, and not answered yet.
pub(super) struct Upgrade {
    pub(super) stream: TcpStream,
    /// What the client sent behind its head.
    pub(super) early: Bytes,
    pub(super) asked: Asked,
}

/// Serves requests until one is an upgrade, or the client goes.
pub(super) async fn welcome(stream: TcpStream, options: &Options, number: u64) -> Option<Upgrade> {
    let request_id = Ids::new(options.seed, number).fresh("req_sim_");
    let (take, mut taken) = mpsc::channel(1);
    let service = service_fn(move |request: Request<Incoming>| {
        let (take, request_id) = (take.clone(), request_id.clone());
        let verdict = Asked::from_request(&request, options.key.as_deref(), &request_id);
        async move {
            match verdict {
                Err(refusal) => Ok::<Response<Full<Bytes>>, Infallible>(refusal.response(&request_id)),
                Ok(asked) => {
                    // The receiver ends this connection; hyper must not answer before it does.
                    let _ = take.send(asked).await;
                    std::future::pending().await
                }
            }
        }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let asked = tokio::select! {
        asked = taken.recv() => asked?,
        _ = &mut connection => return None,
    };
    let parts = connection.into_parts();
    Some(Upgrade { stream: parts.io.into_inner(), early: parts.read_buf, asked })
}
