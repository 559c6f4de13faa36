//! Whoever ends a relay waits for longer than its drain takes at most, and whoever holds connections in front of it for longer
//! than a link may last.

use std::time::Duration;

use realtime_relay::control::config::Config;
use realtime_relay::control::drain::Schedule;

use crate::shipped::{configuration, number, text};

/// The ledger's last commit, and what a process needs to end: the relay gives the first 5 s.
const AFTERWARDS: Duration = Duration::from_secs(10);

fn shipped(name: &str) -> Config {
    let folder = tempfile::tempdir().unwrap();
    configuration(name, folder.path())
}

fn longest_drain(config: &Config) -> Duration {
    let worst = Schedule::of(&config.limits).worst_case();
    worst.expect("what is shipped drains in a time that is known") + AFTERWARDS
}

#[test]
fn systemd_waits_for_the_drain() {
    let patience = number(&text("systemd/realtime-relay.service"), "TimeoutStopSec=");
    let needed = longest_drain(&shipped("relay.toml"));
    assert!(Duration::from_secs(patience) >= needed, "{patience} s for {needed:?}");
}

#[test]
fn kubernetes_waits_for_the_drain_and_what_comes_before_it() {
    let manifest = text("kubernetes/relay.yaml");
    let patience = number(&manifest, "terminationGracePeriodSeconds:");
    let before = number(&manifest.replace('}', ""), "sleep: {seconds:");
    let needed = longest_drain(&shipped("kubernetes/relay.yaml")) + Duration::from_secs(before);
    assert!(Duration::from_secs(patience) >= needed, "{patience} s for {needed:?}");
}

#[test]
fn a_deploy_cuts_no_link_before_its_time() {
    for name in ["relay.toml", "kubernetes/relay.yaml"] {
        let limits = shipped(name).limits;
        assert!(limits.drain_timeout >= Some(limits.max_link), "deploy/{name}");
    }
}

#[test]
fn there_are_files_for_every_link() {
    let allowed = number(&text("systemd/realtime-relay.service"), "LimitNOFILE=");
    let links = shipped("relay.toml").limits.max_links;
    assert!(allowed > 2 * u64::try_from(links.get()).unwrap() + 1_000, "{allowed} for {links} links");
}

#[test]
fn proxies_hold_a_link_for_longer_than_it_lasts_and_notice_a_drain_in_time() {
    let limits = shipped("relay.toml").limits;
    for name in ["haproxy/haproxy.cfg", "haproxy/haproxy-http.cfg"] {
        let text = text(name);
        let within = |word: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(word)).expect(word);
            humantime::parse_duration(line.trim()).unwrap()
        };
        assert!(within("timeout tunnel") > limits.max_link && within("hard-stop-after") > limits.max_link, "{name}");
        assert!(within("timeout server ") > limits.admission_timeout, "{name}");
        assert!(text.contains("inter 1s fall 2 "), "{name}");
        assert!(limits.drain_grace > Duration::from_secs(2), "two checks, a second apart");
    }
}
