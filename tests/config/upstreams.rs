//! `[[upstreams]]`.

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

/// What is told about one upstream with these lines in it.
fn told_of_upstream(lines: &str) -> String {
    Setup::file(&format!("{KEY}[[upstreams]]\nname = \"u\"\n{lines}")).told()
}
