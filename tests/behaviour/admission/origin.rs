//! Which web pages may use the relay.

use super::{good, opens, relay};
use crate::support::client::{Client, client};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

async fn is_refused(asking: Client<'_>) {
    asking.refused().await.expect(403, "origin_not_allowed", "permission_error");
}

#[tokio::test]
async fn every_origin_may_by_default() {
    let (relay, upstream) = relay().await;
    for origin in ["https://example.com", "null"] {
        opens(good(&relay).header("Origin", origin), &upstream).await;
    }
}

#[tokio::test]
async fn only_the_listed_origins_may() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).server("allowed_origins = [\"https://app.example.com\"]").start();
    for origin in ["http://app.example.com", "https://example.com", "https://app.example.com:444", "null", ""] {
        is_refused(good(&relay).header("Origin", origin)).await;
    }
    is_refused(good(&relay).header("Origin", "https://app.example.com").header("Origin", "https://evil.com")).await;
    upstream.expect_no_connection().await;
    opens(good(&relay).header("Origin", "https://APP.example.com"), &upstream).await;
    opens(good(&relay), &upstream).await;
}

#[tokio::test]
async fn without_keys_no_web_page_may() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("none").start();
    is_refused(client(&relay).model("m").header("Origin", "http://localhost")).await;
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn without_keys_a_listed_web_page_may() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("none").server("allowed_origins = [\"http://localhost:3000\"]").start();
    is_refused(client(&relay).model("m").header("Origin", "http://localhost:3001")).await;
    opens(client(&relay).model("m").header("Origin", "http://localhost:3000"), &upstream).await;
}

#[tokio::test]
async fn without_keys_the_host_must_be_a_loopback_name() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("none").start();
    let asking = || client(&relay).model("m");
    for host in ["rebound.example.com", "localhost.example.com", "10.0.0.1", "0.0.0.0", "127.0.0.1.nip.io", ""] {
        is_refused(asking().with("Host", host)).await;
    }
    is_refused(asking().without("Host")).await;
    is_refused(asking().header("Host", "rebound.example.com")).await;
    is_refused(asking().path("http://rebound.example.com/v1/realtime")).await;
    upstream.expect_no_connection().await;
    for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.8.8.8:80", "[::1]", "[::1]:8080"] {
        opens(asking().with("Host", host), &upstream).await;
    }
}
