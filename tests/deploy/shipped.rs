//! The files of `deploy/`, as they are shipped, and the configurations in them.

use std::fs;
use std::path::{Path, PathBuf};

use realtime_relay::control::config::{Config, Sources, load};

/// Every configuration that is shipped.
pub const CONFIGURATIONS: [&str; 2] = ["relay.toml", "kubernetes/relay.yaml"];

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
}

/// The configuration in a file of this name: all of it, or what a manifest holds as `relay.toml`.
pub fn toml(name: &str) -> String {
    let text = text(name);
    let Some((_, rest)) = text.split_once("  relay.toml: |\n") else { return text };
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(|line| line.strip_prefix("    ").unwrap_or_default()).fold(String::new(), |all, line| all + line + "\n")
}

/// The same, with every secret in a file that is there, and its ledger too.
pub fn configuration(name: &str, folder: &Path) -> Config {
    let mut toml = String::new();
    for line in self::toml(name).lines() {
        let line = match line.split_once("\"file:") {
            Some((before, rest)) => {
                let secret = folder.join(rest.trim_end_matches('"').replace('/', "-"));
                fs::write(&secret, format!("secret-of-{name}-{}", toml.len())).unwrap();
                format!("{before}\"file:{}\"", secret.display())
            }
            None => line.to_owned(),
        };
        toml += &(line + "\n");
    }
    let file = folder.join("relay.toml");
    fs::write(&file, toml).unwrap();
    let sources = Sources { file: Some(file), env: std::collections::HashMap::new() };
    load(&sources).unwrap_or_else(|mistakes| panic!("deploy/{name}: {mistakes}"))
}

/// The number behind this word, which is there once.
pub fn number(text: &str, word: &str) -> u64 {
    let mut found = text.lines().filter_map(|line| line.trim().strip_prefix(word));
    let (value, more) = (found.next().unwrap_or_else(|| panic!("no {word}")), found.next());
    assert_eq!(more, None, "{word} is there twice");
    value.trim().parse().unwrap_or_else(|_| panic!("{word}{value}"))
}

#[test]
fn every_configuration_is_valid() {
    for name in CONFIGURATIONS {
        let folder = tempfile::tempdir().unwrap();
        let config = configuration(name, folder.path());
        assert!(!config.keys.is_empty() && !config.upstreams.is_empty(), "deploy/{name}");
    }
}

#[test]
fn the_sockets_of_systemd_are_those_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration("relay.toml", folder.path());
    let socket = text("systemd/realtime-relay.socket");
    let passed: Vec<_> = socket.lines().filter_map(|line| line.strip_prefix("ListenStream=")).collect();
    let asked: Vec<_> = config.server.listen.iter().chain([&config.admin.listen]).map(ToString::to_string).collect();
    assert_eq!(passed, asked);
}
