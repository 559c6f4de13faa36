//! What the log says: everything about a link, nothing that is secret, nothing that a peer could write into it by itself,
//! and no more than somebody can read.

use std::time::Instant;

use serde_json::{Value, json};

use crate::process::{Process, Relay, Setup};
use crate::support::client::{Client, client};
use crate::support::frame::Frame;
use crate::support::upstream::Upstream;
use crate::support::within;

const DONE: &str = r#"{"type":"response.done","response":{"id":"resp_1","status":"completed","usage":{"input_tokens":30,"output_tokens":12,"input_token_details":{"text_tokens":10,"audio_tokens":20,"cached_tokens":4,"cached_tokens_details":{"text_tokens":1,"audio_tokens":3}},"output_token_details":{"text_tokens":5,"audio_tokens":7}}}}"#;

/// What a peer would write, to be taken for a line of the relay's own, or to have a terminal do something.
const FORGED: &str = "x\r\n2026-01-01T00:00:00Z  INFO forged\n\u{1b}[31mred\u{9b}2J\u{7}\u{202e}";

/// The same in a query.
const FORGED_QUERY: &str = "x%0D%0A2026-01-01T00:00:00Z%20%20INFO%20forged%0A%1B[31mred%C2%9B2J%07%E2%80%AE";

fn logging(upstream: &Upstream, format: &str, more: &str) -> Setup {
    let tables = format!("{more}[log]\nformat = {format:?}\nlevel = \"debug\"\n");
    Setup::to(upstream).server("workers = 1").more(&tables)
}

/// The records with this message.
fn records(log: &str, message: &str) -> Vec<Value> {
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    records.filter(|record| record["message"] == message).collect()
}

fn take(record: &mut Value, field: &str) -> Value {
    record.as_object_mut().unwrap().remove(field).unwrap_or_else(|| panic!("no {field} in {record}"))
}

#[tokio::test]
async fn the_last_line_of_a_link_tells_all_of_it() {
    let upstream = Upstream::start().await;
    let mut relay = logging(&upstream, "json", "").start().await;
    let asking = client(&relay).key("the-key-of-the-client").model("gpt-realtime").query("tenant=the-query");
    let asking = asking.header("X-Request-Id", "req-of-mine").ask().await;
    let asked = upstream.accept().await;
    let answer = asked.switching("X-Request-Id: req-of-theirs\r\n");
    let mut theirs = asked.begin_switch(answer.as_bytes()).await;
    let mut ours = asking.opened().await;
    let hello = Frame::text("the-payload");
    ours.send(std::slice::from_ref(&hello)).await;
    theirs.expect_text("the-payload").await;
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    theirs.close(1001, "the-reason").await;
    ours.expect_close(1001, "the-reason").await;
    ours.close(1001, "").await;
    theirs.expect_close(1001, "").await;

    relay.process.says("link ended").await;
    let log = relay.process.log();
    for secret in ["the-key-of-the-client", "the-query", "the-payload", "the-reason", "tenant"] {
        assert!(!log.contains(secret), "{secret} in:\n{log}");
    }
    let (opened, mut ended) = (records(&log, "link opened"), records(&log, "link ended"));
    assert_eq!((opened.len(), ended.len()), (1, 1));
    let mut ended = ended.remove(0);
    assert_eq!(take(&mut ended, "link_id"), opened[0]["link_id"]);
    assert!(take(&mut ended, "client").as_str().unwrap().starts_with("127.0.0.1:"));
    let duration = |record: &mut Value, field| take(record, field).as_u64().unwrap();
    let (request, dial) = (duration(&mut ended, "request_ms"), duration(&mut ended, "dial_ms"));
    let (first, age) = (duration(&mut ended, "first_response_ms"), duration(&mut ended, "age_ms"));
    assert!(request < 60_000 && dial < 60_000 && first <= age && age < 60_000, "{request} {dial} {first} {age}");
    for field in ["timestamp", "level", "message", "format", "awaits_first_response"] {
        take(&mut ended, field);
    }
    let close = (Frame::close(1001, "").masked().bytes().len(), Frame::close(1001, "the-reason").bytes().len());
    assert_eq!(
        ended,
        json!({
            "request_id": "req-of-mine", "upstream_request_id": "req-of-theirs", "key": "none", "upstream": "test",
            "model_asked": "gpt-realtime", "model_sent": "gpt-realtime",
            "input_audio_format": "pcm16", "output_audio_format": "pcm16",
            "frames_up": 2, "bytes_up": hello.masked().bytes().len() + close.0,
            "frames_down": 2, "bytes_down": Frame::text(DONE).bytes().len() + close.1,
            "ending": "upstream_close", "reason": "the upstream closed with 1001",
            "client_close": 1001, "upstream_close": 1001, "unsettled": false,
            "responses": 1, "input_text": 10, "input_audio": 20, "input_image": 0, "cached_text": 1, "cached_audio": 3,
            "cached_image": 0, "output_text": 5, "output_audio": 7,
            // By the built-in prices, a million tokens: text 4, 0.40 and 16 dollars, audio 32, 0.40 and 64.
            "cost_usd": 0.001_109_6,
        })
    );
}

#[tokio::test]
async fn a_link_with_something_that_has_no_price_has_no_cost() {
    let upstream = Upstream::start().await;
    let mut relay = logging(&upstream, "json", "").start().await;
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    ours.reset();
    relay.process.says("link ended").await;
    let ended = &records(&relay.process.log(), "link ended")[0];
    assert_eq!((&ended["responses"], ended.get("cost_usd")), (&json!(1), None));
}

