//! Ten thousand links that end in all the ways in which peers end them: nothing of them is left.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::relay::{Link, Relay};
use crate::support::frame::{Frame, MASK, TEXT, header};
use crate::support::within;

const ENDINGS: usize = 10_000;
/// So many links are on their way out at a time.
const AT_ONCE: usize = 400;

/// Every deadline that an ending can wait for, as short as a busy machine allows.
const LIMITS: &str = "ping_interval = \"200ms\"\nwrite_timeout = \"300ms\"\nclose_timeout = \"300ms\"\n\
                      settle_timeout = \"100ms\"";

/// The longest chain of them: silence is noticed after three intervals, then what is under way is settled, then closed.
const LONGEST: Duration = Duration::from_secs(10);

#[tokio::test]
async fn ten_thousand_endings_of_all_kinds_leave_no_link_no_open_file_and_no_memory() {
    let relay = Relay::start_with(LIMITS, None).await;
    // The first link is through when everything runs that runs for good.
    end(0, relay.link().await).await;
    relay.log().line("link ended").await;
    let (files, memory) = (relay.open_files(), relay.resident());
    let mut ending = JoinSet::new();
    for number in 0..ENDINGS {
        if ending.len() == AT_ONCE {
            ending.join_next().await.unwrap().unwrap();
        }
        let link = relay.link().await;
        ending.spawn(end(number, link));
    }
    while let Some(ended) = ending.join_next().await {
        ended.unwrap();
    }
    let all_told = async {
        while relay.log().lines("link ended").len() <= ENDINGS {
            tokio::task::yield_now().await;
        }
    };
    within("each ending to be recorded", all_told).await;
    let all_closed = async {
        while relay.open_files() > files {
            tokio::task::yield_now().await;
        }
    };
    within("each connection to be closed", all_closed).await;
    let left = relay.resident();
    println!("memory at start {memory}, after {ENDINGS} endings {left}");
    assert!(left * 2 <= memory * 3, "{left} bytes after {ENDINGS} endings, {memory} at start");
}

/// Ends a link as the peers with this number do, and sees both connections go.
async fn end(number: usize, Link { mut client, mut upstream }: Link) {
    match number % 10 {
        // A killed process, with and without input that it has not read.
        0 => {
            drop(client);
            return until_gone(upstream).await;
        }
        1 => {
            drop(upstream);
            return until_gone(client).await;
        }
        2 => {
            client.set_zero_linger().unwrap();
            drop(client);
            return until_gone(upstream).await;
        }
        3 => {
            upstream.set_zero_linger().unwrap();
            drop(upstream);
            return until_gone(client).await;
        }
        // The same inside a message, and inside a frame.
        4 => {
            client.write_all(&Frame::text("begun").more().masked().bytes()).await.unwrap();
            client.shutdown().await.unwrap();
        }
        5 => {
            upstream.write_all(&[header(true, TEXT, false, 1000), b"half".to_vec()].concat()).await.unwrap();
            upstream.shutdown().await.unwrap();
        }
        // In the middle of an answer.
        6 => {
            let created = Frame::text(r#"{"type":"response.created","response":{"id":"resp_1"}}"#);
            upstream.write_all(&created.bytes()).await.unwrap();
            client.read_exact(&mut vec![0; created.bytes().len()]).await.unwrap();
            client.shutdown().await.unwrap();
        }
        // Offences.
        7 => client.write_all(&[header(true, TEXT, true, 1 << 40), MASK.to_vec()].concat()).await.unwrap(),
        // Peers that take nothing, or as good as nothing, and peers that say nothing.
        8 if number % 100 == 8 => return read_one_byte_a_second(client, upstream).await,
        _ => {}
    }
    // Whoever is left says nothing, and hangs up when the relay does.
    tokio::join!(until_gone(client), until_gone(upstream));
}

async fn until_gone(mut stream: TcpStream) {
    let mut scrap = [0; 1024];
    let gone = async { while stream.read(&mut scrap).await.is_ok_and(|read| read > 0) {} };
    timeout(LONGEST, gone).await.expect("the relay closes every connection of a link that has ended");
}

/// The upstream sends as much as goes, the client takes a byte now and then. It is cut, and the upstream told.
async fn read_one_byte_a_second(mut client: TcpStream, mut upstream: TcpStream) {
    let frame = [header(true, TEXT, false, 65_000), vec![b'x'; 65_000]].concat();
    let push = async { while upstream.write_all(&frame).await.is_ok() {} };
    let sip = async {
        let mut every_second = tokio::time::interval(Duration::from_secs(1));
        loop {
            every_second.tick().await;
            client.read_u8().await.expect("there is more than that");
        }
    };
    let cut = async {
        tokio::select! {
            () = push => {}
            () = sip => {}
        }
    };
    timeout(LONGEST, cut).await.expect("a client that takes next to nothing is cut, and the upstream told");
    until_gone(client).await;
}
