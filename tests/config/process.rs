//! `[server]`, `[admin]`, `[limits]` and `[log]`.

use realtime_relay::control::config::{Forwarding, Origins, RefuseWith};

use crate::setup::{KEY, Setup, UPSTREAM, assert_told, identity};

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
    let file = "[server]\nlisten = [\"127.0.0.1:80\"]\n[admin]\nlisten = \"0.0.0.0:80\"\ntoken = \"operators-token\"\n";
    assert_told(&Setup::file(&format!("{file}{UPSTREAM}{KEY}")).told(), &["admin.listen: clients"]);
}

#[test]
fn a_limit_of_zero_is_taken_where_it_means_something() {
    let limits = |lines: &str| Setup::file(&format!("[limits]\n{lines}{UPSTREAM}{KEY}"));
    for zero in ["0", "\"0\"", "\"0s\"", "\"0ms\""] {
        let lines =
            ["idle_timeout", "drain_timeout", "drain_grace", "drain_spread"].map(|key| format!("{key} = {zero}\n"));
        let limits = limits(&lines.concat()).config().limits;
        assert_eq!((limits.idle_timeout, limits.drain_timeout), (None, None), "{zero}");
        assert!(limits.drain_grace.is_zero() && limits.drain_spread.is_zero(), "{zero}");
    }
    let told = limits(
        "max_links = 0\nauth_failures_per_minute = 0\nmax_link = \"0s\"\nping_interval = \"0s\"\nsettle_timeout = \"0s\"\n",
    );
    assert_told(
        &told.told(),
        &[
            "limits.max_links: not from 1 to 4294967295; 0 would let nobody in",
            "limits.auth_failures_per_minute: not from 1 to 60000; 0 would let nobody in",
            "limits.max_link: a deadline of zero",
            "limits.ping_interval: a deadline of zero",
            "limits.settle_timeout: a deadline of zero",
        ],
    );
}

#[test]
fn a_limit_that_is_none_is_told() {
    let told = Setup::file(&format!(
        "[limits]\nmax_links = -1\nauth_failures_per_minute = 60001\nidle_timeout = 900\ndrain_timeout = \"25h\"\n\
         drain_spread = \"soon\"\nmax_link = \"2d\"\n{UPSTREAM}{KEY}"
    ));
    assert_told(
        &told.told(),
        &[
            "max_links: not from 1",
            "auth_failures_per_minute: not from 1",
            "idle_timeout: expected a duration such as \"30s\", or 0, found an integer",
            "drain_timeout: longer than a day",
            "drain_spread: `soon` is not a duration",
            "max_link: longer than a day",
        ],
    );
}

#[test]
fn a_takeover_socket_stands_beside_the_configuration() {
    let setup = |path: &str| Setup::file(&format!("[server]\ntakeover_socket = \"{path}\"\n{UPSTREAM}{KEY}"));
    let beside = setup("relay.sock");
    let expected = beside.path().with_file_name("relay.sock");
    assert_eq!(beside.config().server.takeover_socket, Some(expected));
    assert_eq!(setup("/run/relay.sock").config().server.takeover_socket, Some("/run/relay.sock".into()));
    assert_eq!(setup("").config().server.takeover_socket, None);
    assert_told(&setup(&"s".repeat(200)).told(), &["2:19: server.takeover_socket: no path of a unix socket ("]);
}

#[test]
fn a_way_to_refuse_browsers_is_one_of_two() {
    let setup = |lines: &str| Setup::file(&format!("[server]\n{lines}{UPSTREAM}{KEY}"));
    let event = setup("refuse_browsers_with = \"event\"\n").config().server.refuse_browsers_with;
    assert_eq!(event, RefuseWith::Event);
    let told = setup("refuse_browsers_with = \"close\"\nreuse_port = 1\n").told();
    assert_told(
        &told,
        &["refuse_browsers_with: unknown value `close`; one of http, event", "reuse_port: expected true or false"],
    );
}

