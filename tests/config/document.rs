//! The document as a whole: what is told, what is filled in, what overrides it, how it is printed.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use realtime_relay::control::config::{Auth, Forwarding, LogFormat, Origins, RefuseWith, Sources, load};
use realtime_relay::control::keys::digest;

use crate::setup::{KEY, Setup, UPSTREAM, assert_told, identity};

#[test]
fn names_every_mistake_at_once_with_its_place() {
    let setup = Setup::file(
        r#"[server]
listen = ["localhost:8080", 7]
  auht = "keys"
[limits]
write_timeout = "0s"
dial_timeout = 3
max_message_bytes = "24MB"
[[upstreams]]
name = "a b"
kind = "opnai"
[[keys]]
name = "acme"
sha256 = "abc"
upstreams = ["nowhere"]
[telemetry]
ledger = "usage.db"
"#,
    );
    assert_told(
        &setup.told(),
        &[
            "relay.toml:2:11: server.listen[0]: `localhost:8080` is not an IP address",
            "relay.toml:2:29: server.listen[1]: expected a string, found an integer",
            "relay.toml:3:3: server.auht: unknown key; did you mean `auth`?",
            "relay.toml:5:17: limits.write_timeout: a deadline of zero",
            "relay.toml:6:16: limits.dial_timeout: expected a duration such as \"30s\", found an integer",
            "relay.toml:7:21: limits.max_message_bytes: `24MB` is not a size",
            "relay.toml:8:1: upstreams[0].url: missing",
            "relay.toml:9:8: upstreams[0].name: not a name",
            "relay.toml:10:8: upstreams[0].kind: unknown value `opnai`; did you mean `openai`?",
            "relay.toml:13:10: keys[0].sha256: not a SHA-256",
            "relay.toml:14:14: keys[0].upstreams[0]: no upstream is named `nowhere`",
            "relay.toml:15:2: telemetry: unknown key; known here: server",
        ],
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_place_and_the_rest_is_still_read() {
    let setup = Setup::file(&format!("[server]\nauth = \nworkers = -1\n{UPSTREAM}{KEY}"));
    assert_told(&setup.told(), &["relay.toml:2:8: not TOML: ", "relay.toml:3:11: server.workers: not from 0"]);
}

#[test]
fn what_stands_behind_a_broken_line_is_not_told_to_be_missing() {
    let told = Setup::file(&format!("[server\n{UPSTREAM}{KEY}")).told();
    assert!(told.contains("relay.toml:1:8: not TOML: ") && !told.contains("missing"), "{told}");
}

#[test]
fn a_table_in_place_of_an_array_of_tables_is_one_mistake() {
    let upstream = UPSTREAM.replace("[[upstreams]]", "[upstreams]");
    assert_told(
        &Setup::file(&format!("{upstream}{KEY}")).told(),
        &["upstreams: expected tables, each headed [[upstreams]]"],
    );
    assert_told(&Setup::file(&format!("upstreams = []\n{KEY}")).told(), &["upstreams: missing"]);
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    let setup = Setup::file(&format!("[server]\nlisen = []\n{UPSTREAM}header = {{}}\n{KEY}"));
    assert_told(&setup.told(), &["server.lisen: unknown key; did you mean `listen`?", "did you mean `headers`?"]);
}

#[test]
fn a_missing_file_is_told() {
    let file = Some(PathBuf::from("no-such-folder/relay.toml"));
    let told = load(&Sources { file, ..Sources::default() }).map(|_| ()).unwrap_err().to_string();
    assert_told(&told, &["no-such-folder/relay.toml: cannot be read: No such file"]);
}

#[test]
fn without_a_file_one_person_on_one_machine_is_served() {
    let env = HashMap::from([("OPENAI_API_KEY".to_owned(), "sk-1".to_owned())]);
    let config = load(&Sources { file: None, env }).unwrap();
    assert_eq!(config.server.auth, Auth::None);
    assert_eq!(config.server.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.server.allowed_origins, Origins::Only(vec![]), "no web page may spend the key");
    assert_eq!(config.admin.listen, "127.0.0.1:9090".parse().unwrap());
    let [upstream] = &config.upstreams[..] else { panic!("one upstream") };
    assert_eq!((upstream.name.as_str(), upstream.kind.name()), ("openai", "openai"));
    assert_eq!(upstream.url.to_string(), "wss://api.openai.com/v1/realtime");
    assert_eq!(upstream.key.as_ref().unwrap().expose(), "sk-1");
    assert_eq!(upstream.models.sent_as("gpt-realtime"), Some("gpt-realtime"));
    assert!(upstream.await_first_event);
}

#[test]
fn the_built_in_defaults_name_the_variable_they_need() {
    let told = load(&Sources::default()).map(|_| ()).unwrap_err().to_string();
    assert_told(&told, &["upstreams[0].key: the environment variable OPENAI_API_KEY is not set"]);
    assert!(told.starts_with("built-in defaults"), "{told}");
}

#[test]
fn what_a_file_leaves_out_has_its_default() {
    let config = Setup::file(&format!("{UPSTREAM}{KEY}")).config();
    assert_eq!((config.server.auth, &config.server.allowed_origins), (Auth::Keys, &Origins::Any));
    assert_eq!(config.server.workers, std::thread::available_parallelism().unwrap());
    assert!(config.server.tls.is_none());
    let limits = config.limits;
    assert_eq!(limits.max_message_bytes, 24 * 1024 * 1024);
    let timeouts = [limits.handshake_timeout, limits.dial_timeout, limits.admission_timeout, limits.write_timeout];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [10, 3, 8, 30]);
    assert_eq!([limits.close_timeout, limits.settle_timeout], [Duration::from_secs(5); 2]);
    assert_eq!((limits.max_link, limits.idle_timeout), (Duration::from_hours(1), Some(Duration::from_mins(15))));
    assert_eq!(limits.ping_interval, Duration::from_secs(25));
    let drain = (limits.drain_grace.as_secs(), limits.drain_timeout, limits.drain_spread.as_secs());
    assert_eq!(drain, (5, Some(Duration::from_secs(30)), 2));
    assert_eq!((limits.max_links.get(), limits.auth_failures_per_minute.get()), (50_000, 30));
    let server = config.server;
    assert_eq!((server.refuse_browsers_with, server.forwarding), (RefuseWith::Http, Forwarding::Verbatim));
    assert_eq!(server.takeover_socket, None);
    assert!(!server.reuse_port && !server.proxy_protocol && server.trusted_proxies.is_empty());
    let key = &config.keys[0];
    assert_eq!((key.max_links, key.new_links_per_minute), (None, None));
    assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Text, "info"));
    assert_eq!(config.upstreams[0].forward_headers, ["openai-safety-identifier"]);
    assert_eq!(config.keys[0].digest, digest("client-key"));
}

