//! Links: open, opened, ended, what they carry, and requests that got none.

use super::good;
use crate::support::authority::Authority;
use crate::support::client::{client, connect};
use crate::support::frame::Frame;
use crate::support::leg::Leg;
use crate::support::metrics::{scrape, until};
use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

const ACME: &[(&str, &str)] = &[("key", "acme"), ("upstream", "primary")];
const GLOBEX: &[(&str, &str)] = &[("key", "globex"), ("upstream", "primary")];

/// How a peer, or an operator, ends a link, and the word for it.
#[derive(Debug, Clone, Copy)]
enum End {
    ClientCloses,
    UpstreamCloses,
    ClientGoes,
    UpstreamGoes,
    ClientBreaksTheRules,
    UpstreamBreaksTheRules,
}

impl End {
    const ALL: [(Self, &str); 6] = [
        (Self::ClientCloses, "client_close"),
        (Self::UpstreamCloses, "upstream_close"),
        (Self::ClientGoes, "client_lost"),
        (Self::UpstreamGoes, "upstream_lost"),
        (Self::ClientBreaksTheRules, "client_protocol_error"),
        (Self::UpstreamBreaksTheRules, "upstream_protocol_error"),
    ];

    /// Whoever does not go stays, so that nothing else ends the link.
    async fn bring_about(self, (mut ours, mut theirs): (Leg, Leg)) -> Vec<Leg> {
        match self {
            Self::ClientCloses => ours.close(1000, "").await,
            Self::UpstreamCloses => theirs.close(1000, "").await,
            Self::ClientBreaksTheRules => ours.raw(&[0xff, 0xff]).await,
            Self::UpstreamBreaksTheRules => theirs.raw(&[0xff, 0xff]).await,
            Self::ClientGoes => {
                ours.reset();
                return vec![theirs];
            }
            Self::UpstreamGoes => {
                theirs.reset();
                return vec![ours];
            }
        }
        vec![ours, theirs]
    }
}

#[tokio::test]
async fn every_ending_is_counted_by_its_name_and_none_but_it() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("close_timeout = \"50ms\"\nsettle_timeout = \"1ms\"").start();
    let mut opened = 0.0;
    for (end, name) in End::ALL {
        let link = relay.link(&upstream).await;
        opened += 1.0;
        let open = until(&relay, "links", ACME, 1.0).await;
        assert_eq!(open.value("links_opened_total", ACME), opened);
        assert_eq!(open.sum("links_ended_total"), opened - 1.0);
        let _staying = end.bring_about(link).await;
        let over = until(&relay, "links", ACME, 0.0).await;
        assert_eq!(over.value("links_ended_total", &[("upstream", "primary"), ("ending", name)]), 1.0, "{end:?}");
        assert_eq!(over.sum("links_ended_total"), opened);
    }
    let endings = scrape(&relay).await.values_of("links_ended_total", "ending");
    assert_eq!(endings.len(), 18, "all are there from the first moment on: {endings:?}");
}

#[tokio::test]
async fn what_an_operator_ends_is_counted_as_that() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("close_timeout = \"50ms\"").start();
    let _link = relay.link(&upstream).await;
    let links = operator(&relay, "/links").ask().await;
    let id = links.json[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(operator(&relay, &format!("/links/{id}")).method("DELETE").ask().await.status, 202);
    until(&relay, "links_ended_total", &[("upstream", "primary"), ("ending", "ended_by_operator")], 1.0).await;
}

#[tokio::test]
async fn a_link_that_leaves_a_response_open_is_counted() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("close_timeout = \"50ms\"\nsettle_timeout = \"1ms\"").start();
    let unsettled = &[("upstream", "primary")];
    assert_eq!(scrape(&relay).await.value("links_unsettled_total", unsettled), 0.0);
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    theirs.text("{\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}").await;
    ours.next().await;
    ours.reset();
    let metrics = until(&relay, "links", ACME, 0.0).await;
    assert_eq!(metrics.value("links_unsettled_total", unsettled), 1.0);
}

