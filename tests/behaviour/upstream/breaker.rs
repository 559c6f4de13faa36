//! An upstream that fails is left alone for a while, on all workers, and no client can bring that about.

use serde_json::{Value, json};

use super::{asked, good};
use crate::support::client::{Refused, connect};
use crate::support::frame::Frame;
use crate::support::operator::{status, until, until_links};
use crate::support::relay::Relay;
use crate::support::upstream::{Absent, Upstream};

/// So many counted failures in a row open it.
const THRESHOLD: usize = 5;
/// The first hold and its jitter.
const LONGEST_FIRST_HOLD_MS: u64 = 11_000;

#[track_caller]
fn expect_closed(status: &Value, failures: usize) {
    assert_eq!((&status["breaker"], &status["failures"]), (&json!("closed"), &json!(failures)), "{status}");
    assert_eq!(status["retry_after_ms"], 0, "{status}");
}

/// Refused without a dial, and told for how many seconds.
#[track_caller]
fn expect_unavailable(refused: &Refused) -> u64 {
    refused.expect(503, "upstream_unavailable", "upstream_error");
    refused.head.header("retry-after").expect("when to come back").parse().unwrap()
}

#[tokio::test]
async fn five_failures_in_a_row_open_it_for_all_workers() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).start();
    // All at once, so that both workers see some of them fail.
    let (mut asking, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..THRESHOLD {
        asking.push(good(&relay).ask().await);
        asked.push(upstream.accept().await);
    }
    for (failures, (asking, asked)) in asking.into_iter().zip(asked).enumerate() {
        expect_closed(&status(&relay, "primary").await, failures);
        let _kept = asked.answer("503 Busy", "", "").await;
        asking.refused().await.expect(502, "upstream_refused", "upstream_error");
    }
    let open = status(&relay, "primary").await;
    assert_eq!((&open["breaker"], &open["failures"], &open["links"]), (&json!("open"), &json!(5), &json!(0)), "{open}");
    assert!((1..=LONGEST_FIRST_HOLD_MS).contains(&open["retry_after_ms"].as_u64().unwrap()), "{open}");
    assert_eq!(open["last_error"], "it answered 503 Service Unavailable");
    // A connection that says nothing keeps its worker busier than the other, so the next client goes to that.
    let mut idle = Vec::new();
    for _ in 0..4 {
        let seconds = expect_unavailable(&good(&relay).refused().await);
        assert!((1..=LONGEST_FIRST_HOLD_MS.div_ceil(1000)).contains(&seconds), "{seconds}");
        idle.push(connect(&relay).await);
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn every_kind_of_failure_that_counts_counts_alike() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().limits("dial_timeout = \"300ms\"").start();
    let server_error = Frame::text(r#"{"type":"error","error":{"type":"server_error"}}"#);
    for kind in 0..THRESHOLD {
        expect_closed(&status(&relay, "primary").await, kind);
        let (asking, asked) = asked(good(&relay), &upstream).await;
        let refused = match kind {
            0 => (asked.raw(b"no HTTP").await, asking.refused().await).1,
            1 => (asked.switch_with(std::slice::from_ref(&server_error)).await, asking.refused().await).1,
            2 => (asked.switch().await.hang_up().await, asking.refused().await).1,
            3 => (asked.answer("302 Found", "", "").await, asking.refused().await).1,
            _ => (asking.refused().await, asked.expect_gone().await).0,
        };
        assert!([502, 504].contains(&refused.status), "{}", refused.text);
    }
    expect_unavailable(&good(&relay).refused().await);
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_link_ends_the_row() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for _ in 0..2 {
        let refusing = upstream.always("503 Busy");
        for _ in 1..THRESHOLD {
            good(&relay).refused().await.expect(502, "upstream_refused", "upstream_error");
        }
        assert_eq!(refusing.connections(), THRESHOLD - 1);
        drop(refusing);
        expect_closed(&status(&relay, "primary").await, THRESHOLD - 1);
        relay.link(&upstream).await;
        expect_closed(&status(&relay, "primary").await, 0);
    }
}

#[tokio::test]
async fn one_that_is_open_leaves_the_clients_to_the_next() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&first).then(&second).workers(2).start();
    let (refusing, linking) = (first.always("503 Busy"), second.links());
    let mut clients = Vec::new();
    for _ in 0..2 * THRESHOLD {
        clients.push(good(&relay).open().await);
    }
    assert_eq!((refusing.connections(), linking.connections()), (THRESHOLD, 2 * THRESHOLD));
    assert_eq!(status(&relay, "primary").await["breaker"], "open");
    expect_closed(&status(&relay, "second").await, 0);
}

#[tokio::test]
async fn where_nobody_is_left_the_client_is_told_when_to_come_back() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&first).then(&second).start();
    let _refusing = first.always("503 Busy");
    let limiting = second.serve(|asked| async { drop(asked.answer("429 Slow", "Retry-After: 30\r\n", "").await) });
    good(&relay).refused().await.expect(502, "upstream_refused", "upstream_error");
    let refused = good(&relay).refused().await;
    assert!((25..=30).contains(&expect_unavailable(&refused)), "{}", refused.head.text());
    let words = ["upstream primary: it answered 503", "upstream second: its breaker is open"];
    assert!(words.iter().all(|words| refused.message().contains(words)), "{}", refused.message());
    assert_eq!(limiting.connections(), 1);
}

