//! Upstreams: how often each was called, in vain and why, and whether it is called at all.

use super::good;
use crate::support::frame::Frame;
use crate::support::metrics::{Metrics, scrape, until};
use crate::support::relay::Relay;
use crate::support::upstream::{Absent, Upstream};

const PRIMARY: &[(&str, &str)] = &[("upstream", "primary")];
const SECOND: &[(&str, &str)] = &[("upstream", "second")];

fn failures(metrics: &Metrics, upstream: &str, kind: &str) -> f64 {
    metrics.value("upstream_failures_total", &[("upstream", upstream), ("kind", kind)])
}

fn breaker(metrics: &Metrics) -> [f64; 3] {
    let state = |state| metrics.value("upstream_breaker_state", &[("upstream", "primary"), ("state", state)]);
    ["closed", "open", "half_open"].map(state)
}

#[tokio::test]
async fn every_attempt_is_counted_where_it_was_made_and_where_it_failed() {
    let (absent, upstream) = (Absent::new(), Upstream::start().await);
    let relay = Relay::to_url(&absent.url()).then(&upstream).awaits_first_event().start();
    for treatment in ["503 Busy", "garbage", "close", "leg"] {
        let asking = good(&relay).ask().await;
        let asked = upstream.accept().await;
        match treatment {
            "503 Busy" => drop(asked.answer("503 Busy", "", "").await),
            "garbage" => asked.raw(b"hello").await,
            "close" => asked.switch().await.send(&[Frame::close(1011, "")]).await,
            _ => {
                asked.switch().await.text("{\"type\":\"session.created\"}").await;
                drop(asking.opened().await);
                break;
            }
        }
        asking.refused().await;
    }
    let metrics = until(&relay, "links_opened_total", &[("key", "acme"), ("upstream", "second")], 1.0).await;
    assert_eq!(metrics.value("upstream_attempts_total", PRIMARY), 4.0);
    assert_eq!(failures(&metrics, "primary", "tcp"), 4.0);
    assert_eq!(metrics.value("upstream_attempts_total", SECOND), 4.0);
    for kind in ["answer", "not_http", "first_event"] {
        assert_eq!(failures(&metrics, "second", kind), 1.0, "{kind}");
    }
    assert_eq!(metrics.sum("upstream_failures_total"), 7.0, "and no others");
}

#[tokio::test]
async fn a_breaker_that_opens_is_seen_and_who_is_passed_over_is_counted() {
    let upstream = Upstream::start().await;
    let _serving = upstream.always("503 Busy");
    let relay = Relay::to(&upstream).workers(2).start();
    assert_eq!(breaker(&scrape(&relay).await), [1.0, 0.0, 0.0]);
    for _ in 0..5 {
        good(&relay).refused().await.expect(502, "upstream_refused", "upstream_error");
    }
    for _ in 0..3 {
        good(&relay).refused().await.expect(503, "upstream_unavailable", "upstream_error");
    }
    let metrics = scrape(&relay).await;
    assert_eq!(breaker(&metrics), [0.0, 1.0, 0.0]);
    assert_eq!(metrics.value("upstream_attempts_total", PRIMARY), 5.0, "nobody calls it any more");
    assert_eq!(failures(&metrics, "primary", "answer"), 5.0);
    let passed_over = &[("upstream", "primary"), ("reason", "breaker_open")];
    assert_eq!(metrics.value("upstream_passed_over_total", passed_over), 3.0);
    assert_eq!(metrics.value("refusals_total", &[("code", "upstream_unavailable")]), 3.0);
}

#[tokio::test]
async fn an_upstream_that_is_full_is_counted_as_passed_over_and_its_links_are_told() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("max_links = 1").start();
    let _link = relay.link(&upstream).await;
    good(&relay).refused().await.expect(503, "upstream_unavailable", "upstream_error");
    let metrics = scrape(&relay).await;
    assert_eq!(metrics.value("upstream_links", PRIMARY), 1.0);
    assert_eq!(metrics.value("upstream_passed_over_total", &[("upstream", "primary"), ("reason", "full")]), 1.0);
    assert_eq!(metrics.value("upstream_attempts_total", PRIMARY), 1.0);
}

#[tokio::test]
async fn a_credential_that_is_not_taken_is_counted() {
    let upstream = Upstream::start().await;
    let _serving = upstream.always("401 Unauthorized");
    let relay = Relay::to(&upstream).start();
    for _ in 0..2 {
        good(&relay).refused().await.expect(502, "upstream_refused", "upstream_error");
    }
    assert_eq!(scrape(&relay).await.value("upstream_credential_rejected_total", PRIMARY), 2.0);
}
