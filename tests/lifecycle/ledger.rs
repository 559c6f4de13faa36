//! What of the ledger outlives the process: every response that a client was delivered, when the relay is killed, followed
//! by another under load, or finds the disk full.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rlimit::Resource;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::peers::expect_exit;
use crate::process::{Place, Relay, Setup};
use crate::support::client::{Client, client};
use crate::support::frame::{CLOSE, Frame};
use crate::support::ledger::Ledger;
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::spender::{Account, Lots, recorded, recorded_in_all};
use crate::support::upstream::Upstream;
use crate::support::within;

const CREATE: &str = r#"{"type":"response.create"}"#;
const SLOWLY: &str = r#"{"type":"response.create","slowly":true}"#;
const ROUNDS: u64 = 20;
const LINKS: usize = 8;
/// Where a client does not wait for the commit, it has begun and ended within this time, on a machine that has time.
const SOON: Duration = Duration::from_millis(50);

/// A ledger that no process takes with it.
struct Kept(TempDir);

impl Kept {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("usage.db")
    }

    fn ledger(&self) -> Ledger {
        Ledger::at(self.file())
    }

    /// A relay that writes to it.
    fn setup(&self, upstream: &Upstream, metering: &str) -> Setup {
        Setup::to(upstream).more(&format!("[metering]\nledger = \"{}\"\n{metering}\n", self.file().display()))
    }
}

fn asking(place: &Place) -> Client<'_> {
    client(place).model("gpt-realtime")
}

/// When a client had which response.
type Had = Vec<(String, Instant)>;

/// A client that has one response after the other until its relay is gone.
async fn have_all_you_can(place: Place) -> Had {
    let mut leg = asking(&place).open().await;
    let mut had = Vec::new();
    while let Some(id) = have(&mut leg).await {
        had.push((id, Instant::now()));
    }
    had
}

/// Has one more response: its id; `None`: the relay is gone.
async fn have(leg: &mut Leg) -> Option<String> {
    leg.try_send(&[Frame::text(CREATE)]).await;
    loop {
        let event: Value = serde_json::from_slice(&leg.next_or_end().await?.payload).unwrap();
        if event["type"] == "response.done" {
            return Some(event["response"]["id"].as_str().unwrap().to_owned());
        }
    }
}

/// Waits until the upstream has said so many responses more.
async fn until_said(account: &Account, more: u64) {
    let said = account.total().responses;
    let waiting = async {
        while account.total().responses < said + more {
            tokio::task::yield_now().await;
        }
    };
    within("responses", waiting).await;
}

/// Kills a relay under load, over and over, each time after so many responses. For each round: what clients had and the ledger has not, with its age at the
/// kill. The ledger opens as if nothing had been each time.
async fn kill_over_and_over(metering: &str, after: Range<u64>) -> Vec<Vec<Duration>> {
    let (upstream, account, kept) = (Upstream::start().await, Account::default(), Kept::new());
    let _serving = account.serve(&upstream);
    let mut lots = Lots(u64::from(std::process::id()));
    let (mut rounds, mut total) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let mut relay = kept.setup(&upstream, metering).start().await;
        let (place, mut clients) = (relay.place(), JoinSet::new());
        for _ in 0..LINKS {
            clients.spawn(have_all_you_can(place));
        }
        until_said(&account, after.start + lots.draw(after.end - after.start)).await;
        let killed = Instant::now();
        relay.process.signal(Signal::KILL);
        assert_eq!(relay.process.exit_code().await, None);
        let mut had = Had::new();
        while let Some(client) = within("the clients to notice", clients.join_next()).await {
            had.extend(client.unwrap());
        }
        total += had.len();
        rounds.push(missing(&kept, had, killed));
        let whole = kept.ledger().ask("PRAGMA integrity_check");
        assert_eq!(whole, ["ok"]);
    }
    assert!(total > 100, "{total} responses are not a load");
    println!("{total} responses were had in {ROUNDS} rounds with {metering:?}");
    rounds
}

