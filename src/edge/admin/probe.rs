//! The probes of load balancers and orchestrators: no token, no guard, and HTTP/1.0 will do.
//!
//! It refuses to know on which listener it is asked.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::READING;

/// The answer to `/livez` and `/readyz`, where `unready` is why no new client should be sent here; `None` for every other
/// path.
pub fn probe<B>(request: &Request<B>, unready: Option<&'static str>) -> Option<Response<Full<Bytes>>> {
    let unready = match request.uri().path() {
        "/livez" => None,
        "/readyz" => unready,
        _ => return None,
    };
    Some(match (request.method(), unready) {
        (&Method::GET | &Method::HEAD, None) => text(StatusCode::OK, "ok\n".to_owned()),
        (&Method::GET | &Method::HEAD, Some(reason)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        _ => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned());
            response.headers_mut().insert(ALLOW, READING);
            response
        }
    })
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