#[test]
fn a_way_to_forward_is_one_of_two() {
    let setup = |word: &str| Setup::file(&format!("[server]\nforwarding = \"{word}\"\n{UPSTREAM}{KEY}"));
    assert_eq!(setup("framed").config().server.forwarding, Forwarding::Framed);
    assert_eq!(setup("verbatim").config().server.forwarding, Forwarding::Verbatim);
    assert_told(
        &setup("message").told(),
        &["2:14: server.forwarding: unknown value `message`; one of verbatim, framed"],
    );
}

#[test]
fn a_proxy_that_is_believed_is_a_network_or_an_address() {
    let server = |lines: &str| Setup::file(&format!("[server]\n{lines}{UPSTREAM}{KEY}"));
    let trusted = server("trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::1\"]\n").config().server;
    assert!(!trusted.proxy_protocol);
    let believed = ["10.255.0.1", "::ffff:10.255.0.1", "2001:db8::1"];
    assert!(believed.iter().all(|address| trusted.trusted_proxies.contain(address.parse().unwrap())));
    assert!(!trusted.trusted_proxies.contain("2001:db8::2".parse().unwrap()));
    let told = server("proxy_protocol = 1\ntrusted_proxies = [\"balancer\", \"10.0.0.1/8\", 7]\n").told();
    assert_told(
        &told,
        &[
            "proxy_protocol: expected true or false",
            "trusted_proxies[0]: `balancer` is not a network; write one such as 10.0.0.0/8",
            "trusted_proxies[1]: `10.0.0.1/8` has bits behind its prefix; write 10.0.0.0/8",
            "trusted_proxies[2]: expected a string, found an integer",
        ],
    );
}

#[test]
fn the_proxy_protocol_needs_a_proxy() {
    let server = |lines: &str| Setup::file(&format!("[server]\n{lines}{UPSTREAM}{KEY}"));
    for lines in ["proxy_protocol = true\n", "proxy_protocol = true\ntrusted_proxies = []\n"] {
        assert_told(
            &server(lines).told(),
            &["2:18: server.proxy_protocol: true, and nobody may send the header; list"],
        );
    }
    assert_told(&server("proxy_protocol = true\ntrusted_proxies = [\"x\"]\n").told(), &["trusted_proxies[0]: `x` is"]);
    assert!(server("proxy_protocol = true\ntrusted_proxies = [\"::1\"]\n").config().server.proxy_protocol);
}

#[test]
fn an_operator_from_elsewhere_needs_a_token() {
    let admin = |lines: &str| Setup::file(&format!("[admin]\n{lines}{UPSTREAM}{KEY}")).env("TOKEN", "from-env\n");
    let open = "listen = \"0.0.0.0:9090\"\n";
    assert_told(&admin(open).told(), &["1:2: admin.token: missing, and 0.0.0.0:9090 is not loopback; write token ="]);
    let token = |lines: &str| admin(lines).config().admin.token.map(|token| token.expose().to_owned());
    assert_eq!(token(&format!("{open}token = \"env:TOKEN\"\n")).as_deref(), Some("from-env"));
    assert_eq!(token("token = \"literal-token\"\n").as_deref(), Some("literal-token"));
    assert_eq!(token(""), None);
    for (lines, told) in [
        ("token = \"\"\n", "admin.token: empty"),
        ("token = \"env:NO_TOKEN\"\n", "admin.token: the environment variable NO_TOKEN is not set"),
        ("token = \"a token with blanks\"\n", "admin.token: has a character"),
    ] {
        assert_told(&admin(&format!("{open}{lines}")).told(), &[told]);
    }
}

#[test]
fn a_level_is_a_level_or_directives() {
    for (level, fine) in [
        ("debug", true),
        ("info,realtime_relay=debug", true),
        ("inof", false),
        ("", false),
        ("realtime_relay=loud", false),
        // The parser panicked: behind a blank it cut inside the character.
        (" 𐝦=debug", false),
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