#[tokio::test]
async fn a_rate_limit_opens_it_for_as_long_as_it_says() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).start();
    for _ in 0..2 * THRESHOLD {
        let (asking, asked) = asked(good(&relay), &upstream).await;
        let _kept = asked.answer("429 Slow", "", "").await;
        asking.refused().await.expect(429, "upstream_rate_limited", "upstream_error");
    }
    expect_closed(&status(&relay, "primary").await, 0);
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let _kept = asked.answer("429 Slow", "Retry-After: 60\r\n", "").await;
    asking.refused().await.expect(429, "upstream_rate_limited", "upstream_error");
    let open = status(&relay, "primary").await;
    assert_eq!((&open["breaker"], &open["failures"]), (&json!("open"), &json!(0)), "{open}");
    assert!((50_000..=60_000).contains(&open["retry_after_ms"].as_u64().unwrap()), "{open}");
    let _idle = connect(&relay).await;
    for _ in 0..2 {
        assert!((50..=60).contains(&expect_unavailable(&good(&relay).refused().await)));
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn no_rate_limit_opens_it_for_more_than_five_minutes() {
    for (retry_after, opens) in [("86400", true), ("18446744073709551615", true), ("0", false), ("soon", false)] {
        let upstream = Upstream::start().await;
        let relay = Relay::to(&upstream).start();
        let (asking, asked) = asked(good(&relay), &upstream).await;
        let _kept = asked.answer("429 Slow", &format!("Retry-After: {retry_after}\r\n"), "").await;
        asking.refused().await.expect(429, "upstream_rate_limited", "upstream_error");
        let status = status(&relay, "primary").await;
        let hold = status["retry_after_ms"].as_u64().unwrap();
        assert!(if opens { (290_000..=300_000).contains(&hold) } else { hold == 0 }, "{retry_after}: {status}");
        assert_eq!(status["breaker"] == "open", opens, "{retry_after}: {status}");
    }
}

#[tokio::test]
async fn what_a_client_asks_for_never_opens_it() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let bad_voice = Frame::text(r#"{"type":"error","error":{"type":"invalid_request_error","code":"bad_voice"}}"#);
    for _ in 0..2 * THRESHOLD {
        let (asking, bad_request) = asked(good(&relay), &upstream).await;
        let _kept = bad_request.answer("400 No", "Retry-After: 60\r\n", "").await;
        assert_eq!(asking.refused().await.status, 400);
        for frame in [bad_voice.clone(), Frame::close(4000, "no")] {
            let (asking, asked) = asked(good(&relay), &upstream).await;
            let _kept = asked.switch_with(&[frame]).await;
            assert_eq!(asking.refused().await.status, 400);
        }
    }
    expect_closed(&status(&relay, "primary").await, 0);
}

#[tokio::test]
async fn a_credential_that_is_not_taken_never_opens_it() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let refusing = upstream.always("401 Who");
    for _ in 0..2 * THRESHOLD {
        good(&relay).refused().await.expect(502, "upstream_refused", "upstream_error");
    }
    assert_eq!(refusing.connections(), 2 * THRESHOLD);
    let status = status(&relay, "primary").await;
    expect_closed(&status, 0);
    assert_eq!(status["credential_rejected"], 2 * THRESHOLD);
}

#[tokio::test]
async fn clients_that_leave_never_open_it() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().workers(2).start();
    for _ in 0..2 * THRESHOLD {
        let (asking, dialled) = asked(good(&relay), &upstream).await;
        asking.leave();
        dialled.expect_gone().await;
        let (asking, waiting) = asked(good(&relay), &upstream).await;
        let mut waiting = waiting.switch().await;
        asking.leave();
        waiting.expect_gone().await;
    }
    until_links(&relay, "primary", 0).await;
    expect_closed(&status(&relay, "primary").await, 0);
}

#[tokio::test]
async fn after_its_time_one_client_alone_finds_out() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).start();
    let (asking, limited) = asked(good(&relay), &upstream).await;
    let _kept = limited.answer("429 Slow", "Retry-After: 1\r\n", "").await;
    asking.refused().await.expect(429, "upstream_rate_limited", "upstream_error");
    until(&relay, "primary", "breaker", "half_open").await;
    // Whoever leaves has found nothing out, and gives its turn to the next.
    let (asking, left) = asked(good(&relay), &upstream).await;
    assert_eq!(expect_unavailable(&good(&relay).refused().await), 1);
    asking.leave();
    left.expect_gone().await;
    until_links(&relay, "primary", 0).await;
    let (asking, probe) = asked(good(&relay), &upstream).await;
    expect_unavailable(&good(&relay).refused().await);
    upstream.expect_no_connection().await;
    let _leg = probe.switch().await;
    let _client = asking.opened().await;
    expect_closed(&status(&relay, "primary").await, 0);
    relay.link(&upstream).await;
}

#[tokio::test]
async fn with_the_first_of_two_down_a_thousand_clients_notice_nothing() {
    const TOGETHER: usize = 50;
    const EACH: usize = 20;
    let (absent, second) = (Absent::new(), Upstream::start().await);
    let relay = Relay::to_url(&absent.url()).then(&second).workers(2).start();
    let linking = second.links();
    let relay = std::sync::Arc::new(relay);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..TOGETHER {
        let relay = relay.clone();
        crowd.spawn(async move {
            for _ in 0..EACH {
                good(&relay).open().await;
            }
        });
    }
    crowd.join_all().await;
    assert_eq!(linking.connections(), TOGETHER * EACH);
    let first = status(&relay, "primary").await;
    assert_eq!((&first["breaker"], &first["failures"]), (&json!("open"), &json!(THRESHOLD)), "{first}");
    assert_eq!(first["last_error"], "no connection: connection refused");
    expect_closed(&status(&relay, "second").await, 0);
    // Whoever dialled it now would be seen.
    let back = absent.appears();
    for _ in 0..10 {
        good(&relay).open().await;
    }
    back.expect_no_connection().await;
    assert_eq!(status(&relay, "primary").await["breaker"], "open", "all of that before its time was over");
}
