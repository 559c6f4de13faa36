//! A hostile upstream that has switched: what it says before anybody listens is neither kept without bound nor answered for ever.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::leaving::open;
use super::upstream::{TAKEN, asked, pour};
use super::{KIB, costs_less, good};
use crate::process::Relay as Process;
use crate::support::frame::{Frame, TEXT, header};
use crate::support::relay::Relay;
use crate::support::upstream::{Serving, Upstream};
use crate::support::within;

/// JSON so deep that whoever takes it apart by calling itself runs out of stack.
#[tokio::test]
async fn json_of_any_depth_is_read_or_not_but_survived() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let deep = "[".repeat(60_000);
    let (asking, asked_first) = asked(&relay, &upstream).await;
    asked_first.answer("404 No", "", &deep).await;
    asking.refused().await.expect(404, "upstream_refused", "upstream_error");
    for text in [deep.clone(), format!("{{\"type\":\"error\",\"error\":{deep}"), "{\"error\":".repeat(6_000)] {
        let (asking, asked) = asked(&relay, &upstream).await;
        let mut theirs = asked.switch_with(&[Frame::text(&text)]).await;
        let mut client = asking.opened().await;
        client.expect_text(&text).await;
        // And when the link stands, in an event that is read for what it used.
        let done = format!("{{\"type\":\"response.done\",\"response\":{{\"id\":\"resp_1\",\"usage\":{deep}");
        theirs.text(&done).await;
        client.expect_text(&done).await;
    }
    let asking = good(&relay).ask().await;
    let _theirs = upstream.accept().await.switch_with(&[Frame::text("{}")]).await;
    asking.opened().await;
}

/// Frames that are no event were once kept without bound while an event was awaited: here as many as come in two seconds.
#[tokio::test]
async fn frames_that_are_no_event_are_not_kept_without_bound_while_one_is_awaited() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let fragments = [header(false, TEXT, false, 0), header(false, 0, false, 0).repeat(20_000)].concat();
    for flood in [Frame::pong([b'x'; 125]).bytes().repeat(400), fragments] {
        let (mut asking, asked) = asked(&relay, &upstream).await;
        let mut leg = asked.switch().await;
        let taken = AtomicUsize::new(0);
        let pouring = async {
            // A message that has begun goes on.
            let goes_on = if flood[0] & 0x0f == TEXT { &flood[2..] } else { &flood[..] };
            let mut next = &flood[..];
            while leg.try_raw(next).await {
                taken.fetch_add(next.len(), Ordering::Relaxed);
                next = goes_on;
            }
        };
        let opening = async {
            assert!(asking.is_opened().await, "the link begins without an event");
            taken.load(Ordering::Relaxed)
        };
        let taken = within("the link to begin", async {
            tokio::select! {
                taken = opening => taken,
                () = pouring => panic!("the upstream is cut"),
            }
        });
        let taken = taken.await;
        println!("{taken} bytes were taken before the link began");
        assert!(taken < TAKEN, "{taken} bytes were taken before the link began");
        asking.leave();
    }
    let asking = good(&relay).ask().await;
    let _theirs = upstream.accept().await.switch_with(&[Frame::text("{}")]).await;
    asking.opened().await;
}

/// The same of a leg that waits for its client, which may be for long: it is given up.
#[tokio::test]
async fn a_waiting_leg_that_says_what_is_no_event_is_given_up() {
    let upstream = Upstream::start().await;
    let models = "warm = 1\nmodels = { gpt-realtime = \"gpt-realtime\" }";
    let relay = Relay::to(&upstream).upstream(models).start();
    let mut leg = upstream.leg().await;
    let taken = pour(&mut leg, &Frame::pong([b'x'; 125]).bytes().repeat(400)).await;
    assert!(taken < TAKEN, "{taken} bytes were kept of a waiting leg");
    // Another one waits, and serves.
    let mut theirs = upstream.leg().await;
    let mut client = good(&relay).open().await;
    client.text("up").await;
    theirs.expect_text("up").await;
}

/// Pings are answered while an event is awaited; who does not read the answers is cut, and not waited for.
#[tokio::test]
async fn pings_whose_answers_nobody_reads_are_not_answered_for_ever() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().limits("admission_timeout = \"4s\"").start();
    let (asking, asked) = asked(&relay, &upstream).await;
    let mut leg = asked.switch().await;
    let pings = Frame::ping([b'x'; 125]).bytes().repeat(400);
    let pouring = async { while leg.try_raw(&pings).await {} };
    let waiting = within("the client to be answered", async {
        let mut asking = asking;
        asking.is_answered().await
    });
    tokio::select! {
        is_answered = waiting => assert!(is_answered),
        () = async { pouring.await; std::future::pending().await } => {}
    }
    let asking = good(&relay).ask().await;
    let _theirs = upstream.accept().await.switch_with(&[Frame::text("{}")]).await;
    asking.opened().await;
}

/// An upstream's own request id was once kept with each link at whatever length.
#[tokio::test]
async fn what_an_upstream_calls_a_link_costs_nothing_however_long_it_is() {
    // Enough that what an allocator keeps, whatever the number of links, is little to each.
    const LINKS: i64 = 800;
    const EACH: i64 = 24 * KIB;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let upstream = Upstream::start().await;
    let _serving: Serving = upstream.serve(|asked| async {
        let id = format!("x-request-id: {}\r\n", "x".repeat(50_000));
        let switching = asked.switching(&id);
        asked.begin_switch(switching.as_bytes()).await.echo().await;
    });
    let relay = Process::start_before(&format!("127.0.0.1:{}", upstream.port()), "").await;
    let mut links = Vec::new();
    for _ in 0..20 {
        links.push(open(&relay).await);
    }
    let before = relay.pss();
    for _ in 0..LINKS {
        links.push(open(&relay).await);
    }
    let each = costs_less(EACH, LINKS, &relay, before).await;
    println!("a link with an id of 50,000 bytes costs {each} bytes");
    drop(open(&relay).await);
}
