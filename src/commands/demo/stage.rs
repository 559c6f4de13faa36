//! The stage of the demo: a simulated upstream, and a relay before it. It refuses to know what is played on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use crate::app::Relay;
use crate::control::config;
use crate::simulate::{self, Options};

/// What the demo's client shows. The relay knows it, the upstream does not.
pub(super) const CLIENT_KEY: &str = "demo-key-of-the-client";
/// What the relay shows the upstream, which takes no other.
const UPSTREAM_KEY: &str = "demo-key-of-the-upstream";

/// The name of the client's key, in the relay's records.
pub(super) const KEY_NAME: &str = "demo";
/// The model that answers.
pub(super) const MODEL: &str = "gpt-realtime";
/// A model whose upstream cannot be reached.
pub(super) const UNREACHABLE_MODEL: &str = "unreachable";

/// Of the phrases it may hear, this gives the longest.
const SEED: u64 = 1;
/// As fast as it is spoken: the demo is watched by a person.
const PACE: f64 = 1.0;

/// Everything on the stage, until it is dropped.
pub(super) struct Stage {
    relay_address: SocketAddr,
    upstream_address: SocketAddr,
    ledger: PathBuf,
    _relay: Relay,
    _upstream: JoinSet<std::io::Result<()>>,
    /// Bound, and never listened on: whoever connects is refused, and nobody else can take the port.
    _unreachable: TcpSocket,
    /// Holds the ledger; goes after the relay.
    _folder: TempDir,
}

impl Stage {
    /// Sets it, on free loopback ports.
    pub(super) async fn set() -> anyhow::Result<Self> {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(free).await.context("cannot listen on loopback")?;
        let upstream_address = listener.local_addr()?;
        let unreachable = TcpSocket::new_v4()?;
        unreachable.bind(free).context("cannot take a port on loopback")?;
        let mut config = config::parse(&configuration(upstream_address, unreachable.local_addr()?))
            .context("the demo's own configuration is wrong")?;
        let folder = tempfile::tempdir().context("cannot make a folder for the ledger")?;
        config.metering.ledger = folder.path().join("usage.db");
        let ledger = config.metering.ledger.clone();

        let options = Options { seed: SEED, key: Some(UPSTREAM_KEY.to_owned()), pace: PACE };
        let mut upstream = JoinSet::new();
        upstream.spawn(simulate::serve(listener, options));
        let relay = Relay::start(config).context("the relay does not start")?;
        let relay_address = *relay.addresses.first().context("the relay listens nowhere")?;
        Ok(Self {
            _relay: relay,
            _upstream: upstream,
            _unreachable: unreachable,
            _folder: folder,
            relay_address,
            upstream_address,
            ledger,
        })
    }

    /// Where clients connect.
    pub(super) fn relay(&self) -> SocketAddr {
        self.relay_address
    }

    /// Where the relay records what is used.
    pub(super) fn ledger(&self) -> &Path {
        &self.ledger
    }

    /// Where the relay connects.
    pub(super) fn upstream(&self) -> SocketAddr {
        self.upstream_address
    }
}

fn configuration(upstream: SocketAddr, unreachable: SocketAddr) -> String {
    format!(
        r#"
[server]
listen = ["127.0.0.1:0"]
auth = "keys"
workers = 1

[admin]
listen = "127.0.0.1:0"

[[upstreams]]
name = "simulated"
kind = "openai"
url = "ws://{upstream}/v1/realtime"
key = "{UPSTREAM_KEY}"
models = {{ "{MODEL}" = "{MODEL}" }}

[[upstreams]]
name = "unreachable"
kind = "openai"
url = "ws://{unreachable}/v1/realtime"
key = "{UPSTREAM_KEY}"
models = {{ "{UNREACHABLE_MODEL}" = "{UNREACHABLE_MODEL}" }}

[[keys]]
name = "{KEY_NAME}"
key = "{CLIENT_KEY}"
"#
    )
}
