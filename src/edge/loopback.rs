//! Whether a request names this machine by a loopback name. A page of a foreign site cannot: whatever its name resolves
//! to by now (DNS rebinding), the browser writes that name into `Host`.
//!
//! It refuses to know who asks for that, and why.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{HOST, HeaderMap};
use hyper::http::uri::Authority;

use super::handshake;

/// Whether the one `Host`, and the authority of the target where it has one, are loopback names.
pub fn is_named(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = handshake::only(headers, HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.as_ref().is_some_and(is_loopback) && uri.authority().is_none_or(is_loopback)
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    // Of `[::1].example.com` the host is said to be `[::1]`; and nobody has a user name here.
    let is_all = authority.as_str().strip_prefix(host).is_some_and(|rest| rest.is_empty() || is_port(rest));
    if !is_all {
        return false;
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}
