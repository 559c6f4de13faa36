//! How each link went is one row, written when both legs are gone; and what was under way when its client left is on the
//! bill.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{COLUMNS, DONE, close, done, request_id};
use crate::support::client::client;
use crate::support::frame::{CLOSE, Frame};
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

const HOW: &str = "ending, unsettled, client_close, upstream_close";
const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_A1"}}"#;
const CANCEL: &str = r#"{"type":"response.cancel","response_id":"resp_A1"}"#;

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// How the one link went.
async fn went(relay: &Relay) -> String {
    relay.ledger().until_count("link", 1).await;
    relay.ledger().ask(&format!("SELECT {HOW} FROM link")).remove(0)
}

#[tokio::test]
async fn a_row_has_every_column_of_a_link_that_both_sides_closed() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("models = { voice = \"gpt-realtime\" }").start();
    let begun = unix_ms();
    let asking = client(&relay).key("key-of-acme").model("voice").header("X-Request-Id", "req-of-mine").ask().await;
    let (mut theirs, mut ours) = (upstream.leg().await, asking.opened().await);
    let opened = unix_ms();
    let up = [Frame::ping("?"), Frame::text("in two").more(), Frame::continuation("parts")];
    let down = [Frame::pong("?"), Frame::text(DONE)];
    ours.send(&up).await;
    for frame in &up {
        theirs.expect(frame.clone()).await;
    }
    theirs.send(&down).await;
    for frame in &down {
        ours.expect(frame.clone()).await;
    }
    theirs.close(4322, "bye").await;
    ours.expect_close(4322, "bye").await;
    let closing = unix_ms();
    ours.close(4321, "").await;
    theirs.expect_close(4321, "").await;
    theirs.hang_up().await;
    ours.expect_end().await;
    ours.hang_up().await;
    relay.ledger().until_count("link", 1).await;
    let ended = unix_ms();

    let bytes_up = ours.encoded(&up).len() + ours.encoded(&[Frame::close(4321, "")]).len();
    let bytes_down = theirs.encoded(&down).len() + theirs.encoded(&[Frame::close(4322, "bye")]).len();
    let row = relay.ledger().ask(&format!(
        "SELECT request_id, key, upstream, model, {HOW}, frames_up, frames_down, bytes_up, bytes_down, \
         opened_ms BETWEEN {begun} AND {opened}, ended_ms BETWEEN {closing} AND {ended} FROM link"
    ));
    assert_eq!(
        row,
        [format!("req-of-mine|acme|primary|gpt-realtime|upstream_close|0|4321|4322|4|3|{bytes_up}|{bytes_down}|1|1")]
    );
    let ids = relay.ledger().ask("SELECT link.link_id = usage.link_id, length(link.link_id) FROM link, usage");
    assert_eq!(ids, ["1|36"], "a UUID");
}

#[tokio::test]
async fn a_row_has_no_key_of_its_own_where_nobody_has_one() {
    for auth in ["none", "passthrough"] {
        let upstream = Upstream::start().await;
        let relay = Relay::to(&upstream).auth(auth).start();
        let (mut ours, mut theirs) = relay.link(&upstream).await;
        theirs.text(DONE).await;
        ours.expect_text(DONE).await;
        close(&mut ours, &mut theirs).await;
        relay.ledger().until_count("link", 1).await;
        assert_eq!(relay.ledger().ask("SELECT link.key, usage.key FROM link, usage"), [format!("{auth}|{auth}")]);
    }
}

