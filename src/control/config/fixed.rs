//! What a process keeps from its start to its end, whatever its configuration becomes: its sockets and threads, its
//! ledger's file, the shape of its log, the time its drain takes. Refuses to judge the rest.

use super::Config;

impl Config {
    /// Takes from `running` what a running process cannot change, and tells the keys of what would have changed: it does
    /// at the next restart.
    pub fn keep_fixed(&mut self, running: &Self) -> Vec<&'static str> {
        let mut kept = Kept(Vec::new());
        kept.keep("server.listen", &mut self.server.listen, &running.server.listen);
        kept.keep("server.workers", &mut self.server.workers, &running.server.workers);
        kept.keep("server.takeover_socket", &mut self.server.takeover_socket, &running.server.takeover_socket);
        kept.keep("server.reuse_port", &mut self.server.reuse_port, &running.server.reuse_port);
        kept.keep("admin.listen", &mut self.admin.listen, &running.admin.listen);
        kept.keep("limits.drain_grace", &mut self.limits.drain_grace, &running.limits.drain_grace);
        kept.keep("limits.drain_timeout", &mut self.limits.drain_timeout, &running.limits.drain_timeout);
        kept.keep("limits.drain_spread", &mut self.limits.drain_spread, &running.limits.drain_spread);
        kept.keep("metering.ledger", &mut self.metering.ledger, &running.metering.ledger);
        kept.keep("metering.durability", &mut self.metering.durability, &running.metering.durability);
        kept.keep("metering.on_failure", &mut self.metering.on_failure, &running.metering.on_failure);
        kept.keep("metering.retention", &mut self.metering.retention, &running.metering.retention);
        kept.keep("log.format", &mut self.log.format, &running.log.format);
        kept.0
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

    const UPSTREAM: &str = "[[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\"\n";

    #[test]
    fn what_a_process_cannot_change_stays_and_is_named() {
        let running = parse(&format!("[server]\nauth = \"none\"\nworkers = 2\n{UPSTREAM}")).unwrap();
        let text = format!(
            "[server]\nauth = \"none\"\nworkers = 3\nlisten = [\"127.0.0.1:1\"]\nrefuse_browsers_with = \"event\"\n\
             [limits]\ndrain_grace = \"1m\"\nmax_links = 7\n[log]\nformat = \"json\"\nlevel = \"debug\"\n{UPSTREAM}"
        );
        let mut new = parse(&text).unwrap();
        let kept = new.keep_fixed(&running);
        assert_eq!(kept, ["server.listen", "server.workers", "limits.drain_grace", "log.format"]);
        assert_eq!((new.server.workers, &new.server.listen), (running.server.workers, &running.server.listen));
        assert_eq!((new.limits.max_links.get(), new.log.level.as_str()), (7, "debug"), "the rest is the new one's");
        assert!(new.keep_fixed(&running).is_empty());
    }
}
