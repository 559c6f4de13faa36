//! What a process keeps from its start to its end, whatever its configuration becomes: its sockets and threads, its
//! ledger's file, the shape of its log, the time its drain takes. Refuses to judge the rest.

use super::{Auth, Config, Period};

/// A configuration that is right by itself, and would not be with what a running process keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Whoever reaches the listener could spend the upstream's key.
    #[error(
        "server.auth: \"none\" needs every listener on loopback, and server.listen changes only at a restart, where it is \
         not; restart the relay"
    )]
    OpenToAll,
    /// Some of what was used would be deleted before it is counted.
    #[error(
        "keys: a quota is counted from records that metering.retention deletes, which changes only at a restart; restart \
         the relay"
    )]
    Uncountable,
}

impl Config {
    /// Takes from `running` what a running process cannot change, and tells the keys of what would have changed: it does
    /// at the next restart. Fails where the rest does not go with what is kept.
    pub fn keep_fixed(&mut self, running: &Self) -> Result<Vec<&'static str>, Unfit> {
        let mut kept = Kept(Vec::new());
        kept.keep("server.listen", &mut self.server.listen, &running.server.listen);
        kept.keep("server.workers", &mut self.server.workers, &running.server.workers);
        kept.keep("server.takeover_socket", &mut self.server.takeover_socket, &running.server.takeover_socket);
        kept.keep("server.reuse_port", &mut self.server.reuse_port, &running.server.reuse_port);
        kept.keep("admin.listen", &mut self.admin.listen, &running.admin.listen);
        kept.keep("limits.drain_grace", &mut self.limits.drain_grace, &running.limits.drain_grace);
        kept.keep("limits.drain_timeout", &mut self.limits.drain_timeout, &running.limits.drain_timeout);
        kept.keep("limits.drain_spread", &mut self.limits.drain_spread, &running.limits.drain_spread);
        kept.keep("limits.close_timeout", &mut self.limits.close_timeout, &running.limits.close_timeout);
        kept.keep("limits.settle_timeout", &mut self.limits.settle_timeout, &running.limits.settle_timeout);
        kept.keep("metering.ledger", &mut self.metering.ledger, &running.metering.ledger);
        kept.keep("metering.durability", &mut self.metering.durability, &running.metering.durability);
        kept.keep("metering.on_failure", &mut self.metering.on_failure, &running.metering.on_failure);
        kept.keep("metering.retention", &mut self.metering.retention, &running.metering.retention);
        kept.keep("log.format", &mut self.log.format, &running.log.format);
        self.fits().map(|()| kept.0)
    }

    fn fits(&self) -> Result<(), Unfit> {
        let is_loopback = self.server.listen.iter().all(|address| address.ip().to_canonical().is_loopback());
        if self.server.auth == Auth::None && !is_loopback {
            return Err(Unfit::OpenToAll);
        }
        let quotas = self.keys.iter().filter_map(|key| key.quota);
        let is_deleted = |retention| move |per: Period| per.length().is_none_or(|length| retention < length);
        if let Some(retention) = self.metering.retention
            && quotas.map(|quota| quota.per).any(is_deleted(retention))
        {
            return Err(Unfit::Uncountable);
        }
        Ok(())
    }
}

/// The keys of what was kept.
struct Kept(Vec<&'static str>);

impl Kept {
    fn keep<T: Clone + PartialEq>(&mut self, key: &'static str, new: &mut T, running: &T) {
        if new != running {
            new.clone_from(running);
            self.0.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const UPSTREAM: &str = "[[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\"\n";

    #[test]
    fn what_a_process_cannot_change_stays_and_is_named() {
        let running = parse(&format!("[server]\nauth = \"none\"\nworkers = 2\n{UPSTREAM}")).unwrap();
        let text = format!(
            "[server]\nauth = \"none\"\nworkers = 3\nlisten = [\"127.0.0.1:1\"]\nrefuse_browsers_with = \"event\"\n\
             [limits]\ndrain_grace = \"1m\"\nmax_links = 7\n[log]\nformat = \"json\"\nlevel = \"debug\"\n{UPSTREAM}"
        );
        let mut new = parse(&text).unwrap();
        let kept = new.keep_fixed(&running).unwrap();
        assert_eq!(kept, ["server.listen", "server.workers", "limits.drain_grace", "log.format"]);
        assert_eq!((new.server.workers, &new.server.listen), (running.server.workers, &running.server.listen));
        assert_eq!((new.limits.max_links.get(), new.log.level.as_str()), (7, "debug"), "the rest is the new one's");
        assert!(new.keep_fixed(&running).unwrap().is_empty());
    }

    #[test]
    fn what_would_not_go_with_what_stays_is_refused() {
        let keys = |quota: &str| format!("[[keys]]\nname = \"acme\"\nkey = \"key-of-acme\"\n{quota}");
        let public = parse(&format!("[server]\nlisten = [\"0.0.0.0:80\"]\n{UPSTREAM}{}", keys(""))).unwrap();
        let mut open = parse(&format!("[server]\nauth = \"none\"\n{UPSTREAM}")).unwrap();
        assert_eq!(open.keep_fixed(&public), Err(Unfit::OpenToAll));

        let short = parse(&format!("[metering]\nretention = \"2d\"\n{UPSTREAM}{}", keys(""))).unwrap();
        let quota =
            |per| parse(&format!("{UPSTREAM}{}", keys(&format!("quota = {{ tokens = 1, per = \"{per}\" }}")))).unwrap();
        assert_eq!(quota("month").keep_fixed(&short), Err(Unfit::Uncountable));
        assert_eq!(quota("day").keep_fixed(&short), Ok(vec!["metering.retention"]));
    }
}
