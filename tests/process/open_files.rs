//! When there are fewer open files than clients: it is said, nothing breaks, and it passes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::relay::Relay;
use crate::support::within;

/// So many files the relay may have open: enough to run, and for a few clients.
const OPEN_FILES: u64 = 64;
/// Those who connect and say nothing are not cut before the test is over.
const PATIENT: &str = "handshake_timeout = \"10m\"";

const TROUBLE: &str = "cannot accept connections";
const OVER: &str = "connections are accepted again";

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    within(what, wait).await;
}

/// Clients that say nothing, one more than the relay has files for, or as many.
async fn fill(relay: &Relay) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    let is_full = || !relay.log().lines(TROUBLE).is_empty();
    while !is_full() {
        silent.push(relay.connect().await);
        until("a client to be accepted, or not", || relay.queued() == 0 || is_full()).await;
    }
    silent
}

#[tokio::test]
async fn a_relay_that_runs_out_of_open_files_says_so_once_and_recovers() {
    let relay = Relay::start_with(PATIENT, Some(OPEN_FILES)).await;
    let mut silent = fill(&relay).await;
    // More come and are queued. With each that leaves one of them is accepted, and accepting fails again.
    for _ in 0..6 {
        silent.push(relay.connect().await);
    }
    let mut queued = relay.queued();
    for _ in 0..3 {
        silent.remove(0);
        until("one of the queue to be accepted", || relay.queued() < queued).await;
        queued = relay.queued();
    }
    silent.clear();
    relay.log().line(OVER).await;
    let link = relay.link().await;
    drop(link);
    let told = relay.log();
    assert_eq!((told.lines(TROUBLE).len(), told.lines(OVER).len()), (1, 1), "it is said once that it begins and ends");
    assert!(told.lines(TROUBLE)[0].contains("WARN") && told.lines(OVER)[0].contains("INFO"));
}

#[tokio::test]
async fn no_upstream_is_blamed_for_a_lack_of_open_files() {
    let relay = Relay::start_with(PATIENT, Some(OPEN_FILES)).await;
    let mut silent = fill(&relay).await;
    // The queue empties, and then there is a file for one more client, but none for its upstream.
    while relay.queued() > 0 {
        let queued = relay.queued();
        silent.remove(0);
        until("one of the queue to be accepted", || relay.queued() < queued).await;
    }
    silent.remove(0);
    for _ in 0..8 {
        let mut client = relay.connect().await;
        client.write_all(relay.request().as_bytes()).await.unwrap();
        let mut answer = String::new();
        within("a refusal", client.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains(r#""code":"at_capacity""#) && answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
    }
    silent.clear();
    // Its breaker would be open now, and would stay so for a while.
    until("the silent ones to be gone", || relay.open_files() < OPEN_FILES / 2).await;
    relay.link().await;
    assert_eq!(relay.log().lines("breaker opened").len(), 0);
}

#[tokio::test]
async fn more_links_than_there_are_open_files_for_are_told_at_start() {
    let relay = Relay::start_with("max_links = 1000", Some(OPEN_FILES * 10)).await;
    let warning = relay.log().line("open files").await;
    // 2 a link, 128 in reserve, and 4 for the only worker.
    for part in ["WARN", "limits.max_links = 1000 needs 2132 open files", "may have 640", "at most 254"] {
        assert!(warning.contains(part), "{part:?} in {warning}");
    }
    let relay = Relay::start_with("max_links = 254", Some(OPEN_FILES * 10)).await;
    assert_eq!(relay.log().lines("open files"), [""; 0], "254 links are no more than there are files for");
}
