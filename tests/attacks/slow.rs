//! Peers that are slow on purpose, or not there at all: each is cut by a deadline, and costs little until then.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::{KIB, serves, until};
use crate::process::Relay as Process;
use crate::support::authority::Authority;
use crate::support::client::connect;
use crate::support::frame::{BINARY, Frame, header};
use crate::support::operator::until_links;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;
use crate::support::within;

/// A storm has so many connections.
const STORM: usize = 500;
/// A slow client sends a byte this often.
const TRICKLE: Duration = Duration::from_millis(50);

/// Holds a connection as one of the slow would, up to its end.
async fn hold(mut stream: TcpStream, number: usize) {
    let trickle = match number % 4 {
        // Says nothing.
        0 => &b""[..],
        // Half a head, and nothing more.
        1 => {
            stream.write_all(b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: ").await.unwrap();
            b""
        }
        2 => b"x",
        // Each line is one that a head may have.
        _ => {
            stream.write_all(b"GET /v1/realtime?model=m HTTP/1.1\r\n").await.unwrap();
            b"a: b\r\n"
        }
    };
    let (mut often, mut answer) = (interval(TRICKLE), [0; 1024]);
    let cut = async {
        loop {
            tokio::select! {
                read = stream.read(&mut answer) => match read {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return,
                },
                _ = often.tick() => {
                    if stream.write_all(trickle).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    within("a slow client to be cut", cut).await;
}

#[tokio::test]
async fn a_storm_of_connections_that_say_nothing_or_next_to_it_is_gone_in_time() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let relay = Process::start_with("handshake_timeout = \"2s\"", None).await;
    let honest = relay.link().await;
    let files = relay.open_files();
    let mut storm = JoinSet::new();
    for number in 0..STORM {
        storm.spawn(hold(relay.connect().await, number));
        if number % 100 == 99 {
            // In the middle of the storm a client gets in.
            relay.link().await.speaks().await;
        }
    }
    while let Some(held) = storm.join_next().await {
        held.unwrap();
    }
    until("every descriptor to be given back", || relay.open_files() <= files).await;
    relay.link().await.speaks().await;
    drop(honest);
    println!("{STORM} slow connections");
}

#[tokio::test]
async fn a_storm_of_connections_that_never_end_their_tls_handshake_is_gone_in_time() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).tls(Authority::new()).limits("handshake_timeout = \"2s\"").start();
    let mut storm = Vec::new();
    for number in 0..100 {
        let mut wire = Wire::new(TcpStream::connect(relay.address()).await.unwrap());
        let begun = [
            &b""[..],
            b"\x16",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
            b"\x16\x03\x01\x40\0\x01\0\x3f\xfc\x03\x03",
            b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\n\r\n",
        ];
        wire.send(begun[number % 5]).await;
        storm.push(wire);
    }
    // And some whose request does not end behind a handshake that did.
    for _ in 0..10 {
        let mut wire = connect(&relay).await;
        wire.send(b"GET /v1/realtime?model=m HTTP/1.1\r\nHost: ").await;
        storm.push(wire);
    }
    serves(&relay, &upstream).await;
    for mut wire in storm {
        let (answer, _) = wire.rest().await;
        assert!(!answer.starts_with(b"HTTP/1.1 101"));
    }
    serves(&relay, &upstream).await;
}

/// A refused client that neither reads its answer nor hangs up, or uploads for ever, is not kept.
#[tokio::test]
async fn refused_clients_that_stay_are_cut() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let relay = Process::start().await;
    let files = relay.open_files();
    let mut staying = Vec::new();
    for number in 0..200 {
        let mut client = relay.connect().await;
        let length = if number % 2 == 0 { "0" } else { "1000000000000" };
        let head = format!("POST /v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        staying.push(client);
    }
    let upload = async {
        let mut client = relay.connect().await;
        client.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let chunk = [&b"10000\r\n"[..], &vec![b'x'; 0x10000], b"\r\n"].concat();
        while client.write_all(&chunk).await.is_ok() {}
    };
    within("an upload without end to be cut", upload).await;
    relay.link().await.speaks().await;
    until("every descriptor to be given back", || relay.open_files() <= files).await;
    drop(staying);
    relay.link().await.speaks().await;
}

/// Twenty clients read nothing of a flood: each costs no more than a buffer or two, and is cut.
#[tokio::test]
async fn clients_that_read_nothing_cost_a_buffer_each_and_are_cut() {
    const SLOW: i64 = 20;
    const EACH: i64 = 256 * KIB;
    let relay = Process::start_with("write_timeout = \"3s\"\nclose_timeout = \"1s\"", None).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut link = relay.link().await;
        link.speaks().await;
        slow.push(link);
    }
    let before = relay.peak();
    let frame = [header(true, BINARY, false, 65_000), vec![b'x'; 65_000]].concat();
    let mut floods = JoinSet::new();
    for link in slow {
        let frame = frame.clone();
        floods.spawn(async move {
            let (client, mut upstream) = (link.client, link.upstream);
            while upstream.write_all(&frame).await.is_ok() {}
            drop(client);
        });
    }
    let mut beside = relay.link().await;
    beside.speaks().await;
    let cut = async {
        while floods.join_next().await.is_some() {
            beside.speaks().await;
        }
    };
    timeout(Duration::from_secs(30), cut).await.expect("clients that read nothing are cut");
    let each = (relay.peak() - before) / SLOW;
    println!("a client that reads nothing costs {each} bytes");
    assert!(each < EACH, "a client that reads nothing costs {each} bytes");
    relay.link().await.speaks().await;
}

/// Peers that vanish without a word, in the middle of a frame, or of the handshake of a close: nobody waits for them for long.
#[tokio::test]
async fn links_with_half_a_peer_come_to_an_end() {
    let upstream = Upstream::start().await;
    let limits = "ping_interval = \"1500ms\"\nclose_timeout = \"300ms\"\nsettle_timeout = \"100ms\"";
    let relay = Relay::to(&upstream).limits(limits).limits("max_links = 4").start();
    let mut halves = Vec::new();
    for number in 0..4 {
        let (mut client, mut theirs) = relay.link(&upstream).await;
        match number {
            // Says nothing any more.
            0 => {}
            // Half a frame, and nothing more.
            1 => client.raw(&Frame::text([b'x'; 100]).masked().bytes()[..50]).await,
            // Asks for the end, and does not wait for the answer.
            2 => client.close(1000, "").await,
            // Has sent its last byte, and still could read.
            _ => client.hang_up().await,
        }
        if number == 2 {
            theirs.expect_close_code(1000).await;
        }
        halves.push((client, theirs));
    }
    // Every place is free again although none of them has hung up.
    until_links(&relay, "primary", 0).await;
    serves(&relay, &upstream).await;
    drop(halves);
}
