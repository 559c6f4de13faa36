//! What was used: as the ledger has it, by models that somebody here knows.

use std::fs;

use crate::support::client::client;
use crate::support::leg::Leg;
use crate::support::metrics::{Metrics, scrape, until};
use crate::support::relay::{Relay, Setup};
use crate::support::spender::{Account, recorded_in_all};
use crate::support::upstream::Upstream;

const DONE: &str = include_str!("../../wire/response_done_ga.json");
/// 4.5 seconds.
const TIMED: &str = include_str!("../../wire/transcription_duration.json");

async fn link(relay: &Relay, upstream: &Upstream, model: &str) -> (Leg, Leg) {
    let asking = client(relay).key("key-of-acme").model(model).ask().await;
    let theirs = upstream.leg().await;
    (asking.opened().await, theirs)
}

/// The upstream says this, and the client hears it.
async fn say(link: &mut (Leg, Leg), text: &str) {
    link.1.text(text).await;
    link.0.expect_text(text).await;
}

fn records(model: &str) -> [(&str, &str); 2] {
    [("model", model), ("kind", "response")]
}

fn dollars(metrics: &Metrics) -> f64 {
    metrics.value("cost_dollars_total", &[("key", "acme"), ("model", "gpt-realtime")])
}

#[tokio::test]
async fn tokens_and_cost_are_those_of_the_ledger_and_what_comes_twice_counts_once() {
    let upstream = Upstream::start().await;
    let account = Account::default();
    let _serving = account.serve(&upstream);
    let relay = Relay::to(&upstream).workers(2).start();
    let mut links = Vec::new();
    for _ in 0..4 {
        links.push(client(&relay).key("key-of-acme").model("gpt-realtime").open().await);
    }
    for link in &mut links {
        for _ in 0..9 {
            link.text("{\"type\":\"response.create\"}").await;
        }
    }
    until(&relay, "usage_records_total", &records("gpt-realtime"), 36.0).await;
    // Every third is said twice.
    let metrics = until(&relay, "ledger_records_total", &[("outcome", "duplicate")], 12.0).await;
    let total = account.total();
    assert_eq!(recorded_in_all(&relay.ledger()), total);
    for (kind, counts) in [("text", total.text), ("audio", total.audio), ("image", total.image)] {
        for (way, count) in ["input", "cached", "output"].into_iter().zip(counts) {
            let kind = format!("{way}_{kind}");
            let told = metrics.find("tokens_total", &[("model", "gpt-realtime"), ("kind", &kind)]);
            assert_eq!(told.unwrap_or_default(), count as f64, "{kind}");
        }
    }
    let ledgers = total.nano_usd as f64 / 1e9;
    assert!((dollars(&metrics) - ledgers).abs() < 1e-9, "{} of {ledgers}", dollars(&metrics));
    assert_eq!(metrics.value("ledger_records_total", &[("outcome", "new")]), 36.0);
    assert_eq!(metrics.sum("usage_unpriced_total"), 0.0);
}

#[tokio::test]
async fn a_model_that_only_a_client_knows_is_one_of_the_others_and_has_no_price() {
    let upstream = Upstream::start().await;
    let models = "models = { voice = \"mine\", \"*\" = \"*\" }";
    let relay = Relay::to(&upstream).upstream(models).start();
    for model in ["voice", "made-up-1", "made-up-2", "gpt-realtime-2025-08-28"] {
        say(&mut link(&relay, &upstream, model).await, DONE).await;
    }
    until(&relay, "usage_records_total", &records("gpt-realtime"), 1.0).await;
    let metrics = scrape(&relay).await;
    for (model, count) in [("mine", 1.0), ("other", 2.0)] {
        assert_eq!(metrics.value("usage_records_total", &records(model)), count, "{model}");
        assert_eq!(metrics.value("usage_unpriced_total", &[("model", model)]), count, "{model}");
        assert_eq!(metrics.value("tokens_total", &[("model", model), ("kind", "output_audio")]), 112.0 * count);
    }
    assert_eq!(metrics.values_of("usage_records_total", "model"), ["gpt-realtime", "mine", "other"]);
    assert_eq!(metrics.values_of("cost_dollars_total", "model"), ["gpt-realtime"], "what has no price costs nothing");
}

#[tokio::test]
async fn transcriptions_and_what_cannot_be_read_are_counted_as_what_they_are() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("transcription = \"whisper-1\"").start();
    let asking = client(&relay).key("key-of-acme").query("intent=transcription").ask().await;
    let theirs = upstream.leg().await;
    let mut hears = (asking.opened().await, theirs);
    say(&mut hears, TIMED).await;
    say(&mut link(&relay, &upstream, "gpt-realtime").await, &format!("{DONE}]")).await;
    let metrics = until(&relay, "usage_unreadable_total", &[("kind", "response")], 1.0).await;
    assert_eq!(metrics.value("transcription_seconds_total", &[("model", "whisper-1")]), 4.5);
    let transcriptions = &[("model", "whisper-1"), ("kind", "transcription")];
    assert_eq!(metrics.value("usage_records_total", transcriptions), 1.0);
    assert_eq!(metrics.value("usage_unreadable_total", &[("kind", "transcription")]), 0.0);
    assert_eq!(metrics.sum("usage_unpriced_total"), 0.0, "what cannot be read is not without a price");
}

