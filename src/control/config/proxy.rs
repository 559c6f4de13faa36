//! An HTTP proxy on the way to an upstream: how it is written, and what the environment says of it. Refuses to know how
//! a tunnel is asked for, and to quote a URL, as a credential may stand in it.

use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::{Mistake, Place, Secret, Spot, url};

/// The port of a proxy's URL that names none: that of its scheme.
const DEFAULT_PORT: u16 = 80;

/// A proxy that tunnels by CONNECT, spoken to in plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// A DNS name or an IP address; IPv6 without its brackets.
    pub host: String,
    /// The default one filled in.
    pub port: u16,
    /// The value of `Proxy-Authorization`, scheme included: `Basic`, made of the URL's user. May stand in a header.
    pub authorization: Option<Secret>,
}

impl Proxy {
    /// From `http://host:port` or `http://user:password@host:port`. An error says what to write, and quotes nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("has no scheme; write http://host:port")?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => {
                return Err("TLS is not spoken with a proxy; write http://host:port, wss stays TLS inside".into());
            }
            scheme if scheme.starts_with("socks") => {
                return Err("a SOCKS proxy cannot be used; write http://host:port of one that knows CONNECT".into());
            }
            _ => return Err("the scheme is not http; write http://host:port".into()),
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err("a proxy has no path; write http://host:port, and escape `/`, `?` and `#` in a password".into());
        }
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, authority),
        };
        let (host, port) = url::host_and_port(authority, DEFAULT_PORT)
            .map_err(|_| "has no valid host or port; write http://host:port")?;
        Ok(Self { host, port, authorization: user.filter(|user| !user.is_empty()).map(basic) })
    }

    /// What the environment says of an upstream, read as curl reads it: `https_proxy` or `HTTPS_PROXY` for `wss`, for
    /// `ws` `http_proxy` alone (a CGI server sets `HTTP_PROXY` to what a client sent), else `all_proxy` or `ALL_PROXY`;
    /// but none for what `no_proxy` or `NO_PROXY` covers, nor ever for loopback. An empty variable is as good as none.
    ///
    /// `host` is as in [`UpstreamUrl`](super::UpstreamUrl). A mistake's place is the variable.
    pub fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        secure: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<Self>, Mistake> {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, variable(name).filter(|value| !value.is_empty())?)))
        };
        let (excepting, exceptions) = first(&["no_proxy", "NO_PROXY"]).unwrap_or(("no_proxy", String::new()));
        if is_loopback(host) || is_excepted(&exceptions, host, port) {
            return Ok(None);
        }
        let names: &[_] = if secure { &["https_proxy", "HTTPS_PROXY"] } else { &["http_proxy"] };
        let Some((name, value)) = first(names).or_else(|| first(&["all_proxy", "ALL_PROXY"])) else { return Ok(None) };
        let url = if value.contains("://") { value } else { format!("http://{value}") };
        let spot = || Spot { place: Place::Variable(name.to_owned()), path: String::new() };
        let hint = |what| format!("{what}; or put {host} into {excepting}");
        Self::parse(&url).map(Some).map_err(|what| Mistake { spot: spot(), what: hint(what) })
    }
}

impl fmt::Display for Proxy {
    /// Without the credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = if self.authorization.is_some() { "***@" } else { "" };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        write!(f, "http://{user}{host}:{}", self.port)
    }
}

/// RFC 7617: a user without a password has an empty one.
fn basic(user: &str) -> Secret {
    let mut user: Vec<u8> = percent_decode_str(user).collect();
    if !user.contains(&b':') {
        user.push(b':');
    }
    Secret::new(format!("Basic {}", STANDARD.encode(user)))
}

fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether `no_proxy` covers a host: names with all below them, addresses, networks, each perhaps with a port, and `*`.
fn is_excepted(exceptions: &str, host: &str, port: u16) -> bool {
    let mut exceptions = exceptions.split([',', ' ']).map(str::trim).filter(|exception| !exception.is_empty());
    exceptions.any(|exception| {
        let (name, its_port) = match exception.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (exception, None),
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        its_port.is_none_or(|its_port| its_port.parse() == Ok(port)) && covers(name, host)
    })
}

