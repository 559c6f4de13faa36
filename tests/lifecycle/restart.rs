//! The whole of it at once: a busy relay is replaced by another, and nobody sees more of it than is promised.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::process::{Place, Setup};
use crate::stream::Stream;
use crate::support::client::client;
use crate::support::leg::Leg;
use crate::support::upstream::Upstream;

/// Each takes two file descriptors of the relay, and two of this test.
const LINKS: usize = 2_000;
/// So many at a time are opened.
const OPENERS: usize = 16;
/// Short, so that the test is: 1 + 3 + 2 s until the last link is told.
const LIMITS: &str = "drain_grace = \"1s\"\ndrain_timeout = \"3s\"\ndrain_spread = \"2s\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_links_outlive_their_process_or_are_told_and_no_connection_fails() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let upstream = Upstream::start().await;
    let serving = upstream.echoes();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("takeover");
    let offered = || Setup::to(&upstream).limits(LIMITS).server(&format!("takeover_socket = \"{}\"", socket.display()));
    let mut old = offered().start().await;
    let worst = old.worst_case().await;
    let mut links = open(old.place()).await;
    let mut stream = Stream::of(4, old.place());
    stream.more(20).await;

    let begin = Instant::now();
    let new = offered().argument("--takeover").argument(socket.to_str().unwrap()).start().await;
    let mut ends = JoinSet::new();
    for (number, mut link) in links.drain(..).enumerate() {
        ends.spawn(async move {
            echo(&mut link).await;
            if number % 4 == 0 {
                leave(link).await;
            } else {
                stay(link).await;
            }
        });
    }
    stream.more(20).await;
    while let Some(end) = ends.join_next().await {
        end.expect("every link ends as it should");
    }
    assert_eq!(old.process.exit_code().await, Some(0), "{}", old.process.log());
    let took = begin.elapsed();
    assert!(took < worst, "it took {took:?}, and {worst:?} was printed");
    stream.more(20).await;
    let served = stream.ends().await;
    println!("{LINKS} links ended, {served} clients were served, the process was gone after {took:?} of {worst:?}");
    assert!(took > Duration::from_secs(4), "the links that stayed were not ended before their time");
    drop((new, serving));
}

async fn open(place: Place) -> Vec<Leg> {
    let mut openers = JoinSet::new();
    for _ in 0..OPENERS {
        openers.spawn(async move {
            let mut opened = Vec::new();
            for _ in 0..LINKS / OPENERS {
                opened.push(client(&place).model("m").open().await);
            }
            opened
        });
    }
    openers.join_all().await.into_iter().flatten().collect()
}

async fn echo(link: &mut Leg) {
    link.text("still here").await;
    link.expect_text("still here").await;
}

/// Ends by itself.
async fn leave(mut link: Leg) {
    link.close(1000, "").await;
    link.expect_close(1000, "").await;
    link.expect_end().await;
}

/// Goes on until it is told.
async fn stay(mut link: Leg) {
    link.awaken().await;
    link.expect_error("server_error", "relay_restarting").await;
    link.expect_close_code(1012).await;
    link.close(1012, "").await;
    link.expect_end().await;
}
