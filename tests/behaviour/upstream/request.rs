//! What is sent upstream: built from a list, whatever the client says.

use super::{asked, good};
use crate::support::client::{NONCE, client};
use crate::support::head::Head;
use crate::support::relay::{Relay, Setup, UPSTREAM_KEY};
use crate::support::upstream::Upstream;

/// What every request carries.
const ALWAYS: [&str; 8] = [
    "connection",
    "host",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
    "user-agent",
    "x-client-request-id",
    "sec-websocket-protocol",
];

/// The request for this query, sent by a client that sends all that must not go on.
async fn request(upstream: &Upstream, setup: Setup, query: &str) -> Head {
    let relay = setup.start();
    let busy = [
        ("Authorization", "Bearer key-of-acme"),
        ("api-key", "key-of-acme"),
        ("Cookie", "session=1"),
        ("Origin", "https://example.com"),
        ("OpenAI-Beta", "realtime=v1"),
        ("OpenAI-Organization", "theirs"),
        ("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.key-of-acme, openai-beta.realtime-v1, other"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ("TE", "trailers"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic abc"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("User-Agent", "theirs"),
        ("X-Custom", "theirs"),
    ];
    let client = client(&relay).query(query);
    let client = busy.iter().fold(client, |client, (name, value)| client.header(name, value));
    let (asking, asked) = asked(client.query("api-key=key-of-acme"), upstream).await;
    let head = asked.switch().await.head;
    asking.opened().await;
    assert!(head.first_line.starts_with("GET ") && head.first_line.ends_with(" HTTP/1.1"), "{}", head.first_line);
    assert_eq!(head.header("host"), Some(format!("127.0.0.1:{}", upstream.port()).as_str()));
    assert_eq!((head.header("upgrade"), head.header("connection")), (Some("websocket"), Some("Upgrade")));
    assert_eq!(head.header("sec-websocket-version"), Some("13"));
    assert_ne!(head.header("sec-websocket-key"), Some(NONCE), "a key of the relay's own");
    head
}

#[track_caller]
fn expect_names(head: &Head, own: &[&str]) {
    let mut names = [&ALWAYS, own].concat();
    names.sort_unstable();
    assert_eq!(head.names(), names, "{}", head.text());
}

fn bearer() -> String {
    format!("Bearer {UPSTREAM_KEY}")
}

#[tokio::test]
async fn to_openai() {
    let upstream = Upstream::start().await;
    let head = request(&upstream, Relay::to(&upstream), "model=gpt-realtime&voice=a%20b&x=%26&flag&x=2").await;
    assert_eq!(head.target(), "/v1/realtime?model=gpt-realtime&voice=a+b&x=%26&flag=&x=2");
    assert_eq!(head.header("authorization"), Some(bearer().as_str()));
    assert_eq!(head.header("sec-websocket-protocol"), Some("realtime"));
    expect_names(&head, &["authorization"]);
}

#[tokio::test]
async fn to_openai_with_an_organization_and_a_project() {
    let upstream = Upstream::start().await;
    let setup = Relay::to(&upstream).upstream("organization = \"org-1\"\nproject = \"proj-1\"");
    let head = request(&upstream, setup, "deployment=gpt-realtime").await;
    assert_eq!(head.target(), "/v1/realtime?model=gpt-realtime");
    assert_eq!(head.header("openai-organization"), Some("org-1"));
    assert_eq!(head.header("openai-project"), Some("proj-1"));
    expect_names(&head, &["authorization", "openai-organization", "openai-project"]);
}

#[tokio::test]
async fn to_azure() {
    let upstream = Upstream::start().await;
    let head = request(&upstream, Relay::to_url(&upstream.base_url()).kind("azure"), "model=my%20one").await;
    assert_eq!(head.target(), "/openai/v1/realtime?model=my%20one");
    assert_eq!(head.header("api-key"), Some(UPSTREAM_KEY));
    assert_eq!(head.header("sec-websocket-protocol"), Some("realtime"));
    expect_names(&head, &["api-key"]);
}

#[tokio::test]
async fn to_azure_with_an_api_version() {
    let upstream = Upstream::start().await;
    let setup = Relay::to_url(&upstream.base_url()).kind("azure").upstream("api_version = \"2025-04-01-preview\"");
    let head = request(&upstream, setup, "deployment=mine&api-version=2024-10-01-preview").await;
    assert_eq!(head.target(), "/openai/realtime?api-version=2025-04-01-preview&deployment=mine");
    expect_names(&head, &["api-key"]);
}

#[tokio::test]
async fn to_a_compatible_upstream() {
    let upstream = Upstream::start().await;
    let url = format!("{}/ws/{{model}}?model={{model}}&v=1", upstream.base_url());
    let head = request(&upstream, Relay::to_url(&url).kind("compatible"), "model=a%2Fb%20c%26d&voice=x").await;
    assert_eq!(head.target(), "/ws/a%2Fb%20c%26d?model=a%2Fb%20c%26d&v=1&voice=x");
    assert_eq!(head.header("authorization"), Some(bearer().as_str()));
    assert_eq!(head.header("sec-websocket-protocol"), None, "none unless configured");
}

#[tokio::test]
async fn to_a_compatible_upstream_as_it_is_configured() {
    let upstream = Upstream::start().await;
    let own = "auth_header = \"X-Api-Key\"\nauth_scheme = \"\"\nsubprotocols = [\"a\", \"realtime\"]\n\
               beta_header = true\nheaders = { X-Team = \"red\" }";
    let setup = Relay::to_url(&format!("{}/plain", upstream.base_url())).kind("compatible").upstream(own);
    let head = request(&upstream, setup, "model=m&voice=x").await;
    assert_eq!(head.target(), "/plain?voice=x");
    assert_eq!(head.header("x-api-key"), Some(UPSTREAM_KEY));
    assert_eq!(head.header("sec-websocket-protocol"), Some("a, realtime"));
    assert_eq!(head.header("x-team"), Some("red"));
    assert_eq!(head.header("openai-beta"), Some("realtime=v1"), "sent only because it is configured");
    expect_names(&head, &["x-api-key", "x-team", "openai-beta"]);
}

#[tokio::test]
async fn the_model_is_mapped_first() {
    let upstream = Upstream::start().await;
    let models = "models = { gpt-realtime = \"gpt-realtime-2025-08-28\", \"*\" = \"gpt-realtime-mini\" }";
    for (model, sent) in [("gpt-realtime", "gpt-realtime-2025-08-28"), ("anything", "gpt-realtime-mini")] {
        let head = request(&upstream, Relay::to(&upstream).upstream(models), &format!("model={model}")).await;
        assert_eq!(head.target(), format!("/v1/realtime?model={sent}"));
    }
}

#[tokio::test]
async fn the_safety_identifier_is_forwarded_by_default() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (_asking, asked) = asked(good(&relay).header("OpenAI-Safety-Identifier", "user-1"), &upstream).await;
    assert_eq!(asked.head.header("openai-safety-identifier"), Some("user-1"));
}

#[tokio::test]
async fn only_the_listed_headers_are_forwarded() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("forward_headers = [\"X-Trace\", \"X-Tenant\"]").start();
    let client = good(&relay).header("x-trace", "1").header("X-TRACE", "2").header("OpenAI-Safety-Identifier", "u");
    let (_asking, asked) = asked(client.header("X-Tenant", "acme").header("X-Other", "no"), &upstream).await;
    assert_eq!(asked.head.all("x-trace").collect::<Vec<_>>(), ["1", "2"]);
    expect_names(&asked.head, &["authorization", "x-tenant", "x-trace", "x-trace"]);
}

