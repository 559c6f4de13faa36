//! A web page in the browser of somebody who runs a relay without keys on the same machine: it may neither spend the key nor
//! learn that there is a relay.

use super::serves;
use crate::support::client::{Client, Refused, client, connect};
use crate::support::operator::operator;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

fn local(upstream: &Upstream) -> Setup {
    Relay::to(upstream).auth("none")
}

fn asking(relay: &Relay) -> Client<'_> {
    client(relay).model("gpt-realtime")
}

/// It is refused as a page, and told nothing that a page could read.
#[track_caller]
fn expect_page_refused(refused: &Refused) {
    refused.expect(403, "origin_not_allowed", "permission_error");
    assert!(!refused.head.names().iter().any(|name| name.starts_with("access-control-")), "{}", refused.head.text());
}

#[tokio::test]
async fn no_page_opens_a_link_whatever_its_origin() {
    let upstream = Upstream::start().await;
    let relay = local(&upstream).start();
    let own = format!("http://{}", relay.address());
    for origin in [
        "https://evil.example.com",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1",
        &own,
        "null",
        "",
        "file://",
        "chrome-extension://abcdefghijklmnop",
        "vscode-webview://x",
    ] {
        expect_page_refused(&asking(&relay).header("Origin", origin).refused().await);
        let twice = asking(&relay).header("Origin", origin).header("Origin", origin);
        expect_page_refused(&twice.refused().await);
    }
    upstream.expect_no_connection().await;
    serves(&relay, &upstream).await;
}

/// A page at a name of its own, which it has had resolve to the loopback address.
#[tokio::test]
async fn no_name_that_was_rebound_to_loopback_is_answered() {
    let upstream = Upstream::start().await;
    let relay = local(&upstream).server("allowed_origins = [\"*\"]").start();
    let port = relay.address().port();
    for name in [
        "evil.example.com",
        "localhost.evil.example.com",
        "127.0.0.1.evil.example.com",
        "127.0.0.1.nip.io",
        "localhost.",
        "localhost@evil.example.com",
        "evil.example.com#localhost",
        "0",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "0x7f.1",
        "10.0.0.1",
        "[fe80::1]",
        "lоcalhost",
        "",
    ] {
        for host in [name.to_owned(), format!("{name}:{port}")] {
            println!("{host}");
            expect_page_refused(
                &asking(&relay).with("Host", &host).header("Origin", &format!("http://{host}")).refused().await,
            );
            expect_page_refused(&asking(&relay).with("Host", &host).refused().await);
        }
    }
    let absolute = asking(&relay).path("http://evil.example.com/v1/realtime");
    expect_page_refused(&absolute.refused().await);
    let two_hosts = asking(&relay).header("Host", "evil.example.com");
    expect_page_refused(&two_hosts.refused().await);
    expect_page_refused(&asking(&relay).without("Host").header("X-Forwarded-Host", "localhost").refused().await);
    upstream.expect_no_connection().await;
    serves(&relay, &upstream).await;
}

/// What stood behind the bracket of an IPv6 address was once not looked at.
#[tokio::test]
async fn a_name_that_begins_like_a_loopback_address_is_none() {
    let upstream = Upstream::start().await;
    let relay = local(&upstream).start();
    for name in
        ["[::1].evil.example.com", "[::1]evil", "[::1]:80.evil.example.com", "evil@localhost", "a:b@127.0.0.1:80"]
    {
        println!("{name}");
        expect_page_refused(&asking(&relay).with("Host", name).refused().await);
        assert_eq!(operator(&relay, "/links").host(name).ask().await.status, 403);
    }
    upstream.expect_no_connection().await;
    serves(&relay, &upstream).await;
}

/// What a page can send without asking anybody: a GET, a form, an image; and what asks first.
#[tokio::test]
async fn no_request_of_a_page_is_granted_anything() {
    let upstream = Upstream::start().await;
    let relay = local(&upstream).start();
    let page = || asking(&relay).header("Origin", "https://evil.example.com");
    let fetch = page().without("Upgrade").with("Connection", "keep-alive");
    let preflight = page().method("OPTIONS").header("Access-Control-Request-Method", "GET");
    let preflight = preflight.header("Access-Control-Request-Private-Network", "true");
    let form = page().method("POST").header("Content-Type", "text/plain").header("Content-Length", "2").behind(b"{}");
    for asking in [fetch, preflight, form] {
        let refused = asking.refused().await;
        assert!([403, 405, 426].contains(&refused.status), "{}", refused.head.text());
        assert!(
            !refused.head.names().iter().any(|name| name.starts_with("access-control-")),
            "{}",
            refused.head.text()
        );
    }
    upstream.expect_no_connection().await;
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn no_page_and_no_rebound_name_reaches_the_operators_listener() {
    let upstream = Upstream::start().await;
    let relay = local(&upstream).start();
    let (client, _theirs) = relay.link(&upstream).await;
    for path in ["/links", "/upstreams", "/usage?by=key", "/metrics"] {
        let page = operator(&relay, path).header("Origin", "http://localhost").ask().await;
        let rebound = operator(&relay, path).host("evil.example.com").ask().await;
        assert_eq!((page.status, rebound.status), (403, 403), "{path}");
    }
    for path in ["/drain", "/reload"] {
        let page = operator(&relay, path).method("POST").header("Origin", "null").ask().await;
        let rebound = operator(&relay, path).method("POST").host("evil.example.com").ask().await;
        assert_eq!((page.status, rebound.status), (403, 403), "{path}");
    }
    drop(client);
    serves(&relay, &upstream).await;
}

/// Where pages are meant to come, others still may not, and a key is asked for all the same.
#[tokio::test]
async fn a_list_of_origins_is_no_key() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).server("allowed_origins = [\"https://app.example.com\"]").start();
    let page = |origin: &str| client(&relay).model("gpt-realtime").header("Origin", origin);
    for origin in
        ["https://app.example.com.evil.com", "https://evil.com/https://app.example.com", "https://app.example.com:8443"]
    {
        expect_page_refused(&page(origin).key("key-of-acme").refused().await);
    }
    let keyless = page("https://app.example.com").refused().await;
    keyless.expect(401, "invalid_api_key", "authentication_error");
    let mut wire = connect(&relay).await;
    wire.send(&page("https://app.example.com").key("key-of-acme").bytes()).await;
    let _theirs = upstream.leg().await;
    assert_eq!(wire.head().await.expect("an answer").status(), 101);
    serves(&relay, &upstream).await;
}
