//! `X-Forwarded-For` and `Forwarded` (RFC 7239): the hops of a request, as the proxies on its way have told them.
//!
//! Both are read from their ends: the last hop was added by the proxy nearest to the relay, and whatever a client wrote
//! into the header stands to the left of it, where it cannot change how that hop reads. It refuses to know who is believed.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};

use crate::control::client_address::ClientAddress;

/// The older header, which has no standard.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The hops, the last one first; `None` for one that tells no address. `X-Forwarded-For` wins where it is there.
pub fn hops(headers: &HeaderMap) -> impl Iterator<Item = Option<ClientAddress>> {
    let (name, hop): (_, fn(&str) -> Option<ClientAddress>) =
        if headers.contains_key(X_FORWARDED_FOR) { (X_FORWARDED_FOR, address) } else { (FORWARDED, element) };
    headers.get_all(name).iter().rev().flat_map(move |line| hops_of(line, hop))
}

/// The hops of one line. Of one with a byte that is not ASCII none tells an address.
fn hops_of(line: &HeaderValue, hop: fn(&str) -> Option<ClientAddress>) -> impl Iterator<Item = Option<ClientAddress>> {
    let line = line.to_str().ok();
    let unreadable = line.is_none().then_some(None);
    let parts = line.into_iter().flat_map(|line| FromTheEnd { left: Some(line), separator: b',' });
    parts.map(move |part| hop(part.trim_ascii())).chain(unreadable)
}

/// One hop of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`.
fn element(text: &str) -> Option<ClientAddress> {
    let mut hosts = FromTheEnd { left: Some(text), separator: b';' }.filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim_ascii().eq_ignore_ascii_case("for").then_some(value.trim_ascii())
    });
    let (host, None) = (hosts.next()?, hosts.next()) else { return None };
    // No address holds a character that has to be escaped.
    address(host.strip_prefix('"').and_then(|host| host.strip_suffix('"')).unwrap_or(host))
}

/// An address, with its port or without; an IPv6 one in brackets or not. `unknown`, names of the proxy's own making and
/// everything else are none.
fn address(text: &str) -> Option<ClientAddress> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(socket.ip().to_canonical(), socket.port()).into());
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ip: IpAddr = match bare {
        Some(six) => IpAddr::V6(six.parse().ok()?),
        None => text.parse().ok()?,
    };
    Some(ip.to_canonical().into())
}

/// The parts of a list, the last one first. A separator inside of quotes is none.
struct FromTheEnd<'a> {
    /// What has not been taken yet.
    left: Option<&'a str>,
    /// An ASCII character.
    separator: u8,
}

impl<'a> Iterator for FromTheEnd<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.left.take()?;
        let bytes = text.as_bytes();
        let mut quoted = false;
        for (at, byte) in bytes.iter().enumerate().rev() {
            match byte {
                // Inside of quotes one that is escaped is a character as any other. Whether its backslash is itself
                // escaped only who reads from the front could tell; no address holds either.
                b'"' if quoted && at > 0 && bytes[at - 1] == b'\\' => {}
                b'"' => quoted = !quoted,
                byte if *byte == self.separator && !quoted => {
                    self.left = Some(&text[..at]);
                    return Some(&text[at + 1..]);
                }
                _ => {}
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests;
