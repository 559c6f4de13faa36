//! A quota ends all links of its key, on every worker, and no others; it outlives the process that counted it.

use std::path::Path;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{DONE, done};
use crate::support::client::{Client, client};
use crate::support::ledger::Ledger;
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

const LINKS: usize = 20;
/// What one `DONE` uses.
const ALLOWANCES: [&str; 2] = ["tokens = 412", "usd = 0.009724800"];

/// Two workers, `acme` with this quota, `globex` without one, and a ledger that outlives the relay.
fn relay(upstream: &Upstream, quota: &str, ledger: &Path) -> Setup {
    Relay::to(upstream)
        .workers(2)
        .key(&format!("quota = {{ {quota} }}"))
        .more("[[keys]]\nname = \"globex\"\nkey = \"key-of-globex\"\n")
        .metering(&format!("ledger = \"{}\"", ledger.display()))
}

fn asking<'r>(relay: &'r Relay, key: &str) -> Client<'r> {
    client(relay).key(key).model("gpt-realtime")
}

async fn link(relay: &Relay, key: &str, upstream: &Upstream) -> (Leg, Leg) {
    let asking = asking(relay, key).ask().await;
    let theirs = upstream.leg().await;
    (asking.opened().await, theirs)
}

/// Both peers are told that the quota is used up, and part from the relay in order.
async fn expect_used_up(ours: &mut Leg, theirs: &mut Leg) {
    ours.expect_error("insufficient_quota", "insufficient_quota").await;
    ours.expect_close_code(1008).await;
    ours.close(1008, "").await;
    theirs.expect_close_code(1000).await;
    theirs.close(1000, "").await;
    ours.expect_end().await;
    theirs.expect_end().await;
}

async fn is_refused(relay: &Relay) {
    let refused = asking(relay, "key-of-acme").refused().await;
    refused.expect(429, "insufficient_quota", "insufficient_quota");
}

async fn usage(relay: &Relay) -> Value {
    let answer = operator(relay, "/usage").ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json
}

#[tokio::test]
async fn the_response_that_uses_it_up_ends_every_link_of_the_key() {
    for allowance in ALLOWANCES {
        let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
        let setup = || relay(&upstream, &format!("{allowance}, per = \"total\""), &folder.path().join("usage.db"));
        let relay = setup().start();
        let mut links = Vec::new();
        for _ in 0..LINKS {
            links.push(link(&relay, "key-of-acme", &upstream).await);
        }
        let (mut other, mut other_upstream) = link(&relay, "key-of-globex", &upstream).await;
        let (ours, theirs) = &mut links[LINKS / 2];
        theirs.text(DONE).await;
        ours.expect_text(DONE).await;
        let mut ending = JoinSet::new();
        for (mut ours, mut theirs) in links {
            ending.spawn(async move { expect_used_up(&mut ours, &mut theirs).await });
        }
        while let Some(ended) = ending.join_next().await {
            ended.unwrap();
        }
        is_refused(&relay).await;
        other.text("up").await;
        other_upstream.expect_text("up").await;
        other_upstream.text(DONE).await;
        other.expect_text(DONE).await;
        link(&relay, "key-of-globex", &upstream).await;

        let ledger = Ledger::at(folder.path().join("usage.db"));
        ledger.until_count("link WHERE key = 'acme'", LINKS).await;
        ledger.until_count("link WHERE ending = 'insufficient_quota'", LINKS).await;
        drop(relay);
        let relay = setup().start();
        is_refused(&relay).await;
        link(&relay, "key-of-globex", &upstream).await;
    }
}

#[tokio::test]
async fn what_is_less_than_the_quota_ends_nothing_and_is_remembered() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let setup = || relay(&upstream, "tokens = 824, per = \"month\"", &folder.path().join("usage.db"));
    let first = setup().start();
    let (mut ours, mut theirs) = link(&first, "key-of-acme", &upstream).await;
    // Twice the same is once.
    for _ in 0..2 {
        theirs.text(DONE).await;
        ours.expect_text(DONE).await;
    }
    let ledger = Ledger::at(folder.path().join("usage.db"));
    ledger.until_count("usage", 1).await;
    ours.text("up").await;
    theirs.expect_text("up").await;
    drop(first);

    let second = setup().start();
    let (mut ours, mut theirs) = link(&second, "key-of-acme", &upstream).await;
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    expect_used_up(&mut ours, &mut theirs).await;
    is_refused(&second).await;
}

