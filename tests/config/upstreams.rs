//! `[[upstreams]]`.

use std::num::NonZeroUsize;
use std::time::Duration;

use realtime_relay::control::config::Kind;

use crate::setup::{KEY, Setup, UPSTREAM, assert_told};

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
        "kind = \"openai\"\nurl = \"wss://a/\"\nkey = \"some-other-key\"\n\
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
                 auth_scheme = \"Bearer\"\nheaders = {}\nsubprotocols = []\nbeta_header = false\nca_file = \"\"\nproxy = \"\"\npriority = 0\n\
                 transcription = \"\"\ncalls = false\nweight = 1\nmax_links = 0\nwarm = 0\nwarm_max_idle = \"30s\"\n\
                 status_map = {}\n";
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
fn a_key_stands_in_no_header_that_the_relay_writes() {
    for name in ["User-Agent", "OpenAI-Beta", "X-Client-Request-Id"] {
        let told = told_of_upstream(&format!("kind = \"compatible\"\nurl = \"ws://h/\"\nauth_header = \"{name}\"\n"));
        assert_told(&told, &[&format!("auth_header: `{name}` is written by the relay itself; write Authorization")]);
    }
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
fn an_upstream_says_how_much_of_it_is_used() {
    let upstream = |lines: &str| Setup::file(&format!("{UPSTREAM}{lines}{KEY}")).config().upstreams.remove(0);
    let plain = upstream("");
    assert_eq!((plain.weight, plain.max_links, plain.warm), (1, None, 0));
    assert_eq!((plain.transcription, plain.calls), (None, false));
    assert_eq!((plain.warm_max_idle, plain.status_map.len()), (Duration::from_secs(30), 0));
    let full = upstream(
        "models = { voice = \"v\", \"*\" = \"*\" }\ntranscription = \"whisper\"\ncalls = true\nweight = 0\nmax_links = 20\n\
         warm = 4\nwarm_max_idle = \"45s\"\nstatus_map = { 429 = 503, \"500\" = 599 }\n",
    );
    assert_eq!((full.weight, full.max_links, full.warm), (0, NonZeroUsize::new(20), 4));
    assert_eq!((full.transcription.as_deref(), full.calls), (Some("whisper"), true));
    assert_eq!(full.warm_max_idle, Duration::from_secs(45));
    let map: Vec<_> = full.status_map.iter().map(|(from, to)| (from.as_u16(), to.as_u16())).collect();
    assert_eq!(map, [(429, 503), (500, 599)]);
    assert_eq!(full.models.named().collect::<Vec<_>>(), [("voice", "v")]);
}

#[test]
fn an_upstream_that_is_used_wrongly_is_told() {
    let told = told_of_upstream(
        "kind = \"compatible\"\nurl = \"ws://h/\"\ntranscription = \"*\"\ncalls = 1\nweight = -1\nmax_links = -1\n\
         warm = 1001\nwarm_max_idle = \"0s\"\nstatus_map = { 399 = 503, 600 = 503, 0x1ad = 503, 0429 = 503, 429 = 200, 430 = \"503\", 431 = -1 }\n",
    );
    assert_told(
        &told,
        &[
            "transcription: `*` names no model",
            "calls: expected true or false",
            "weight: not from 0 to 1000000; 0 is taken when nothing",
            "max_links: not from 0",
            "warm: not from 0 to 1000",
            "warm_max_idle: a deadline of zero",
            "status_map.399: `399` is not an HTTP status",
            "status_map.600: `600`",
            "status_map.0x1ad: `0x1ad`",
            "status_map.0429: `0429`",
            "status_map.429: `200` is not an HTTP status from 400 to 599",
            "status_map.430: expected an HTTP status such as 503, found a string",
            "status_map.431: `-1` is not",
        ],
    );
}

#[test]
fn a_warm_leg_needs_a_model_and_a_key_of_ours() {
    let told = |models: &str| Setup::file(&format!("{UPSTREAM}{models}warm = 1\n{KEY}")).told();
    for models in ["", "models = { \"*\" = \"*\" }\n", "models = { \"*\" = \"m\" }\n"] {
        assert_told(&told(models), &["upstreams[0].warm: no model is named for which to open legs; write models ="]);
    }
    let keyless = UPSTREAM.replace("key = \"sk-literal\"\n", "models = { m = \"m\" }\n");
    let passthrough = |warm: u8| Setup::file(&format!("[server]\nauth = \"passthrough\"\n{keyless}warm = {warm}\n"));
    assert_told(&passthrough(1).told(), &["upstreams[0].warm: no leg can be opened ahead with auth = \"passthrough\""]);
    assert_eq!(passthrough(0).config().upstreams[0].warm, 0);
}

#[test]
fn a_proxy_is_read_from_where_a_secret_may_stand() {
    let setup = |value: &str| Setup::file(&format!("{UPSTREAM}proxy = \"{value}\"\n{KEY}")).with("url", "http://f:1\n");
    let proxy = |value: &str| {
        let setup = setup(value).env("URL", "http://user:proxys-word@e");
        setup.config().upstreams.remove(0).proxy.expect("a proxy")
    };
    assert_eq!(proxy("http://p:3128").to_string(), "http://p:3128");
    assert_eq!(proxy("file:url").to_string(), "http://f:1");
    let secret = proxy("env:URL");
    assert_eq!(secret.to_string(), "http://***@e:80");
    assert_eq!(secret.authorization.unwrap().expose(), "Basic dXNlcjpwcm94eXMtd29yZA==");
    let told = setup("env:URL").told();
    assert_told(&told, &["relay.toml:7:9: upstreams[0].proxy: the environment variable URL is not set"]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_told_and_not_quoted() {
    let told =
        |value: &str| Setup::file(&format!("{UPSTREAM}proxy = {value}\n{KEY}")).env("ALL_PROXY", "http://e").told();
    for (value, what) in [
        ("\"proxy:3128\"", "has no scheme; write http://host:port"),
        ("\"https://u:proxy-password@h\"", "TLS is not spoken with a proxy; write"),
        ("\"http://u:proxy-password@h/path\"", "a proxy has no path; write"),
        ("true", "expected a string, found a boolean"),
    ] {
        let told = told(value);
        assert_told(&told, &[&format!("relay.toml:7:9: upstreams[0].proxy: {what}")]);
        assert!(!told.contains("proxy-password"), "{told}");
    }
}

#[test]
fn an_upstream_without_a_proxy_has_that_of_the_environment() {
    let proxy = |url: &str, line: &str| {
        let upstream = UPSTREAM.replace("wss://api.openai.com/v1/realtime", url);
        let setup = Setup::file(&format!("{upstream}{line}{KEY}"))
            .env("https_proxy", "http://user:proxys-word@secure:1")
            .env("http_proxy", "plain:2")
            .env("no_proxy", "internal.example");
        setup.config().upstreams.remove(0).proxy.map(|proxy| proxy.to_string())
    };
    assert_eq!(proxy("wss://api.openai.com", "").as_deref(), Some("http://***@secure:1"));
    assert_eq!(proxy("ws://api.openai.com", "proxy = \"\"\n").as_deref(), Some("http://plain:2"));
    assert_eq!(proxy("wss://api.openai.com", "proxy = \"http://own\"\n").as_deref(), Some("http://own:80"));
    for direct in ["wss://a.internal.example", "ws://127.0.0.1:9100", "wss://localhost"] {
        assert_eq!(proxy(direct, ""), None, "{direct}");
    }
}

#[test]
fn a_variable_with_a_proxy_that_cannot_be_used_is_told_once() {
    let second = UPSTREAM.replace("name = \"openai\"", "name = \"second\"");
    let setup = |line: &str| {
        Setup::file(&format!("{UPSTREAM}{line}{second}{line}{KEY}")).env("HTTPS_PROXY", "socks5://u:proxy-password@h")
    };
    let told = setup("").told();
    assert_told(&told, &["HTTPS_PROXY: a SOCKS proxy cannot be used; write http://host:port"]);
    assert!(told.contains("; or put api.openai.com into no_proxy") && !told.contains("proxy-password"), "{told}");
    setup("proxy = \"http://own\"\n").config();
}

/// What is told about one upstream with these lines in it.
fn told_of_upstream(lines: &str) -> String {
    Setup::file(&format!("{KEY}[[upstreams]]\nname = \"u\"\n{lines}")).told()
}
