//! With `durability = "before_delivery"` nobody has a response that is not in the ledger.

use std::time::Duration;

use rusqlite::Connection;
use tokio::task::JoinSet;

use super::{DONE, close, done};
use crate::support::frame::Frame;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

const LINKS: usize = 40;
const RESPONSES: usize = 20;

/// Less than the ledger's patience with a lock, and more than a commit ever takes.
const LOCKED: Duration = Duration::from_secs(1);

fn held(upstream: &Upstream) -> Setup {
    Relay::to(upstream).workers(2).metering("durability = \"before_delivery\"")
}

/// Everything that the upstream says of a response.
fn answer(id: &str) -> Vec<String> {
    vec![
        format!(r#"{{"type":"response.created","response":{{"id":"{id}"}}}}"#),
        r#"{"type":"response.output_audio.delta","delta":"AAAA"}"#.to_owned(),
        done(id),
        r#"{"type":"rate_limits.updated"}"#.to_owned(),
    ]
}

fn is_recorded(ledger: &Connection, id: &str) -> bool {
    let mut query = ledger.prepare_cached("SELECT count(*) FROM usage WHERE response_id = ?1").unwrap();
    query.query_row([id], |row| row.get::<_, i64>(0)).unwrap() == 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_is_in_the_ledger_when_its_client_has_it() {
    let upstream = Upstream::start().await;
    let relay = held(&upstream).start();
    let mut links = JoinSet::new();
    for link in 0..LINKS {
        let (mut ours, mut theirs) = relay.link(&upstream).await;
        let ledger = relay.ledger().connect();
        links.spawn(async move {
            // All at once, so that each is held behind the one before.
            let ids: Vec<_> = (0..RESPONSES).map(|number| format!("resp_{link}_{number}")).collect();
            let frames: Vec<_> = ids.iter().flat_map(|id| answer(id)).map(Frame::text).collect();
            theirs.send(&frames).await;
            for id in ids {
                for text in answer(&id) {
                    ours.expect_text(&text).await;
                    assert!(
                        !text.contains("response.done") || is_recorded(&ledger, &id),
                        "{id} is delivered too early"
                    );
                }
            }
            close(&mut ours, &mut theirs).await;
        });
    }
    while let Some(link) = links.join_next().await {
        link.unwrap();
    }
    relay.ledger().until_count("usage", LINKS * RESPONSES).await;
}

#[tokio::test]
async fn what_follows_it_waits_behind_it_while_everything_else_goes_on() {
    let upstream = Upstream::start().await;
    let relay = held(&upstream).workers(1).start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let (mut other, mut other_upstream) = relay.link(&upstream).await;
    let lock = relay.ledger().connect();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said: Vec<_> = ["resp_1", "resp_2"].into_iter().flat_map(answer).collect();
    theirs.send(&said.iter().map(Frame::text).collect::<Vec<_>>()).await;
    for text in &said[..2] {
        ours.expect_text(text).await;
    }
    let early = tokio::time::timeout(LOCKED, ours.awaken()).await;
    assert!(early.is_err(), "delivered before it could be recorded: {:?}", ours.arrived());
    // The client is heard, and the other link of this worker goes on.
    ours.text("up").await;
    theirs.expect_text("up").await;
    other_upstream.text("down").await;
    other.expect_text("down").await;
    lock.execute_batch("COMMIT").unwrap();
    for text in &said[2..] {
        ours.expect_text(text).await;
    }
    close(&mut ours, &mut theirs).await;
    assert_eq!(relay.ledger().count("usage"), 2);
}

#[tokio::test]
async fn a_close_behind_it_waits_too() {
    let upstream = Upstream::start().await;
    let relay = held(&upstream).start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let lock = relay.ledger().connect();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    theirs.send(&[Frame::text(DONE), Frame::close(4000, "over")]).await;
    theirs.hang_up().await;
    let early = tokio::time::timeout(LOCKED, ours.awaken()).await;
    assert!(early.is_err(), "{:?}", ours.arrived());
    lock.execute_batch("COMMIT").unwrap();
    ours.expect_text(DONE).await;
    ours.expect_close(4000, "over").await;
    assert_eq!(relay.ledger().count("usage"), 1);
}

#[tokio::test]
async fn a_client_that_leaves_while_it_is_held_pays_for_it() {
    let upstream = Upstream::start().await;
    let relay = held(&upstream).limits("close_timeout = \"300ms\"").start();
    let (ours, mut theirs) = relay.link(&upstream).await;
    let lock = relay.ledger().connect();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    theirs.text(DONE).await;
    ours.reset();
    theirs.expect_close_code(1001).await;
    lock.execute_batch("COMMIT").unwrap();
    relay.ledger().until_count("usage", 1).await;
    relay.ledger().until_count("link WHERE NOT unsettled", 1).await;
}

#[tokio::test]
async fn a_link_whose_record_nobody_takes_ends_without_the_response() {
    let upstream = Upstream::start().await;
    let relay = held(&upstream).limits("write_timeout = \"300ms\"\nclose_timeout = \"500ms\"").start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let lock = relay.ledger().connect();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    theirs.text(DONE).await;
    ours.expect_error("server_error", "ledger_unavailable").await;
    ours.expect_close_code(1011).await;
    ours.close(1011, "").await;
    theirs.expect_close_code(1001).await;
    theirs.close(1001, "").await;
    theirs.hang_up().await;
    ours.expect_end().await;
    ours.hang_up().await;
    lock.execute_batch("COMMIT").unwrap();
    // It was used, all the same.
    relay.ledger().until_count("usage", 1).await;
    relay.ledger().until_count("link WHERE ending = 'ledger_unavailable'", 1).await;
}

/// Without holding, a link waits only when more records wait than the ledger keeps in line; and what has been delivered is
/// recorded, whatever becomes of the link.
#[tokio::test]
async fn a_link_that_brings_more_than_the_ledger_takes_waits_then_ends_and_nothing_is_dropped() {
    const MORE_THAN_FIT: usize = 20_000;
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("write_timeout = \"300ms\"\nclose_timeout = \"500ms\"").start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let lock = relay.ledger().connect();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let sending = tokio::spawn(async move {
        for number in 0..MORE_THAN_FIT {
            let small = format!(r#"{{"type":"response.done","response":{{"id":"resp_{number}"}}}}"#);
            if !theirs.try_send(&[Frame::text(small)]).await {
                break;
            }
        }
        theirs.rest().await;
    });
    let mut delivered = 0;
    loop {
        let text = String::from_utf8(ours.next().await.payload).unwrap();
        if !text.contains("response.done") {
            assert!(text.contains("ledger_unavailable"), "{text}");
            break;
        }
        delivered += 1;
    }
    ours.expect_close_code(1011).await;
    assert!((8192..MORE_THAN_FIT).contains(&delivered), "{delivered} were delivered before it had to wait");
    assert_eq!(relay.ledger().count("usage"), 0);
    lock.execute_batch("COMMIT").unwrap();
    ours.close(1011, "").await;
    ours.hang_up().await;
    relay.ledger().until_count("link WHERE ending = 'ledger_unavailable'", 1).await;
    // With more, perhaps, that came too late for the client.
    let those = format!("usage WHERE CAST(substr(response_id, 6) AS INTEGER) < {delivered}");
    assert_eq!(relay.ledger().count(&those), delivered);
    sending.await.unwrap();
}
