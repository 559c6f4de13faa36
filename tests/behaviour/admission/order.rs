//! The checks stand in one order, the cheapest first.

use crate::support::client::client;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn the_first_check_that_fails_decides() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream)
        .server("allowed_origins = [\"https://app.example.com\"]")
        .upstream("models = { a = \"a\", b = \"b\" }")
        .key("models = [\"b\"]")
        .start();
    // Wrong in everything; then one thing after the other is put right.
    let asking = client(&relay)
        .path("/nowhere")
        .method("POST")
        .with("Upgrade", "h2c")
        .with("Sec-WebSocket-Version", "8")
        .with("Sec-WebSocket-Key", "short")
        .header("Content-Length", "2")
        .header("Origin", "https://evil.example.com")
        .key("wrong-key")
        .behind(b"{}");
    asking.clone().refused().await.expect(404, "not_found", "invalid_request_error");
    let asking = asking.path("/v1/realtime");
    asking.clone().refused().await.expect(405, "method_not_allowed", "invalid_request_error");
    let asking = asking.method("GET");
    asking.clone().refused().await.expect(426, "upgrade_required", "invalid_request_error");
    let asking = asking.with("Upgrade", "websocket");
    asking.clone().refused().await.expect(426, "unsupported_websocket_version", "invalid_request_error");
    let asking = asking.with("Sec-WebSocket-Version", "13");
    asking.clone().refused().await.expect(400, "invalid_websocket_key", "invalid_request_error");
    let asking = asking.with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    asking.clone().refused().await.expect(400, "unexpected_body", "invalid_request_error");
    let asking = asking.without("Content-Length");
    asking.clone().refused().await.expect(403, "origin_not_allowed", "permission_error");
    let asking = asking.with("Origin", "https://app.example.com");
    asking.clone().refused().await.expect(401, "invalid_api_key", "authentication_error");
    let asking = asking.with("Authorization", "Bearer key-of-acme");
    asking.clone().refused().await.expect(400, "missing_model", "invalid_request_error");
    let (unknown, not_allowed) = (asking.clone().model("c"), asking.model("a"));
    unknown.refused().await.expect(404, "model_not_found", "invalid_request_error");
    not_allowed.refused().await.expect(403, "model_not_allowed", "permission_error");
    upstream.expect_no_connection().await;
}
