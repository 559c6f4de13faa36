//! One candidate after the other: the table of attempts, row by row.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{asked, expect_discreet, good};
use crate::support::authority::Authority;
use crate::support::client::{Asking, Refused, client};
use crate::support::frame::Frame;
use crate::support::operator::status;
use crate::support::relay::Relay;
use crate::support::upstream::{Absent, Asked, Upstream};

/// The client gets its link at this upstream.
async fn expect_link_at(upstream: &Upstream, asking: Asking) {
    let mut upstream = upstream.accept().await.switch_with(&[Frame::text("first")]).await;
    let mut client = asking.opened().await;
    client.expect_text("first").await;
    client.text("up").await;
    upstream.expect_text("up").await;
}

/// The first candidate fails like this, and the second gives the client its link. How the first does then.
async fn passed_on<T>(fail: impl AsyncFnOnce(Asked) -> T) -> Value {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&first).then(&second).awaits_first_event().start();
    let (asking, asked) = asked(good(&relay), &first).await;
    let _kept = fail(asked).await;
    expect_link_at(&second, asking).await;
    status(&relay, "primary").await
}

/// The first candidate fails like this, and no other is asked. What the client is told.
async fn ends<T>(fail: impl AsyncFnOnce(Asked) -> T) -> Refused {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&first).then(&second).awaits_first_event().start();
    let (asking, asked) = asked(good(&relay), &first).await;
    let _kept = fail(asked).await;
    let refused = asking.refused().await;
    second.expect_no_connection().await;
    let status = status(&relay, "primary").await;
    let noted = (&status["failures"], &status["breaker"], &status["last_error"]);
    assert_eq!(
        noted,
        (&json!(0), &json!("closed"), &Value::Null),
        "a client's mistake is not the upstream's: {status}"
    );
    refused
}

async fn first_event(asked: Asked, frame: Frame) -> impl Sized {
    asked.switch_with(&[frame]).await
}

fn error(error: &str) -> Frame {
    Frame::text(format!("{{\"type\":\"error\",\"error\":{error}}}"))
}

/// So many failures, which have not opened the breaker.
#[track_caller]
fn expect_counted(status: &Value, failures: u32) {
    assert_eq!((&status["failures"], &status["breaker"]), (&json!(failures), &json!("closed")), "{status}");
    assert!(status["last_error"].is_string(), "{status}");
}

#[tokio::test]
async fn where_nobody_listens_the_next_is_tried() {
    let (absent, second) = (Absent::new(), Upstream::start().await);
    let relay = Relay::to_url(&absent.url()).then(&second).start();
    expect_link_at(&second, good(&relay).ask().await).await;
    expect_counted(&status(&relay, "primary").await, 1);
}

#[tokio::test]
async fn where_the_name_has_no_address_the_next_is_tried() {
    let second = Upstream::start().await;
    let relay = Relay::to_url("ws://does-not-exist.invalid/v1/realtime").then(&second).start();
    expect_link_at(&second, good(&relay).ask().await).await;
    expect_counted(&status(&relay, "primary").await, 1);
}

#[tokio::test]
async fn where_tls_fails_the_next_is_tried() {
    let (unknown, second) = (Upstream::with_tls(Authority::new()).await, Upstream::start().await);
    let relay = Relay::to(&unknown).then(&second).start();
    let asking = good(&relay).ask().await;
    assert!(unknown.accept_wire().await.is_none(), "the relay does not shake hands");
    expect_link_at(&second, asking).await;
    expect_counted(&status(&relay, "primary").await, 1);
}

#[tokio::test]
async fn where_no_answer_comes_in_time_the_next_is_tried() {
    let (silent, second) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&silent).then(&second).limits("dial_timeout = \"500ms\"").start();
    let (asking, asked) = asked(good(&relay), &silent).await;
    expect_link_at(&second, asking).await;
    asked.expect_gone().await;
    expect_counted(&status(&relay, "primary").await, 1);
}

#[tokio::test]
async fn after_a_5xx_the_next_is_tried() {
    for answer in ["500 Oops", "502 Bad", "503 Busy", "504 Late", "599 Odd"] {
        expect_counted(&passed_on(async |asked| asked.answer(answer, "", "{}").await).await, 1);
    }
}

#[tokio::test]
async fn after_an_answer_that_is_no_valid_101_the_next_is_tried() {
    for answer in ["200 OK", "302 Found"] {
        expect_counted(&passed_on(async |asked| asked.answer(answer, "", "").await).await, 1);
    }
    expect_counted(&passed_on(async |asked| asked.raw(b"SSH-2.0-OpenSSH_9.2\r\n").await).await, 1);
    let wrong_accept = async |asked: Asked| {
        let switching = asked.switching("").replace("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x");
        asked.raw(switching.as_bytes()).await;
    };
    expect_counted(&passed_on(wrong_accept).await, 1);
}

