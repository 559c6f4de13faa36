//! Quotas that come, go, and change, and prices.

use super::{expect_alive, link, reload};
use crate::support::client::client;
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

const DONE: &str = include_str!("../../wire/response_done_ga.json");
/// Tokens and nano-dollars of `DONE`.
const TOKENS: u64 = 412;
const COST: u64 = 9_724_800;

/// The upstream says that a response is done, and it is recorded: that many are, with this one.
async fn respond(relay: &Relay, (ours, theirs): &mut (Leg, Leg), records: usize) {
    theirs.text(DONE.trim_end()).await;
    ours.expect_text(DONE.trim_end()).await;
    relay.ledger().until_count("usage", records).await;
}

/// Used and left of the quota of `acme`.
async fn standing(relay: &Relay) -> (u64, u64) {
    let usage = operator(relay, "/usage").ask().await.json;
    let acme = usage.as_array().unwrap().iter().find(|group| group["group"] == "acme").expect("a group");
    (acme["quota"]["used"].as_u64().unwrap(), acme["quota"]["left"].as_u64().unwrap())
}

async fn expect_used_up(relay: &Relay, (mut ours, mut theirs): (Leg, Leg)) {
    ours.expect_error("insufficient_quota", "insufficient_quota").await;
    ours.expect_close_code(1008).await;
    theirs.expect_close_code(1000).await;
    let refused = client(relay).key("key-of-acme").model("gpt-realtime").refused().await;
    refused.expect(429, "insufficient_quota", "insufficient_quota");
}

#[tokio::test]
async fn a_quota_that_comes_counts_what_was_used_before() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).start();
    let mut running = relay.link(&upstream).await;
    respond(&relay, &mut running, 1).await;
    reload(&mut relay, |setup| setup.key("quota = { tokens = 1000, per = \"total\" }")).await;
    assert_eq!(standing(&relay).await, (TOKENS, 1000 - TOKENS));
    expect_alive(&mut running).await;
    let (ours, theirs) = &mut running;
    for _ in 0..2 {
        // Each of them has an id of its own.
        let done = DONE.trim_end().replace("resp_", &format!("resp_{}", uuid::Uuid::new_v4().simple()));
        theirs.text(&done).await;
        ours.expect_text(&done).await;
    }
    expect_used_up(&relay, running).await;
}

#[tokio::test]
async fn a_quota_that_grows_lets_the_key_go_on() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).key("quota = { tokens = 412, per = \"total\" }").start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    theirs.text(DONE.trim_end()).await;
    ours.expect_text(DONE.trim_end()).await;
    expect_used_up(&relay, (ours, theirs)).await;
    reload(&mut relay, |setup| setup.replaced("tokens = 412", "tokens = 413")).await;
    assert_eq!(standing(&relay).await, (TOKENS, 1));
    expect_alive(&mut relay.link(&upstream).await).await;
}

#[tokio::test]
async fn a_quota_that_shrinks_below_what_was_used_ends_the_links_of_its_key() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).workers(2).key("quota = { usd = 1.0, per = \"month\" }").start();
    let mut running = relay.link(&upstream).await;
    respond(&relay, &mut running, 1).await;
    reload(&mut relay, |setup| setup.replaced("usd = 1.0", "usd = 0.01")).await;
    expect_alive(&mut running).await;
    reload(&mut relay, |setup| setup.replaced("usd = 0.01", "usd = 0.009")).await;
    expect_used_up(&relay, running).await;
}

#[tokio::test]
async fn a_quota_in_another_unit_is_counted_anew_from_the_ledger() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).key("quota = { usd = 1.0, per = \"month\" }").start();
    let mut running = relay.link(&upstream).await;
    respond(&relay, &mut running, 1).await;
    reload(&mut relay, |setup| setup.replaced("usd = 1.0", "tokens = 500")).await;
    assert_eq!(standing(&relay).await, (TOKENS, 500 - TOKENS));
    expect_alive(&mut running).await;
}

#[tokio::test]
async fn links_that_begin_later_have_the_later_prices() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.toml");
    std::fs::write(&prices, "").unwrap();
    let mut relay = Relay::to(&upstream).metering(&format!("prices = {prices:?}")).start();
    let mut before = relay.link(&upstream).await;
    std::fs::write(&prices, "[models.gpt-realtime]\ntext = [1, 1, 1]\naudio = [1, 1, 1]\n").unwrap();
    reload(&mut relay, |setup| setup).await;
    let mut after = link(&relay, "key-of-acme", &upstream).await;
    respond(&relay, &mut before, 1).await;
    respond(&relay, &mut after, 2).await;
    let costs = relay.ledger().ask("SELECT cost_nano_usd FROM usage ORDER BY rowid");
    assert_eq!(costs, [COST.to_string(), (TOKENS * 1000).to_string()]);
}
