//! An upstream that opens its leg and refuses then: the client is told in HTTP.

use super::{asked, expect_discreet, good};
use crate::support::client::Refused;
use crate::support::frame::{CLOSE, Frame, header};
use crate::support::leg::Leg;
use crate::support::relay::{Relay, UPSTREAM_KEY};
use crate::support::upstream::Upstream;

/// What the client is told where the upstream begins like this.
async fn told(begin: impl AsyncFnOnce(&mut Leg)) -> Refused {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let mut leg = asked.switch().await;
    begin(&mut leg).await;
    let refused = asking.refused().await;
    expect_discreet(&refused, &upstream);
    refused
}

/// What the client is told where the first event is this error.
async fn told_after(error: &str) -> Refused {
    told(async |leg| leg.text(&format!("{{\"type\":\"error\",\"event_id\":\"event_1\",\"error\":{error}}}")).await)
        .await
}

#[track_caller]
fn expect_bad_gateway(refused: &Refused) {
    refused.expect(502, "upstream_refused", "upstream_error");
}

#[tokio::test]
async fn an_end_before_the_first_event_is_a_bad_gateway() {
    expect_bad_gateway(&told(async |leg| leg.hang_up().await).await);
    let half = async |leg: &mut Leg| {
        leg.raw(&header(true, 1, false, 1000)).await;
        leg.hang_up().await;
    };
    expect_bad_gateway(&told(half).await);
}

#[tokio::test]
async fn an_illegal_first_frame_is_a_bad_gateway() {
    let stray = Frame::continuation("x").bytes();
    for bytes in [Frame::text("{}").masked().bytes(), stray, vec![0xc1, 0], Frame::close(1006, "").bytes()] {
        expect_bad_gateway(&told(async |leg| leg.raw(&bytes).await).await);
    }
}

#[tokio::test]
async fn a_refused_credential_is_a_bad_gateway() {
    let reason = "invalid_request_error.invalid_api_key";
    expect_bad_gateway(&told(async |leg| leg.close(3000, reason).await).await);
    let error = r#"{"type":"invalid_request_error","code":"invalid_api_key","message":"No"}"#;
    expect_bad_gateway(&told_after(error).await);
}

#[tokio::test]
async fn an_upstream_that_repeats_its_credential_does_not_give_it_away() {
    let words = format!("Incorrect API key provided: {UPSTREAM_KEY}");
    expect_bad_gateway(&told(async |leg| leg.close(3000, &words).await).await);
    expect_bad_gateway(&told_after(&format!(r#"{{"code":"invalid_api_key","message":"{words}"}}"#)).await);
}

#[tokio::test]
async fn a_server_error_is_a_bad_gateway() {
    let error = r#"{"type":"server_error","code":"overloaded","message":"Try later"}"#;
    expect_bad_gateway(&told_after(error).await);
}

#[tokio::test]
async fn another_close_is_a_bad_gateway() {
    for (code, reason) in [(1000, ""), (1001, "away"), (1011, "oops"), (3001, "x")] {
        expect_bad_gateway(&told(async |leg| leg.close(code, reason).await).await);
    }
    expect_bad_gateway(&told(async |leg| leg.send(&[Frame::new(CLOSE, "")]).await).await);
}

#[tokio::test]
async fn another_error_is_told_as_it_is() {
    let error = r#"{"type":"invalid_request_error","code":"bad_voice","message":"No such voice","param":"voice"}"#;
    let refused = told_after(error).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json, serde_json::from_str::<serde_json::Value>(&format!("{{\"error\":{error}}}")).unwrap());
    refused.expect_header("connection", "close").expect_header("content-type", "application/json");
    assert!(refused.request_id().starts_with("req_"));
}

#[tokio::test]
async fn an_unknown_model_is_not_found() {
    let refused = told_after(r#"{"type":"invalid_request_error","code":"model_not_found","message":"No"}"#).await;
    assert_eq!((refused.status, refused.json["error"]["code"].as_str()), (404, Some("model_not_found")));
    let reason = "invalid_request_error.model_not_found";
    let refused = told(async |leg| leg.close(4004, reason).await).await;
    assert_eq!((refused.status, refused.json["error"]["code"].as_str()), (404, Some("model_not_found")));
}

#[tokio::test]
async fn a_close_in_the_4000s_is_a_bad_request() {
    let reason = "invalid_request_error.beta_api_shape_disabled";
    let refused = told(async |leg| leg.close(4000, reason).await).await;
    assert_eq!(refused.status, 400);
    let error = &refused.json["error"];
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some("invalid_request_error"), Some("beta_api_shape_disabled"))
    );
    assert!(refused.message().contains("4000"), "{}", refused.message());
    assert_eq!(told(async |leg| leg.close(4999, "").await).await.status, 400);
}

#[tokio::test]
async fn an_error_event_without_an_error_is_a_bad_gateway() {
    for event in ["{\"type\":\"error\"}", "{\"type\":\"error\",\"error\":\"oops\"}"] {
        expect_bad_gateway(&told(async |leg| leg.text(event).await).await);
    }
}
