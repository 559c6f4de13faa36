//! A client that wants an upstream cut off for everybody: nothing that one asks for, or does, opens the breaker.

use serde_json::json;

use super::{good, serves};
use crate::support::client::client;
use crate::support::frame::Frame;
use crate::support::operator::{status, until_links};
use crate::support::relay::Relay;
use crate::support::upstream::{Asked, Upstream};

/// More often than failures in a row that open it.
const TRIES: usize = 12;

/// It is closed, and nothing has counted.
async fn expect_untouched(relay: &Relay) {
    let status = status(relay, "primary").await;
    assert_eq!((&status["breaker"], &status["failures"]), (&json!("closed"), &json!(0)), "{status}");
}

#[tokio::test]
async fn no_answer_that_a_client_can_provoke_opens_it() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).start();
    for status in [400, 404, 405, 406, 408, 409, 410, 411, 413, 414, 415, 422, 426, 431, 451, 499] {
        for _ in 0..TRIES / 2 {
            let asking = good(&relay).query("voice=provoking").ask().await;
            let _kept = upstream.accept().await.answer(&format!("{status} No"), "Retry-After: 600\r\n", "{}").await;
            assert_eq!(asking.refused().await.status, status);
        }
        expect_untouched(&relay).await;
    }
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn no_first_event_that_a_client_can_provoke_opens_it() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let error = |error: &str| Frame::text(format!("{{\"type\":\"error\",\"error\":{error}}}"));
    for frame in [
        error(r#"{"type":"invalid_request_error","code":"model_not_found"}"#),
        error(r#"{"type":"invalid_request_error"}"#),
        error(r#"{"code":"unknown_voice"}"#),
        error("{}"),
        Frame::close(4000, "beta_api_shape_disabled"),
        Frame::close(4999, ""),
    ] {
        for _ in 0..TRIES / 2 {
            let asking = good(&relay).ask().await;
            let _kept = upstream.accept().await.switch_with(std::slice::from_ref(&frame)).await;
            assert!([400, 404].contains(&asking.refused().await.status), "{frame}");
        }
        expect_untouched(&relay).await;
    }
    let asking = good(&relay).ask().await;
    let _theirs = upstream.accept().await.switch_with(&[Frame::text("{}")]).await;
    asking.opened().await;
}

#[tokio::test]
async fn no_key_of_its_own_opens_it_where_keys_go_through() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("passthrough").awaits_first_event().start();
    let own = || client(&relay).key("sk-of-nobody").model("gpt-realtime");
    for number in 0..TRIES {
        let asking = own().ask().await;
        let asked = upstream.accept().await;
        match number % 4 {
            0 => drop(asked.answer("401 Who", "", "{}").await),
            1 => drop(asked.answer("403 No", "", "{}").await),
            2 => drop(asked.answer("429 Slow", "Retry-After: 600\r\n", "{}").await),
            _ => drop(asked.switch_with(&[Frame::close(3000, "invalid_request_error.invalid_api_key")]).await),
        }
        assert!((400..500).contains(&asking.refused().await.status));
    }
    expect_untouched(&relay).await;
}

/// What a client asks for was once sent on however long it had grown, and a server that hangs up on a target of 64 KiB instead of
/// refusing it looked like one that fails.
#[tokio::test]
async fn a_target_that_grows_too_long_is_refused_and_not_sent() {
    let upstream = Upstream::start().await;
    let twice = format!("{}/{{model}}/ws?model={{model}}", upstream.base_url());
    for relay in [Relay::to(&upstream).start(), Relay::to_url(&twice).kind("compatible").start()] {
        // Three characters, of which nine are made; one, of which three are made; and a name that is long by itself.
        let grows = ["%FF".repeat(1_000), "'".repeat(3_000), "x".repeat(12_000)];
        for long in &grows {
            for query in [format!("model=m&voice={long}"), format!("model={long}")] {
                let refused = client(&relay).key("key-of-acme").query(&query).refused().await;
                refused.expect(400, "invalid_query", "invalid_request_error");
            }
        }
        expect_untouched(&relay).await;
    }
    upstream.expect_no_connection().await;
    let relay = Relay::to(&upstream).start();
    let asking = good(&relay).query(&format!("voice={}", "x".repeat(7_000))).ask().await;
    let _theirs = upstream.leg().await;
    asking.opened().await;
}

#[tokio::test]
async fn no_moment_of_leaving_opens_it() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().limits("close_timeout = \"100ms\"").start();
    for number in 0..4 * TRIES {
        let asking = good(&relay).ask().await;
        let asked = upstream.accept().await;
        match number % 4 {
            // While its upstream has not answered.
            0 => {
                asking.leave();
                asked.expect_gone().await;
            }
            // While the first event is awaited.
            1 => {
                let mut theirs = asked.switch().await;
                asking.leave();
                theirs.expect_gone().await;
            }
            // When it might have its link.
            2 => leave_at_once(asking, asked).await,
            // Behind an offence of its own.
            _ => {
                let _theirs = asked.switch_with(&[Frame::text("{}")]).await;
                let mut client = asking.opened().await;
                client.raw(&Frame::text("not masked").bytes()).await;
                client.reset();
            }
        }
    }
    until_links(&relay, "primary", 0).await;
    expect_untouched(&relay).await;
    let asking = good(&relay).ask().await;
    let _theirs = upstream.accept().await.switch_with(&[Frame::text("{}")]).await;
    asking.opened().await;
}

async fn leave_at_once(asking: crate::support::client::Asking, asked: Asked) {
    let mut theirs = asked.switch_with(&[Frame::text("{}")]).await;
    asking.leave();
    theirs.expect_gone().await;
}
