//! Who cannot read an HTTP refusal is told in frames, where the operator wants that.

use super::{good, opens};
use crate::support::authority::Authority;
use crate::support::client::{Client, client};
use crate::support::operator::until_links;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::{Absent, Asked, Upstream};

const ORIGIN: &str = "https://app.example.com";

fn relay_to(upstream: &Upstream) -> Setup {
    Relay::to(upstream).server("refuse_browsers_with = \"event\"")
}

/// A browser that shows this key as browsers do.
fn browser<'r>(relay: &'r Relay, key: &str) -> Client<'r> {
    let offered = format!("realtime, openai-insecure-api-key.{key}");
    client(relay).header("Origin", ORIGIN).header("Sec-WebSocket-Protocol", &offered)
}

/// This client is told of its refusal behind a 101. The message.
async fn told(asking: Client<'_>, status: u16, code: &str, error_type: &str) -> String {
    let mut leg = asking.open().await;
    let request_id = leg.head.header("x-request-id").expect("a request id").to_owned();
    let message = leg.expect_error(error_type, code).await;
    let (words, named) = message.split_once(" (request id: ").expect("a request id");
    assert_eq!(named, format!("{request_id})"));
    let (close, reason) = leg.next().await.closing().expect("a code");
    assert_eq!(close, 4000 + status);
    let whole = format!("{code}: {words}");
    assert!(whole.starts_with(&reason) && (reason == whole || reason.len() > 119), "{reason:?} of {whole:?}");
    leg.close(close, "").await;
    leg.expect_end().await;
    words.to_owned()
}

