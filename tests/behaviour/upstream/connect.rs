//! How an upstream's addresses are tried, and how the ways not to reach it are told apart.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use hyper::StatusCode;
use realtime_relay::edge::upstream::connect::{HEAD_START, in_turn, race};
use realtime_relay::edge::upstream::failure::{Failure, ProxyFailure};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::{PATIENT, good};
use crate::support::relay::Relay;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn families_take_turns_and_ipv6_begins() {
    let resolved = addresses(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1", "[::2]:1"]);
    let turns = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"]);
    assert_eq!(in_turn(resolved), turns);
    assert_eq!(in_turn(Vec::new()), []);
}

/// Races over ports, each of which behaves as told: after how many milliseconds it answers, and how. Gives the winner,
/// and when each attempt began.
async fn raced(ports: &[(u64, Result<(), ErrorKind>)]) -> (io::Result<u16>, Vec<u128>, Duration) {
    let list: Vec<_> = (0..).zip(ports).map(|(port, _)| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let start = Instant::now();
    let winner = race(list, |address| {
        let (after, outcome) = ports[usize::from(address.port())];
        begun.send(start.elapsed().as_millis()).unwrap();
        async move {
            sleep(Duration::from_millis(after)).await;
            outcome.map(|()| address.port()).map_err(io::Error::from)
        }
    })
    .await;
    drop(begun);
    let mut times = Vec::new();
    while let Some(time) = begins.recv().await {
        times.push(time);
    }
    (winner, times, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn an_address_that_answers_in_time_is_the_only_one_tried() {
    let (winner, begins, _) = raced(&[(200, Ok(())), (0, Ok(()))]).await;
    assert_eq!((winner.unwrap(), begins), (0, vec![0]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_fails_is_followed_at_once() {
    let refused = Err(ErrorKind::ConnectionRefused);
    let (winner, begins, _) = raced(&[(0, refused), (10, refused), (30, Ok(()))]).await;
    assert_eq!((winner.unwrap(), begins), (2, vec![0, 0, 10]));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_silent_is_joined_by_the_next_and_may_still_win() {
    let (winner, begins, took) = raced(&[(400, Ok(())), (9000, Ok(())), (0, Ok(()))]).await;
    assert_eq!((winner.unwrap(), begins), (0, vec![0, 250]));
    assert_eq!(took.as_millis(), 400);
    let (winner, begins, _) = raced(&[(9000, Ok(())), (9000, Ok(())), (0, Ok(()))]).await;
    assert_eq!((winner.unwrap(), begins), (2, vec![0, 250, 500]));
}

#[tokio::test(start_paused = true)]
async fn the_last_failure_is_told_with_its_address() {
    let (winner, ..) = raced(&[(700, Err(ErrorKind::ConnectionReset)), (0, Err(ErrorKind::ConnectionRefused))]).await;
    let error = winner.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(error.to_string().starts_with("127.0.0.1:0: "), "{error}");
    assert_eq!(raced(&[]).await.0.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn over_real_sockets_the_address_that_answers_wins() {
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(1).unwrap();
    let silent = full.local_addr().unwrap();
    // Its queue is full now, and what comes then is dropped.
    let _queue = [TcpStream::connect(silent).await.unwrap(), TcpStream::connect(silent).await.unwrap()];
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    let start = Instant::now();
    let stream = race(vec![closed, open], TcpStream::connect).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), open);
    assert!(start.elapsed() < HEAD_START);
    let stream = race(vec![silent, closed, open], TcpStream::connect).await.unwrap();
    assert_eq!(stream.peer_addr().unwrap(), open);
    assert!(start.elapsed() >= HEAD_START);
}

#[tokio::test]
async fn an_upstream_by_name_is_reached_by_whichever_family_it_listens_on() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(address).await else { continue }; // a machine without IPv6
        let relay = Relay::to_url(&format!("ws://localhost:{}/", listener.local_addr().unwrap().port())).start();
        if !address.starts_with('[') || tokio::net::lookup_host("localhost:1").await.unwrap().any(|a| a.is_ipv6()) {
            let _asking = good(&relay).ask().await;
            crate::support::within("the relay to connect", listener.accept()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_name_without_address_is_told_as_such_and_stays_unsaid() {
    let relay = Relay::to_url("wss://does-not-exist.invalid/").limits(PATIENT).start();
    let refused = good(&relay).refused().await;
    refused.expect(502, "upstream_unreachable", "upstream_error").expect_without("does-not-exist");
    assert!(refused.message().contains("its name could not be resolved"), "{}", refused.message());
}

#[test]
fn ways_to_fail_have_a_word_each_and_one_code() {
    let error = || io::Error::from(ErrorKind::ConnectionRefused);
    for (failure, kind, words) in [
        (Failure::Dns(error()), "dns", "its name could not be resolved"),
        (Failure::Tcp(error()), "tcp", "no connection: connection refused"),
        (Failure::Tls(error()), "tls", "TLS failed"),
        (ProxyFailure::Refused(StatusCode::BAD_GATEWAY).into(), "proxy", "the proxy answered 502 Bad Gateway"),
        (ProxyFailure::Tcp(error()).into(), "proxy", "no connection to the proxy: connection refused"),
    ] {
        assert_eq!(failure.kind(), kind);
        assert_eq!(failure.to_string(), words);
        let refusal = failure.refusal("said by the caller".to_owned(), false);
        assert_eq!((refusal.status, refusal.code), (StatusCode::BAD_GATEWAY, "upstream_unreachable"));
    }
}
