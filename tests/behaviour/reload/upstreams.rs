//! Upstreams that come, go, and change, and what is known of those that stay.

use serde_json::json;

use super::{expect_alive, link, reload};
use crate::support::client::client;
use crate::support::operator::{operator, status, until, until_links};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn an_upstream_that_moves_keeps_its_links_and_gets_new_ones_elsewhere() {
    let (former, latter) = (Upstream::start().await, Upstream::start().await);
    let mut relay = Relay::to(&former).workers(2).start();
    let mut before = relay.link(&former).await;
    reload(&mut relay, |setup| setup.moved_to(&latter)).await;
    let mut after = relay.link(&latter).await;
    expect_alive(&mut before).await;
    expect_alive(&mut after).await;
    until_links(&relay, "primary", 2).await;
}

#[tokio::test]
async fn its_limit_counts_the_links_that_run_already() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).start();
    let _running = relay.link(&upstream).await;
    reload(&mut relay, |setup| setup.upstream("max_links = 1")).await;
    let refused = client(&relay).key("key-of-acme").model("gpt-realtime").refused().await;
    refused.expect(503, "upstream_unavailable", "upstream_error");
}

#[tokio::test]
async fn one_that_comes_is_shown_and_used_and_one_that_goes_is_not() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let mut relay = Relay::to(&first).start();
    let mut running = relay.link(&first).await;
    let names = async |relay: &Relay| {
        let statuses = operator(relay, "/upstreams").ask().await.json;
        statuses.as_array().unwrap().iter().map(|status| status["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&relay).await, ["primary"]);
    reload(&mut relay, |setup| setup.then(&second)).await;
    assert_eq!(names(&relay).await, ["primary", "second"]);
    reload(&mut relay, |_| Relay::to(&second)).await;
    assert_eq!(names(&relay).await, ["primary"]);
    let mut after = link(&relay, "key-of-acme", &second).await;
    expect_alive(&mut running).await;
    expect_alive(&mut after).await;
}

#[tokio::test]
async fn an_open_breaker_is_closed_and_the_last_error_forgotten() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).start();
    let refusing = upstream.always("503 Busy");
    for _ in 0..5 {
        client(&relay).key("key-of-acme").model("gpt-realtime").refused().await;
    }
    drop(refusing);
    assert_eq!(status(&relay, "primary").await["breaker"], "open");
    reload(&mut relay, |setup| setup).await;
    let status = status(&relay, "primary").await;
    assert_eq!((&status["breaker"], &status["failures"]), (&json!("closed"), &json!(0)), "{status}");
    assert!(status["last_error"].is_null(), "{status}");
    expect_alive(&mut relay.link(&upstream).await).await;
}

#[tokio::test]
async fn a_leg_that_waits_stays_where_nothing_has_changed_and_is_replaced_where_something_has() {
    let (former, latter) = (Upstream::start().await, Upstream::start().await);
    let models = "models = { voice = \"gpt-realtime\" }\nwarm = 1";
    let mut relay = Relay::to(&former).upstream(models).start();
    let mut waiting = former.leg().await;
    until(&relay, "primary", "warm", 1).await;

    reload(&mut relay, |setup| setup.key("max_links = 9")).await;
    assert_eq!(status(&relay, "primary").await["warm"], 1);
    waiting.text("still there").await;

    reload(&mut relay, |setup| setup.moved_to(&latter)).await;
    waiting.expect_close_code(1000).await;
    let mut theirs = latter.leg().await;
    drop(waiting);
    until(&relay, "primary", "warm", 1).await;
    let mut ours = client(&relay).key("key-of-acme").model("voice").open().await;
    theirs.text("down").await;
    ours.expect_text("down").await;
    former.expect_no_connection().await;
}

#[tokio::test]
async fn a_relay_that_drains_opens_no_legs_ahead_whatever_it_reads() {
    let upstream = Upstream::start().await;
    let models = "models = { voice = \"gpt-realtime\" }\nwarm = 1";
    let mut relay = Relay::to(&upstream).upstream(models).limits("drain_grace = 0\ndrain_timeout = 0").start();
    let mut first = upstream.leg().await;
    until(&relay, "primary", "warm", 1).await;
    let mut ours = client(&relay).key("key-of-acme").model("voice").open().await;
    let mut waiting = upstream.leg().await;
    until(&relay, "primary", "warm", 1).await;
    assert_eq!(operator(&relay, "/drain").method("POST").ask().await.status, 202);
    waiting.expect_close_code(1000).await;
    drop(waiting);
    reload(&mut relay, |setup| setup.key("max_links = 9")).await;
    assert_eq!(status(&relay, "primary").await["warm"], 0);
    upstream.expect_no_connection().await;
    ours.text("up").await;
    first.expect_text("up").await;
}
