//! A drain: who is still served, what links are told, and when the process is gone.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::peers::{close, exchange, expect_exit, expect_restart};
use crate::process::Setup;
use crate::support::client::{client, connect, read_refused};
use crate::support::operator::operator;
use crate::support::relay::Reached;
use crate::support::upstream::Upstream;
use crate::support::within;

#[tokio::test]
async fn links_that_end_by_themselves_let_the_process_go() {
    let upstream = Upstream::start().await;
    let mut relay = Setup::to(&upstream).limits("drain_grace = 0\ndrain_timeout = 0").start().await;
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    relay.process.signal(Signal::TERM);
    relay.process.says("draining: no new clients").await;
    let refused = TcpStream::connect(relay.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    for _ in 0..100 {
        exchange(&mut ours, &mut theirs).await;
    }
    assert!(relay.process.is_running());
    close(ours, theirs).await;
    expect_exit(relay).await;
}

#[tokio::test]
async fn a_process_without_links_goes_as_soon_as_the_grace_is_over() {
    let upstream = Upstream::start().await;
    let relay = Setup::to(&upstream).limits("drain_grace = \"50ms\"\ndrain_timeout = 0").start().await;
    relay.process.signal(Signal::TERM);
    expect_exit(relay).await;
    let relay = Setup::to(&upstream).limits("drain_grace = \"1h\"\ndrain_timeout = 0").start().await;
    relay.process.signal(Signal::INT);
    expect_exit(relay).await;
}

#[tokio::test]
async fn links_that_go_on_are_told_and_the_process_is_gone_before_the_worst_case() {
    let upstream = Upstream::start().await;
    let limits =
        "drain_grace = \"100ms\"\ndrain_timeout = \"200ms\"\ndrain_spread = \"100ms\"\nsettle_timeout = \"10s\"";
    let mut relay = Setup::to(&upstream).limits(limits).start().await;
    let worst = relay.worst_case().await;
    assert_eq!(worst, Duration::from_millis(100 + 200 + 100 + 10_000 + 5_000));
    let mut links = Vec::new();
    for _ in 0..4 {
        links.push(relay.link(&upstream).await);
    }
    let begin = Instant::now();
    relay.process.signal(Signal::TERM);
    for (ours, theirs) in &mut links {
        expect_restart(ours, theirs).await;
    }
    expect_exit(relay).await;
    assert!(begin.elapsed() < worst, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn peers_that_do_not_answer_are_not_waited_for_beyond_the_worst_case() {
    let upstream = Upstream::start().await;
    let limits = "drain_grace = 0\ndrain_timeout = \"100ms\"\ndrain_spread = 0\nclose_timeout = \"300ms\"\nsettle_timeout = \"8s\"";
    let mut relay = Setup::to(&upstream).limits(limits).start().await;
    let worst = relay.worst_case().await;
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let begin = Instant::now();
    relay.process.signal(Signal::TERM);
    ours.expect_error("server_error", "relay_restarting").await;
    ours.expect_close_code(1012).await;
    theirs.expect_close_code(1001).await;
    expect_exit(relay).await;
    assert!(begin.elapsed() < worst, "{:?}", begin.elapsed());
    ours.expect_end().await;
}

#[tokio::test]
async fn endings_are_spread() {
    const LINKS: usize = 8;
    let upstream = Upstream::start().await;
    let limits = "drain_grace = 0\ndrain_timeout = \"50ms\"\ndrain_spread = \"4s\"";
    let relay = Setup::to(&upstream).limits(limits).start().await;
    let mut links = Vec::new();
    for _ in 0..LINKS {
        links.push(relay.link(&upstream).await);
    }
    relay.process.signal(Signal::TERM);
    let ending = links.into_iter().map(|(mut ours, mut theirs)| {
        tokio::spawn(async move {
            expect_restart(&mut ours, &mut theirs).await;
            Instant::now()
        })
    });
    let mut ends = Vec::new();
    for ending in ending.collect::<Vec<_>>() {
        ends.push(ending.await.unwrap());
    }
    ends.sort();
    // Each of the two workers ends its four at once, after 1, 2 and 3 seconds.
    let took = ends[LINKS - 1] - ends[0];
    assert!(took > Duration::from_secs(1), "all ended within {took:?}");
    expect_exit(relay).await;
}

#[tokio::test]
async fn a_second_signal_ends_everything_at_once() {
    let upstream = Upstream::start().await;
    let limits = "drain_grace = \"1h\"\ndrain_timeout = 0\nclose_timeout = \"1h\"\nsettle_timeout = \"1h\"";
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::TERM, Signal::INT), (Signal::INT, Signal::INT)] {
        let mut relay = Setup::to(&upstream).limits(limits).start().await;
        relay.process.says("waits for ever").await;
        let (mut ours, mut theirs) = relay.link(&upstream).await;
        relay.process.signal(first);
        relay.process.says(": draining").await;
        exchange(&mut ours, &mut theirs).await;
        relay.process.signal(second);
        // Nobody answers.
        ours.expect_error("server_error", "relay_restarting").await;
        ours.expect_close_code(1012).await;
        theirs.expect_close_code(1001).await;
        expect_exit(relay).await;
    }
}

#[tokio::test]
async fn in_the_grace_nobody_is_to_be_sent_here_and_who_comes_is_served() {
    let upstream = Upstream::start().await;
    let mut relay = Setup::to(&upstream).limits("drain_grace = \"1h\"").start().await;
    let ready = async |path| operator(&relay, path).ask().await.status;
    assert_eq!((ready("/readyz").await, ready("/livez").await), (200, 200));
    let begun = operator(&relay, "/drain").method("POST").ask().await;
    assert_eq!((begun.status, begun.text.as_str()), (202, ""));

    let answer = operator(&relay, "/readyz").ask().await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.starts_with("draining: about to stop"), "{}", answer.text);
    let answer = client(&relay).path("/readyz").refused().await;
    assert_eq!(answer.status, 503, "clients are told the same");
    assert_eq!(operator(&relay, "/livez").ask().await.status, 200);
    assert_eq!(client(&relay).path("/livez").refused().await.status, 200);

    let (mut ours, mut theirs) = relay.link(&upstream).await;
    exchange(&mut ours, &mut theirs).await;
    assert_eq!(operator(&relay, "/drain").method("POST").ask().await.status, 202, "once more");
    // A signal after that is the first one: the orchestrator's own, which followed its hook.
    relay.process.signal(Signal::TERM);
    relay.process.says("SIGTERM").await;
    let (second, second_upstream) = relay.link(&upstream).await;
    close(second, second_upstream).await;
    close(ours, theirs).await;
    assert!(relay.process.is_running(), "the grace goes on");
}

