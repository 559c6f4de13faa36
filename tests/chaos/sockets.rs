//! The whole relay between peers that fail over real sockets, hundreds of links at once: nothing is left of them, and what
//! they used is recorded.
//!
//! It refuses to look at frames one by one: in memory that is done better.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::frames::{Speaker, moment};
use crate::support::frame::{CLOSE, Frame, TEXT};
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

const LINKS: usize = 250;
/// Four sockets a link, all in this process, and some for everything else.
const FILES: u64 = LINKS as u64 * 4 + 200;
/// Nobody stalls for longer, but for those that stall for good. Peers that stall are among the faults that are played, and over
/// sockets there is no clock that could be paused.
const STALL: Duration = Duration::from_millis(60);
/// Whoever waits, or reads nothing, does so for this time.
const LONG: Duration = Duration::from_secs(1);
/// No deadline of the relay's decides anything, however slow this machine is, but for legs that are told the end and do not
/// answer.
const LIMITS: &str = "close_timeout = \"1s\"\nsettle_timeout = \"1s\"";

/// How a peer ends its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ends {
    Waits,
    Closes,
    HalfCloses,
    Resets,
    HalfClosesInFrame,
    ResetsInFrame,
    ReadsNothing,
}

/// A client's part: the responses whose end it has seen.
struct Seen {
    ends: Ends,
    done: Vec<String>,
}

