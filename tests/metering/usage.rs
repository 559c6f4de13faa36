//! `realtime-relay usage`, the binary itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Instant, SystemTime};

use realtime_relay::control::ledger::{Ledger, UsageKind, UsageRow, unix_ms};
use realtime_relay::control::prices::NanoUsd;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::rows::{PATIENCE, Place, link, response, within};

/// 2026-11-21T22:26:40Z, and the day after.
const EVENING: i64 = 1_795_300_000_000;
const NEXT_DAY: i64 = EVENING + 7_200_000;

#[test]
fn an_array_of_groups_is_printed_by_key_unless_told_otherwise() {
    let place = recorded();
    let groups = json_of(&place, &[]);
    let acme = json!({
        "group": "acme", "links": 2, "responses": 3, "transcriptions": 1,
        "input_text": 160, "input_audio": 120, "input_image": 80,
        "cached_text": 16, "cached_audio": 12, "cached_image": 8,
        "output_text": 28, "output_audio": 32,
        "seconds": 4.5, "cost_usd": 3.000_000_001, "unpriced": 2,
    });
    assert_eq!(groups[0], acme);
    assert_eq!(names(&groups), ["acme", "other"]);
    let columns: Vec<_> = groups[0].as_object().unwrap().keys().collect();
    let csv = ran(&place, &["--csv"]);
    assert_eq!(csv.lines().next().unwrap().split(',').collect::<Vec<_>>(), columns, "in the same order");
    assert_eq!((groups[1]["links"].as_u64(), groups[1]["responses"].as_u64()), (Some(0), Some(1)));
    assert_eq!(groups.as_array().unwrap().len(), 2);
}

#[test]
fn groups_are_keys_models_upstreams_or_days_in_utc() {
    let place = recorded();
    let by = |by| json_of(&place, &["--by", by]);
    assert_eq!(names(&by("model")), ["gpt-realtime", "mystery", "whisper-1"]);
    assert_eq!(names(&by("upstream")), ["azure", "openai"]);
    let days = by("day");
    assert_eq!(names(&days), ["2026-11-21", "2026-11-22"]);
    assert_eq!((days[0]["links"].as_u64(), days[0]["responses"].as_u64()), (Some(1), Some(2)));
    assert_eq!((days[1]["links"].as_u64(), days[1]["responses"].as_u64()), (Some(1), Some(2)));
}

#[test]
fn only_what_is_not_older_is_counted() {
    let place = Place::new();
    let now = unix_ms(SystemTime::now());
    let hour = 3_600_000;
    let used = |at_ms| UsageRow { at_ms, ..response(Uuid::new_v4(), None) };
    let linked = |opened_ms| {
        let mut row = link(Uuid::new_v4());
        row.opened_ms = opened_ms;
        row
    };
    let ledger = Ledger::start(&place.settings).unwrap();
    let mut recorder = ledger.recorder();
    for hours in [1, 23, 25, 1000] {
        recorder.try_record(used(now - hours * hour)).unwrap();
        recorder.try_record(linked(now - hours * hour)).unwrap();
    }
    ledger.flush(Instant::now() + PATIENCE).unwrap();
    let counted = |since: &[&str]| {
        let groups = json_of(&place, since);
        (groups[0]["responses"].as_u64().unwrap(), groups[0]["links"].as_u64().unwrap())
    };
    assert_eq!(counted(&["--since", "24h"]), (2, 2));
    assert_eq!(counted(&["--since", "2d"]), (3, 3));
    assert_eq!(counted(&[]), (4, 4));
    assert_eq!(json_of(&place, &["--since", "1s"]), json!([]));
    assert_eq!(ran(&place, &["--since", "1s"]), "nothing was recorded\n");
}

#[test]
fn a_table_has_a_line_a_group_and_a_sum_and_no_empty_column() {
    let place = recorded();
    let table = ran(&place, &[]);
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..4], ["key", "links", "responses", "transcriptions"]);
    assert_eq!(lines.iter().map(|line| line[0]).collect::<Vec<_>>(), ["key", "acme", "other", "total"]);
    assert_eq!(lines[3][1..4], ["2", "4", "1"]);
    let widths: Vec<_> = table.lines().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{table}");

    place
        .sql()
        .execute_batch("DELETE FROM usage WHERE kind = 'transcription'; UPDATE usage SET model = char(27) || '[2J'")
        .unwrap();
    let table = ran(&place, &["--by", "model"]);
    assert!(!table.contains("transcriptions") && !table.contains("seconds"), "{table}");
    assert!(!table.contains('\u{1b}'), "a model's name speaks to the terminal");
}

