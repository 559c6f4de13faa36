//! What needs a hand inside: a disk that is full, a lock that is held, a queue that is short, and rows by the thousand.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::control::prices::NanoUsd;
use crate::relay::events::{Tokens, Usage};

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_full_disk_keeps_what_waits_and_takes_it_once_there_is_room() {
    let (_folder, opened) = fresh();
    let other = beside(&opened);
    let fill = "INSERT INTO usage (key, link_id) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200) \
                SELECT 'filler', hex(randomblob(2000)) || i FROM n";
    other.execute_batch(fill).unwrap();
    let pages: i64 = opened.store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    opened.store.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    let ledger = opened.start(|_: &NewUsage| {}).unwrap();

    let mut recorder = ledger.recorder();
    let tickets: Vec<_> = (0..500).map(|_| recorder.try_record(usage(i64::MAX)).unwrap()).collect();
    eventually(|| matches!(&*ledger.health(), Health::Failing { error, .. } if error.contains("full"))).await;
    assert!(ledger.refuses_links());

    other.execute("DELETE FROM usage WHERE key = 'filler'", []).unwrap();
    for ticket in tickets {
        assert_eq!(within(ticket).await, Stored::New);
    }
    assert_eq!(*ledger.health(), Health::Ok);
    assert_eq!(count(&other, "key = 'acme'"), 500);
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_a_failure_until_it_is_let_go() {
    let (_folder, mut opened) = fresh();
    opened.manner.lock_patience = Duration::ZERO;
    let other = beside(&opened);
    let ledger = opened.start(|_: &NewUsage| {}).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ticket = ledger.recorder().try_record(usage(1)).unwrap();
    eventually(|| matches!(&*ledger.health(), Health::Failing { error, .. } if error.contains("locked"))).await;
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(within(ticket).await, Stored::New);
    assert_eq!(*ledger.health(), Health::Ok);
}

#[tokio::test]
async fn who_finds_no_room_is_woken_when_there_is_and_nothing_is_lost() {
    let (_folder, mut opened) = fresh();
    opened.room = 2;
    let other = beside(&opened);
    let ledger = opened.start(|_: &NewUsage| {}).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (mut first, mut second) = (ledger.recorder(), ledger.recorder());
    let mut taken = 0;
    let full = loop {
        match first.try_record(usage(1)) {
            Ok(_) => taken += 1,
            Err(Full(record)) => break record,
        }
    };
    let woken = tokio::spawn(async move {
        std::future::poll_fn(|cx| first.poll_room(cx)).await;
        first.try_record(full).expect("room was promised").await
    });
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(within(woken).await.unwrap(), Stored::New);
    std::future::poll_fn(|cx| second.poll_room(cx)).await;
    drop(second); // with the room it holds
    ledger.flush(Instant::now() + PATIENCE).unwrap();
    assert_eq!(count(&other, "key = 'acme'"), taken + 1);
}

#[tokio::test]
async fn what_the_disk_refuses_to_the_end_is_handed_back() {
    let (_folder, mut opened) = fresh();
    opened.manner.lock_patience = Duration::ZERO;
    let other = beside(&opened);
    let ledger = opened.start(|_: &NewUsage| {}).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut recorder = ledger.recorder();
    let tickets: Vec<_> = (0..1500).map(|_| recorder.try_record(usage(1)).unwrap()).collect();
    match ledger.flush(Instant::now()) {
        Err(FlushError::Unwritten { records, error }) => {
            assert_eq!(records.len(), 1500);
            assert!(error.contains("locked"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    for ticket in tickets {
        assert_eq!(within(ticket).await, Stored::Unwritten);
    }
    let Err(Full(_)) = recorder.try_record(usage(1)) else { panic!("recorded after the end") };
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&other, "TRUE"), 0);
}

#[test]
fn what_is_too_old_goes_step_by_step_and_the_newest_row_stays() {
    let (_folder, mut opened) = fresh();
    let store = &mut opened.store;
    let old: Vec<_> =
        (0..1100).map(|at| Record::Usage(usage(at))).chain((0..3).map(|_| Record::Link(link(5)))).collect();
    store.commit(old.iter()).unwrap();
    assert!(store.sweep(2000).unwrap());
    assert!(store.sweep(2000).unwrap());
    assert!(!store.sweep(2000).unwrap());
    assert_eq!((count(&store.connection, "at_ms = 1099"), count(&store.connection, "TRUE")), (1, 1));
    let links: i64 = store.connection.query_row("SELECT count(*) FROM link", [], |row| row.get(0)).unwrap();
    assert_eq!(links, 0);

    let other = beside(&opened);
    other.execute("INSERT INTO usage (key, at_ms) VALUES ('acme', 3000)", []).unwrap();
    assert_eq!(opened.store.others().unwrap().len(), 1, "its number is a new one");
    assert!(!opened.store.sweep(2000).unwrap());
    assert_eq!(count(&other, "TRUE"), 1, "what was the newest is so no more");
}

#[test]
fn links_that_end_in_one_moment_are_each_their_own_row_and_what_was_there_stays() {
    let (_folder, mut opened) = fresh();
    let store = &mut opened.store;
    let known = link(0);
    store.commit([Record::Link(known.clone())].iter()).unwrap();
    let of_number = |number: u8| Record::Link(LinkRow { bytes_down: number.into(), ..link(number.into()) });
    let mut records: Vec<_> = (1..=30).map(of_number).collect();
    records.insert(3, Record::Link(LinkRow { bytes_down: 99, ..known }));
    records.insert(20, Record::Usage(usage(5)));
    let commit = store.commit(records.iter()).unwrap();
    assert_eq!((commit.new.len(), commit.new.iter().filter(|new| **new).count()), (32, 31));

    let mut rows =
        store.connection.prepare("SELECT opened_ms, ended_ms, bytes_down, link_id FROM link ORDER BY rowid").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    let rows: Vec<(i64, i64, i64, String)> = rows.collect::<rusqlite::Result<_>>().unwrap();
    let links = records.iter().filter_map(|record| match record {
        Record::Link(row) if row.bytes_down != 99 => Some(row),
        _ => None,
    });
    let told = links.map(|row| (row.opened_ms, row.ended_ms, row.bytes_down.cast_signed(), row.link_id.to_string()));
    assert!(rows[1..].iter().cloned().eq(told), "{rows:?}");
    assert_eq!(rows[0].2, 4, "the first one to be written stays");
}

#[test]
fn rows_of_others_are_told_once_also_after_the_rows_are_numbered_anew() {
    let (_folder, mut opened) = fresh();
    let other = beside(&opened);
    let insert = |key: &str| {
        other
            .execute("INSERT INTO usage (key, at_ms, input_text, cost_nano_usd) VALUES (?1, 7, 3, NULL)", [key])
            .unwrap()
    };
    let store = &mut opened.store;
    let ours: Vec<_> = (0..10).map(|_| Record::Usage(usage(1))).collect();
    store.commit(ours.iter()).unwrap();
    insert("b");
    let told = store.others().unwrap();
    let used = Used { cost: NanoUsd::ZERO, tokens: 3 };
    assert_eq!(told, [NewUsage { key: "b".into(), at_ms: 7, used }]);
    assert_eq!(store.others().unwrap(), []);
    insert("c");
    assert_eq!(store.commit(ours[..1].iter()).unwrap().others.len(), 1, "before our own");
    assert_eq!(store.others().unwrap(), []);

    other.execute_batch("DELETE FROM usage WHERE rowid < 12; VACUUM").unwrap();
    assert_eq!(store.others().unwrap(), []);
    insert("d");
    assert_eq!(store.others().unwrap().len(), 1);
    other.execute("INSERT INTO usage (key, at_ms, input_text) VALUES (x'ff', 'soon', 'many')", []).unwrap();
    assert_eq!(store.others().unwrap()[0].used, Used::default(), "nonsense of others stops nobody");
}

#[test]
fn a_row_of_nonsense_does_not_take_the_sum_with_it() {
    let (_folder, mut opened) = fresh();
    let mut row = usage(10);
    row.usage.input.audio = u64::MAX;
    row.cost = Some(NanoUsd::MAX);
    let rows = [Record::Usage(row.clone()), Record::Usage(UsageRow { response_id: None, ..row })];
    opened.store.commit(rows.iter()).unwrap();
    opened.store.others().unwrap();
    let used = opened.used("acme", &(0..11)).unwrap();
    assert_eq!(used.cost, NanoUsd::MAX);
    assert!(used.tokens >= i64::MAX.cast_unsigned());
    assert_eq!(opened.used("acme", &(0..10)).unwrap(), Used::default(), "the end is not of the time");
    assert_eq!(opened.used("other", &(0..11)).unwrap(), Used::default());
}

/// A new ledger in a folder of its own.
fn fresh() -> (TempDir, Opened) {
    let folder = tempfile::tempdir().unwrap();
    let opened = Opened::new(&settings(&folder.path().join("usage.db"))).unwrap();
    (folder, opened)
}

fn settings(path: &Path) -> Settings {
    let (durability, on_failure) = (Durability::Async, OnFailure::Stall);
    Settings { path: path.to_owned(), durability, on_failure, retention: None }
}

/// Another process's connection.
fn beside(opened: &Opened) -> Connection {
    Connection::open(&opened.store.path).unwrap()
}

fn usage(at_ms: i64) -> UsageRow {
    UsageRow {
        at_ms,
        link_id: Uuid::new_v4(),
        key: "acme".into(),
        upstream: "openai".into(),
        model: "gpt-realtime".into(),
        kind: UsageKind::Response,
        response_id: Some("resp_1".into()),
        status: "completed".into(),
        usage: Usage { input: Tokens { text: 1, ..Tokens::default() }, ..Usage::default() },
        seconds: None,
        cost: Some(NanoUsd::new(5)),
        billed: true,
    }
}

fn link(opened_ms: i64) -> LinkRow {
    LinkRow {
        link_id: Uuid::new_v4(),
        request_id: "r".into(),
        key: "acme".into(),
        upstream: "openai".into(),
        model: "gpt-realtime".into(),
        opened_ms,
        ended_ms: opened_ms + 1,
        ending: "client_close",
        unsettled: false,
        client_close: Some(1000),
        upstream_close: None,
        frames_up: 1,
        frames_down: 2,
        bytes_up: 3,
        bytes_down: 4,
    }
}

fn count(connection: &Connection, rows: &str) -> i64 {
    connection.query_row(&format!("SELECT count(*) FROM usage WHERE {rows}"), [], |row| row.get(0)).unwrap()
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("waited in vain")
}

/// Another thread sets it, and tells nobody.
async fn eventually(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(wait).await;
}
