//! What a configuration file may say, and what is said about one that is wrong.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use realtime_relay::control::config::{Auth, Config, Kind, LogFormat, Mistakes, Origins, Sources, load};
use realtime_relay::control::keys::digest;
use tempfile::TempDir;

const UPSTREAM: &str = r#"
[[upstreams]]
name = "openai"
kind = "openai"
url = "wss://api.openai.com/v1/realtime"
key = "sk-literal"
"#;

const KEY: &str = "[[keys]]\nname = \"acme\"\nkey = \"client-key\"\n";

/// A folder with a `relay.toml`, and an environment.
struct Setup {
    folder: TempDir,
    env: HashMap<String, String>,
}

impl Setup {
    fn file(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("relay.toml"), text).unwrap();
        Self { folder, env: HashMap::new() }
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("relay.toml")
    }

    fn load(&self) -> Result<Config, Mistakes> {
        load(&Sources { file: Some(self.path()), env: self.env.clone() })
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// What is told, without the folder's name.
    fn told(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().map(|_| ()).unwrap_err().to_string().replace(&folder, "")
    }
}

/// What is told about one upstream with these lines in it.
fn told_of_upstream(lines: &str) -> String {
    Setup::file(&format!("{KEY}[[upstreams]]\nname = \"u\"\n{lines}")).told()
}

/// What is told about one key with these lines in it.
fn told_of_key(lines: &str) -> String {
    Setup::file(&format!("{UPSTREAM}[[keys]]\nname = \"k\"\n{lines}")).told()
}

fn assert_told(told: &str, expected: &[&str]) {
    for part in expected {
        assert!(told.contains(part), "missing {part:?} in:\n{told}");
    }
    let end = match expected.len() {
        1 => "\n1 mistake in the configuration".to_owned(),
        count => format!("\n{count} mistakes in the configuration"),
    };
    assert!(told.ends_with(&end), "expected {end:?} after:\n{told}");
}

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
[metering]
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
            "relay.toml:15:2: metering: unknown key; known here: server",
        ],
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_place_and_the_rest_is_still_read() {
    let setup = Setup::file(&format!("[server]\nauth = \nworkers = -1\n{UPSTREAM}{KEY}"));
    assert_told(&setup.told(), &["relay.toml:2:8: not TOML: ", "relay.toml:3:11: server.workers: not from 0"]);
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_known_one() {
    let setup = Setup::file(&format!("[server]\nlisen = []\n{UPSTREAM}header = {{}}\n{KEY}"));
    assert_told(&setup.told(), &["server.lisen: unknown key; did you mean `listen`?", "did you mean `headers`?"]);
}

#[test]
fn a_key_of_a_feature_that_is_not_there_yet_is_unknown() {
    let setup =
        Setup::file(&format!("[limits]\nmax_links = 50000\n[server]\nreuse_port = false\n{UPSTREAM}warm = 4\n{KEY}"));
    assert_told(
        &setup.told(),
        &["limits.max_links: unknown key", "server.reuse_port: unknown", "upstreams[0].warm: unknown"],
    );
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
    assert_eq!((config.server.auth, config.server.allowed_origins), (Auth::Keys, Origins::Any));
    assert_eq!(config.server.workers, std::thread::available_parallelism().unwrap());
    assert!(config.server.tls.is_none());
    let limits = config.limits;
    assert_eq!(limits.max_message_bytes, 24 * 1024 * 1024);
    let timeouts = [limits.handshake_timeout, limits.dial_timeout, limits.admission_timeout, limits.write_timeout];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [10, 3, 8, 30]);
    assert_eq!(limits.close_timeout, Duration::from_secs(5));
    assert_eq!((config.log.format, config.log.level.as_str()), (LogFormat::Text, "info"));
    assert_eq!(config.upstreams[0].forward_headers, ["openai-safety-identifier"]);
    assert_eq!(config.keys[0].digest, digest("client-key"));
}

