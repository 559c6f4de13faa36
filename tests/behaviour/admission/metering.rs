//! What a key may still use, what that costs, and whether anybody would record it.

use std::fs;
use std::path::Path;

use super::{good, opens};
use crate::support::client::{Client, client};
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;
use crate::support::within;

/// It uses 412 tokens, for less than a cent.
const DONE: &str = include_str!("../../wire/response_done_ga.json");
const MUCH: &str = "quota = { usd = 100.0, per = \"total\" }";
const MANY: &str = "quota = { tokens = 1000000, per = \"total\" }";
const ONE: &str = "quota = { usd = 0.000000001, per = \"total\" }";

fn model<'r>(relay: &'r Relay, model: &str) -> Client<'r> {
    client(relay).key("key-of-acme").model(model)
}

async fn is_unpriced(asking: Client<'_>) {
    let refused = asking.refused().await;
    refused.expect(403, "model_unpriced", "permission_error");
}

#[tokio::test]
async fn a_quota_in_dollars_opens_no_model_without_a_price() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).key(MUCH).start();
    // A price is found by the whole name, or by it without its date.
    for name in ["mystery", "gpt-realtime-3", "gpt-realtime-latest"] {
        is_unpriced(model(&relay, name)).await;
    }
    upstream.expect_no_connection().await;
    for name in ["gpt-realtime", "gpt-realtime-2025-08-28", "gpt-realtime-mini"] {
        opens(model(&relay, name), &upstream).await;
    }
}

#[tokio::test]
async fn a_quota_in_tokens_needs_no_price_and_no_quota_neither() {
    for quota in [MANY, ""] {
        let upstream = Upstream::start().await;
        let relay = Relay::to(&upstream).key(quota).start();
        opens(model(&relay, "mystery"), &upstream).await;
    }
}

