//! `[[keys]]`, and secrets of all kinds.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::{Duration, UNIX_EPOCH};

use realtime_relay::control::config::Allow;
use realtime_relay::control::keys::digest;

use crate::setup::{KEY, Setup, UPSTREAM, assert_told};

#[test]
fn a_key_opens_what_is_there() {
    let models = "models = { voice = \"d\" }\n";
    let key = "sha256 = \"00\"\nkey = \"some-other-key\"\nmodels = [\"voice\", \"*\", \"gpt\"]\nupstreams = []\nexpires = \"tomorrow\"\n";
    let told = Setup::file(&format!("{UPSTREAM}{models}[[keys]]\nname = \"k\"\n{key}")).told();
    let served =
        ["models[0]: no upstream of this key", "models[1]: not the name", "models[2]: no upstream of this key"];
    let rest = ["sha256: not a SHA-256", "sha256: stands beside `key`", "upstreams: empty", "expires: not a moment"];
    assert_told(&told, &[&served[..], &rest[..]].concat());
    assert_told(&told_of_key(""), &["keys[0].sha256: missing"]);
}

#[test]
fn names_and_keys_are_nobody_elses() {
    let told = Setup::file(&format!("{UPSTREAM}{UPSTREAM}{KEY}{KEY}")).told();
    let at = "upstreams[1].name: `openai` is already the name at relay.toml:3:8";
    assert_told(&told, &[at, "keys[1].name: `acme` is already", "keys[1].key: the same key as at"]);
}

#[test]
fn an_expiry_is_a_string_or_a_toml_moment() {
    for expires in ["\"2027-01-01T00:00:00Z\"", "2027-01-01T00:00:00Z", "2027-01-01 02:00:00+02:00"] {
        let config = Setup::file(&format!("{UPSTREAM}{KEY}expires = {expires}\n")).config();
        assert_eq!(config.keys[0].expires, Some(UNIX_EPOCH + Duration::from_hours(499_656)), "{expires}");
    }
    assert_told(
        &told_of_key("key = \"some-other-key\"\nexpires = 2027-01-01\n"),
        &["expires: needs a date, a time and an offset"],
    );
}

#[test]
fn a_key_opens_the_routes_it_is_allowed() {
    let allow = |line: &str| Setup::file(&format!("{UPSTREAM}{KEY}{line}")).config().keys[0].allow;
    assert_eq!(allow(""), Allow { transcription: true, calls: false });
    assert_eq!(allow("allow = []\n"), Allow { transcription: false, calls: false });
    assert_eq!(allow("allow = [\"calls\"]\n"), Allow { transcription: false, calls: true });
    assert_eq!(allow("allow = [\"calls\", \"transcription\"]\n"), Allow { transcription: true, calls: true });
    assert_told(
        &told_of_key("key = \"some-other-key\"\nallow = [\"call\", \"calls\", \"calls\", \"everything\"]\n"),
        &[
            "keys[0].allow[0]: unknown value `call`; did you mean `calls`?",
            "keys[0].allow[2]: listed twice",
            "keys[0].allow[3]: unknown value `everything`; one of transcription, calls",
        ],
    );
}

#[test]
fn a_key_may_have_limits_of_its_own() {
    let limited = Setup::file(&format!("{UPSTREAM}{KEY}max_links = 20\nnew_links_per_minute = 60\n")).config();
    let key = &limited.keys[0];
    assert_eq!((key.max_links, key.new_links_per_minute), (NonZeroUsize::new(20), NonZeroU32::new(60)));
    assert_told(
        &told_of_key("key = \"some-other-key\"\nmax_links = 0\nnew_links_per_minute = 0\n"),
        &[
            "keys[0].max_links: not from 1 to 4294967295; leave it out to set no limit",
            "keys[0].new_links_per_minute: not from 1 to 4294967295; leave it out",
        ],
    );
}

#[test]
fn a_secret_is_read_from_a_variable_or_from_a_file_beside_the_configuration() {
    let text = format!("{UPSTREAM}{KEY}").replace("client-key", "env:ACME").replace("sk-literal", "file:openai.key");
    let config = Setup::file(&text).with("openai.key", "sk-file\n").env("ACME", "acme-key").config();
    assert_eq!(config.upstreams[0].key.as_ref().unwrap().expose(), "sk-file");
    assert_eq!(config.keys[0].digest, digest("acme-key"));
    let told = Setup::file(&text).told();
    assert_told(
        &told,
        &["upstreams[0].key: cannot read openai.key", "keys[0].key: the environment variable ACME is not set"],
    );
}

#[test]
fn a_secret_prints_nothing() {
    let headers = "headers = { X-Second-Key = \"env:SECOND\" }\n";
    let config = Setup::file(&format!("{UPSTREAM}{headers}{KEY}")).env("SECOND", "second-secret").config();
    for printed in [format!("{config:?}"), config.to_string()] {
        for secret in ["sk-literal", "client-key", "second-secret"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
    assert!(config.to_string().contains("key = \"***\""));
}

#[test]
fn a_secret_is_not_quoted_by_the_mistake_it_makes() {
    let text = format!("{UPSTREAM}{KEY}").replace("sk-literal", "sk\\nliteral").replace("client-key\"", "client-key");
    let told = Setup::file(&text).told();
    assert!(!told.contains("literal") && !told.contains("client-key"), "{told}");
}

/// What is told about one key with these lines in it.
fn told_of_key(lines: &str) -> String {
    Setup::file(&format!("{UPSTREAM}[[keys]]\nname = \"k\"\n{lines}")).told()
}