#[tokio::test]
async fn of_a_header_there_is_one_the_relays_before_the_operators_before_the_clients() {
    let upstream = Upstream::start().await;
    let lines = "forward_headers = [\"User-Agent\", \"X-Tenant\", \"X-Client-Request-Id\"]\n\
                 headers = { X-Tenant = \"operators\", X-Client-Request-Id = \"operators\" }";
    let relay = Relay::to(&upstream).upstream(lines).start();
    let client = good(&relay).header("User-Agent", "clients").header("X-Tenant", "clients");
    let client = client.header("X-Client-Request-Id", "clients").header("X-Request-Id", "relays");
    let (_asking, asked) = asked(client, &upstream).await;
    let product = concat!("realtime-relay/", env!("CARGO_PKG_VERSION"));
    for (name, value) in [("user-agent", product), ("x-tenant", "operators"), ("x-client-request-id", "relays")] {
        assert_eq!(asked.head.all(name).collect::<Vec<_>>(), [value]);
    }
}

#[tokio::test]
async fn headers_that_connection_nominates_are_not_forwarded() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let client = good(&relay).header("OpenAI-Safety-Identifier", "user-1");
    let (_asking, asked) = asked(client.header("Connection", "OPENAI-safety-identifier"), &upstream).await;
    expect_names(&asked.head, &["authorization"]);
}

#[tokio::test]
async fn no_parameter_can_write_a_header_or_another_parameter() {
    let upstream = Upstream::start().await;
    let evil = "model=m%0D%0AX-Evil:%201%26model=n%23&v%0D%0A=%20HTTP/1.1%0D%0A";
    let head = request(&upstream, Relay::to(&upstream), evil).await;
    assert_eq!(head.target(), "/v1/realtime?model=m%0D%0AX-Evil%3A%201%26model%3Dn%23&v%0D%0A=+HTTP%2F1.1%0D%0A");
    expect_names(&head, &["authorization"]);
}