/// How old those were at the kill that a client had and the ledger has not.
fn missing(kept: &Kept, had: Had, killed: Instant) -> Vec<Duration> {
    let recorded: HashSet<_> = kept.ledger().ask("SELECT response_id FROM usage").into_iter().collect();
    let age = |(id, at): (String, Instant)| (!recorded.contains(&id)).then(|| killed.saturating_duration_since(at));
    had.into_iter().filter_map(age).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_was_held_until_it_was_recorded_survives_every_kill() {
    for missing in kill_over_and_over("durability = \"before_delivery\"", 20..150).await {
        assert_eq!(missing, [] as [Duration; 0], "had by a client, and not in the ledger");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_costs_no_response_that_is_older_than_moments() {
    // Enough for most of them to be older than that, at several thousand in a second.
    let rounds = kill_over_and_over("", 2000..4000).await;
    let mut longest: Vec<_> = rounds.into_iter().map(|missing| missing.into_iter().max().unwrap_or_default()).collect();
    longest.sort();
    println!("the oldest that was lost was {:?} old", longest[longest.len() - 1]);
    // Whoever takes the processor from the ledger's thread does not do so in every round.
    let usual = longest[longest.len() / 2];
    assert!(usual < 2 * SOON, "{usual:?} old, and lost, in every second round: {longest:?}");
}

/// Has some responses and leaves, over and over, until it is told that it is enough. Whoever is refused fails.
async fn come_and_go(place: Place, enough: Arc<AtomicBool>) {
    while !enough.load(Ordering::Relaxed) {
        let mut leg = asking(&place).open().await;
        for _ in 0..10 {
            have(&mut leg).await.expect("a relay that stays until its links end");
        }
        leg.close(1000, "").await;
        while leg.next().await.opcode != CLOSE {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_bill_everything_once_while_one_takes_the_place_of_the_other() {
    let (upstream, account, kept) = (Upstream::start().await, Account::default(), Kept::new());
    let _serving = account.serve(&upstream);
    let socket = kept.0.path().join("takeover");
    let setup = || {
        // A client that was accepted just before has a moment for its request.
        let setup = kept.setup(&upstream, "").limits("drain_grace = \"1s\"\ndrain_timeout = 0");
        setup.server(&format!("takeover_socket = \"{}\"", socket.display()))
    };
    let mut current = setup().start().await;
    let (place, enough, mut clients) = (current.place(), Arc::<AtomicBool>::default(), JoinSet::new());
    for _ in 0..LINKS {
        clients.spawn(come_and_go(place, enough.clone()));
    }
    for _ in 0..3 {
        until_said(&account, 200).await;
        let next = setup().argument("--takeover").argument(socket.to_str().unwrap()).start().await;
        expect_exit(std::mem::replace(&mut current, next)).await;
    }
    enough.store(true, Ordering::Relaxed);
    while let Some(client) = within("the clients to leave", clients.join_next()).await {
        client.expect("every client is served");
    }
    current.process.signal(Signal::INT);
    expect_exit(current).await;
    let total = account.total();
    assert_eq!(recorded_in_all(&kept.ledger()), total);
    assert_eq!(recorded(&kept.ledger(), "ending = 'client_close' AND NOT unsettled"), account.sums());
    println!("{total:?}");
}

/// Links with one whole response each, and one under way.
async fn answering(relay: &Relay) -> Vec<Leg> {
    let mut legs = Vec::new();
    for _ in 0..LINKS {
        let mut leg = asking(&relay.place()).open().await;
        have(&mut leg).await.unwrap();
        leg.text(SLOWLY).await;
        while !String::from_utf8_lossy(&leg.next().await.payload).contains("response.output_audio.delta") {}
        legs.push(leg);
    }
    legs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_has_what_is_under_way_settled_and_billed() {
    let (upstream, account, kept) = (Upstream::start().await, Account::default(), Kept::new());
    let _serving = account.serve(&upstream);
    let limits = "drain_grace = 0\ndrain_timeout = \"100ms\"\ndrain_spread = \"100ms\"\nclose_timeout = \"300ms\"";
    let relay = kept.setup(&upstream, "").limits(limits).start().await;
    let legs = answering(&relay).await;
    relay.process.signal(Signal::TERM);
    expect_exit(relay).await;
    drop(legs);
    assert_eq!(account.total().responses, 2 * LINKS as u64, "the second one is cancelled");
    assert_eq!(recorded(&kept.ledger(), "ending = 'relay_restarting' AND NOT unsettled"), account.sums());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_ended_at_once_records_what_it_has_and_marks_what_it_has_not() {
    let (upstream, account, kept) = (Upstream::start().await, Account::default(), Kept::new());
    let _serving = account.serve(&upstream);
    let mut relay = kept.setup(&upstream, "").limits("drain_timeout = 0").start().await;
    let legs = answering(&relay).await;
    let had = account.sums();
    relay.process.signal(Signal::TERM);
    relay.process.says("SIGTERM: draining").await;
    relay.process.signal(Signal::TERM);
    expect_exit(relay).await;
    drop(legs);
    assert_eq!(recorded(&kept.ledger(), "ending = 'relay_restarting' AND unsettled"), had);
    assert_eq!(kept.ledger().count("link"), LINKS);
}

/// A relay for whose files a limit can be set: a write beyond it then fails, and is no more than that.
async fn limitable(setup: Setup) -> Relay {
    let (command, folder) = setup.command();
    let mut unharmed = Command::new("sh");
    unharmed.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
    unharmed.env_remove("LISTEN_FDS");
    Relay::run(unharmed, folder).await
}

/// From now on no write to any file succeeds, or all do.
fn fill_disk(relay: &Relay, full: bool) {
    let most = if full { 0 } else { rlimit::INFINITY };
    rlimit::prlimit(relay.process.id(), Resource::FSIZE, Some((most, rlimit::INFINITY)), None).unwrap();
}

async fn until_ready(relay: &Relay, ready: bool) {
    let status = if ready { 200 } else { 503 };
    let waiting = async { while operator(relay, "/readyz").ask().await.status != status {} };
    within(&format!("/readyz to answer {status}"), waiting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_go_on_while_the_disk_is_full_and_nothing_of_them_is_lost() {
    let (upstream, account, kept) = (Upstream::start().await, Account::default(), Kept::new());
    let _serving = account.serve(&upstream);
    let relay = limitable(kept.setup(&upstream, "")).await;
    let mut legs = Vec::new();
    for _ in 0..LINKS {
        legs.push(asking(&relay.place()).open().await);
    }
    let respond = async |legs: &mut Vec<Leg>| {
        for _ in 0..20 {
            for leg in &mut *legs {
                have(leg).await.expect("links go on");
            }
        }
    };
    respond(&mut legs).await;
    for _ in 0..3 {
        fill_disk(&relay, true);
        respond(&mut legs).await;
        until_ready(&relay, false).await;
        let refused = asking(&relay.place()).refused().await;
        refused.expect(503, "ledger_unavailable", "server_error");
        respond(&mut legs).await;
        fill_disk(&relay, false);
        until_ready(&relay, true).await;
        respond(&mut legs).await;
    }
    for mut leg in legs {
        leg.close(1000, "").await;
        while leg.next().await.opcode != CLOSE {}
    }
    relay.process.signal(Signal::INT);
    expect_exit(relay).await;
    assert_eq!(recorded(&kept.ledger(), "NOT unsettled"), account.sums());
    println!("{:?}", account.total());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_with_a_full_disk_says_what_it_could_not_write() {
    let (upstream, account, kept) = (Upstream::start().await, Account::default(), Kept::new());
    let _serving = account.serve(&upstream);
    let mut relay = limitable(kept.setup(&upstream, "")).await;
    let mut leg = asking(&relay.place()).open().await;
    let written = have(&mut leg).await.unwrap();
    within("it to be written", async { while kept.ledger().count("usage") < 1 {} }).await;
    fill_disk(&relay, true);
    let unwritten = have(&mut leg).await.unwrap();
    until_ready(&relay, false).await;
    relay.process.signal(Signal::INT);
    relay.process.says("draining: no new clients").await;
    leg.close(1000, "").await;
    while leg.next().await.opcode != CLOSE {}
    assert_eq!(relay.process.exit_code().await, Some(1));
    let log = relay.process.whole_log().await;
    let records: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |table: &str| records.iter().filter(|record| record["table"] == table).collect::<Vec<_>>();
    let ids: Vec<_> = of("usage").iter().map(|record| record["response_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [unwritten], "{log}");
    assert_eq!(of("link").len(), 1, "{log}");
    assert_eq!(kept.ledger().ask("SELECT response_id FROM usage"), [written]);
}