fn covers(name: &str, host: &str) -> bool {
    if name == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let (network, length) = name.split_once('/').unwrap_or((name, "128"));
        let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
        return match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= length.min(u32::BITS)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= length.min(u128::BITS)
            }
            _ => false,
        };
    }
    let name = name.trim_matches('.').to_ascii_lowercase();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !name.is_empty() && host.strip_suffix(&name).is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_taken_apart() {
        let plain = Proxy::parse("http://Proxy.example.com:3128/").unwrap();
        assert_eq!(plain, Proxy { host: "proxy.example.com".into(), port: 3128, authorization: None });
        let secret = Proxy::parse("HTTP://us%3Aer:p%40ss@[::1]").unwrap();
        assert_eq!((secret.host.as_str(), secret.port), ("::1", 80));
        let authorization = secret.authorization.as_ref().unwrap();
        assert_eq!(authorization.expose(), format!("Basic {}", STANDARD.encode("us:er:p@ss")));
        assert_eq!(secret.to_string(), "http://***@[::1]:80");
        assert!(!format!("{secret:?}").contains("Basic"));
        assert_eq!(basic("user").expose(), format!("Basic {}", STANDARD.encode("user:")));
    }

    #[test]
    fn a_proxy_that_cannot_be_meant_is_told_what_to_write_and_not_quoted() {
        for (text, hint) in [
            ("proxy:3128", "no scheme"),
            ("https://u:secret@h", "TLS is not spoken"),
            ("socks5h://u:secret@h", "SOCKS"),
            ("ftp://u:secret@h", "not http"),
            ("http://u:secret@h/path", "no path"),
            ("http://u:sec/secret@h", "no path"),
            ("http://u:secret@", "host"),
            ("http://u:secret@h:0", "port"),
            ("http://u:secret@h ost", "host"),
        ] {
            let what = Proxy::parse(text).unwrap_err();
            assert!(what.contains(hint) && what.contains("http://host:port"), "{text}: {what}");
            assert!(!what.contains("secret"), "{what}");
        }
    }

    /// The host of the proxy that this environment has for an upstream.
    fn through(environment: &[(&str, &str)], secure: bool, host: &str) -> Option<String> {
        let variable = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Proxy::from_environment(variable, secure, host, 443).unwrap().map(|proxy| proxy.host)
    }

    #[test]
    fn each_scheme_has_its_variables() {
        let low = [("https_proxy", "http://s"), ("HTTPS_PROXY", "http://S2"), ("http_proxy", "h:3128")];
        assert_eq!(through(&low, true, "a.com").as_deref(), Some("s"));
        assert_eq!(through(&low, false, "a.com").as_deref(), Some("h"));
        let upper = [("HTTPS_PROXY", "http://s"), ("HTTP_PROXY", "http://h"), ("https_proxy", "")];
        assert_eq!(through(&upper, true, "a.com").as_deref(), Some("s"));
        assert_eq!(through(&upper, false, "a.com"), None, "HTTP_PROXY may be a client's header");
        let all = [("ALL_PROXY", "http://upper"), ("all_proxy", "http://lower")];
        assert_eq!(through(&all, true, "a.com").as_deref(), Some("lower"));
        assert_eq!(through(&all[..1], false, "a.com").as_deref(), Some("upper"));
        assert_eq!(through(&[], true, "a.com"), None);
    }

    #[test]
    fn what_is_excepted_is_dialled_directly() {
        let is_direct = |no_proxy: &str, host: &str| {
            through(&[("all_proxy", "http://p"), ("NO_PROXY", no_proxy)], true, host).is_none()
        };
        for (no_proxy, host) in [
            ("*", "a.com"),
            ("b.org, .A.com", "a.com"),
            ("a.com", "api.a.com."),
            ("a.com.:443", "a.com"),
            ("10.0.0.0/8", "10.1.2.3"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "10.1.2.3"),
            ("[fd00::1]:443 x", "fd00::1"),
            ("fd00::/8", "fd00::1"),
            ("", "localhost"),
            ("", "x.localhost"),
            ("", "127.0.0.2"),
            ("", "::1"),
            ("", "::ffff:127.0.0.1"),
        ] {
            assert!(is_direct(no_proxy, host), "{no_proxy}: {host}");
        }
        for (no_proxy, host) in [
            ("", "a.com"),
            ("a.com", "aa.com"),
            ("a.com:80", "a.com"),
            ("2.3", "10.1.2.3"),
            ("10.0.0.0/8", "11.1.2.3"),
            ("fd00::/8", "fe00::1"),
            (".", "a.com"),
        ] {
            assert!(!is_direct(no_proxy, host), "{no_proxy}: {host}");
        }
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named_and_not_quoted() {
        let variable = |name: &str| (name != "no_proxy").then(|| "socks5://u:secret@h".to_owned());
        let told = Proxy::from_environment(variable, true, "a.com", 443).unwrap_err().to_string();
        assert!(told.starts_with("https_proxy: a SOCKS proxy") && !told.contains("secret"), "{told}");
        assert!(told.ends_with("; or put a.com into NO_PROXY"), "{told}");
    }
}
