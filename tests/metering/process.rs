//! A process that records, and what can happen to it: it is killed, or its disk refuses. This very binary is the process,
//! started again.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use realtime_relay::control::config::OnFailure;
use realtime_relay::control::ledger::{FlushError, Health, Ledger, Opened, Stored};
use rlimit::{Resource, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::rows::{PATIENCE, Place, eventually, link, response, settings, within};

/// What the process is to do, and where.
const ROLE: &str = "LEDGER_TEST_ROLE";
const LEDGER: &str = "LEDGER_TEST_PATH";
/// The signal of a file that grows beyond its limit. Nobody here wants to die of it: the write fails as well.
const SIGXFSZ: i32 = 25;

/// Whatever was committed is there after a kill in the middle of everything.
#[test]
fn no_committed_record_is_lost_in_fifty_kills() {
    let place = Place::new();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..50 {
        let mut process = process("write", &place.path());
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let committed = lines.filter_map(|line| line.strip_prefix("committed ").map(str::to_owned));
        acknowledged.extend(committed.take(1 + round % 7 * 20));
        process.kill().unwrap(); // SIGKILL
        process.wait().unwrap();
        drop(Opened::new(&place.settings).expect("it opens as if nothing had been"));
    }
    assert!(acknowledged.len() > 500);
    let sql = place.sql();
    let mut find = sql.prepare("SELECT count(*) FROM usage WHERE link_id = ?1").unwrap();
    for id in &acknowledged {
        assert_eq!(find.query_row([id], |row| row.get::<_, i64>(0)).unwrap(), 1, "{id} is lost");
    }
    assert_eq!(sql.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
}

#[test]
fn what_a_failing_disk_refuses_is_written_once_it_does_not_or_handed_back() {
    let place = Place::new();
    let (success, out) = finished(process("fail", &place.path()));
    assert!(success, "{out}");
    assert_eq!(place.count("usage"), 101, "{out}");
    assert_eq!(place.count("link"), 0, "{out}");
    drop(Opened::new(&place.settings).unwrap());
}

#[test]
fn where_links_go_on_the_log_takes_what_the_disk_refuses() {
    let place = Place::new();
    let (success, out) = finished(process("log", &place.path()));
    assert!(success, "{out}");
    assert_eq!(place.count("usage"), 1, "{out}");
    for id in ["resp_0", "resp_1", "resp_2"] {
        let logged = out.lines().filter(|line| line.contains("not in the ledger") && line.contains(id)).count();
        assert_eq!(logged, 1, "{id}: {out}");
    }
}

/// The process itself.
#[tokio::test]
#[ignore = "the other tests start it, each with a role"]
async fn one_that_records() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(LEDGER)) else { return };
    let path = PathBuf::from(path);
    let _unharmed = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    match role.as_str() {
        "write" => write_for_ever(&path).await,
        "fail" => fail_and_recover(&path).await,
        "log" => fail_and_log(&path).await,
        _ => panic!("no role {role}"),
    }
}

async fn write_for_ever(path: &Path) {
    let ledger = Ledger::start(&settings(path)).unwrap();
    loop {
        let ids: Vec<_> = (0..20).map(|_| Uuid::new_v4()).collect();
        let tickets: Vec<_> =
            ids.iter().map(|id| ledger.recorder().try_record(response(*id, Some("r"))).unwrap()).collect();
        for (id, ticket) in ids.iter().zip(tickets) {
            assert_eq!(within(ticket).await, Stored::New);
            println!("committed {id}");
        }
    }
}

async fn fail_and_recover(path: &Path) {
    let ledger = Ledger::start(&settings(path)).unwrap();
    let mut recorder = ledger.recorder();
    within(recorder.try_record(response(Uuid::new_v4(), None)).unwrap()).await;
    no_file_may_grow(path);
    let tickets: Vec<_> = (0..100).map(|_| recorder.try_record(response(Uuid::new_v4(), None)).unwrap()).collect();
    eventually(|| matches!(&*ledger.health(), Health::Failing { .. })).await;
    assert!(ledger.refuses_links());
    files_may_grow();
    for ticket in tickets {
        assert_eq!(within(ticket).await, Stored::New);
    }
    assert!(!ledger.refuses_links());

    no_file_may_grow(path);
    // Whatever has room in the files as they are is written; the rest is handed back, and none of it is in both places.
    let ids: Vec<_> = (0..100).map(|_| Uuid::new_v4()).collect();
    for id in &ids {
        recorder.try_record(link(*id)).unwrap();
    }
    let Err(FlushError::Unwritten { records, error }) = ledger.flush(Instant::now() + Duration::from_millis(300))
    else {
        panic!("written to a disk that is full");
    };
    println!("{error}");
    assert_eq!(records.len(), ids.len());
    assert!(records.iter().zip(&ids).all(|(record, id)| record.to_json()["link_id"] == id.to_string()));
}

async fn fail_and_log(path: &Path) {
    tracing_subscriber::fmt().json().with_writer(std::io::stdout).init();
    let mut settings = settings(path);
    settings.on_failure = OnFailure::Log;
    let ledger = Ledger::start(&settings).unwrap();
    let mut recorder = ledger.recorder();
    within(recorder.try_record(response(Uuid::new_v4(), None)).unwrap()).await;
    no_file_may_grow(path);
    for id in ["resp_0", "resp_1", "resp_2"] {
        let ticket = recorder.try_record(response(Uuid::new_v4(), Some(id))).unwrap();
        assert_eq!(within(ticket).await, Stored::Logged);
    }
    assert!(matches!(&*ledger.health(), Health::Failing { .. }));
    assert!(!ledger.refuses_links(), "links go on");
    ledger.flush(Instant::now() + PATIENCE).unwrap();
}

/// No write beyond the end of the write-ahead log succeeds any more.
fn no_file_may_grow(ledger: &Path) {
    let log = ledger.with_file_name("usage.db-wal");
    setrlimit(Resource::FSIZE, std::fs::metadata(log).unwrap().len(), rlimit::INFINITY).unwrap();
}

fn files_may_grow() {
    setrlimit(Resource::FSIZE, rlimit::INFINITY, rlimit::INFINITY).unwrap();
}

fn process(role: &str, ledger: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::one_that_records", "--ignored", "--nocapture"]);
    command.env(ROLE, role).env(LEDGER, ledger).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Whether it ended well, and all it said.
fn finished(mut process: Child) -> (bool, String) {
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    process.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (process.wait().unwrap().success(), out + &err)
}
