//! Legs that are opened ahead.

use super::good;
use crate::support::client::client;
use crate::support::frame::Frame;
use crate::support::leg::Leg;
use crate::support::operator::until;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

/// A relay that keeps one leg waiting for the model `voice`, which the upstream calls `gpt-realtime`.
fn warm(upstream: &Upstream) -> Setup {
    Relay::to(upstream).upstream("models = { voice = \"gpt-realtime\", \"*\" = \"*\" }\nwarm = 1")
}

/// The upstream's end of a leg that waits.
async fn waiting(relay: &Relay, upstream: &Upstream) -> Leg {
    let leg = upstream.leg().await;
    until(relay, "primary", "warm", 1).await;
    leg
}

#[tokio::test]
async fn a_client_gets_the_leg_that_waits_with_all_that_was_said_on_it() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).start();
    let mut leg = upstream.leg().await;
    assert_eq!(leg.head.target(), "/v1/realtime?model=gpt-realtime");
    leg.send(&[Frame::text("{\"type\":\"session.created\"}"), Frame::text("and more").more()]).await;
    until(&relay, "primary", "warm", 1).await;

    let mut client = client(&relay).key("key-of-acme").model("voice").open().await;
    client.expect_text("{\"type\":\"session.created\"}").await;
    client.expect(Frame::text("and more").more()).await;
    leg.send(&[Frame::continuation("to the end")]).await;
    client.expect(Frame::continuation("to the end")).await;
    client.text("up").await;
    leg.expect_text("up").await;
    until(&relay, "primary", "links", 1).await;
}

#[tokio::test]
async fn another_leg_waits_as_soon_as_one_is_taken() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).start();
    let _first = waiting(&relay, &upstream).await;
    let _client = good(&relay).open().await;
    let _second = waiting(&relay, &upstream).await;
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_leg_is_opened_under_a_request_id_of_its_own() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).start();
    let leg = waiting(&relay, &upstream).await;
    let id = leg.head.header("x-client-request-id").expect("a request id").to_owned();
    assert!(id.starts_with("req_"), "{id}");
    let client = good(&relay).header("x-request-id", "the-clients").open().await;
    assert_eq!(client.head.header("x-request-id"), Some("the-clients"));
}

#[tokio::test]
async fn a_waiting_leg_answers_pings_and_its_client_sees_none() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).awaits_first_event().start();
    let mut leg = upstream.leg().await;
    leg.send(&[Frame::ping("first"), Frame::text("hello")]).await;
    leg.expect(Frame::pong("first")).await;
    until(&relay, "primary", "warm", 1).await;
    leg.send(&[Frame::ping("second")]).await;
    leg.expect(Frame::pong("second")).await;
    let mut client = good(&relay).open().await;
    client.expect_text("hello").await;
    leg.text("and on").await;
    client.expect_text("and on").await;
}

#[tokio::test]
async fn a_leg_that_ended_while_it_waited_reaches_no_client() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).start();
    let mut closed = waiting(&relay, &upstream).await;
    closed.close(1001, "going away").await;
    let mut hung_up = waiting(&relay, &upstream).await;
    hung_up.hang_up().await;
    let mut failing = waiting(&relay, &upstream).await;
    failing.text("{\"type\":\"error\",\"error\":{\"type\":\"server_error\",\"code\":\"session_expired\"}}").await;
    let mut good_leg = waiting(&relay, &upstream).await;
    let mut client = good(&relay).open().await;
    good_leg.text("alive").await;
    client.expect_text("alive").await;
}

#[tokio::test]
async fn a_request_with_more_than_the_model_gets_a_leg_of_its_own() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).start();
    let _waiting = waiting(&relay, &upstream).await;
    for special in [good(&relay).query("voice=marin"), good(&relay).header("OpenAI-Safety-Identifier", "someone")] {
        let asking = special.header("x-request-id", "the-clients").ask().await;
        let leg = upstream.leg().await;
        assert_eq!(leg.head.header("x-client-request-id"), Some("the-clients"));
        asking.opened().await;
    }
}

#[tokio::test]
async fn a_model_that_is_not_named_has_no_leg_waiting() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).start();
    let _waiting = waiting(&relay, &upstream).await;
    let asking = client(&relay).key("key-of-acme").model("another").ask().await;
    let leg = upstream.leg().await;
    assert_eq!(leg.head.target(), "/v1/realtime?model=another");
    asking.opened().await;
}

#[tokio::test]
async fn a_leg_that_has_waited_too_long_is_closed_and_replaced() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).upstream("warm_max_idle = \"100ms\"").start();
    let mut old = upstream.leg().await;
    old.expect_close(1000, "").await;
    let mut new = upstream.leg().await;
    new.expect_close(1000, "").await;
    drop(relay);
}

#[tokio::test]
async fn waiting_legs_and_links_together_never_exceed_the_upstreams_limit() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).upstream("max_links = 1").start();
    let _leg = waiting(&relay, &upstream).await;
    let mut client = good(&relay).open().await;
    until(&relay, "primary", "links", 1).await;
    good(&relay).refused().await.expect(503, "upstream_unavailable", "upstream_error");
    upstream.expect_no_connection().await;
    client.close(1000, "").await;
}

#[tokio::test]
async fn a_waiting_leg_makes_room_for_a_client_of_another_model() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).upstream("max_links = 1").start();
    let _leg = waiting(&relay, &upstream).await;
    let asking = client(&relay).key("key-of-acme").model("another").ask().await;
    assert_eq!(upstream.leg().await.head.target(), "/v1/realtime?model=another");
    asking.opened().await;
}

#[tokio::test]
async fn an_upstream_that_refuses_is_not_asked_again_and_again() {
    let upstream = Upstream::start().await;
    let relay = warm(&upstream).start();
    upstream.accept().await.answer("503 Service Unavailable", "", "").await;
    until(&relay, "primary", "failures", 1).await;
    upstream.expect_no_connection().await;
}
