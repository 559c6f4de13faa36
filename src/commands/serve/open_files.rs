//! Open files: a link takes two, and the system counts them.
//!
//! It refuses to run out of them unannounced: where the configuration allows more links than the system allows files,
//! that is said at start, and not by the listener in the busiest hour.

use crate::control::config::Config;

/// A client's socket and an upstream's.
const PER_LINK: u64 = 2;
/// The runtime of a worker: its epoll, what wakes it, and a spare.
const PER_WORKER: u64 = 4;
/// Everything else: listeners, signals, the log, probes, name lookups, and clients about to be refused.
const RESERVE: u64 = 128;

/// Raises the soft limit of this process to the hard one, as the usual soft limit of 1,024 is that of a desktop, and
/// warns where that does not suffice.
pub(super) fn provide(config: &Config) {
    let allowed = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) => allowed,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of open files");
            return;
        }
    };
    let (max_links, reserved) = (config.limits.max_links.get() as u64, reserved(config));
    let needed = max_links.saturating_mul(PER_LINK).saturating_add(reserved);
    if needed > allowed {
        let enough_for = allowed.saturating_sub(reserved) / PER_LINK;
        tracing::warn!(
            max_links,
            needed,
            allowed,
            enough_for,
            "limits.max_links = {max_links} needs {needed} open files, and this process may have {allowed}: raise the hard \
             limit (systemd: LimitNOFILE, containers: --ulimit nofile, shells: ulimit -Hn), or write a max_links of at \
             most {enough_for}"
        );
    }
}

/// What is open besides links.
fn reserved(config: &Config) -> u64 {
    let waiting =
        config.upstreams.iter().map(|upstream| u64::from(upstream.warm) * upstream.models.named().count() as u64);
    RESERVE + PER_WORKER * config.server.workers.get() as u64 + waiting.sum::<u64>()
}