#[tokio::test]
async fn a_browser_is_told_of_every_check_behind_its_origin() {
    let upstream = Upstream::start().await;
    let setup = relay_to(&upstream).upstream("models = { a = \"a\", b = \"b\" }").key("models = [\"a\"]");
    let relay = setup.limits("auth_failures_per_minute = 1").start();
    let known = || browser(&relay, "key-of-acme");
    told(known(), 400, "missing_model", "invalid_request_error").await;
    told(known().query("model=a&model=b"), 400, "invalid_query", "invalid_request_error").await;
    told(known().model("c"), 404, "model_not_found", "invalid_request_error").await;
    told(known().model("b"), 403, "model_not_allowed", "permission_error").await;
    told(browser(&relay, "guessed-key").model("a"), 401, "invalid_api_key", "authentication_error").await;
    told(known().model("a"), 429, "too_many_failures", "rate_limit_error").await;
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_browser_is_told_of_limits() {
    let upstream = Upstream::start().await;
    let relay = relay_to(&upstream).key("max_links = 1").start();
    let asking = browser(&relay, "key-of-acme").model("m").ask().await;
    let _upstream = upstream.leg().await;
    let _link = asking.opened().await;
    told(browser(&relay, "key-of-acme").model("m"), 429, "too_many_links", "rate_limit_error").await;

    let relay =
        relay_to(&upstream).limits("max_links = 1\nclose_timeout = \"100ms\"").key("new_links_per_minute = 1").start();
    let asking = browser(&relay, "key-of-acme").model("m").ask().await;
    let upstream = upstream.leg().await;
    let link = asking.opened().await;
    told(browser(&relay, "key-of-acme").model("m"), 503, "at_capacity", "server_error").await;
    link.reset();
    upstream.rest().await;
    until_links(&relay, "primary", 0).await;
    told(browser(&relay, "key-of-acme").model("m"), 429, "too_many_new_links", "rate_limit_error").await;
}

#[tokio::test]
async fn a_browser_is_told_of_the_upstream() {
    let upstream = Upstream::start().await;
    let asks = |relay| browser(relay, "key-of-acme").model("m");
    let absent = Absent::new();
    let relay = relay_to(&upstream).url(&absent.url()).start();
    told(asks(&relay), 502, "upstream_unreachable", "upstream_error").await;

    let relay = relay_to(&upstream).start();
    let _serving = upstream.always("429 Slow down");
    told(asks(&relay), 429, "upstream_rate_limited", "upstream_error").await;
}

#[tokio::test]
async fn a_browser_is_told_what_the_upstream_answered() {
    for (body, code, error_type, message) in [
        (
            r#"{"error":{"message":"No such call","type":"not_found_error","param":null,"code":"call_id_not_found"}}"#,
            "call_id_not_found",
            "not_found_error",
            Some("No such call"),
        ),
        (r#"{"error":{"message":"No","type":null,"code":null}}"#, "upstream_refused", "upstream_error", Some("No")),
        (r#"{"error":"No"}"#, "upstream_refused", "upstream_error", None),
        (r#"["error"]"#, "upstream_refused", "upstream_error", None),
        ("\"error\"", "upstream_refused", "upstream_error", None),
        ("No", "upstream_refused", "upstream_error", None),
    ] {
        let upstream = Upstream::start().await;
        let answer = move |asked: Asked| async move {
            drop(asked.answer("404 Not Found", "Content-Type: application/json\r\n", body).await);
        };
        let _serving = upstream.serve(answer);
        let relay = relay_to(&upstream).start();
        let words = told(browser(&relay, "key-of-acme").model("m"), 404, code, error_type).await;
        match message {
            Some(message) => assert_eq!(words, message),
            None => assert!(words.contains("primary"), "our own words: {words}"),
        }
    }
}

#[tokio::test]
async fn a_browser_is_known_by_its_origin_or_by_where_its_key_stands() {
    let upstream = Upstream::start().await;
    let relay = relay_to(&upstream).limits("auth_failures_per_minute = 1000").start();
    let asking = || client(&relay);
    for browser in [
        asking().header("Origin", ORIGIN),
        asking().header("Origin", ORIGIN).key("guessed-key"),
        asking().header("Sec-WebSocket-Protocol", "openai-insecure-api-key.guessed-key"),
        asking().query("api-key=guessed-key"),
    ] {
        told(browser, 401, "invalid_api_key", "authentication_error").await;
    }
    for server in [
        asking(),
        asking().key("guessed-key"),
        asking().header("api-key", "guessed-key"),
        asking().key("guessed-key").query("api-key=key-of-acme"),
        asking().header("Sec-WebSocket-Protocol", "realtime"),
    ] {
        server.refused().await.expect(401, "invalid_api_key", "authentication_error");
    }
    opens(browser(&relay, "key-of-acme").model("m"), &upstream).await;
}

#[tokio::test]
async fn the_subprotocol_is_answered_if_it_was_offered() {
    let upstream = Upstream::start().await;
    let relay = relay_to(&upstream).start();
    for (asking, answered) in [
        (browser(&relay, "key-of-acme"), Some("realtime")),
        (client(&relay).header("Sec-WebSocket-Protocol", "openai-insecure-api-key.key-of-acme"), None),
        (client(&relay).query("api-key=key-of-acme"), None),
    ] {
        let leg = asking.open().await;
        assert_eq!(leg.head.header("sec-websocket-protocol"), answered);
    }
}

#[tokio::test]
async fn what_is_no_upgrade_and_whose_origin_may_not_is_refused_in_http() {
    let upstream = Upstream::start().await;
    let relay = relay_to(&upstream).server("allowed_origins = [\"https://app.example.com\"]").start();
    let asking = || browser(&relay, "guessed-key");
    asking().path("/nowhere").refused().await.expect(404, "not_found", "invalid_request_error");
    asking().method("POST").refused().await.expect(405, "method_not_allowed", "invalid_request_error");
    asking().with("Upgrade", "h2c").refused().await.expect(426, "upgrade_required", "invalid_request_error");
    let elsewhere = asking().with("Origin", "https://evil.example.com");
    elsewhere.refused().await.expect(403, "origin_not_allowed", "permission_error");
    told(asking(), 401, "invalid_api_key", "authentication_error").await;
}

#[tokio::test]
async fn by_default_a_browser_is_refused_in_http() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    browser(&relay, "guessed-key").refused().await.expect(401, "invalid_api_key", "authentication_error");
}

#[tokio::test]
async fn a_browser_is_told_over_tls() {
    let upstream = Upstream::start().await;
    let relay = relay_to(&upstream).tls(Authority::new()).start();
    told(browser(&relay, "key-of-acme"), 400, "missing_model", "invalid_request_error").await;
    good(&relay).path("/nowhere").refused().await.expect(404, "not_found", "invalid_request_error");
}

#[tokio::test]
async fn a_browser_is_told_although_it_has_sent_more() {
    let upstream = Upstream::start().await;
    let relay = relay_to(&upstream).start();
    let more = vec![b'x'; 1 << 20];
    told(browser(&relay, "guessed-key").behind(&more), 401, "invalid_api_key", "authentication_error").await;
}