#[tokio::test]
async fn a_row_says_who_ended_the_link_and_with_which_codes() {
    let upstream = Upstream::start().await;
    let start = || Relay::to(&upstream).limits("settle_timeout = \"100ms\"\nclose_timeout = \"300ms\"").start();

    let relay = start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    theirs.send(&[Frame::new(CLOSE, "")]).await;
    ours.expect(Frame::new(CLOSE, "")).await;
    ours.send(&[Frame::new(CLOSE, "")]).await;
    theirs.expect(Frame::new(CLOSE, "")).await;
    theirs.hang_up().await;
    ours.hang_up().await;
    assert_eq!(went(&relay).await, "upstream_close|0|1005|1005", "an empty close has no code");

    let relay = start();
    let (ours, mut theirs) = relay.link(&upstream).await;
    ours.reset();
    theirs.expect_close_code(1001).await;
    theirs.close(1001, "").await;
    assert_eq!(went(&relay).await, "client_lost|0||1001");

    let relay = start();
    let (mut ours, theirs) = relay.link(&upstream).await;
    theirs.reset();
    ours.expect_event("upstream_connection_lost").await;
    ours.expect_close_code(1011).await;
    ours.close(1011, "").await;
    assert_eq!(went(&relay).await, "upstream_lost|0|1011|");

    let relay = start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let links = operator(&relay, "/links").ask().await;
    let id = links.json[0]["id"].as_str().unwrap().to_owned();
    operator(&relay, &format!("/links/{id}")).method("DELETE").ask().await;
    ours.expect_error("permission_error", "ended_by_operator").await;
    ours.expect_close_code(1008).await;
    theirs.expect_close_code(1000).await;
    // Nobody answers within the close timeout.
    assert_eq!(went(&relay).await, "ended_by_operator|0||");
    assert_eq!(relay.ledger().ask("SELECT link_id FROM link"), [id], "the id that operators see");

    let relay = start();
    let (mut ours, _theirs) = relay.link(&upstream).await;
    ours.raw(&[0xf1, 0x80, 0, 0, 0, 0]).await;
    ours.expect_close_code(1002).await;
    assert_eq!(went(&relay).await, "client_protocol_error|0||");
}

fn patient(upstream: &Upstream) -> Setup {
    Relay::to(upstream).limits("settle_timeout = \"10s\"\nclose_timeout = \"300ms\"")
}

/// A link with a response under way.
async fn begun(relay: &Relay, upstream: &Upstream) -> (Leg, Leg) {
    let (mut ours, mut theirs) = relay.link(upstream).await;
    theirs.text(CREATED).await;
    ours.expect_text(CREATED).await;
    (ours, theirs)
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_an_answer_pays_for_it() {
    for politely in [true, false] {
        let upstream = Upstream::start().await;
        let relay = patient(&upstream).start();
        let (mut ours, mut theirs) = begun(&relay, &upstream).await;
        if politely {
            ours.close(1000, "").await;
            ours.expect_close(1000, "").await;
            ours.expect_end().await;
        } else {
            ours.reset();
        }
        theirs.expect_text(CANCEL).await;
        assert_eq!(relay.ledger().count("link"), 0, "it is not over yet");
        theirs.text(&DONE.replace(r#""completed","status_details""#, r#""cancelled","status_details""#)).await;
        let code = if politely { 1000 } else { 1001 };
        theirs.expect_close_code(code).await;
        theirs.close(code, "").await;
        let (how, client_close) = if politely { ("client_close", "1000") } else { ("client_lost", "") };
        assert_eq!(went(&relay).await, format!("{how}|0|{client_close}|{code}"));
        let rows = relay.ledger().ask(&format!("SELECT {COLUMNS} FROM usage"));
        assert_eq!(rows, [super::DONE_ROW.replace("completed", "cancelled")]);
    }
}

#[tokio::test]
async fn a_response_that_begins_after_its_client_has_left_is_cancelled_and_paid_for_too() {
    let upstream = Upstream::start().await;
    let relay = patient(&upstream).start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    ours.send(&[Frame::text(r#"{"type":"response.create"}"#)]).await;
    ours.hang_up().await;
    theirs.expect_text(r#"{"type":"response.create"}"#).await;
    theirs.text(CREATED).await;
    theirs.expect_text(CANCEL).await;
    theirs.text(DONE).await;
    theirs.expect_close_code(1001).await;
    theirs.close(1001, "").await;
    assert_eq!(went(&relay).await, "client_lost|0||1001");
    assert_eq!(relay.ledger().count("usage WHERE cost_nano_usd = 9724800"), 1);
}

#[tokio::test]
async fn a_link_whose_last_response_is_not_known_is_marked() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("settle_timeout = \"100ms\"\nclose_timeout = \"100ms\"").start();
    let (mut ours, mut theirs) = begun(&relay, &upstream).await;
    theirs.text(&done("another")).await;
    ours.expect_text(&done("another")).await;
    let request_id = request_id(&ours);
    ours.reset();
    theirs.expect_text(CANCEL).await;
    // And then not a word.
    theirs.expect_close_code(1001).await;
    assert_eq!(went(&relay).await, "client_lost|1||");
    assert_eq!(relay.ledger().ask("SELECT request_id FROM link"), [request_id]);
    assert_eq!(relay.ledger().ask("SELECT response_id FROM usage"), ["another"]);
}
