//! How many may come in: links of the process and of each key, new links of each key, wrong keys of an address.
//!
//! It refuses to know what a request asks for. A link under admission counts as a link: its place is taken here, and
//! given back when the link, or the admission that failed, is gone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use hyper::StatusCode;

use super::failures::{Failures, Pace};
use super::load::{Load, Slot};
use super::refusal::{ROOM_PATIENCE, Refusal};
use crate::control::config::{Config, Key};

/// What all workers count together, for as long as the process lasts, whatever its configuration becomes.
#[derive(Debug, Default)]
pub struct Counts {
    links: Arc<Load>,
    /// By the name of a key. Locked only while a gate is built.
    keys: Mutex<HashMap<String, KeyCounts>>,
    failures: Failures,
}

/// What is counted of one key.
#[derive(Debug, Clone, Default)]
struct KeyCounts {
    links: Arc<Load>,
    /// With how many a minute it lets pass.
    new_links: Option<(NonZeroU32, Arc<DefaultDirectRateLimiter>)>,
}

/// The gate of one worker: the counts, and what a configuration sets as their limits.
#[derive(Debug)]
pub struct Gate {
    counts: Arc<Counts>,
    max_links: NonZeroUsize,
    failures: Pace,
    keys: HashMap<String, KeyCounts>,
}

/// The places of a link. Dropped, they are free.
#[derive(Debug)]
#[must_use]
pub struct Places {
    _process: Slot,
    _key: Option<Slot>,
}

impl Gate {
    /// The gate that a configuration asks for. Keys of the same name as before keep what was counted of them.
    pub fn new(config: &Config, counts: &Arc<Counts>) -> Self {
        Self {
            max_links: config.limits.max_links,
            failures: Pace::per_minute(config.limits.auth_failures_per_minute),
            keys: config.keys.iter().map(|key| (key.name.clone(), counts.of(key))).collect(),
            counts: counts.clone(),
        }
    }

    /// Whether a key from this address is looked at.
    pub fn listens_to(&self, address: IpAddr) -> Result<(), Refusal> {
        let Some(wait) = self.counts.failures.wait(address, self.failures) else { return Ok(()) };
        Err(too_many("too_many_failures", "too many wrong API keys came from this address").with_retry_after(wait))
    }

    /// A key from this address was wrong.
    pub fn count_failure(&self, address: IpAddr) {
        self.counts.failures.count(address, self.failures);
    }

    /// The places of one more link with this key; `None`: without one.
    ///
    /// A relay that is full says so before it is asked how many links of the key are new: a client that is refused for
    /// want of a place keeps its right to come again.
    pub fn enter(&self, key: Option<&Key>) -> Result<Places, Refusal> {
        let counts = key.and_then(|key| Some((key, self.keys.get(&key.name)?)));
        let of_key = counts.map(|(key, counts)| take_of_key(key, counts)).transpose()?;
        let of_process = self.counts.links.take_of(self.max_links.get()).ok_or_else(|| {
            let message = "the relay carries all the links it may";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "at_capacity", message).with_retry_after(ROOM_PATIENCE)
        })?;
        if let Some((_, limiter)) = counts.and_then(|(_, counts)| counts.new_links.as_ref()) {
            limiter.check().map_err(|not_until| {
                let wait = not_until.wait_time_from(limiter.clock().now());
                too_many("too_many_new_links", "this key opens too many links in a minute").with_retry_after(wait)
            })?;
        }
        Ok(Places { _process: of_process, _key: of_key })
    }
}

impl Counts {
    /// What is counted of a key, under its limits.
    fn of(&self, key: &Key) -> KeyCounts {
        // Whoever panicked has left what was there, or something whole in its place.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = keys.entry(key.name.clone()).or_default();
        if counts.new_links.as_ref().map(|(most, _)| *most) != key.new_links_per_minute {
            let limiter = |most| (most, Arc::new(RateLimiter::direct(Quota::per_minute(most))));
            counts.new_links = key.new_links_per_minute.map(limiter);
        }
        counts.clone()
    }
}

fn take_of_key(key: &Key, counts: &KeyCounts) -> Result<Slot, Refusal> {
    // Counted also where there is no limit: a later configuration may set one.
    let most = key.max_links.map_or(usize::MAX, NonZeroUsize::get);
    let full = || too_many("too_many_links", "this key has all the links it may").with_retry_after(ROOM_PATIENCE);
    counts.links.take_of(most).ok_or_else(full)
}

fn too_many(code: &'static str, message: &str) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, format!("{message}; try again later"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::parse;

    fn config(key: &str) -> Config {
        let text = format!(
            "[[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\"\n\
             [[keys]]\nname = \"acme\"\nkey = \"secret\"\n{key}"
        );
        parse(&text).unwrap()
    }

    fn code(entered: Result<Places, Refusal>) -> Option<&'static str> {
        entered.err().map(|refusal| refusal.code)
    }

    #[test]
    fn what_was_counted_outlives_a_configuration() {
        let counts = Arc::default();
        let before = config("");
        let gate = Gate::new(&before, &counts);
        let link = gate.enter(before.keys.first()).unwrap();
        let after = config("max_links = 1\n");
        let gate = Gate::new(&after, &counts);
        assert_eq!(code(gate.enter(after.keys.first())), Some("too_many_links"));
        drop(link);
        assert_eq!(code(gate.enter(after.keys.first())), None);
    }

    #[test]
    fn new_links_are_counted_on_unless_their_number_changes() {
        let counts = Arc::default();
        let enter = |config: &Config| code(Gate::new(config, &counts).enter(config.keys.first()));
        let one = config("new_links_per_minute = 1\n");
        assert_eq!(enter(&one), None);
        assert_eq!(enter(&one), Some("too_many_new_links"), "another worker, or the same configuration again");
        assert_eq!(enter(&config("new_links_per_minute = 2\n")), None);
        assert_eq!(enter(&config("")), None);
    }
}
