//! How long it takes to set up a link, stage by stage.

use std::time::Instant;

use super::good;
use crate::support::frame::Frame;
use crate::support::metrics::{Metrics, scrape, until};
use crate::support::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

const STAGES: [&str; 3] = ["admission", "dial", "first_event"];

fn counts(metrics: &Metrics) -> [f64; 3] {
    STAGES.map(|stage| metrics.value("setup_seconds_count", &[("stage", stage)]))
}

fn seconds(metrics: &Metrics) -> [f64; 3] {
    STAGES.map(|stage| metrics.value("setup_seconds_sum", &[("stage", stage)]))
}

#[tokio::test]
async fn every_stage_takes_a_part_of_what_the_client_waits() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    assert_eq!(counts(&scrape(&relay).await), [0.0; 3]);
    let begun = Instant::now();
    let asking = good(&relay).ask().await;
    let asked = upstream.accept().await;
    let called = Instant::now();
    // The relay waits for its 101 meanwhile.
    for _ in 0..10 {
        scrape(&relay).await;
    }
    let dialling = called.elapsed();
    let mut leg = asked.switch().await;
    leg.text("{\"type\":\"session.created\"}").await;
    let _link = asking.opened().await;
    let waited = begun.elapsed();
    let metrics = scrape(&relay).await;
    assert_eq!(counts(&metrics), [1.0; 3]);
    let [admission, dial, first_event] = seconds(&metrics);
    assert!(admission > 0.0 && first_event > 0.0, "{admission} {first_event}");
    assert!(dial >= dialling.as_secs_f64(), "{dial} of {dialling:?}");
    assert!(admission + dial + first_event <= waited.as_secs_f64(), "{admission} {dial} {first_event} of {waited:?}");
}

#[tokio::test]
async fn an_event_that_nobody_waits_for_takes_no_time() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let _link = relay.link(&upstream).await;
    assert_eq!(counts(&scrape(&relay).await), [1.0, 1.0, 0.0]);
}

#[tokio::test]
async fn who_is_refused_is_in_no_stage_and_whom_no_upstream_takes_was_admitted() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    good(&relay).with("Authorization", "Bearer wrong").refused().await.expect(
        401,
        "invalid_api_key",
        "authentication_error",
    );
    assert_eq!(counts(&scrape(&relay).await), [0.0; 3]);
    let _serving = upstream.always("503 Busy");
    good(&relay).refused().await.expect(502, "upstream_refused", "upstream_error");
    assert_eq!(counts(&scrape(&relay).await), [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn a_leg_that_waited_is_no_wait_of_its_clients() {
    let upstream = Upstream::start().await;
    let setup = Relay::to(&upstream).awaits_first_event();
    let relay = setup.upstream("models = { gpt-realtime = \"gpt-realtime\" }\nwarm = 1").start();
    let mut first = upstream.leg().await;
    first.send(&[Frame::text("{\"type\":\"session.created\"}")]).await;
    operator::until(&relay, "primary", "warm", 1).await;
    let waiting = scrape(&relay).await;
    assert_eq!(waiting.value("upstream_warm_legs", &[("upstream", "primary")]), 1.0);
    assert_eq!(waiting.value("warm_legs_used_total", &[("upstream", "primary")]), 0.0);
    assert_eq!(waiting.value("upstream_attempts_total", &[("upstream", "primary")]), 1.0);
    let _link = good(&relay).open().await;
    let metrics = until(&relay, "warm_legs_used_total", &[("upstream", "primary")], 1.0).await;
    assert_eq!(counts(&metrics), [1.0, 0.0, 0.0]);
}
