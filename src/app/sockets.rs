//! The listening sockets: those that this process was given, each at the address for which it is configured, and new ones
//! for the rest.
//!
//! It refuses to accept from them.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::control::config::Config;
use crate::control::takeover::{Label, Labelled, Serves};
use crate::edge::bind::{self, Sharing};

/// Listening sockets that were there before this process.
#[derive(Debug, Default)]
pub enum Inherited {
    /// None: all are bound.
    #[default]
    Nothing,
    /// Those of the process whose place is taken.
    FromPredecessor {
        /// What it handed over.
        sockets: Vec<Labelled>,
        /// Where it offers them.
        path: PathBuf,
    },
    /// Those of a service manager, which holds them as long as the service is defined.
    FromManager(Vec<TcpListener>),
}

/// All that the configuration asks for.
pub(super) struct Sockets {
    /// In the order of the configuration.
    pub(super) clients: Vec<Labelled>,
    pub(super) admin: Labelled,
}

/// A socket that was there, and might be what is looked for.
struct Passed {
    listener: TcpListener,
    local: SocketAddr,
    /// What the predecessor had it for.
    label: Option<Label>,
}

impl Inherited {
    /// What a service manager has passed: `LISTEN_FDS`, where `LISTEN_PID` names this process.
    pub fn of_manager() -> anyhow::Result<Self> {
        let mut passed = listenfd::ListenFd::from_env();
        let mut sockets = Vec::with_capacity(passed.len());
        for index in 0..passed.len() {
            let what = || format!("number {index} of the sockets in LISTEN_FDS is no listening TCP socket");
            sockets.push(passed.take_tcp_listener(index).with_context(what)?.with_context(what)?);
        }
        Ok(if sockets.is_empty() { Self::Nothing } else { Self::FromManager(sockets) })
    }

    /// Where the predecessor offers its sockets.
    pub(super) fn predecessor(&self) -> Option<PathBuf> {
        match self {
            Self::FromPredecessor { path, .. } => Some(path.clone()),
            Self::Nothing | Self::FromManager(_) => None,
        }
    }
}

/// Takes what was inherited, and binds what is missing.
pub(super) fn listen(config: &Config, inherited: Inherited) -> anyhow::Result<Sockets> {
    let is_managed = matches!(inherited, Inherited::FromManager(_));
    let passed: Vec<(TcpListener, Option<Label>)> = match inherited {
        Inherited::Nothing => Vec::new(),
        Inherited::FromPredecessor { sockets, .. } => {
            sockets.into_iter().map(|Labelled { label, listener }| (listener, Some(label))).collect()
        }
        Inherited::FromManager(sockets) => sockets.into_iter().map(|listener| (listener, None)).collect(),
    };
    let passed = passed.into_iter().map(|(listener, label)| {
        listener.set_nonblocking(true)?;
        Ok(Passed { local: listener.local_addr()?, listener, label })
    });
    let mut passed = passed.collect::<std::io::Result<Vec<_>>>().context("a socket that was passed is of no use")?;

    let sharing = if config.server.reuse_port { Sharing::WithOthers } else { Sharing::Alone };
    let clients = config.server.listen.iter().map(|address| one(*address, Serves::Clients, &mut passed, sharing));
    let clients = clients.collect::<anyhow::Result<_>>()?;
    // Never shared: an operator who asks twice means the same process.
    let admin = one(config.admin.listen, Serves::Operators, &mut passed, Sharing::Alone)?;
    for left in passed {
        if is_managed {
            bail!("a socket that listens on {} was passed in LISTEN_FDS, and nothing is configured there", left.local);
        }
        tracing::warn!("the predecessor listened on {}, and nothing is configured there: it is closed", left.local);
    }
    Ok(Sockets { clients, admin })
}

fn one(configured: SocketAddr, serves: Serves, passed: &mut Vec<Passed>, sharing: Sharing) -> anyhow::Result<Labelled> {
    let label = Label { serves, configured, kept: false };
    // Only the predecessor's word tells which of several sockets is meant by a port that the system chose.
    let is_named = |passed: &Passed| passed.label.is_some_and(|was| Label { kept: false, ..was } == label);
    let found =
        passed.iter().position(is_named).or_else(|| passed.iter().position(|passed| passed.local == configured));
    if let Some(found) = found {
        let Passed { listener, label: was, .. } = passed.remove(found);
        // A predecessor has let go when this process goes; a service manager never does.
        let kept = was.is_none_or(|was| was.kept);
        return Ok(Labelled { label: Label { kept, ..label }, listener });
    }
    let listener = bind::bind(configured, sharing).with_context(|| format!("cannot listen on {configured}"))?;
    Ok(Labelled { label, listener })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config;

    fn bound() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    fn config(listen: &str) -> Config {
        let text = format!(
            "[server]\nauth = \"none\"\nlisten = {listen}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\""
        );
        config::parse(&text).unwrap()
    }

    fn handed(serves: Serves, configured: &str, kept: bool) -> Labelled {
        let label = Label { serves, configured: configured.parse().unwrap(), kept };
        Labelled { label, listener: bound() }
    }

    fn address(labelled: &Labelled) -> SocketAddr {
        labelled.listener.local_addr().unwrap()
    }

    fn from_predecessor(sockets: Vec<Labelled>) -> Inherited {
        Inherited::FromPredecessor { sockets, path: PathBuf::new() }
    }

    #[test]
    fn a_socket_goes_on_serving_whom_it_served() {
        let any = "127.0.0.1:0";
        let sockets = vec![
            handed(Serves::Operators, any, false),
            handed(Serves::Clients, any, true),
            handed(Serves::Clients, any, false),
        ];
        let expected: Vec<_> = sockets.iter().map(address).collect();
        let taken =
            listen(&config("[\"127.0.0.1:0\", \"127.0.0.1:0\", \"[::1]:0\"]"), from_predecessor(sockets)).unwrap();
        let clients: Vec<_> = taken.clients.iter().map(address).collect();
        assert_eq!((address(&taken.admin), &clients[..2]), (expected[0], &expected[1..]));
        assert!(clients[2].is_ipv6(), "what the predecessor did not have is bound");
        assert_eq!(taken.clients.iter().map(|taken| taken.label.kept).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn a_socket_is_found_by_its_address_too() {
        let sockets = vec![handed(Serves::Clients, "127.0.0.1:0", false)];
        let expected = address(&sockets[0]);
        let taken = listen(&config(&format!("[\"{expected}\"]")), from_predecessor(sockets)).unwrap();
        assert_eq!(address(&taken.clients[0]), expected);
    }

    #[test]
    fn what_a_manager_passes_is_matched_by_address_and_kept() {
        let (first, second) = (bound(), bound());
        let (one, other) = (first.local_addr().unwrap(), second.local_addr().unwrap());
        let config = config(&format!("[\"{other}\", \"{one}\"]"));
        let taken = listen(&config, Inherited::FromManager(vec![first, second])).unwrap();
        assert_eq!(taken.clients.iter().map(address).collect::<Vec<_>>(), [other, one]);
        assert!(taken.clients.iter().all(|taken| taken.label.kept) && !taken.admin.label.kept);
    }

    #[test]
    fn what_a_manager_passes_for_nothing_is_named() {
        let stray = bound();
        let address = stray.local_addr().unwrap().to_string();
        let refused = listen(&config("[\"127.0.0.1:0\"]"), Inherited::FromManager(vec![stray])).err().unwrap();
        assert!(refused.to_string().contains(&address), "{refused}");
    }
}