#[tokio::test]
async fn after_an_end_instead_of_a_first_event_the_next_is_tried() {
    expect_counted(&passed_on(async |asked| asked.switch().await.hang_up().await).await, 1);
    expect_counted(&passed_on(async |asked| asked.switch().await.reset()).await, 1);
}

#[tokio::test]
async fn after_an_illegal_first_frame_the_next_is_tried() {
    for frame in [Frame::text("{}").masked(), Frame::continuation("x"), Frame::close(1006, "")] {
        expect_counted(&passed_on(async |asked| first_event(asked, frame).await).await, 1);
    }
}

#[tokio::test]
async fn after_a_server_error_the_next_is_tried() {
    let frame = error(r#"{"type":"server_error","code":"overloaded","message":"Later"}"#);
    expect_counted(&passed_on(async |asked| first_event(asked, frame).await).await, 1);
}

#[tokio::test]
async fn after_a_close_of_no_name_the_next_is_tried() {
    for code in [1000, 1001, 1011, 3001, 3999] {
        expect_counted(&passed_on(async |asked| first_event(asked, Frame::close(code, "")).await).await, 1);
    }
}

#[tokio::test]
async fn after_a_rate_limit_the_next_is_tried() {
    expect_counted(&passed_on(async |asked| asked.answer("429 Slow", "", "{}").await).await, 0);
    let first = passed_on(async |asked| asked.answer("429 Slow", "Retry-After: 7\r\n", "{}").await).await;
    assert_eq!(first["breaker"], "open", "{first}");
}

#[tokio::test]
async fn after_a_refused_credential_the_next_is_tried_and_the_operator_is_told() {
    let reason = "invalid_request_error.invalid_api_key";
    let event = error(r#"{"type":"invalid_request_error","code":"invalid_api_key","message":"No"}"#);
    for first in [
        passed_on(async |asked| asked.answer("401 Who", "", "{}").await).await,
        passed_on(async |asked| asked.answer("403 No", "", "{}").await).await,
        passed_on(async |asked| first_event(asked, Frame::close(3000, reason)).await).await,
        passed_on(async |asked| first_event(asked, event).await).await,
    ] {
        expect_counted(&first, 0);
        assert_eq!(first["credential_rejected"], 1, "{first}");
    }
}

#[tokio::test]
async fn after_another_4xx_nobody_else_is_asked() {
    let body = r#"{"error":{"message":"No such call","code":"call_id_not_found"}}"#;
    for code in [400, 404, 409, 422, 499] {
        let line = format!("{code} No");
        let refused = ends(async |asked| asked.answer(&line, "Retry-After: 3\r\n", body).await).await;
        assert_eq!((refused.status, refused.text.as_str()), (code, body));
        refused.expect_header("retry-after", "3");
    }
}

#[tokio::test]
async fn after_another_error_event_nobody_else_is_asked() {
    for (code, status) in [("bad_voice", 400), ("model_not_found", 404)] {
        let object = format!(r#"{{"type":"invalid_request_error","code":"{code}","message":"No"}}"#);
        let refused = ends(async |asked| first_event(asked, error(&object)).await).await;
        let expected = json!({ "error": serde_json::from_str::<Value>(&object).unwrap() });
        assert_eq!((refused.status, refused.json), (status, expected));
    }
}

#[tokio::test]
async fn after_a_close_in_the_4000s_nobody_else_is_asked() {
    for (code, reason, status) in
        [(4000, "invalid_request_error.beta_api_shape_disabled", 400), (4004, "model_not_found", 404), (4999, "", 400)]
    {
        let close = Frame::close(code, reason);
        assert_eq!(ends(async |asked| first_event(asked, close).await).await.status, status);
    }
}

#[tokio::test]
async fn every_candidate_is_asked_in_its_own_way() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&first).upstream("models = { gpt-realtime = \"of-the-first\" }");
    let setup = setup.then_url(&second.base_url()).kind("azure").upstream("models = { gpt-realtime = \"mine\" }");
    let relay = setup.start();
    let (asking, asked) = asked(good(&relay), &first).await;
    assert_eq!(asked.head.target(), "/v1/realtime?model=of-the-first");
    let _kept = asked.answer("503 Busy", "", "").await;
    let asked = second.accept().await;
    assert_eq!(asked.head.target(), "/openai/v1/realtime?model=mine");
    let _upstream = asked.switch().await;
    asking.opened().await;
}

#[tokio::test]
async fn only_those_that_serve_the_model_are_tried() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&first).upstream("models = { other = \"other\" }").then(&second);
    let relay = setup.upstream("models = { gpt-realtime = \"gpt-realtime\" }").start();
    expect_link_at(&second, good(&relay).ask().await).await;
    first.expect_no_connection().await;
    let _refusing = first.always("503 Busy");
    let refused = client(&relay).key("key-of-acme").model("other").refused().await;
    refused.expect(502, "upstream_refused", "upstream_error").expect_without("second");
    second.expect_no_connection().await;
}

