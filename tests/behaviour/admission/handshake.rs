//! Path, method, and the upgrade itself.

use super::{good, opens, relay};
use crate::support::client::{Refused, raw_request};

#[tokio::test]
async fn serves_the_three_paths() {
    let (relay, upstream) = relay().await;
    for path in ["/v1/realtime", "/openai/v1/realtime", "/openai/realtime"] {
        opens(good(&relay).path(path), &upstream).await;
    }
}

#[tokio::test]
async fn refuses_any_other_path() {
    let (relay, upstream) = relay().await;
    for path in ["/", "/v1", "/v1/realtime/", "/v1/realtime/calls", "/V1/realtime", "//v1/realtime", "/v1%2Frealtime"] {
        good(&relay).path(path).refused().await.expect(404, "not_found", "invalid_request_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn refuses_any_other_method() {
    let (relay, upstream) = relay().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"] {
        let refused = good(&relay).method(method).refused().await;
        refused.expect(405, "method_not_allowed", "invalid_request_error").expect_header("allow", "GET");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn takes_an_upgrade_in_lists_in_any_case_and_over_several_lines() {
    let (relay, upstream) = relay().await;
    opens(good(&relay).with("Upgrade", "WebSocket").with("Connection", "keep-alive, UPGRADE"), &upstream).await;
    opens(good(&relay).with("Upgrade", "h2c, websocket").with("Connection", "upgrade ,x"), &upstream).await;
    let repeated = good(&relay).with("Connection", "keep-alive").header("Connection", "Upgrade");
    opens(repeated.with("Upgrade", "h2c").header("upgrade", "WEBSOCKET"), &upstream).await;
}

#[track_caller]
fn expect_upgrade_required(refused: &Refused) {
    refused.expect(426, "upgrade_required", "invalid_request_error").expect_header("upgrade", "websocket");
}

#[tokio::test]
async fn refuses_what_is_no_upgrade_to_websocket() {
    let (relay, upstream) = relay().await;
    for (name, value) in
        [("Upgrade", "h2c"), ("Upgrade", "websocket2"), ("Connection", "keep-alive"), ("Connection", "not-upgrade")]
    {
        expect_upgrade_required(&good(&relay).with(name, value).refused().await);
    }
    for name in ["Upgrade", "Connection"] {
        expect_upgrade_required(&good(&relay).without(name).refused().await);
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn refuses_an_upgrade_in_http_1_0() {
    let (relay, upstream) = relay().await;
    expect_upgrade_required(&good(&relay).version("HTTP/1.0").refused().await);
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn refuses_another_version_of_websocket() {
    let (relay, upstream) = relay().await;
    let wrong = |version: &str| good(&relay).with("Sec-WebSocket-Version", version);
    let missing = good(&relay).without("Sec-WebSocket-Version");
    let repeated = wrong("13").header("Sec-WebSocket-Version", "13");
    for asking in [missing, repeated, wrong("8"), wrong("13, 8"), wrong("")] {
        let refused = asking.refused().await;
        refused.expect(426, "unsupported_websocket_version", "invalid_request_error");
        refused.expect_header("sec-websocket-version", "13");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn refuses_a_websocket_key_that_is_not_16_bytes_in_base64() {
    let (relay, upstream) = relay().await;
    let wrong = |key: &str| good(&relay).with("Sec-WebSocket-Key", key);
    let missing = good(&relay).without("Sec-WebSocket-Key");
    let repeated = good(&relay).header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let (short, long) = (wrong("dGhlIHNhbXBsZSBub25j"), wrong("dGhlIHNhbXBsZSBub25jZWU="));
    let (unpadded, plain) = (wrong("dGhlIHNhbXBsZSBub25jZQ"), wrong("the sample nonce"));
    for asking in [missing, repeated, short, long, unpadded, plain, wrong("")] {
        asking.refused().await.expect(400, "invalid_websocket_key", "invalid_request_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn refuses_a_body() {
    let (relay, upstream) = relay().await;
    let with_length = good(&relay).header("Content-Length", "5").behind(b"hello");
    let chunked = good(&relay).header("Transfer-Encoding", "chunked").behind(b"5\r\nhello\r\n0\r\n\r\n");
    for asking in [with_length, chunked] {
        asking.refused().await.expect(400, "unexpected_body", "invalid_request_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_body_of_no_bytes_is_no_body() {
    let (relay, upstream) = relay().await;
    opens(good(&relay).header("Content-Length", "0"), &upstream).await;
}

#[tokio::test]
async fn what_is_no_http_is_answered_400() {
    let (relay, upstream) = relay().await;
    assert_eq!(raw_request(&relay, b"\x16\x03\x01 hello\r\n\r\n").await.status, 400);
    upstream.expect_no_connection().await;
}
