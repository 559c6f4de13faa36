//! Where a client's key stands in a request: four places, in the order in which they count.
//!
//! It refuses to know whether a key is worth anything, and never shows one.

use hyper::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};

use super::handshake;
use super::query::Query;
use crate::control::config::Secret;

/// A browser cannot set headers, so its key comes as a subprotocol with this prefix.
const SUBPROTOCOL_PREFIX: &str = "openai-insecure-api-key.";
/// RFC 6750 section 2.1. Schemes have no case (RFC 9110 section 11.1).
const BEARER: &str = "Bearer ";

/// A key that a client presented.
#[derive(Debug)]
pub struct Credential {
    key: Secret,
    source: Source,
}

/// Where a key stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// As a subprotocol.
    Subprotocol,
    /// In a header, where no browser can put it.
    Header,
    /// In the query.
    Query,
}

impl Credential {
    /// The first key that a request carries.
    pub fn of(headers: &HeaderMap, query: &Query) -> Option<Self> {
        let in_subprotocol = || subprotocols(headers).find_map(|item| item.strip_prefix(SUBPROTOCOL_PREFIX));
        let header = |name: &str| handshake::only(headers, name).and_then(|value| value.to_str().ok());
        let in_header = || bearer_of(headers).or_else(|| header("api-key"));
        let found = in_subprotocol().map(|key| (key, Source::Subprotocol));
        let found = found.or_else(|| Some((in_header()?, Source::Header)));
        let (key, source) = found.or_else(|| Some((query.key()?, Source::Query)))?;
        let key = key.trim();
        (!key.is_empty()).then(|| Self { key: Secret::new(key), source })
    }

    /// Where it stood.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        self.key.expose()
    }

    /// The key, to be sent on.
    pub fn into_secret(self) -> Secret {
        self.key
    }
}

/// The subprotocols that a client offers.
pub fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    handshake::items(headers, SEC_WEBSOCKET_PROTOCOL)
}

/// What the one `Authorization: Bearer` carries.
pub fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let value = handshake::only(headers, AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then_some(key)
}