/// What a client is told where two candidates answer like this. `None`: it says nothing.
async fn told_by(answers: [Option<&'static str>; 2], both: &str) -> Refused {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&first).upstream(both).then(&second).upstream(both);
    let relay = setup.limits("dial_timeout = \"300ms\"").start();
    let serve = |upstream: &Upstream, answer: Option<&'static str>| {
        upstream.serve(move |asked| async move {
            match answer {
                Some(answer) => asked.raw(answer.as_bytes()).await,
                None => asked.expect_gone().await,
            }
        })
    };
    let (_first, _second) = (serve(&first, answers[0]), serve(&second, answers[1]));
    let refused = good(&relay).refused().await;
    expect_discreet(&refused, &first);
    expect_discreet(&refused, &second);
    refused
}

const BUSY: Option<&str> = Some("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 9\r\n\r\n");
const SLOW: Option<&str> = Some("HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n");
const WHO: Option<&str> = Some("HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n");
const SILENT: Option<&str> = None;

#[tokio::test]
async fn the_last_failure_decides() {
    for (answers, status, code) in [
        ([BUSY, SILENT], 504, "upstream_timeout"),
        ([SILENT, BUSY], 502, "upstream_refused"),
        ([SILENT, WHO], 502, "upstream_refused"),
        ([WHO, SILENT], 504, "upstream_timeout"),
        ([SLOW, SILENT], 504, "upstream_timeout"),
    ] {
        let refused = told_by(answers, "").await;
        refused.expect(status, code, "upstream_error");
        assert_eq!(refused.head.header("retry-after"), None);
    }
    let (first, absent) = (Upstream::start().await, Absent::new());
    let _refusing = first.always("503 Busy");
    let relay = Relay::to(&first).then_url(&absent.url()).start();
    good(&relay).refused().await.expect(502, "upstream_unreachable", "upstream_error");
}

#[tokio::test]
async fn a_rate_limit_is_told_only_where_everybody_says_so() {
    let refused = told_by([SLOW, SLOW], "").await;
    refused.expect(429, "upstream_rate_limited", "upstream_error").expect_header("retry-after", "7");
    for answers in [[SLOW, BUSY], [BUSY, SLOW], [WHO, SLOW]] {
        let refused = told_by(answers, "").await;
        refused.expect(502, "upstream_refused", "upstream_error");
        assert_eq!(refused.head.header("retry-after"), None, "nobody knows when that is over");
    }
}

#[tokio::test]
async fn a_status_is_told_as_the_operator_maps_it() {
    let refused = told_by([SLOW, SLOW], "status_map = { 429 = 503 }").await;
    refused.expect(503, "upstream_rate_limited", "upstream_error").expect_header("retry-after", "7");
    let refused = told_by([SLOW, BUSY], "status_map = { 429 = 503, 502 = 599 }").await;
    refused.expect(599, "upstream_refused", "upstream_error");
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let (_busy, _unknown) = (first.always("503 Busy"), second.always("404 No"));
    let setup = Relay::to(&first).upstream("status_map = { 404 = 410 }").then(&second);
    let relay = setup.upstream("status_map = { 404 = 451 }").start();
    good(&relay).refused().await.expect(451, "upstream_refused", "upstream_error");
}

#[tokio::test]
async fn the_message_names_everybody_who_was_tried_and_what_happened() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let absent = Absent::new();
    let (_busy, _who) = (first.always("503 Busy"), second.always("401 Who"));
    let relay = Relay::to(&first).then(&second).then_url(&absent.url()).start();
    let refused = good(&relay).refused().await;
    let expected = "upstream primary: it answered 503 Service Unavailable; \
                    upstream second: it answered 401 Unauthorized; \
                    upstream third: no connection: connection refused (";
    assert!(refused.message().starts_with(expected), "{}", refused.message());
    expect_discreet(&refused, &first);
}

#[tokio::test]
async fn all_attempts_together_have_one_deadline() {
    let [first, second, third] = [Upstream::start().await, Upstream::start().await, Upstream::start().await];
    let limits = "dial_timeout = \"600ms\"\nadmission_timeout = \"1s\"";
    let relay = Relay::to(&first).then(&second).then(&third).limits(limits).start();
    let begin = Instant::now();
    let (asking, in_vain) = asked(good(&relay), &first).await;
    let in_vain_too = second.accept().await;
    let refused = asking.refused().await;
    assert!(begin.elapsed() >= Duration::from_secs(1));
    refused.expect(504, "upstream_timeout", "upstream_error");
    let message = refused.message();
    assert!(message.contains("upstream primary: no answer within 600ms; "), "{message}");
    assert!(!message.contains("upstream second: no answer within 600ms"), "it has only what is left: {message}");
    assert!(!message.contains("us"), "nobody counts microseconds: {message}");
    in_vain.expect_gone().await;
    in_vain_too.expect_gone().await;
    third.expect_no_connection().await;
}
