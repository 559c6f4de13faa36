//! Whether a request names this machine by a loopback name. A page of a foreign site cannot: whatever its name resolves
//! to by now (DNS rebinding), the browser writes that name into `Host`.
//!
//! It refuses to know who asks for that, and why.

use std::net::{Ipv4Addr, Ipv6Addr};

use hyper::Uri;
use hyper::header::{HOST, HeaderMap};

use super::handshake;

/// Whether the one `Host`, and the authority of the target where it has one, are loopback names.
pub fn is_named(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = handshake::only(headers, HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(is_loopback) && uri.authority().is_none_or(|authority| is_loopback(authority.as_str()))
}

/// Whether an authority (RFC 3986 section 3.2) is a loopback name, with or without a port, and nothing besides.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let six = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || six.is_some_and(|six| six.parse().is_ok_and(|address: Ipv6Addr| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_name_is_a_loopback_name() {
        for name in ["localhost", "LocalHost:8080", "localhost:", "127.0.0.1", "127.9.8.7:80", "[::1]", "[::1]:443"] {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "",
            ":80",
            "::1",
            "[::1",
            "[::1].example.com",
            "[127.0.0.1]",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "example.com",
            "192.0.2.1",
            "[2001:db8::1]:80",
            "user@localhost",
            "localhost:80:80",
            "localhost:http",
            "localhost ",
            "2130706433",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
