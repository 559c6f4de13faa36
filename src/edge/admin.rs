//! The admin listener: whether the process lives and may be sent clients.
//!
//! It refuses to touch a link. The two probes are also answered on the client listener, for load balancers that can
//! only ask there.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A probe that has not sent its request by then is cut.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers on the admin listener until dropped. Runs on a runtime that takes local tasks.
pub async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::task::spawn_local(serve_connection(stream))),
            Err(error) => super::listener::rest_after(&error).await,
        }
    }
}

async fn serve_connection(stream: TcpStream) {
    let service = service_fn(async |request: Request<_>| {
        Ok::<_, Infallible>(probe(&request).unwrap_or_else(|| text(StatusCode::NOT_FOUND, "not found\n")))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "an admin connection failed");
    }
}

/// The answer to `/livez` and `/readyz`; `None` for every other path.
pub fn probe<B>(request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    if !matches!(request.uri().path(), "/livez" | "/readyz") {
        return None;
    }
    Some(match *request.method() {
        Method::GET | Method::HEAD => text(StatusCode::OK, "ok\n"),
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n"),
    })
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