#[tokio::test]
async fn operators_see_what_each_key_has_used_and_what_is_left() {
    for (allowance, quota, used, left) in [
        ("tokens = 1000", json!({ "tokens": 1000 }), json!(412), json!(588)),
        ("usd = 0.01", json!({ "usd": 0.01 }), json!(0.009_724_8), json!(0.000_275_2)),
    ] {
        let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("usage.db");
        let relay = relay(&upstream, &format!("{allowance}, per = \"day\""), &file).start();
        let with = |used: Value, left: Value| {
            let mut quota = quota.clone();
            for (name, value) in [("per", json!("day")), ("used", used), ("left", left)] {
                quota[name] = value;
            }
            quota
        };
        let fresh = usage(&relay).await;
        assert_eq!((&fresh[0]["group"], &fresh[0]["responses"]), (&json!("acme"), &json!(0)));
        assert_eq!(fresh[0]["quota"]["used"].as_f64(), Some(0.0));
        for key in ["key-of-acme", "key-of-globex"] {
            let (mut ours, mut theirs) = link(&relay, key, &upstream).await;
            theirs.text(DONE).await;
            ours.expect_text(DONE).await;
            ours.hang_up().await;
            theirs.expect_close_code(1001).await;
            theirs.close(1001, "").await;
        }
        Ledger::at(&file).until_count("link", 2).await;
        let told = usage(&relay).await;
        assert_eq!(told.as_array().unwrap().len(), 2);
        let group = |name: &str| {
            json!({
                "group": name, "links": 1, "responses": 1, "transcriptions": 0,
                "input_text": 140, "input_audio": 120, "input_image": 0,
                "cached_text": 128, "cached_audio": 64, "cached_image": 0,
                "output_text": 40, "output_audio": 112,
                "seconds": 0.0, "cost_usd": 0.009_724_8, "unpriced": 0,
            })
        };
        let mut acme = group("acme");
        acme["quota"] = with(used, left);
        assert_eq!(told, json!([acme, group("globex")]));
    }
}

#[tokio::test]
async fn what_was_under_way_when_it_was_used_up_is_counted_over_it() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("usage.db");
    let relay = relay(&upstream, "tokens = 412, per = \"total\"", &file).start();
    let created = r#"{"type":"response.created","response":{"id":"resp_2"}}"#;
    let (mut ours, mut theirs) = link(&relay, "key-of-acme", &upstream).await;
    let (mut second, mut second_upstream) = link(&relay, "key-of-acme", &upstream).await;
    second_upstream.text(created).await;
    second.expect_text(created).await;
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    expect_used_up(&mut ours, &mut theirs).await;
    second.expect_error("insufficient_quota", "insufficient_quota").await;
    second.expect_close_code(1008).await;
    second_upstream.expect_text(r#"{"type":"response.cancel","response_id":"resp_2"}"#).await;
    second_upstream.text(&done("resp_2")).await;
    second_upstream.expect_close_code(1000).await;
    Ledger::at(&file).until_count("usage", 2).await;
    let quota = usage(&relay).await[0]["quota"].clone();
    assert_eq!(quota, json!({ "tokens": 412, "per": "total", "used": 824, "left": 0 }));
}

#[tokio::test]
async fn a_link_that_was_admitted_before_and_begins_after_ends_too() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let relay = relay(&upstream, "tokens = 412, per = \"total\"", &folder.path().join("usage.db")).start();
    let (mut ours, mut theirs) = link(&relay, "key-of-acme", &upstream).await;
    // Of both workers.
    let mut late = Vec::new();
    for _ in 0..4 {
        late.push((asking(&relay, "key-of-acme").ask().await, upstream.accept().await));
    }
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    expect_used_up(&mut ours, &mut theirs).await;
    for (asking, asked) in late {
        let mut theirs = asked.switch().await;
        expect_used_up(&mut asking.opened().await, &mut theirs).await;
    }
}

#[tokio::test]
async fn whoever_waits_for_the_record_has_the_response_that_uses_it_up_before_the_end() {
    let upstream = Upstream::start().await;
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let setup = relay(&upstream, "tokens = 412, per = \"total\"", &folder.path().join("usage.db"));
        let relay = setup.metering("durability = \"before_delivery\"").start();
        let (mut ours, mut theirs) = link(&relay, "key-of-acme", &upstream).await;
        theirs.text(DONE).await;
        ours.expect_text(DONE).await;
        expect_used_up(&mut ours, &mut theirs).await;
    }
}

#[tokio::test]
async fn what_one_process_records_ends_the_links_of_another_that_shares_its_ledger() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let start = || relay(&upstream, "tokens = 412, per = \"total\"", &folder.path().join("usage.db")).start();
    let (first, second) = (start(), start());
    let (mut ours, mut theirs) = link(&first, "key-of-acme", &upstream).await;
    let (mut others, mut others_upstream) = link(&second, "key-of-acme", &upstream).await;
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    expect_used_up(&mut ours, &mut theirs).await;
    expect_used_up(&mut others, &mut others_upstream).await;
    is_refused(&second).await;
    assert_eq!(usage(&second).await[0]["quota"]["used"], 412, "counted once");
}

/// Clients that come while the quota is used up are refused, or get a link that ends.
#[tokio::test]
async fn whoever_comes_at_that_moment_has_no_link_for_long() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let relay = relay(&upstream, "tokens = 412, per = \"total\"", &folder.path().join("usage.db"));
    let relay = std::sync::Arc::new(relay.limits("close_timeout = \"100ms\"").start());
    let (mut ours, mut theirs) = link(&relay, "key-of-acme", &upstream).await;
    let _serving = upstream.links();
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let relay = relay.clone();
        clients.spawn(async move {
            let mut links = Vec::new();
            let mut asking = asking(&relay, "key-of-acme").ask().await;
            while asking.is_opened().await {
                links.push(asking.opened().await);
                asking = self::asking(&relay, "key-of-acme").ask().await;
            }
            asking.refused().await.expect(429, "insufficient_quota", "insufficient_quota");
            let count = links.len();
            for mut link in links {
                link.expect_error("insufficient_quota", "insufficient_quota").await;
                link.expect_close_code(1008).await;
            }
            count
        });
    }
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    let mut opened = 0;
    while let Some(links) = clients.join_next().await {
        opened += links.unwrap();
    }
    println!("{opened} links had begun");
}
