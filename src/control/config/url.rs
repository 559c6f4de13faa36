//! An upstream's URL: taken apart, and judged by what its kind adds to it. Refuses to resolve or to dial it. A URL with
//! a user in it is never quoted.

use hyper::http::uri::{Authority, PathAndQuery};
use rustls_pki_types::ServerName;

use super::UpstreamUrl;
use super::upstream::default_port;

/// The kinds of upstream, before what each needs is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    OpenAi,
    Azure,
    Compatible,
}

impl Flavour {
    /// As the configuration spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Azure => "azure",
            Self::Compatible => "compatible",
        }
    }
}

/// Takes a URL apart. `None` for the flavour: it was wrong itself, so what hangs on it is not judged.
pub(super) fn parse(text: &str, flavour: Option<Flavour>) -> Result<UpstreamUrl, String> {
    let (scheme, rest) = text.split_once("://").ok_or("has no scheme; write wss://host/path")?;
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "wss" => true,
        "ws" => false,
        "https" => return Err("https is not a WebSocket; write wss://…".into()),
        "http" => return Err("http is not a WebSocket; write wss://…, or ws://… where no TLS is spoken".into()),
        _ => return Err("the scheme is neither wss nor ws; write wss://host/path".into()),
    };
    if rest.contains('#') {
        return Err("a fragment is never sent; leave out what follows `#`".into());
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (host, port) = host_and_port(authority, default_port(secure))?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let path: PathAndQuery = path.parse().map_err(|_| "the path is not valid; escape what a URL may not hold")?;
    let path_and_query = judged(path.as_str(), flavour)?.to_owned();
    Ok(UpstreamUrl { secure, host, port, path_and_query })
}

/// Host and port of an authority without a user.
pub(super) fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), String> {
    if authority.contains('@') {
        return Err("a user in a URL is never sent; put the credential into `key`".into());
    }
    let wrong = || "has no valid host; write wss://host/path or wss://host:port/path".to_owned();
    let authority: Authority = authority.parse().map_err(|_| wrong())?;
    let host = authority.host();
    let port = match authority.as_str()[host.len()..].strip_prefix(':') {
        None => default,
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("the port is not one from 1 to 65535")?,
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_ascii_lowercase();
    ServerName::try_from(host.as_str()).map_err(|_| wrong())?;
    Ok((host, port))
}

/// What a kind may have in its path, and how it keeps it.
fn judged(path: &str, flavour: Option<Flavour>) -> Result<&str, String> {
    let Some(flavour) = flavour else { return Ok(path) };
    if flavour == Flavour::Compatible {
        if path.replace("{model}", "").contains(['{', '}']) {
            return Err("only `{model}` is filled in; escape other braces as %7B and %7D".into());
        }
        return Ok(path);
    }
    if path.contains("{model}") {
        return Err("`{model}` is only for kind = \"compatible\"; leave it out, the model is added".into());
    }
    if path.contains('?') {
        return Err("takes no query; leave out what follows `?`, the model is added".into());
    }
    match flavour {
        Flavour::Azure if path.ends_with("/realtime") => {
            Err("the path is added; write the resource's address alone, wss://….openai.azure.com".into())
        }
        Flavour::Azure => Ok(path.trim_end_matches('/')),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::Flavour::{Azure, Compatible, OpenAi};
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = parse("wss://API.x.ai/v1/realtime?model={model}", Some(Compatible)).unwrap();
        let path_and_query = "/v1/realtime?model={model}".to_owned();
        assert_eq!(url, UpstreamUrl { secure: true, host: "api.x.ai".into(), port: 443, path_and_query });
        assert_eq!(parse("ws://[::1]:8000", Some(OpenAi)).unwrap().host, "::1");
    }

    #[test]
    fn a_url_is_written_as_it_was() {
        for text in ["wss://a.b/v1", "ws://[::1]:8000/v1", "ws://127.0.0.1/?a=b", "wss://h:80/", "ws://vllm_1:1/x"] {
            assert_eq!(parse(text, None).unwrap().to_string(), text);
        }
        let azure = parse("wss://x.openai.azure.com/", Some(Azure)).unwrap();
        assert_eq!(azure.to_string(), "wss://x.openai.azure.com");
    }

    #[test]
    fn a_url_that_cannot_be_meant_is_told_what_to_write() {
        for (text, flavour, hint) in [
            ("api.openai.com/v1/realtime", OpenAi, "wss://host/path"),
            ("https://api.openai.com/v1/realtime", OpenAi, "write wss://"),
            ("http://localhost:8000", Compatible, "ws://"),
            ("ftp://h/", Compatible, "neither"),
            ("wss://h/#top", OpenAi, "fragment"),
            ("wss://user:pass@h/", OpenAi, "`key`"),
            ("wss:///v1", OpenAi, "host"),
            ("wss://h:0/", OpenAi, "port"),
            ("wss://h:/", OpenAi, "port"),
            ("wss://h:99999/", OpenAi, "port"),
            ("wss://h ost/", OpenAi, "host"),
            ("wss://{model}/", Compatible, "host"),
            ("wss://h/a b", OpenAi, "escape"),
            ("wss://h/v1?model=x", OpenAi, "query"),
            ("wss://h/{model}", OpenAi, "compatible"),
            ("wss://h/{modle}", Compatible, "{model}"),
            ("wss://h/openai/v1/realtime", Azure, "resource"),
        ] {
            let what = parse(text, Some(flavour)).unwrap_err();
            assert!(what.contains(hint), "{text}: {what}");
        }
    }
}