#[test]
fn environment_overrides_a_single_value() {
    let file = format!("[server]\nauth = \"keys\"\nworkers = 1\n[limits]\ndial_timeout = \"1s\"\n{UPSTREAM}{KEY}");
    let config = Setup::file(&file)
        .env("RELAY_SERVER__WORKERS", "3")
        .env("RELAY_SERVER__LISTEN", "[\"[::1]:0\", \"127.0.0.1:0\"]")
        .env("RELAY_LIMITS__DIAL_TIMEOUT", "2s")
        .env("RELAY_LOG__FORMAT", "\"json\"")
        .env("RELAY_TOKEN", "no table in it")
        .env("RELAY_UPSTREAMS__NAME", "not a table of these")
        .config();
    assert_eq!(config.server.workers.get(), 3);
    assert_eq!(config.server.auth, Auth::Keys);
    assert_eq!(config.server.listen.len(), 2);
    assert_eq!(config.limits.dial_timeout, Duration::from_secs(2));
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
fn auth_none_listens_on_loopback_only() {
    let file = format!("[server]\nauth = \"none\"\nlisten = [\"127.0.0.1:0\", \"[::1]:0\", \"0.0.0.0:0\"]\n{UPSTREAM}");
    assert_told(&Setup::file(&file).told(), &["server.listen[2]: not loopback"]);
}

#[test]
fn auth_keys_needs_a_key() {
    assert_told(&Setup::file(UPSTREAM).told(), &["relay.toml: server.auth: \"keys\" lets nobody in"]);
}

#[test]
fn auth_passthrough_takes_one_upstream_without_key_and_no_keys() {
    let server = "[server]\nauth = \"passthrough\"\n";
    let keyless = UPSTREAM.replace("key = \"sk-literal\"\n", "");
    let config = Setup::file(&format!("{server}{keyless}")).config();
    assert!(config.upstreams[0].key.is_none());
    let second = keyless.replace("\"openai\"\nkind", "\"second\"\nkind");
    assert_told(
        &Setup::file(&format!("{server}{UPSTREAM}{second}{KEY}")).told(),
        &[
            "2:8: server.auth: \"passthrough\" looks at no",
            "exactly one upstream",
            "upstreams[0].key: auth = \"passthrough\"",
        ],
    );
}

#[test]
fn limits_and_listeners_agree_with_each_other() {
    let file = "[limits]\ndial_timeout = \"9s\"\n[server]\nlisten = [\"0.0.0.0:9090\", \"0.0.0.0:9090\"]\n";
    let told = Setup::file(&format!("{file}{UPSTREAM}{KEY}")).told();
    assert_told(
        &told,
        &["limits.admission_timeout: shorter than dial_timeout", "listed twice", "admin.listen: clients"],
    );
    let told = Setup::file(&format!("[admin]\nlisten = \"0.0.0.0:9090\"\n{UPSTREAM}{KEY}")).told();
    assert_told(&told, &["admin.listen: not loopback"]);
}

#[test]
fn a_level_is_a_level_or_directives() {
    for (level, fine) in [
        ("debug", true),
        ("info,realtime_relay=debug", true),
        ("inof", false),
        ("", false),
        ("realtime_relay=loud", false),
    ] {
        let setup = Setup::file(&format!("[log]\nlevel = \"{level}\"\n{UPSTREAM}{KEY}"));
        assert_eq!(setup.load().is_ok(), fine, "{level}");
    }
}

#[test]
fn an_origin_is_what_a_browser_sends() {
    let setup = |list: &str| Setup::file(&format!("[server]\nallowed_origins = {list}\n{UPSTREAM}{KEY}"));
    let origins = setup("[\"https://App.example.com\", \"http://localhost:3000\"]").config().server.allowed_origins;
    assert!(origins.allow("https://app.example.com") && origins.allow("HTTP://LOCALHOST:3000"));
    assert!(!origins.allow("https://app.example.com:444") && !origins.allow("null"));
    assert_eq!(setup("[\"*\"]").config().server.allowed_origins, Origins::Any);
    let told = setup("[\"app.example.com\", \"https://a.b/\", \"*\", \"https://*.a\", \"https://a:x\"]").told();
    assert_told(&told, &["origins[0]", "origins[1]", "origins[2]: `*` is every", "origins[3]", "origins[4]"]);
}

#[test]
fn models_are_mapped_by_name_then_by_the_star() {
    let models =
        |table: &str| Setup::file(&format!("{UPSTREAM}models = {table}\n{KEY}")).config().upstreams.remove(0).models;
    let some = models("{ voice = { to = \"deployment\" }, \"gpt-realtime\" = \"gpt-realtime\" }");
    assert_eq!(some.sent_as("voice"), Some("deployment"));
    assert_eq!(some.sent_as("gpt-realtime"), Some("gpt-realtime"));
    assert_eq!((some.sent_as("other"), some.sent_as("*")), (None, None));
    assert_eq!(models("{ voice = \"d\", \"*\" = \"*\" }").sent_as("other"), Some("other"));
    assert_eq!(models("{ \"*\" = \"one\" }").sent_as("other"), Some("one"));
}

#[test]
fn models_that_serve_nothing_are_told() {
    let told = told_of_upstream(
        "kind = \"openai\"\nurl = \"wss://a/\"\nkey = \"k\"\n\
         models = { a = \"\", b = \"*\", c = 1, d = { too = \"x\" }, \"\" = \"e\" }\n",
    );
    assert_told(
        &told,
        &[
            "models.\"a\": empty",
            "models.\"b\": `*` stands",
            "models.\"c\": expected",
            "models.\"d\".to: missing",
            "models.\"d\".too: unknown key; did you mean `to`?",
            "models.\"\": an empty name",
        ],
    );
}

#[test]
fn an_upstream_has_what_its_kind_has() {
    let told = told_of_upstream(
        "kind = \"azure\"\nurl = \"https://x.openai.azure.com\"\norganization = \"o\"\nproject = \"p\"\n\
         auth_header = \"X-Key\"\nauth_scheme = \"Basic\"\nsubprotocols = [\"realtime\"]\n",
    );
    assert_told(
        &told,
        &[
            "url: https is not a WebSocket",
            "key: missing; write key = \"env:",
            "organization: only for kind = \"openai\"",
            "project: only for kind = \"openai\"",
            "auth_header: only for kind = \"compatible\"",
            "auth_scheme: only for kind = \"compatible\"",
            "subprotocols: only for kind = \"compatible\"",
        ],
    );
    let told = told_of_upstream("kind = \"compatible\"\nurl = \"ws://h/\"\napi_version = \"2025-04-01-preview\"\n");
    assert_told(&told, &["api_version: only for kind = \"azure\""]);
}

#[test]
fn every_key_may_be_written_as_it_would_be_if_it_were_absent() {
    let lines = "organization = \"\"\nproject = \"\"\napi_version = \"\"\nauth_header = \"Authorization\"\n\
                 auth_scheme = \"Bearer\"\nheaders = {}\nsubprotocols = []\nbeta_header = false\nca_file = \"\"\npriority = 0\n";
    Setup::file(&format!("{UPSTREAM}{lines}{KEY}")).config();
}

#[test]
fn a_compatible_upstream_says_how_it_is_spoken_to() {
    let config = Setup::file(&format!(
        "{KEY}[[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://[::1]:8000/v1?model={{model}}\"\n\
         auth_header = \"X-Key\"\nauth_scheme = \"\"\nheaders = {{ X-Region = \"eu\" }}\nsubprotocols = [\"realtime\"]\n"
    ))
    .config();
    let upstream = &config.upstreams[0];
    assert!(upstream.key.is_none() && !upstream.await_first_event && !upstream.url.secure);
    assert_eq!((upstream.url.host.as_str(), upstream.url.port), ("::1", 8000));
    assert_eq!(upstream.url.path_and_query, "/v1?model={model}");
    assert_eq!(upstream.headers, [("x-region".parse().unwrap(), "eu".parse().unwrap())]);
    let Kind::Compatible { auth_header, auth_scheme, subprotocols } = &upstream.kind else { panic!("compatible") };
    assert_eq!((auth_header.as_str(), auth_scheme), ("x-key", &None));
    assert_eq!(subprotocols, &["realtime"]);
}

#[test]
fn headers_that_are_the_relays_own_are_refused() {
    let told = told_of_upstream(
        "kind = \"compatible\"\nurl = \"ws://h/\"\nauth_header = \"Host\"\n\
         headers = { Authorization = \"Bearer x\", Connection = \"close\", OpenAI-Beta = \"realtime=v1\", \"a b\" = \"c\", X = \"a\\nb\" }\n\
         forward_headers = [\"api-key\", \"Cookie\", \"Origin\", \"Sec-WebSocket-Key\", \"X-A\", \"x-a\"]\nsubprotocols = [\"a b\"]\n",
    );
    assert_told(
        &told,
        &[
            "auth_header: `Host` is between one peer",
            "\"Authorization\": `Authorization` carries a credential; use `key`",
            "\"Connection\": `Connection` concerns one connection",
            "\"OpenAI-Beta\": ",
            "\"a b\": `a b` is not the name of a header",
            "\"X\": has a character",
            "forward_headers[0]: `api-key` carries a credential",
            "forward_headers[1]: `Cookie`",
            "forward_headers[2]: `Origin`",
            "forward_headers[3]: `Sec-WebSocket-Key` belongs",
            "forward_headers[5]: listed twice",
            "subprotocols[0]: not a subprotocol",
        ],
    );
}

#[test]
fn the_header_that_carries_the_key_is_nobody_elses() {
    let lines = "kind = \"compatible\"\nurl = \"ws://h/\"\nauth_header = \"X-Key\"\nforward_headers = [\"x-key\"]\n";
    assert_told(&told_of_upstream(lines), &["auth_header: `x-key` carries the key"]);
}

#[test]
fn a_key_opens_what_is_there() {
    let models = "models = { voice = \"d\" }\n";
    let key =
        "sha256 = \"00\"\nkey = \"k\"\nmodels = [\"voice\", \"*\", \"gpt\"]\nupstreams = []\nexpires = \"tomorrow\"\n";
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
    assert_told(&told_of_key("key = \"k\"\nexpires = 2027-01-01\n"), &["expires: needs a date, a time and an offset"]);
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

#[test]
fn what_is_printed_loads_again() {
    let (cert, key) = identity();
    let text = format!(
        "[server]\nlisten = [\"[::]:0\"]\nworkers = 2\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n\
         allowed_origins = [\"https://a.b\"]\n[limits]\nclose_timeout = \"1m30s\"\nmax_message_bytes = 5000\n[log]\nformat = \"json\"\n\
         {UPSTREAM}organization = \"o\"\nmodels = {{ voice = {{ to = \"d\" }}, \"*\" = \"*\" }}\nheaders = {{ X-A = \"1\" }}\n\
         [[upstreams]]\nname = \"az\"\nkind = \"azure\"\nurl = \"wss://x.openai.azure.com/\"\nkey = \"k\"\napi_version = \"v1\"\n\
         [[upstreams]]\nname = \"c\"\nkind = \"compatible\"\nurl = \"ws://[::1]:1/{{model}}\"\nauth_scheme = \"\"\nca_file = \"cert.pem\"\n\
         {KEY}models = [\"voice\"]\nexpires = 2027-01-01T00:00:00.5Z\n[[keys]]\nname = \"two\"\nkey = \"other\"\n"
    );
    let config = Setup::file(&text).with("cert.pem", &cert).with("key.pem", &key);
    let printed = config.config().to_string();
    fs::write(config.path(), &printed).unwrap();
    assert_eq!(config.config().to_string(), printed);
    for line in ["close_timeout = \"1m30s\"", "auth = \"keys\"", "workers = 2", "\"*\" = \"*\"", "voice = \"d\""] {
        assert!(printed.contains(line), "missing {line:?} in:\n{printed}");
    }
}

#[test]
fn a_certificate_needs_the_key_that_belongs_to_it() {
    let (cert, key) = identity();
    let (_, other) = identity();
    let text = format!("[server]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n{UPSTREAM}{KEY}");
    let tls = Setup::file(&text).with("cert.pem", &cert).with("key.pem", &key).config().server.tls.unwrap();
    assert_eq!(tls.certificates.len(), 1);
    assert_told(&Setup::file(&text).told(), &["tls_cert: cannot read cert.pem", "tls_key: cannot read key.pem"]);
    let swapped = Setup::file(&text).with("cert.pem", &key).with("key.pem", &cert);
    assert_told(&swapped.told(), &["cert.pem holds no certificate", "key.pem holds no private key"]);
    let strangers = Setup::file(&text).with("cert.pem", &cert).with("key.pem", &other);
    assert_told(&strangers.told(), &["tls_key: does not open cert.pem"]);
    let lonely = Setup::file(&text.replace("tls_key = \"key.pem\"\n", "")).with("cert.pem", &cert);
    assert_told(&lonely.told(), &["tls_cert: without tls_key"]);
}

proptest::proptest! {
    /// Whatever stands there, it is judged and not stumbled over.
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,24}", path in "[wsh]{2,5}://[a-z@:0-9\\[\\]{}%?#/.]{0,20}") {
        let quoted = toml::Value::String(text.clone());
        let setup = |lines: String| load_quietly(&Setup::file(&lines));
        setup(text.clone());
        setup(format!("[server]\nlisten = [{quoted}]\nallowed_origins = [{quoted}, \"{path}\"]\n[log]\nlevel = {quoted}\n"));
        setup(format!("[limits]\ndial_timeout = {quoted}\nmax_message_bytes = {quoted}\n[[keys]]\nexpires = {quoted}\nsha256 = {quoted}\n"));
        for kind in ["openai", "azure", "compatible"] {
            setup(format!("[[upstreams]]\nkind = \"{kind}\"\nurl = \"{path}\"\nname = {quoted}\nheaders = {{ {quoted} = {quoted} }}\n"));
        }
    }
}

fn load_quietly(setup: &Setup) {
    if let Err(mistakes) = setup.load() {
        assert!(mistakes.iter().count() > 0);
    }
}

/// A certificate and its key, as PEM.
fn identity() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}
