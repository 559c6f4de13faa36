//! What is recorded is there, once; what is not a ledger stays what it is.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use realtime_relay::control::config::Durability;
use realtime_relay::control::ledger::{Health, Ledger, LedgerError, LinkRow, NewUsage, Opened, Record, Stored};
use realtime_relay::control::ledger::{UsageKind, UsageRow, Used, unix_ms};
use realtime_relay::control::prices::NanoUsd;
use uuid::Uuid;

use crate::rows::{PATIENCE, Place, eventually, link, response, settings, within};
use crate::support;

#[tokio::test]
async fn a_row_has_what_was_recorded_in_the_columns_that_are_promised() {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    let id = Uuid::new_v4();
    let transcription = UsageRow {
        kind: UsageKind::Transcription,
        response_id: Some("item_1/0".into()),
        seconds: Some(4.5),
        cost: None,
        ..response(id, None)
    };
    let mut recorder = ledger.recorder();
    for record in [response(id, Some("resp_1")).into(), transcription.into(), link(id).into()] {
        let record: Box<Record> = record;
        assert_eq!(within(recorder.try_record(record).unwrap()).await, Stored::New);
    }
    let id = id.to_string();
    let usage = "at_ms, link_id, key, upstream, model, kind, response_id, status, input_text, input_audio, input_image, \
                 cached_text, cached_audio, cached_image, output_text, output_audio, seconds, cost_nano_usd";
    let shown = format!(
        "1795300000123|{id}|acme|openai|gpt-realtime|response|resp_1|completed|40|30|20|4|3|2|7|8||1500000000\n\
         1795300000123|{id}|acme|openai|gpt-realtime|transcription|item_1/0|completed|40|30|20|4|3|2|7|8|4.5|"
    );
    assert_eq!(table(&place, usage, "usage"), shown);
    let columns = "link_id, request_id, key, upstream, model, opened_ms, ended_ms, ending, unsettled, client_close, \
                   upstream_close, frames_up, frames_down, bytes_up, bytes_down";
    let shown = format!("{id}|req_1|acme|openai|gpt-realtime|1795299999000|1795300001000|client_close|1|1000||1|2|3|4");
    assert_eq!(table(&place, columns, "link"), shown);
}

#[tokio::test]
async fn the_same_response_seen_twice_is_one_record_and_one_without_an_id_always_its_own() {
    let place = Place::new();
    let told = Told::default();
    let ledger = Opened::new(&place.settings).unwrap().start(told.observer()).unwrap();
    let mut recorder = ledger.recorder();
    let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
    let mut stored = Vec::new();
    for (link, id) in [(one, Some("r")), (one, Some("r")), (other, Some("r")), (one, None), (one, None)] {
        stored.push(within(recorder.try_record(response(link, id)).unwrap()).await);
    }
    let item = UsageRow { kind: UsageKind::Transcription, ..response(one, Some("r")) };
    stored.push(within(recorder.try_record(item).unwrap()).await);
    let new = Stored::New;
    assert_eq!(stored, [new, Stored::Duplicate, new, new, new, new]);
    assert_eq!(place.count("usage"), 5);
    assert_eq!(
        told.of("acme"),
        vec![Used { cost: NanoUsd::new(1_500_000_000), tokens: 105 }; 5],
        "a quota counts once"
    );
    assert_eq!(within(recorder.try_record(link(one)).unwrap()).await, Stored::New);
    assert_eq!(within(recorder.try_record(link(one)).unwrap()).await, Stored::Duplicate);
}

#[tokio::test]
async fn two_processes_share_a_ledger_and_each_hears_of_every_row_once() {
    let place = Place::new();
    let told = [Told::default(), Told::default()];
    let ledgers = told.each_ref().map(|told| Opened::new(&place.settings).unwrap().start(told.observer()).unwrap());
    let mut tickets = Vec::new();
    for _ in 0..200 {
        for ledger in &ledgers {
            tickets.push(ledger.recorder().try_record(response(Uuid::new_v4(), Some("r"))).unwrap());
        }
        tokio::task::yield_now().await;
    }
    for ticket in tickets {
        assert_eq!(within(ticket).await, Stored::New);
    }
    for told in &told {
        eventually(|| told.of("acme").len() >= 400).await;
        assert_eq!(told.of("acme").len(), 400);
    }
    let [first, second] = ledgers;
    first.flush(Instant::now() + PATIENCE).unwrap();
    second.flush(Instant::now() + PATIENCE).unwrap();
    assert_eq!(place.count("usage"), 400);
}