#[tokio::test]
async fn a_price_is_that_of_the_name_sent_or_of_the_one_named_for_it() {
    let upstream = Upstream::start().await;
    let models = "models = { sent = \"gpt-realtime\", named = { to = \"my-deployment\", price = \"gpt-realtime\" }, \
                  \"gpt-realtime\" = \"my-deployment\" }";
    let relay = Relay::to(&upstream).upstream(models).key(MUCH).start();
    opens(model(&relay, "sent"), &upstream).await;
    opens(model(&relay, "named"), &upstream).await;
    is_unpriced(model(&relay, "gpt-realtime")).await;
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn of_two_upstreams_the_one_with_a_price_is_used() {
    for (quota, priced) in [(MUCH, true), (MANY, false)] {
        let (first, second) = (Upstream::start().await, Upstream::start().await);
        let setup = Relay::to(&first).upstream("models = { m = \"mystery\" }").then(&second);
        let relay = setup.upstream("models = { m = \"gpt-realtime\" }").key(quota).start();
        let (used, other) = if priced { (&second, &first) } else { (&first, &second) };
        opens(model(&relay, "m"), used).await;
        other.expect_no_connection().await;
    }
}

#[tokio::test]
async fn a_call_that_is_not_billed_has_no_price() {
    let calling = |quota: &str, more: &str| {
        let (quota, more) = (format!("{quota}\nallow = [\"calls\"]"), format!("calls = true\n{more}"));
        async move {
            let upstream = Upstream::start().await;
            let relay = Relay::to(&upstream).upstream(&more).key(&quota).start();
            (relay, upstream)
        }
    };
    let (relay, upstream) = calling(MUCH, "").await;
    is_unpriced(client(&relay).key("key-of-acme").query("call_id=rtc_1")).await;
    upstream.expect_no_connection().await;
    for (quota, more) in [(MUCH, "bill_calls = true"), (MANY, ""), ("", "")] {
        let (relay, upstream) = calling(quota, more).await;
        opens(client(&relay).key("key-of-acme").query("call_id=rtc_1"), &upstream).await;
    }
}

#[tokio::test]
async fn a_transcription_has_the_price_of_its_own_model() {
    let upstream = Upstream::start().await;
    let transcribing = |model: &str| Relay::to(&upstream).upstream(&format!("transcription = {model:?}")).key(MUCH);
    let query = "intent=transcription";
    // That of a model that answers is none.
    for model in ["mystery", "gpt-realtime"] {
        let relay = transcribing(model).start();
        is_unpriced(client(&relay).key("key-of-acme").query(query)).await;
        upstream.expect_no_connection().await;
    }
    let relay = transcribing("whisper-1").start();
    opens(client(&relay).key("key-of-acme").query(query), &upstream).await;
}

/// A link that uses more than its key may. It is told so.
async fn overdraw(ours: &mut Leg, theirs: &mut Leg) {
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    ours.expect_error("insufficient_quota", "insufficient_quota").await;
    ours.expect_close_code(1008).await;
}

#[tokio::test]
async fn a_key_whose_quota_is_used_up_is_told_when_there_is_more() {
    for (per, seconds) in [("day", Some(86_400)), ("month", Some(31 * 86_400)), ("total", None)] {
        for allowance in ["tokens = 412", "usd = 0.009724800"] {
            let upstream = Upstream::start().await;
            let relay = Relay::to(&upstream).key(&format!("quota = {{ {allowance}, per = \"{per}\" }}")).start();
            let (mut ours, mut theirs) = relay.link(&upstream).await;
            overdraw(&mut ours, &mut theirs).await;

            let refused = good(&relay).refused().await;
            refused.expect(429, "insufficient_quota", "insufficient_quota");
            let after: Option<u64> = refused.head.header("retry-after").map(|after| after.parse().unwrap());
            match seconds {
                Some(most) => assert!(after.is_some_and(|after| (1..=most).contains(&after)), "{per}: {after:?}"),
                None => assert_eq!(after, None, "a total is never fresh again"),
            }
            upstream.expect_no_connection().await;
        }
    }
}

/// The ledger in a folder of its own, which can be taken away.
fn with_ledger_in(setup: Setup, folder: &Path) -> Relay {
    fs::create_dir(folder).unwrap();
    setup.metering(&format!("ledger = \"{}\"", folder.join("usage.db").display())).start()
}

async fn until_ready(relay: &Relay, ready: bool) {
    let status = if ready { 200 } else { 503 };
    let waiting = async { while operator(relay, "/readyz").ask().await.status != status {} };
    within(&format!("/readyz to answer {status}"), waiting).await;
}

#[tokio::test]
async fn no_link_begins_while_the_ledger_takes_no_records() {
    let place = tempfile::tempdir().unwrap();
    let (folder, away) = (place.path().join("ledger"), place.path().join("away"));
    for (from, to) in [(folder.clone(), away.clone()), (folder.join("usage.db"), away.clone())] {
        let upstream = Upstream::start().await;
        let relay = with_ledger_in(Relay::to(&upstream), &folder);
        let (mut ours, mut theirs) = relay.link(&upstream).await;
        until_ready(&relay, true).await;
        fs::rename(&from, &to).unwrap();
        theirs.text(DONE).await;
        ours.expect_text(DONE).await;
        until_ready(&relay, false).await;
        let unready = operator(&relay, "/readyz").ask().await;
        assert!(unready.text.starts_with("ledger_unavailable"), "{}", unready.text);
        let refused = good(&relay).refused().await;
        refused.expect(503, "ledger_unavailable", "server_error").expect_header("retry-after", "5");
        upstream.expect_no_connection().await;
        // The link that runs goes on.
        ours.text("up").await;
        theirs.expect_text("up").await;

        fs::rename(&to, &from).unwrap();
        until_ready(&relay, true).await;
        opens(good(&relay), &upstream).await;
        drop(relay);
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[tokio::test]
async fn where_the_log_takes_what_the_ledger_does_not_links_begin() {
    let place = tempfile::tempdir().unwrap();
    let (folder, away) = (place.path().join("ledger"), place.path().join("away"));
    let upstream = Upstream::start().await;
    let relay = with_ledger_in(Relay::to(&upstream).metering("on_failure = \"log\"").key(ONE), &folder);
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    fs::rename(&folder, &away).unwrap();
    // What is in the log alone counts as well.
    overdraw(&mut ours, &mut theirs).await;
    until_ready(&relay, true).await;
    good(&relay).refused().await.expect(429, "insufficient_quota", "insufficient_quota");
}

#[tokio::test]
async fn a_price_is_asked_for_before_the_quota_then_comes_the_ledger_then_a_place() {
    let place = tempfile::tempdir().unwrap();
    let (folder, away) = (place.path().join("ledger"), place.path().join("away"));
    let upstream = Upstream::start().await;
    let setup = Relay::to(&upstream)
        .more("[[keys]]\nname = \"globex\"\nkey = \"key-of-globex\"\n")
        .upstream("models = { priced = \"gpt-realtime\", unpriced = \"mystery\" }")
        .limits("max_links = 2\nclose_timeout = \"100ms\"")
        .key(ONE);
    let relay = with_ledger_in(setup, &folder);
    let open = async |key: &str| {
        let asking = client(&relay).key(key).model("priced").ask().await;
        let theirs = upstream.leg().await;
        (asking.opened().await, theirs)
    };
    let ((mut ours, mut theirs), (mut other, mut other_upstream)) =
        (open("key-of-acme").await, open("key-of-globex").await);
    model(&relay, "unknown").refused().await.expect(404, "model_not_found", "invalid_request_error");
    is_unpriced(model(&relay, "unpriced")).await;
    model(&relay, "priced").refused().await.expect(503, "at_capacity", "server_error");

    fs::rename(&folder, &away).unwrap();
    other_upstream.text(DONE).await;
    other.expect_text(DONE).await;
    until_ready(&relay, false).await;
    is_unpriced(model(&relay, "unpriced")).await;
    model(&relay, "priced").refused().await.expect(503, "ledger_unavailable", "server_error");

    fs::rename(&away, &folder).unwrap();
    until_ready(&relay, true).await;
    overdraw(&mut ours, &mut theirs).await;
    fs::rename(&folder, &away).unwrap();
    other_upstream.text(&DONE.replace("resp_A1", "resp_A2")).await;
    other.next().await;
    until_ready(&relay, false).await;
    is_unpriced(model(&relay, "unpriced")).await;
    model(&relay, "priced").refused().await.expect(429, "insufficient_quota", "insufficient_quota");
    fs::rename(&away, &folder).unwrap();
}