#[test]
fn every_default_of_the_readme_is_what_is_used() {
    let readme = include_str!("../../README.md");
    let (_, behind) = readme.split_once("where nothing is said:\n\n```toml\n").expect("the defaults");
    let (defaults, _) = behind.split_once("```").expect("the end of the defaults");
    // Each stands in a folder of its own, and its ledger beside it.
    let printed = |tables: &str| {
        let config = Setup::file(&format!("{tables}{UPSTREAM}{KEY}")).config();
        let folder = format!("{}/", config.metering.ledger.parent().unwrap().display());
        config.to_string().replace(&folder, "")
    };
    let used = printed("");
    assert_eq!(printed(defaults), used);
    // And none is left out.
    let keys = |text: &str| {
        let tables: toml::Table = text.parse().unwrap();
        let tables = ["server", "admin", "limits", "log"].map(|name| tables[name].as_table().unwrap().clone());
        tables.map(|table| table.keys().cloned().collect::<BTreeSet<_>>())
    };
    assert_eq!(keys(defaults), keys(&used));
}

#[test]
fn environment_overrides_a_single_value() {
    let file = format!("[server]\nauth = \"keys\"\nworkers = 1\n[limits]\ndial_timeout = \"1s\"\n{UPSTREAM}{KEY}");
    let config = Setup::file(&file)
        .env("RELAY_SERVER__WORKERS", "3")
        .env("RELAY_SERVER__LISTEN", "[\"[::1]:0\", \"127.0.0.1:0\"]")
        .env("RELAY_LIMITS__DIAL_TIMEOUT", "2s")
        .env("RELAY_LIMITS__MAX_LINKS", "7")
        .env("RELAY_LIMITS__DRAIN_TIMEOUT", "0")
        .env("RELAY_SERVER__REFUSE_BROWSERS_WITH", "event")
        .env("RELAY_SERVER__REUSE_PORT", "true")
        .env("RELAY_SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]")
        .env("RELAY_SERVER__TAKEOVER_SOCKET", "/run/relay.sock")
        .env("RELAY_METERING__RETENTION", "90d")
        .env("RELAY_LOG__FORMAT", "\"json\"")
        .env("RELAY_TOKEN", "no table in it")
        .env("RELAY_UPSTREAMS__NAME", "not a table of these")
        .config();
    assert_eq!(config.server.workers.get(), 3);
    assert_eq!(config.server.auth, Auth::Keys);
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(config.limits.dial_timeout, Duration::from_secs(2));
    assert_eq!((config.limits.max_links.get(), config.limits.drain_timeout), (7, None));
    assert_eq!((config.server.refuse_browsers_with, config.server.reuse_port), (RefuseWith::Event, true));
    assert!(config.server.trusted_proxies.contain([10, 1, 2, 3].into()));
    assert_eq!(config.server.takeover_socket, Some(PathBuf::from("/run/relay.sock")));
    assert_eq!(config.metering.retention, Some(Duration::from_hours(90 * 24)));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let setup = Setup::file(&format!("{UPSTREAM}{KEY}"))
        .env("RELAY_SERVER__AUHT", "keys")
        .env("RELAY_LIMITS__WRITE_TIMEOUT", "soon")
        .env("RELAY_LOG__LEVEL", "7");
    assert_told(
        &setup.told(),
        &[
            "RELAY_SERVER__AUHT: server.auht: unknown key; did you mean `auth`?",
            "RELAY_LIMITS__WRITE_TIMEOUT: limits.write_timeout: `soon` is not a duration",
            "RELAY_LOG__LEVEL: log.level: expected a string, found an integer",
        ],
    );
}