#[tokio::test]
async fn a_quota_is_told_as_the_part_that_is_used() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).key("quota = { tokens = 824, per = \"day\" }").start();
    assert_eq!(scrape(&relay).await.value("quota_used_ratio", &[("key", "acme")]), 0.0);
    say(&mut link(&relay, &upstream, "gpt-realtime").await, DONE).await;
    until(&relay, "quota_used_ratio", &[("key", "acme")], 0.5).await;
}

/// A relay whose ledger is at `usage.db` in a folder of its own.
fn relay_with_ledger(upstream: &Upstream, folder: &std::path::Path, on_failure: &str) -> Setup {
    let file = folder.join("usage.db");
    Relay::to(upstream).metering(&format!("ledger = \"{}\"\non_failure = {on_failure:?}", file.display()))
}

#[tokio::test]
async fn a_disk_that_refuses_is_seen_and_what_it_refused_counts_once_it_takes_it() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let relay = relay_with_ledger(&upstream, folder.path(), "stall").start();
    let mut open = link(&relay, &upstream, "gpt-realtime").await;
    let well = scrape(&relay).await;
    assert_eq!((well.value("ledger_up", &[]), well.value("ledger_refused_records", &[])), (1.0, 0.0));
    assert!(well.value("ledger_queue_capacity_records", &[]) > well.value("ledger_queue_records", &[]));
    let (file, away) = (folder.path().join("usage.db"), folder.path().join("away.db"));
    fs::rename(&file, &away).unwrap();
    say(&mut open, DONE).await;
    until(&relay, "ledger_refused_records", &[], 1.0).await;
    // How things stand is looked up before what was counted: the next scrape has both.
    let failing = scrape(&relay).await;
    assert_eq!((failing.value("ledger_up", &[]), failing.value("ready", &[])), (0.0, 0.0));
    assert!(failing.value("ledger_commit_failures_total", &[]) >= 1.0);
    assert_eq!(failing.sum("usage_records_total"), 0.0, "it is not recorded yet");
    fs::rename(&away, &file).unwrap();
    until(&relay, "usage_records_total", &records("gpt-realtime"), 1.0).await;
    let well = scrape(&relay).await;
    assert_eq!((well.value("ledger_up", &[]), well.value("ledger_refused_records", &[])), (1.0, 0.0));
    assert!(well.value("ledger_commit_seconds_count", &[]) >= 1.0);
    assert!(well.value("ledger_commit_seconds_sum", &[]) > 0.0);
}

#[tokio::test]
async fn what_only_the_log_has_counts_as_well() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let relay = relay_with_ledger(&upstream, folder.path(), "log").start();
    let mut open = link(&relay, &upstream, "gpt-realtime").await;
    fs::rename(folder.path().join("usage.db"), folder.path().join("away.db")).unwrap();
    say(&mut open, DONE).await;
    until(&relay, "ledger_records_total", &[("outcome", "logged")], 1.0).await;
    until(&relay, "usage_records_total", &records("gpt-realtime"), 1.0).await;
    let metrics = scrape(&relay).await;
    assert_eq!(metrics.value("usage_records_total", &records("gpt-realtime")), 1.0);
    assert!((dollars(&metrics) - 0.009_724_8).abs() < 1e-12);
    assert_eq!(metrics.value("ledger_up", &[]), 0.0);
    assert_eq!(metrics.value("ledger_refused_records", &[]), 0.0, "nothing is kept");
}

#[tokio::test]
async fn a_call_that_is_billed_elsewhere_misses_no_price() {
    for (more, unpriced) in [("", 0.0), ("bill_calls = true", 1.0)] {
        let upstream = Upstream::start().await;
        let setup = Relay::to(&upstream).upstream(&format!("calls = true\n{more}")).key("allow = [\"calls\"]");
        let relay = setup.start();
        let asking = client(&relay).key("key-of-acme").query("call_id=rtc_1").ask().await;
        let mut theirs = upstream.leg().await;
        let mut ours = asking.opened().await;
        for said in ["{\"type\":\"session.created\",\"session\":{\"model\":\"a-mystery\"}}", DONE] {
            theirs.text(said).await;
            ours.expect_text(said).await;
        }
        let recorded = [("model", "other"), ("kind", "response")];
        let metrics = until(&relay, "usage_records_total", &recorded, 1.0).await;
        assert!((metrics.sum("usage_unpriced_total") - unpriced).abs() < 0.5, "{more}");
    }
}
