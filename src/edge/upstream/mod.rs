//! The upstream leg, until it stands.
//!
//! `kind` writes the request, `dial` opens the leg: `connect` makes the connection, through a `proxy` where there is one,
//! `exchange` asks for the switch, `first_event` waits for the upstream's first word. `failure` says what a client is told
//! when one of them fails. They refuse to know the client beyond what was admitted.

pub mod connect;
pub mod dial;
pub mod exchange;
pub mod failure;
pub mod first_event;
pub mod kind;
pub mod proxy;

use crate::control::config;

use super::tls::{Connector, TlsError};

/// An upstream as one worker sees it.
#[derive(Debug)]
pub struct Upstream {
    /// What the configuration says of it.
    pub config: config::Upstream,
    /// Kept as long as the upstream, so that sessions resume. `None` for `ws`.
    pub tls: Option<Connector>,
}

impl Upstream {
    /// Fails where TLS refuses the authorities that the configuration names.
    pub fn new(config: &config::Upstream) -> Result<Self, TlsError> {
        let tls = config.url.secure.then(|| Connector::new(&config.name, config.ca.as_deref())).transpose()?;
        Ok(Self { config: config.clone(), tls })
    }
}