#[test]
fn what_is_printed_loads_again() {
    let (cert, key) = identity();
    let text = format!(
        "[server]\nlisten = [\"[::]:0\"]\nworkers = 2\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n\
         allowed_origins = [\"https://a.b\"]\nrefuse_browsers_with = \"event\"\nforwarding = \"framed\"\ntakeover_socket = \"s\"\nreuse_port = true\n\
         proxy_protocol = true\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n[admin]\nlisten = \"0.0.0.0:9090\"\ntoken = \"operators-token\"\n[limits]\nclose_timeout = \"1m30s\"\nmax_message_bytes = 5000\n\
         max_links = 8\nmax_link = \"61s\"\nidle_timeout = \"0\"\nping_interval = \"62s\"\nsettle_timeout = \"63s\"\n\
         drain_grace = 0\ndrain_timeout = \"0s\"\ndrain_spread = \"64s\"\nauth_failures_per_minute = 6\n[log]\nformat = \"json\"\n\
         [metering]\nledger = \"l.db\"\ndurability = \"before_delivery\"\non_failure = \"log\"\nretention = \"1y\"\ntranscription = true\nprices = \"p.toml\"\n\
         {UPSTREAM}organization = \"o\"\nmodels = {{ voice = {{ to = \"d\" }}, mine = {{ to = \"m\", price = \"gpt-realtime\" }}, \"*\" = \"*\" }}\nheaders = {{ X-A = \"1\" }}\n\
         transcription = \"t\"\ncalls = true\nbill_calls = true\nweight = 0\nmax_links = 9\nwarm = 4\nwarm_max_idle = \"1m\"\nstatus_map = {{ 429 = 503 }}\n\
         [[upstreams]]\nname = \"az\"\nkind = \"azure\"\nurl = \"wss://x.openai.azure.com/\"\nkey = \"some-other-key\"\napi_version = \"v1\"\n\
         [[upstreams]]\nname = \"c\"\nkind = \"compatible\"\nurl = \"ws://[::1]:1/{{model}}\"\nauth_scheme = \"\"\nca_file = \"cert.pem\"\n\
         proxy = \"http://user:proxys-word@[::1]\"\n\
         {KEY}models = [\"voice\"]\nallow = [\"calls\"]\nmax_links = 21\nnew_links_per_minute = 22\nexpires = 2027-01-01T00:00:00.5Z\nquota = {{ usd = 12.5, per = \"month\" }}\n[[keys]]\nname = \"two\"\nkey = \"key-of-two\"\nquota = {{ tokens = 7, per = \"day\" }}\n"
    );
    let config = Setup::file(&text).with("cert.pem", &cert).with("key.pem", &key).with("p.toml", "");
    let printed = config.config().to_string();
    fs::write(config.path(), &printed).unwrap();
    assert_eq!(config.config().to_string(), printed);
    for line in [
        "close_timeout = \"1m30s\"",
        "auth = \"keys\"",
        "refuse_browsers_with = \"event\"",
        "forwarding = \"framed\"",
        "reuse_port = true",
        "proxy_protocol = true",
        "trusted_proxies = [\"10.0.0.0/8\", \"::1/128\"]",
        "max_links = 8",
        "max_link = \"1m1s\"",
        "idle_timeout = \"0s\"",
        "ping_interval = \"1m2s\"",
        "settle_timeout = \"1m3s\"",
        "drain_grace = \"0s\"",
        "drain_timeout = \"0s\"",
        "drain_spread = \"1m4s\"",
        "auth_failures_per_minute = 6",
        "max_links = 21",
        "new_links_per_minute = 22",
        "workers = 2",
        "token = \"***\"",
        "\"*\" = \"*\"",
        "voice = \"d\"",
        "transcription = \"t\"",
        "calls = true",
        "bill_calls = true",
        "durability = \"before_delivery\"",
        "on_failure = \"log\"",
        "retention = \"1year\"",
        "price = \"gpt-realtime\"",
        "usd = 12.5",
        "tokens = 7",
        "weight = 0",
        "max_links = 9",
        "warm = 4",
        "warm_max_idle = \"1m\"",
        "429 = 503",
        "proxy = \"http://***@[::1]:80\"",
        "allow = [\"calls\"]",
        "allow = [\"transcription\"]",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "missing {line:?} in:\n{printed}");
    }
    assert!(
        printed.lines().any(|line| line.starts_with("takeover_socket = \"/") && line.ends_with("/s\"")),
        "{printed}"
    );
}