#[test]
fn a_name_in_csv_stays_one_field() {
    let place = recorded();
    place.sql().execute_batch("UPDATE usage SET model = 'a,\"b\"' || char(10) || 'c'").unwrap();
    let csv = ran(&place, &["--csv", "--by", "model"]);
    assert!(csv.contains("\n\"a,\"\"b\"\"\nc\",0,4,1,"), "{csv}");
    place.sql().execute_batch("DELETE FROM usage; DELETE FROM link").unwrap();
    assert_eq!(ran(&place, &["--csv"]).lines().count(), 1, "a header, and nothing else");
}

#[tokio::test]
async fn a_ledger_is_read_while_a_relay_writes_to_it() {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    let mut recorder = ledger.recorder();
    for written in 1..=3 {
        within(recorder.try_record(response(Uuid::new_v4(), None)).unwrap()).await;
        assert_eq!(json_of(&place, &[])[0]["responses"], written);
    }
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(json_of(&place, &[])[0]["responses"], 3, "and while it holds the lock");
}

#[test]
fn the_configuration_names_the_ledger_and_needs_none_of_its_secrets() {
    let place = recorded();
    let file = place.folder.path().join("relay.toml");
    fs::write(&file, "[[upstreams]]\nname = \"u\"\nkey = \"env:NOT_SET\"\n[metering]\nledger = \"usage.db\"\n")
        .unwrap();
    let named = run(&["--config", file.to_str().unwrap(), "--json"], Path::new("/"));
    assert!(named.status.success(), "{}", told(&named));
    let found = run(&["--json"], place.folder.path());
    assert_eq!(found.stdout, named.stdout, "relay.toml of this folder");
    fs::remove_file(&file).unwrap();
    assert_eq!(run(&["--json"], place.folder.path()).stdout, named.stdout, "usage.db of this folder");

    fs::write(&file, "[metering]\nledger = 7\n").unwrap();
    let wrong = run(&[], place.folder.path());
    assert_eq!(wrong.status.code(), Some(2));
    assert!(told(&wrong).contains("relay.toml:2:10: metering.ledger: expected a string"), "{}", told(&wrong));
}

#[test]
fn what_cannot_be_read_is_told_and_exits_1_and_what_cannot_be_meant_2() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("usage.db");
    let ledger = |arguments: &[&str]| run(&[&["--ledger", "usage.db"], arguments].concat(), folder.path());
    let missing = ledger(&[]);
    assert_eq!((missing.status.code(), told(&missing).contains("there is no ledger usage.db")), (Some(1), true));
    assert!(!path.exists(), "it is not made");
    fs::write(&path, "name,tokens\n".repeat(100)).unwrap();
    let foreign = ledger(&["--json"]);
    assert_eq!((foreign.status.code(), told(&foreign).contains("usage.db is not a ledger")), (Some(1), true));
    assert!(foreign.stdout.is_empty());
    fs::write(&path, "").unwrap();
    assert!(told(&ledger(&[])).contains("usage.db is not a ledger"), "an empty file");
    for wrong in [&["--by", "week"][..], &["--since", "soon"], &["--json", "--csv"], &["--config", "relay.toml"]] {
        assert_eq!(ledger(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// Two links of one key on two days, four responses and a transcription, one of them of another key.
fn recorded() -> Place {
    let place = Place::new();
    let ledger = Ledger::start(&place.settings).unwrap();
    let mut recorder = ledger.recorder();
    let used = |at_ms| UsageRow { at_ms, ..response(Uuid::new_v4(), Some("resp_1")) };
    let transcription = UsageRow {
        kind: UsageKind::Transcription,
        model: "whisper-1".into(),
        seconds: Some(4.5),
        cost: None,
        ..used(NEXT_DAY)
    };
    let mystery = UsageRow { model: "mystery".into(), upstream: "azure".into(), cost: None, ..used(EVENING) };
    let precise = UsageRow { cost: Some(NanoUsd::new(1_500_000_001)), ..used(NEXT_DAY) };
    for row in [used(EVENING), mystery, precise, transcription, UsageRow { key: "other".into(), ..used(NEXT_DAY) }] {
        recorder.try_record(row).unwrap();
    }
    for opened_ms in [EVENING, NEXT_DAY] {
        let mut row = link(Uuid::new_v4());
        row.opened_ms = opened_ms;
        recorder.try_record(row).unwrap();
    }
    ledger.flush(Instant::now() + PATIENCE).unwrap();
    place
}

fn names(groups: &Value) -> Vec<&str> {
    groups.as_array().unwrap().iter().map(|group| group["group"].as_str().unwrap()).collect()
}

fn json_of(place: &Place, arguments: &[&str]) -> Value {
    serde_json::from_str(&ran(place, &[&["--json"], arguments].concat())).unwrap()
}

/// What it prints about a ledger.
fn ran(place: &Place, arguments: &[&str]) -> String {
    let output = run(&[&["--ledger", place.path().to_str().unwrap()], arguments].concat(), Path::new("/"));
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-relay"));
    command.arg("usage").args(arguments).current_dir(folder).env_remove("OPENAI_API_KEY").output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
