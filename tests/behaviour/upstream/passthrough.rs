//! With `passthrough` the credential is the client's own, and so is the upstream's answer to it.

use super::asked;
use crate::support::client::{Asking, client};
use crate::support::relay::Relay;
use crate::support::upstream::{Asked, Upstream};

async fn passed() -> (Relay, Asking, Asked) {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("passthrough").awaits_first_event().start();
    let (asking, asked) = asked(client(&relay).key("sk-of-mine").model("m"), &upstream).await;
    (relay, asking, asked)
}

#[tokio::test]
async fn a_refused_key_is_the_clients_own_affair() {
    let body = r#"{"error":{"message":"No","type":"invalid_request_error","code":"invalid_api_key"}}"#;
    for status in [401, 403, 429] {
        let (_relay, asking, asked) = passed().await;
        asked.answer(&format!("{status} No"), "Retry-After: 7\r\n", body).await;
        let refused = asking.refused().await;
        assert_eq!((refused.status, refused.text.as_str()), (status, body));
        refused.expect_header("retry-after", "7");
    }
}

#[tokio::test]
async fn a_close_3000_becomes_401_with_its_reason() {
    let (_relay, asking, asked) = passed().await;
    asked.switch().await.close(3000, "invalid_request_error.invalid_api_key").await;
    let refused = asking.refused().await;
    refused.expect(401, "invalid_api_key", "authentication_error");
    assert!(refused.message().contains("invalid_request_error.invalid_api_key"), "{}", refused.message());
}

#[tokio::test]
async fn an_error_about_the_key_becomes_401() {
    let (_relay, asking, asked) = passed().await;
    asked.switch().await.text(r#"{"type":"error","error":{"code":"invalid_api_key","message":"Wrong key"}}"#).await;
    let refused = asking.refused().await;
    refused.expect(401, "invalid_api_key", "authentication_error");
    assert!(refused.message().contains("Wrong key"), "{}", refused.message());
}

#[tokio::test]
async fn other_failures_are_told_as_ever() {
    let (_relay, asking, asked) = passed().await;
    asked.answer("500 Oops", "", "{}").await;
    asking.refused().await.expect(502, "upstream_refused", "upstream_error");
}

#[tokio::test]
async fn a_key_that_would_write_headers_is_refused_and_nothing_is_dialled() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("passthrough").start();
    for key in ["mine%0D%0AX-Evil:%201", "sk%0Amine", "mine%00"] {
        let refused = client(&relay).query(&format!("api-key={key}")).model("m").refused().await;
        refused.expect(401, "invalid_api_key", "authentication_error").expect_without("mine");
    }
    upstream.expect_no_connection().await;
}