proptest::proptest! {
    /// Whatever stands there, it is judged and not stumbled over.
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,24}", path in "[wsh]{2,5}://[a-z@:0-9\\[\\]{}%?#/.]{0,20}") {
        let quoted = toml::Value::String(text.clone());
        let setup = |lines: String| load_quietly(&Setup::file(&lines));
        setup(text.clone());
        setup(format!("[server]\nlisten = [{quoted}]\ntakeover_socket = {quoted}\ntrusted_proxies = [{quoted}]\nallowed_origins = [{quoted}, \"{path}\"]\n[log]\nlevel = {quoted}\n"));
        setup(format!("[limits]\ndial_timeout = {quoted}\nidle_timeout = {quoted}\nmax_message_bytes = {quoted}\n[[keys]]\nexpires = {quoted}\nsha256 = {quoted}\n"));
        for kind in ["openai", "azure", "compatible"] {
            setup(format!("[[upstreams]]\nkind = \"{kind}\"\nurl = \"{path}\"\nname = {quoted}\nheaders = {{ {quoted} = {quoted} }}\nstatus_map = {{ {quoted} = 503 }}\nwarm_max_idle = {quoted}\ntranscription = {quoted}\nproxy = {quoted}\n"));
        }
    }
}

fn load_quietly(setup: &Setup) {
    if let Err(mistakes) = setup.load_untold() {
        assert!(mistakes.iter().count() > 0);
    }
}