#[tokio::test]
async fn a_late_request_is_refused() {
    let upstream = Upstream::start().await;
    let mut relay = Setup::to(&upstream).limits("drain_timeout = 0").start().await;
    let (ours, theirs) = relay.link(&upstream).await;
    let (mut early, mut mute) = (connect(&relay).await, connect(&relay).await);
    relay.process.signal(Signal::INT);
    relay.process.says("draining: no new clients").await;
    early.send(&client(&relay).model("m").bytes()).await;
    let refused = read_refused(early).await;
    refused.expect(503, "draining", "server_error").expect_header("retry-after", "1");
    // Before that row of admission, everything is as it was.
    mute.send(&client(&relay).model("m").header("Origin", "https://evil.example.com").bytes()).await;
    read_refused(mute).await.expect(403, "origin_not_allowed", "permission_error");
    let answer = operator(&relay, "/readyz").ask().await;
    assert_eq!((answer.status, answer.text.as_str()), (503, "draining: no new client is admitted\n"));
    assert_eq!(operator(&relay, "/links").ask().await.json.as_array().unwrap().len(), 1);
    close(ours, theirs).await;
    expect_exit(relay).await;
}

#[tokio::test]
async fn who_is_queued_when_the_listener_closes_is_answered() {
    let upstream = Upstream::start().await;
    let mut relay = Setup::to(&upstream).limits("drain_timeout = 0").start().await;
    let (ours, theirs) = relay.link(&upstream).await;
    // Held still, it has the signal, and a queue full of clients, at the same moment.
    relay.process.signal(Signal::STOP);
    let mut asking = Vec::new();
    for _ in 0..100 {
        asking.push(relay.ask().await);
    }
    relay.process.signal(Signal::INT);
    relay.process.signal(Signal::CONT);
    let serving = upstream.links();
    relay.process.says("draining: no new clients").await;
    for asking in &mut asking {
        let status = asking.answered().await.status();
        assert!(matches!(status, 101 | 503), "{status}");
    }
    drop(asking);
    drop(serving);
    close(ours, theirs).await;
    relay.process.signal(Signal::INT);
    expect_exit(relay).await;
}

#[tokio::test]
async fn the_refusals_of_a_drain_leave_nothing_behind() {
    let upstream = Upstream::start().await;
    let mut relay = Setup::to(&upstream).limits("drain_timeout = 0\nhandshake_timeout = \"200ms\"").start().await;
    let mute = connect(&relay).await;
    relay.process.signal(Signal::INT);
    relay.process.says("draining: no new clients").await;
    // It says nothing, and goes when it should have spoken.
    within("the exit", relay.process.exit_code()).await;
    drop(mute);
}
