//! Who may ask the admin listener: no web page, and whoever has the token.
//!
//! It refuses to know what is asked. It keeps a digest, not the token.

use hyper::StatusCode;
use hyper::header::{HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::http::request;
use subtle::ConstantTimeEq;

use crate::control::config::Secret;
use crate::control::keys;
use crate::edge::refusal::Refusal;
use crate::edge::{credential, loopback};

/// What an operator has to show.
pub(super) struct Guard {
    /// SHA-256 of the token.
    token: Option<[u8; 32]>,
    /// Whether only this machine reaches the listener.
    loopback: bool,
}

impl Guard {
    pub(super) fn new(token: Option<&Secret>, loopback: bool) -> Self {
        Self { token: token.map(|token| keys::digest(token.expose())), loopback }
    }

    /// Without a token, only this machine is believed.
    pub(super) fn check(&self, head: &request::Parts) -> Result<(), Refusal> {
        self.check_origin(head)?;
        self.check_token(head)
    }

    /// The same for whoever reads figures that are no secret on this machine: there no token is asked for.
    pub(super) fn check_reader(&self, head: &request::Parts) -> Result<(), Refusal> {
        self.check_origin(head)?;
        if self.loopback { Ok(()) } else { self.check_token(head) }
    }

    fn check_origin(&self, head: &request::Parts) -> Result<(), Refusal> {
        let forbid = |message| Err(Refusal::new(StatusCode::FORBIDDEN, "origin_not_allowed", message));
        if head.headers.contains_key(ORIGIN) {
            return forbid("no web page may use the admin listener");
        }
        if self.loopback && !loopback::is_named(&head.uri, &head.headers) {
            return forbid("this admin listener is loopback, so it answers only to a loopback name in `Host`");
        }
        Ok(())
    }

    fn check_token(&self, head: &request::Parts) -> Result<(), Refusal> {
        let shown = || credential::bearer_of(&head.headers).map(keys::digest);
        let passes = match &self.token {
            Some(token) => shown().is_some_and(|shown| token.ct_eq(&shown).into()),
            None => self.loopback,
        };
        if passes {
            return Ok(());
        }
        let message = "the admin token is missing or wrong; send it as `Authorization: Bearer <token>`";
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "invalid_token", message);
        Err(refusal.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn passes(guard: &Guard, headers: &[(&str, &str)]) -> Result<(), u16> {
        let builder = headers.iter().fold(Request::builder(), |builder, (name, value)| builder.header(*name, *value));
        let (head, ()) = builder.body(()).unwrap().into_parts();
        guard.check(&head).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn a_listener_that_everybody_reaches_asks_for_the_token_and_for_no_name() {
        let guard = Guard::new(Some(&Secret::new("token")), false);
        assert_eq!(passes(&guard, &[("host", "relay.example.com"), ("authorization", "Bearer token")]), Ok(()));
        assert_eq!(passes(&guard, &[("host", "relay.example.com")]), Err(401));
        assert_eq!(passes(&guard, &[("authorization", "Bearer token"), ("origin", "https://a.b")]), Err(403));
    }

    #[test]
    fn a_reader_of_figures_needs_a_token_only_where_everybody_reaches_the_listener() {
        let passes = |loopback, headers: &[(&str, &str)]| {
            let builder =
                headers.iter().fold(Request::builder(), |builder, (name, value)| builder.header(*name, *value));
            let (head, ()) = builder.body(()).unwrap().into_parts();
            let guard = Guard::new(Some(&Secret::new("token")), loopback);
            guard.check_reader(&head).map_err(|refusal| refusal.status.as_u16())
        };
        assert_eq!(passes(true, &[("host", "localhost:9090")]), Ok(()));
        assert_eq!(passes(true, &[("host", "rebound.example.com")]), Err(403));
        assert_eq!(passes(true, &[("host", "localhost"), ("origin", "http://localhost")]), Err(403));
        assert_eq!(passes(false, &[("host", "localhost")]), Err(401));
        assert_eq!(passes(false, &[("host", "relay.example.com"), ("authorization", "Bearer token")]), Ok(()));
    }

    #[test]
    fn a_listener_that_everybody_reaches_believes_nobody_without_a_token() {
        assert_eq!(passes(&Guard::new(None, false), &[("authorization", "Bearer token")]), Err(401));
    }
}