#[tokio::test]
async fn links_of_all_workers_are_summed_by_key() {
    let upstream = Upstream::start().await;
    let _serving = upstream.links();
    let keys = [("acme", "key-of-acme"), ("globex", "key-of-globex")];
    let relay = Relay::to(&upstream).workers(2).auth_keys(&keys).start();
    let mut links = Vec::new();
    for key in ["key-of-acme", "key-of-globex", "key-of-acme", "key-of-acme"] {
        links.push(client(&relay).key(key).model("gpt-realtime").open().await);
    }
    let metrics = until(&relay, "links_opened_total", ACME, 3.0).await;
    for (labels, count) in [(ACME, 3.0), (GLOBEX, 1.0)] {
        assert_eq!((metrics.value("links", labels), metrics.value("links_opened_total", labels)), (count, count));
    }
    for worker in ["0", "1"] {
        assert_eq!(metrics.value("worker_connections", &[("worker", worker)]), 2.0, "each has half of them");
    }
    drop(links);
    until(&relay, "links", ACME, 0.0).await;
    let over = until(&relay, "links", GLOBEX, 0.0).await;
    assert_eq!(over.value("links_opened_total", ACME), 3.0, "what was opened stays");
}

#[tokio::test]
async fn frames_and_bytes_are_those_that_went_over_the_sockets() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).start();
    let (mut up, mut down) = ((0, 0), (0, 0));
    let mut links = Vec::new();
    for size in [3_usize, 70_000] {
        let (mut ours, mut theirs) = relay.link(&upstream).await;
        let sent = [
            Frame::text("x".repeat(size)).more(),
            Frame::ping("p"),
            Frame::continuation("y".repeat(size)),
            Frame::new(2, vec![0; size]),
        ];
        let (from_us, from_them) = (ours.encoded(&sent), theirs.encoded(&sent[1..2]));
        up = (up.0 + sent.len(), up.1 + from_us.len());
        down = (down.0 + 1, down.1 + from_them.len());
        let sending = async { ours.raw(&from_us).await };
        let receiving = async {
            for frame in &sent {
                theirs.expect(frame.clone()).await;
            }
        };
        tokio::join!(sending, receiving);
        theirs.raw(&from_them).await;
        ours.expect(sent[1].clone()).await;
        links.push((ours, theirs));
    }
    let metrics = scrape(&relay).await;
    let told = |direction| {
        let of = |name| metrics.value(name, &[("direction", direction)]);
        (of("frames_total"), of("bytes_total"))
    };
    let counted = |(frames, bytes): (usize, usize)| (frames as f64, bytes as f64);
    assert_eq!((told("up"), told("down")), (counted(up), counted(down)));

    // A close frame is one of them, once it has gone on; and nothing is forgotten with the link.
    let (mut ours, mut theirs) = links.remove(0);
    let closing = ours.encoded(&[Frame::close(1000, "")]).len();
    ours.close(1000, "").await;
    theirs.expect_close(1000, "").await;
    theirs.close(1000, "").await;
    ours.expect_close(1000, "").await;
    drop((ours, theirs));
    let over = until(&relay, "links", ACME, 1.0).await;
    assert_eq!(over.value("frames_total", &[("direction", "up")]), counted((up.0 + 1, 0)).0);
    assert_eq!(over.value("bytes_total", &[("direction", "up")]), counted((0, up.1 + closing)).1);
}

#[tokio::test]
async fn refusals_are_counted_by_their_code_however_they_are_told() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).server("refuse_browsers_with = \"event\"").key("max_links = 1").start();
    let _link = relay.link(&upstream).await;
    client(&relay).path("/nothing").refused().await.expect(404, "not_found", "invalid_request_error");
    for _ in 0..2 {
        client(&relay).model("m").key("wrong-key").refused().await.expect(
            401,
            "invalid_api_key",
            "authentication_error",
        );
    }
    good(&relay).refused().await.expect(429, "too_many_links", "rate_limit_error");
    let mut browser = good(&relay).header("Origin", "https://example.com").open().await;
    browser.expect_error("rate_limit_error", "too_many_links").await;
    let metrics = scrape(&relay).await;
    for (code, count) in [("not_found", 1.0), ("invalid_api_key", 2.0), ("too_many_links", 2.0)] {
        assert_eq!(metrics.value("refusals_total", &[("code", code)]), count, "{code}");
    }
    assert_eq!(metrics.sum("refusals_total"), 5.0, "and no others");
    assert_eq!(metrics.sum("links_opened_total"), 1.0);
}

#[tokio::test]
async fn a_client_that_fails_to_begin_tls_is_counted_and_refused_nothing() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).tls(Authority::new()).start();
    let mut stream = tokio::net::TcpStream::connect(relay.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let metrics = until(&relay, "client_tls_failures_total", &[], 1.0).await;
    assert_eq!(metrics.sum("refusals_total"), 0.0);
    drop(connect(&relay).await);
    assert_eq!(scrape(&relay).await.value("client_tls_failures_total", &[]), 1.0, "one that succeeds is none");
}
