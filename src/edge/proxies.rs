//! Proxies between clients and the relay: which are trusted, and for whom a connection and a request of theirs speak.
//!
//! It refuses to know how either says so; and of what a peer says that is not trusted, it believes nothing.

use hyper::header::HeaderMap;
use tokio::net::TcpStream;

use super::proxy_header::{self, Announced, HeaderError};
use super::{Client, forwarded};
use crate::control::config::{Networks, Server};

/// The proxies of a configuration.
#[derive(Debug)]
pub struct Proxies {
    trusted: Networks,
    /// Whether each connection begins with a header of the PROXY protocol.
    announce: bool,
}

/// Who speaks over a connection.
#[derive(Debug, Clone, Copy)]
pub struct Speaker {
    /// As far as the connection tells.
    pub client: Client,
    /// Whether it is believed when a request says for whom it speaks.
    is_believed: bool,
}

impl Proxies {
    /// As the configuration has them.
    pub fn new(server: &Server) -> Self {
        Self { trusted: server.trusted_proxies.clone(), announce: server.proxy_protocol }
    }

    /// Who speaks over a connection that `client` has opened. `None`: it has to say so, see [`introduce`](Self::introduce).
    pub fn speaker(&self, client: Client) -> Option<Speaker> {
        (!self.announce).then(|| Speaker { client, is_believed: self.trust(client) })
    }

    /// Hears who speaks over a connection that `client` has opened. Fails where it does not say so, or may not.
    ///
    /// Not cancel safe: dropped, it may have read part of a header, and the connection is of no more use.
    pub async fn introduce(&self, stream: &mut TcpStream, client: Client) -> Result<Speaker, HeaderError> {
        if !self.trust(client) {
            return Err(HeaderError::Untrusted);
        }
        Ok(match proxy_header::read(stream).await? {
            Announced::Client(address) => {
                let client = Client { address: address.into() };
                Speaker { client, is_believed: self.trust(client) }
            }
            Announced::Itself => Speaker { client, is_believed: true },
            // Whoever that is may have written any header.
            Announced::Unknown => Speaker { client, is_believed: false },
        })
    }

    /// For whom a request speaks: the last of its hops that is not a trusted proxy itself. Where a hop tells no address,
    /// nobody knows what is before it: then the last address that is known.
    pub fn client_of(&self, speaker: Speaker, headers: &HeaderMap) -> Client {
        let Speaker { mut client, is_believed } = speaker;
        if is_believed {
            for address in forwarded::hops(headers).map_while(|hop| hop) {
                client = Client { address };
                if !self.trust(client) {
                    break;
                }
            }
        }
        client
    }

    fn trust(&self, client: Client) -> bool {
        self.trusted.contain(client.address.ip())
    }
}