#[tokio::test]
async fn of_hundreds_of_links_that_fail_over_sockets_nothing_is_left_but_their_records() {
    rlimit::increase_nofile_limit(FILES).expect("enough open files");
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).limits(LIMITS).start();
    // What is opened once, for all links, is opened by the first.
    let (mut client, mut theirs) = relay.link(&upstream).await;
    client.close(1000, "").await;
    theirs.expect_close(1000, "").await;
    theirs.close(1000, "").await;
    client.expect_close(1000, "").await;
    drop((client, theirs));
    relay.ledger().until_count("link", 1).await;
    let before = open_files();

    let (mut rng, mut clients, mut upstreams) = (Rng::with_seed(8), JoinSet::new(), JoinSet::new());
    for link in 0..LINKS {
        let (client, theirs) = relay.link(&upstream).await;
        let (ours, other) = (rng.fork(), rng.fork());
        clients.spawn(async move { (link, play_client(client, ours).await) });
        upstreams.spawn(async move { (link, play_upstream(theirs, other, link).await) });
    }
    let seen: BTreeMap<_, _> = clients.join_all().await.into_iter().collect();
    let sent: BTreeMap<_, _> = upstreams.join_all().await.into_iter().collect();

    // The row of a link stands behind those of its responses.
    relay.ledger().until_count("link", LINKS + 1).await;
    let rows = relay.ledger().ask("SELECT response_id FROM usage ORDER BY response_id");
    let recorded: BTreeSet<_> = rows.iter().cloned().collect();
    assert_eq!(rows.len(), recorded.len(), "each once");
    for (link, (ends, sent)) in &sent {
        let Seen { ends: client_ends, done } = &seen[link];
        let story = format!("link {link}, upstream {ends:?}, client {client_ends:?}");
        assert!(done.iter().all(|id| recorded.contains(id)), "{story}: {done:?} were seen, not all recorded");
        let patient = *client_ends == Ends::Waits && !matches!(ends, Ends::Resets | Ends::ResetsInFrame);
        assert!(!patient || sent.iter().all(|id| recorded.contains(id)), "{story}: {sent:?} are not all recorded");
    }
    let all: BTreeSet<_> = sent.values().flat_map(|(_, sent)| sent.iter().cloned()).collect();
    assert!(recorded.is_subset(&all), "nothing is recorded that no upstream sent");
    assert_eq!(operator(&relay, "/links").ask().await.text, "[]");
    within("all sockets to be closed", async {
        while open_files() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    tell(&relay, sent.values().map(|(ends, _)| *ends), seen.values().map(|seen| seen.ends), recorded.len());
}

async fn play_client(mut leg: Leg, mut rng: Rng) -> Seen {
    use Ends::{Closes, HalfCloses, HalfClosesInFrame, ReadsNothing, Resets, ResetsInFrame, Waits};
    let ends = [Waits, Waits, Closes, HalfCloses, Resets, HalfClosesInFrame, ResetsInFrame][rng.usize(..7)];
    let ends = if rng.u8(..40) == 0 { ReadsNothing } else { ends };
    let mut done = Vec::new();
    if ends == ReadsNothing {
        sleep(LONG).await;
        return Seen { ends, done };
    }
    let mut frames = if ends == Waits { usize::MAX } else { rng.usize(..10) };
    while frames > 0 {
        frames -= 1;
        if rng.u8(..5) == 0 {
            sleep(moment(&mut rng, STALL)).await;
            leg.try_send(&[Frame::text(r#"{"type":"input_audio_buffer.append","audio":"AAAA"}"#)]).await;
        }
        let Some(frame) = leg.next_or_end().await else { return Seen { ends, done } };
        done.extend(done_id(&frame));
        if frame.opcode == CLOSE {
            leg.try_send(&[Frame { mask: None, ..frame }]).await;
        }
    }
    if let Some(mut leg) = end(ends, leg, &mut rng).await {
        while let Some(frame) = leg.next_or_end().await {
            done.extend(done_id(&frame));
        }
    }
    Seen { ends, done }
}

/// The responses that were sent to their end.
async fn play_upstream(mut leg: Leg, mut rng: Rng, link: usize) -> (Ends, Vec<String>) {
    use Ends::{Closes, HalfCloses, HalfClosesInFrame, Resets, ResetsInFrame, Waits};
    let ends = [Waits, Waits, Closes, HalfCloses, Resets, HalfClosesInFrame, ResetsInFrame][rng.usize(..7)];
    let mut sent = Vec::new();
    for response in 0..rng.usize(1..5) {
        let id = format!("resp_{link}_{response}");
        let audio = "A".repeat(if rng.u8(..40) == 0 { 3 << 20 } else { rng.usize(..8_000) });
        let frames = [
            Frame::text(format!(r#"{{"type":"response.created","response":{{"id":"{id}"}}}}"#)),
            Frame::text(format!(r#"{{"type":"response.output_audio.delta","delta":"{audio}"}}"#)),
            Speaker::done(&mut rng, &id, "completed"),
        ];
        let bytes = leg.encoded(&frames);
        let cut = rng.usize(..bytes.len());
        if !leg.try_raw(&bytes[..cut]).await {
            return (ends, sent);
        }
        if rng.bool() {
            sleep(moment(&mut rng, STALL)).await;
        }
        // As far as anybody knows, it may have come.
        sent.push(id);
        if !leg.try_raw(&bytes[cut..]).await {
            return (ends, sent);
        }
    }
    if ends == Waits {
        // Whoever waits as well has to be told at last.
        sleep(LONG).await;
        leg.try_send(&[Frame::close(1001, "has waited")]).await;
    }
    if let Some(mut leg) = end(ends, leg, &mut rng).await {
        while let Some(frame) = leg.next_or_end().await {
            if frame.opcode == CLOSE {
                leg.try_send(&[Frame { mask: None, ..frame }]).await;
                leg.try_hang_up().await;
            }
        }
    }
    (ends, sent)
}

/// Ends a part; the leg, if it can still be read.
async fn end(ends: Ends, mut leg: Leg, rng: &mut Rng) -> Option<Leg> {
    let frame = leg.encoded(&[Frame::text("of which the end does not come")]);
    let part = &frame[..rng.usize(1..frame.len())];
    match ends {
        Ends::Waits | Ends::ReadsNothing => {}
        Ends::Closes => drop(leg.try_send(&[Frame::close(1000, "goes")]).await),
        Ends::HalfCloses => drop(leg.try_hang_up().await),
        Ends::HalfClosesInFrame => drop(leg.try_raw(part).await && leg.try_hang_up().await),
        Ends::Resets | Ends::ResetsInFrame => {
            if ends == Ends::ResetsInFrame {
                leg.try_raw(part).await;
            }
            leg.reset();
            return None;
        }
    }
    Some(leg)
}

/// The response of which this is the end.
fn done_id(frame: &Frame) -> Option<String> {
    let event: serde_json::Value = serde_json::from_slice(&frame.payload).ok().filter(|_| frame.opcode == TEXT)?;
    (event["type"] == "response.done").then(|| event["response"]["id"].as_str().map(str::to_owned)).flatten()
}

/// Sockets that this process has: files of other kinds are opened and closed by whatever runs beside.
fn open_files() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

fn tell(relay: &Relay, upstreams: impl Iterator<Item = Ends>, clients: impl Iterator<Item = Ends>, recorded: usize) {
    let count = |ends: &mut dyn Iterator<Item = Ends>| {
        let mut counts = BTreeMap::<_, usize>::new();
        ends.for_each(|ends| *counts.entry(ends).or_default() += 1);
        counts
    };
    let (mut upstreams, mut clients) = (upstreams, clients);
    println!("{LINKS} links over sockets, {recorded} responses recorded");
    println!("upstreams: {:?}\nclients: {:?}", count(&mut upstreams), count(&mut clients));
    println!("endings: {:?}", relay.ledger().ask("SELECT count(*), ending FROM link GROUP BY ending"));
}