#[tokio::test]
async fn what_was_used_before_is_summed_and_what_comes_after_is_told() {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    for _ in 0..3 {
        ledger.recorder().try_record(response(Uuid::new_v4(), Some("r"))).unwrap();
    }
    ledger.flush(Instant::now() + PATIENCE).unwrap();

    let told = Told::default();
    let opened = Opened::new(&place.settings).unwrap();
    let other = Ledger::start(&place.settings).unwrap();
    within(other.recorder().try_record(response(Uuid::new_v4(), Some("r"))).unwrap()).await;
    let at = 1_795_300_000_123;
    let used = opened.used("acme", &(at..at + 1)).unwrap();
    assert_eq!(used, Used { cost: NanoUsd::new(4_500_000_000), tokens: 315 }, "not the one that will be told");
    assert_eq!(opened.used("acme", &(0..at)).unwrap(), Used::default());
    let _ledger = opened.start(told.observer()).unwrap();
    eventually(|| told.of("acme").len() == 1).await;
}

#[tokio::test]
async fn a_lock_of_another_process_is_waited_for() {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut ticket = ledger.recorder().try_record(response(Uuid::new_v4(), None)).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(600), &mut ticket).await;
    assert!(early.is_err(), "committed past a lock");
    assert_eq!(*ledger.health(), Health::Ok, "a lock of less than seconds is no failure");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(within(ticket).await, Stored::New);
}

#[tokio::test]
async fn a_ledger_that_is_taken_away_takes_no_records_until_it_is_back() {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    let mut recorder = ledger.recorder();
    within(recorder.try_record(response(Uuid::new_v4(), None)).unwrap()).await;
    let away = place.folder.path().join("away.db");
    fs::rename(place.path(), &away).unwrap();
    let ticket = recorder.try_record(response(Uuid::new_v4(), None)).unwrap();
    eventually(|| matches!(&*ledger.health(), Health::Failing { error, .. } if error.contains("moved or deleted")))
        .await;
    fs::rename(&away, place.path()).unwrap();
    assert_eq!(within(ticket).await, Stored::New);
    ledger.flush(Instant::now() + PATIENCE).unwrap();
    assert_eq!(place.count("usage"), 2);
}

#[tokio::test]
async fn a_burst_of_records_shares_its_commits() {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    let mut recorder = ledger.recorder();
    let tickets: Vec<_> =
        (0..2000).map(|_| recorder.try_record(response(Uuid::new_v4(), Some("r"))).unwrap()).collect();
    for ticket in tickets {
        within(ticket).await;
    }
    // A commit of its own writes five pages or more for each record: the log would be as long as it may become.
    let log = fs::metadata(place.path().with_extension("db-wal")).unwrap().len();
    assert!(log < 3 << 20, "{log} bytes");
}

#[tokio::test]
async fn what_is_older_than_is_kept_is_deleted() {
    let mut place = Place::new();
    place.settings.retention = Some(Duration::from_hours(1));
    let ledger = Ledger::start(&place.settings).unwrap();
    let mut recorder = ledger.recorder();
    let old = Uuid::new_v4();
    let now = unix_ms(SystemTime::now());
    let of_today = UsageRow { at_ms: now, ..response(Uuid::new_v4(), None) };
    recorder.try_record(UsageRow { at_ms: now - 3_700_000, ..response(old, None) }).unwrap();
    recorder.try_record(LinkRow { opened_ms: 1, ended_ms: 2, ..link(old) }).unwrap();
    recorder.try_record(LinkRow { opened_ms: now - 3_700_000, ended_ms: now, ..link(of_today.link_id) }).unwrap();
    within(recorder.try_record(of_today).unwrap()).await;
    eventually(|| place.count("usage") == 1 && place.count("link") == 1).await;
    assert_eq!(place.count(&format!("usage JOIN link USING (link_id) WHERE link_id <> '{old}'")), 1);
}

#[tokio::test]
async fn everything_recorded_is_written_at_the_end() {
    let place = Place::new();
    let mut settings = place.settings.clone();
    settings.durability = Durability::BeforeDelivery;
    for _ in 0..3 {
        let ledger = Ledger::start(&settings).unwrap();
        let mut recorder = ledger.recorder();
        for _ in 0..2000 {
            recorder.try_record(response(Uuid::new_v4(), Some("r"))).unwrap();
        }
        ledger.flush(Instant::now() + PATIENCE).unwrap();
        assert!(recorder.try_record(response(Uuid::new_v4(), None)).is_err(), "taken after the end");
    }
    assert_eq!(place.count("usage"), 6000);
}

#[tokio::test]
async fn a_ledger_that_is_dropped_writes_what_it_has() {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    let ticket = ledger.recorder().try_record(response(Uuid::new_v4(), None)).unwrap();
    drop(ledger);
    assert_eq!(within(ticket).await, Stored::New);
}

