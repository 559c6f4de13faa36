//! The query, and the upstream that it asks for.

use super::{good, opens, relay};
use crate::support::client::client;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn refuses_a_query_that_names_no_model() {
    let (relay, upstream) = relay().await;
    for query in ["", "model=", "deployment=", "intent=&call_id=&model=", "Model=m", "voice=alloy"] {
        let refused = client(&relay).key("key-of-acme").query(query).refused().await;
        refused.expect(400, "missing_model", "invalid_request_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn refuses_a_query_that_contradicts_itself() {
    let (relay, upstream) = relay().await;
    for query in [
        "model=m&model=m",
        "model=m&m%6Fdel=m",
        "model=m&model=",
        "deployment=m&deployment=m",
        "model=m&deployment=n",
        "intent=transcription&intent=transcription",
        "call_id=c&call_id=c",
        "intent=transcription&call_id=c",
        "intent=conversation",
        "intent=conversation&model=m",
        "model=m&intent=&intent=",
    ] {
        let refused = client(&relay).key("key-of-acme").query(query).refused().await;
        refused.expect(400, "invalid_query", "invalid_request_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_deployment_is_read_as_the_model() {
    let (relay, upstream) = relay().await;
    for query in ["deployment=m", "model=m&deployment=m", "model=&deployment=m", "model=m&intent=&call_id="] {
        opens(client(&relay).key("key-of-acme").query(query), &upstream).await;
    }
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("models = { \"gpt-realtime\" = \"gpt-realtime-2\" }").start();
    for model in ["gpt-realtime-2", "gpt-realtime%20", "GPT-realtime", "*"] {
        let refused = client(&relay).key("key-of-acme").model(model).refused().await;
        refused.expect(404, "model_not_found", "invalid_request_error");
    }
    upstream.expect_no_connection().await;
    opens(good(&relay), &upstream).await;
}

#[tokio::test]
async fn transcription_and_calls_have_no_upstream() {
    let (relay, upstream) = relay().await;
    for query in ["intent=transcription", "intent=transcription&model=m", "call_id=rtc_1", "call_id=rtc_1&model=m"] {
        let refused = client(&relay).key("key-of-acme").query(query).refused().await;
        refused.expect(404, "model_not_found", "invalid_request_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_key_may_be_kept_to_models() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).key("models = [\"gpt-realtime\"]").start();
    let refused = client(&relay).key("key-of-acme").model("gpt-realtime-mini").refused().await;
    refused.expect(403, "model_not_allowed", "permission_error");
    upstream.expect_no_connection().await;
    opens(good(&relay), &upstream).await;
}

#[tokio::test]
async fn a_key_may_be_kept_to_upstreams() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&first).then(&second).upstream("models = { other = \"other\" }");
    let relay = setup.key("upstreams = [\"second\"]").start();
    good(&relay).refused().await.expect(403, "model_not_allowed", "permission_error");
    first.expect_no_connection().await;
    opens(client(&relay).key("key-of-acme").model("other"), &second).await;
    first.expect_no_connection().await;
}