/// Has both peers say what they must not be able to say, wherever a line of the log holds a word of theirs.
async fn forge(upstream: &Upstream, relay: &mut Relay) {
    // A model, in the lines of a link and of its responses; what the upstream says of formats and responses.
    let long = "y".repeat(9_000);
    // As long as a model may be that an upstream is asked for.
    let model = format!("model={FORGED_QUERY}{}", &long[..7_900]);
    let asking = client(relay).query(&model).ask().await;
    let asked = upstream.accept().await;
    let answer = asked.switching(&format!("X-Request-Id: req-{long}\r\n"));
    let hello = [answer.as_bytes(), &Frame::text(r#"{"type":"session.x"}"#).bytes()].concat();
    let mut theirs = asked.begin_switch(&hello).await;
    let mut ours = asking.opened().await;
    ours.expect_text(r#"{"type":"session.x"}"#).await;
    for event in [
        json!({"type": "session.updated", "session": {"model": FORGED, "input_audio_format": FORGED, "output_audio_format": format!("{FORGED}{long}")}}),
        json!({"type": "response.done", "response": {"id": format!("{FORGED}{long}"), "status": FORGED, "usage": null}}),
    ] {
        theirs.text(&event.to_string()).await;
        ours.next().await;
    }
    theirs.close(4000, FORGED).await;
    relay.process.says("link ended").await;
    // An upstream that refuses, in words of its own; and a request for what is not there.
    let asking = client(relay).query(&model).ask().await;
    let refusal =
        json!({"type": "error", "error": {"type": FORGED, "code": format!("{FORGED}{long}"), "message": FORGED}});
    let _theirs = upstream.accept().await.switch_with(&[Frame::text(refusal.to_string())]).await;
    asking.refused().await;
    relay.process.says("upstream failed").await;
    refused(client(relay).query(&format!("intent={FORGED_QUERY}{long}"))).await;
    refused(client(relay).query(&format!("call_id={FORGED_QUERY}{long}"))).await;
    let closing = |process: &Process| process.log().matches("refused").count() >= 3;
    within("the refusals to be told", async {
        while !closing(&relay.process) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn refused(asking: Client<'_>) {
    assert!(asking.refused().await.status >= 400);
}

#[tokio::test]
async fn no_word_of_a_peer_leaves_its_line() {
    let upstream = Upstream::start().await;
    for format in ["text", "json"] {
        let mut relay = logging(&upstream, format, "await_first_event = true\n").start().await;
        forge(&upstream, &mut relay).await;
        let log = relay.process.log();
        assert!(log.contains("forged"), "the words are there:\n{log}");
        for line in log.lines() {
            assert!(!line.trim_start().starts_with("2026-01-01") && line.len() < 8_000, "{format}: {line}");
            assert!(!line.contains(['\r', '\u{1b}', '\u{7}', '\u{9b}']), "{format}: {line:?}");
            assert!(format == "json" || !line.contains('\u{202e}'), "{format}: {line:?}");
            if format == "json" {
                serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            } else {
                // Every line is one of ours: a moment, then a level.
                let level = line.split_ascii_whitespace().nth(1).unwrap_or_default();
                assert!(["ERROR", "WARN", "INFO", "DEBUG"].contains(&level), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn a_flood_of_refusals_is_cut_and_what_is_left_out_is_counted() {
    const FLOOD: usize = 600;
    let upstream = Upstream::start().await;
    let relay = logging(&upstream, "json", "").start().await;
    let begin = Instant::now();
    let mut asked = 0;
    while asked < FLOOD {
        refused(client(&relay).path("/nowhere")).await;
        asked += 1;
    }
    // Then one at a time, until one is written that tells of the others.
    let told = |lines: &[Value]| {
        let suppressed: u64 = lines.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
        lines.len() + usize::try_from(suppressed).unwrap()
    };
    let lines = within("all to be told", async {
        loop {
            refused(client(&relay).path("/nowhere")).await;
            asked += 1;
            let lines = records(&relay.process.log(), "refused");
            if told(&lines) == asked {
                return lines;
            }
        }
    });
    let lines = lines.await;
    // A hundred at once, and ten a second.
    let most = 100 + 10 * (usize::try_from(begin.elapsed().as_secs()).unwrap() + 1);
    assert!((100..=most).contains(&lines.len()) || most >= asked, "{} lines of {asked}", lines.len());
    assert!(most >= asked || lines.iter().any(|line| line["suppressed"].as_u64() > Some(0)));
}

#[tokio::test]
async fn who_does_not_say_whom_it_speaks_for_is_told_once_a_minute() {
    let upstream = Upstream::start().await;
    let setup = logging(&upstream, "json", "");
    let mut relay = setup.server("proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]").start().await;
    for _ in 0..5 {
        let mut asking = client(&relay).model("m").ask().await;
        assert!(!asking.is_answered().await);
    }
    let mut asking = client(&relay).model("m").announced(b"PROXY TCP4 192.0.2.1 203.0.113.1 4711 443\r\n").ask().await;
    let _theirs = upstream.accept().await.answer("500 Oops", "", "").await;
    assert!(asking.is_answered().await);
    relay.process.says("\"refused\"").await;
    let log = relay.process.log();
    assert_eq!(records(&log, "a connection is closed that was not introduced").len(), 5);
    let warnings = log.lines().filter(|line| line.contains("\"WARN\"") && line.contains("proxy_protocol is on"));
    assert_eq!(warnings.count(), 1, "{log}");
    assert_eq!(records(&log, "refused")[0]["client"], "192.0.2.1:4711");
}