#[test]
fn an_older_ledger_is_brought_up_to_date_with_its_rows() {
    let place = Place::new();
    place.sql().execute_batch(include_str!("ledger_v1.sql")).unwrap();
    drop(Opened::new(&place.settings).unwrap());
    let sql = place.sql();
    let version: i64 = sql.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let indexes: i64 = sql
        .query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL", [], |row| row.get(0))
        .unwrap();
    assert_eq!((version, indexes), (2, 3));
    assert_eq!((place.count("usage"), place.count("link")), (2, 1));
    let opened = Opened::new(&place.settings).unwrap();
    let used = opened.used("acme", &(0..i64::MAX)).unwrap();
    assert_eq!(used, Used { cost: NanoUsd::new(9_724_800), tokens: 412 + 300 });
}

#[test]
fn a_new_ledger_is_the_same_as_one_that_grew_old() {
    let schema = |place: &Place| {
        table(
            place,
            "type, name, tbl_name, replace(replace(ifnull(sql, ''), ' ', ''), char(10), '')",
            "sqlite_schema ORDER BY name",
        )
    };
    let (new, old, empty, unnumbered) = (Place::new(), Place::new(), Place::new(), Place::new());
    old.sql().execute_batch(include_str!("ledger_v1.sql")).unwrap();
    fs::write(empty.path(), "").unwrap();
    unnumbered.sql().execute_batch(include_str!("ledger_v1.sql")).unwrap();
    unnumbered.sql().pragma_update(None, "user_version", 0).unwrap();
    for place in [&new, &old, &empty, &unnumbered] {
        drop(Opened::new(&place.settings).unwrap());
    }
    assert_eq!(schema(&old), schema(&new));
    assert_eq!(schema(&empty), schema(&new));
    assert_eq!((schema(&unnumbered), unnumbered.count("usage")), (schema(&new), 2));
    let mode: String = new.sql().pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn a_ledger_of_a_later_relay_is_refused() {
    let place = Place::new();
    drop(Opened::new(&place.settings).unwrap());
    place.sql().pragma_update(None, "user_version", 3).unwrap();
    let told = refused(&place.path());
    assert!(told.contains("is of version 3, and this relay knows none above 2"), "{told}");
}

#[test]
fn what_is_not_a_ledger_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let path = place.path();
    fs::write(&path, "at_ms,link_id\n".repeat(100)).unwrap();
    assert!(refused(&path).contains("is not a ledger, and was left as it is"));

    fs::remove_file(&path).unwrap();
    place.sql().execute_batch("CREATE TABLE usage (id INTEGER); PRAGMA user_version = 1").unwrap();
    assert!(refused(&path).contains("is not a ledger"));
    fs::remove_file(&path).unwrap();
    place.sql().execute_batch("CREATE TABLE notes (id INTEGER)").unwrap();
    assert!(refused(&path).contains("is not a ledger"));

    let folder = place.folder.path();
    assert!(matches!(Opened::new(&settings(folder)), Err(LedgerError::Sqlite { .. })), "a folder");
    let nowhere = folder.join("nowhere/usage.db");
    let told = Opened::new(&settings(&nowhere)).unwrap_err().to_string();
    assert!(told.contains("nowhere of the ledger does not exist; create it"), "{told}");
    assert!(!nowhere.exists());
}

#[test]
fn a_damaged_ledger_is_refused_and_left_as_it_is() {
    let place = Place::new();
    let path = place.path();
    place.sql().execute_batch(include_str!("ledger_v1.sql")).unwrap();
    drop(Opened::new(&place.settings).unwrap());
    let whole = fs::read(&path).unwrap();
    for (what, damaged) in [
        ("cut", whole[..whole.len() - 4096].to_vec()),
        ("a page of noise", [&whole[..4096], &[0x5a; 4096][..], &whole[8192..]].concat()),
        ("a schema of noise", [&whole[..100], &[0x5a; 3996][..], &whole[4096..]].concat()),
        ("pages of nothing", [&whole[..8192], &vec![0; whole.len() - 8192]].concat()),
    ] {
        fs::write(&path, &damaged).unwrap();
        let told = refused(&path);
        assert!(told.contains("is damaged, and was left as it is"), "{what}: {told}");
    }
}

/// Rows as text, a line each.
fn table(place: &Place, columns: &str, from: &str) -> String {
    support::ledger::Ledger::at(place.path()).ask(&format!("SELECT {columns} FROM {from}")).join("\n")
}

/// Why this file is refused. It has not changed, whatever is in it.
fn refused(path: &Path) -> String {
    let before = fs::read(path).unwrap();
    let told = Opened::new(&settings(path)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(fs::read(path).unwrap(), before, "written to: {told}");
    told
}

/// What an observer was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<NewUsage>>>);

impl Told {
    fn observer(&self) -> impl FnMut(&NewUsage) + Send + 'static {
        let told = self.0.clone();
        move |new| told.lock().unwrap().push(new.clone())
    }

    fn of(&self, key: &str) -> Vec<Used> {
        self.0.lock().unwrap().iter().filter(|new| &*new.key == key).map(|new| new.used).collect()
    }
}
