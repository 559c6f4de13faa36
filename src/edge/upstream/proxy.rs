//! A tunnel through an HTTP proxy, asked for by CONNECT (RFC 9110 section 9.3.6).
//!
//! It refuses to know what goes through: TLS with the upstream, if there is any, begins inside.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::net::TcpStream;

use super::connect::{Unreached, reach};
use super::exchange::exchange;
use super::failure::ProxyFailure;
use crate::control::config::Proxy;

impl From<Unreached> for ProxyFailure {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Dns(error) => Self::Dns(error),
            Unreached::Tcp(error) => Self::Tcp(error),
            Unreached::Shortage(error) => Self::Shortage(error),
        }
    }
}

/// Opens a tunnel through `proxy` to a host, whose name the proxy resolves; IPv6 without its brackets.
///
/// Cancel safe: dropped, it closes what it has opened.
pub async fn tunnel(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, ProxyFailure> {
    let request = ask(proxy, host, port).ok_or(ProxyFailure::Unaskable)?;
    let stream = reach(&proxy.host, proxy.port).await?;
    let judge = async |response: Response<Incoming>| match response.status() {
        // RFC 9110 allows every 2xx; no proxy is known to use another, and hyper gives no stream behind a 204.
        StatusCode::OK => Ok(response),
        status => Err(ProxyFailure::Refused(status)),
    };
    let (_, stream, early) = exchange(stream, request, judge).await?;
    // The upstream is not spoken to yet, so it has nothing to say: what is here was not meant for this tunnel.
    if early.is_empty() { Ok(stream) } else { Err(ProxyFailure::EarlyBytes) }
}

fn ask(proxy: &Proxy, host: &str, port: u16) -> Option<Request<Empty<Bytes>>> {
    // Always with its port, unlike in a `Host` header of the upstream.
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = Request::new(Empty::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = Uri::try_from(authority.as_str()).ok()?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::try_from(authority).ok()?);
    if let Some(authorization) = &proxy.authorization {
        let mut value = HeaderValue::try_from(authorization.expose()).ok()?;
        value.set_sensitive(true);
        headers.insert(PROXY_AUTHORIZATION, value);
    }
    Some(request)
}
