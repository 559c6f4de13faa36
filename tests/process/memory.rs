//! What links cost in memory.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::relay::Relay;
use crate::support::authority::{Authority, connect_as};
use crate::support::frame::{Frame, MASK, TEXT, header};
use crate::support::within;

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;

#[tokio::test]
async fn a_message_of_15_mib_costs_less_than_1_mib() {
    let relay = Relay::start().await;
    let mut link = relay.link().await;
    let length = 15 << 20;
    let head = [header(true, TEXT, true, length), MASK.to_vec()].concat();
    let message = [head, vec![b'x'; usize::try_from(length).unwrap()]].concat();
    let mut before = None;
    for _ in 0..3 {
        let (sent, received) =
            tokio::join!(link.client.write_all(&message), read_exactly(&mut link.upstream, message.len()));
        sent.unwrap();
        assert!(received == message, "the message arrives as it was sent");
        // The first one warms up.
        before.get_or_insert_with(|| relay.peak());
    }
    let growth = relay.peak() - before.unwrap();
    assert!(growth < MIB, "two messages of 15 MiB cost {growth} bytes");
}

#[tokio::test]
async fn where_only_whole_frames_go_on_no_memory_is_taken_for_what_is_announced() {
    const LINKS: i64 = 100;
    let relay = Relay::start_framed().await;
    let announced = [header(true, TEXT, true, 24 << 20), MASK.to_vec()].concat();
    let ping = Frame::ping("is it read?");
    let mut links = vec![relay.link().await];
    let before = relay.peak();
    for _ in 0..LINKS {
        let mut link = relay.link().await;
        link.client.write_all(&[&ping.clone().masked().bytes()[..], &announced].concat()).await.unwrap();
        // When the ping has gone on, the header has come.
        read_exactly(&mut link.upstream, ping.clone().masked().bytes().len()).await;
        links.push(link);
    }
    let each = (relay.peak() - before) / LINKS;
    assert!(each < 32 * KIB, "a frame of 24 MiB that is only announced costs {each} bytes");
}

#[tokio::test]
async fn where_only_whole_frames_go_on_a_message_costs_a_few_times_its_length_however_many_come() {
    let relay = Relay::start_framed().await;
    let mut link = relay.link().await;
    let length = 15 << 20;
    let message = [header(true, TEXT, false, length), vec![b'x'; usize::try_from(length).unwrap()]].concat();
    let before = relay.peak();
    for _ in 0..8 {
        let (sent, received) =
            tokio::join!(link.upstream.write_all(&message), read_exactly(&mut link.client, message.len()));
        sent.unwrap();
        assert!(received == message, "the message arrives as it was sent");
    }
    let cost = relay.peak() - before;
    println!("messages of 15 MiB cost {cost} bytes");
    // Kept, read, and not taken yet; and what the allocator has not given back.
    assert!(cost < 75 * MIB, "messages of 15 MiB cost {cost} bytes");
}

async fn read_exactly(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    within("a whole message", stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_client_that_stops_reading_stops_the_upstream_and_costs_no_memory() {
    const TOTAL: usize = 1 << 30;
    let relay = Relay::start().await;
    let mut link = relay.link().await;
    // What makes up nearly all of a session; of an event whose type it cannot tell the relay would keep a copy to its end.
    let delta = format!(r#"{{"type":"response.output_audio.delta","delta":"{}"}}"#, "x".repeat(65_536));
    let frame = [header(true, TEXT, false, delta.len() as u64), delta.into_bytes()].concat();
    let before = relay.peak();

    // What fits into the sockets' own buffers goes; then the upstream is stopped, long before the end.
    let mut pushed = 0;
    while pushed < TOTAL && link.upstream_takes(&frame, &mut pushed).await {}
    assert!(pushed < TOTAL / 4, "{pushed} bytes went to a client that reads nothing");
    let stopped = relay.peak() - before;
    assert!(stopped < MIB, "a stopped link costs {stopped} bytes");

    // The client reads on, and everything is there.
    let (mut client, mut upstream) = (link.client, link.upstream);
    let push = async {
        let rest = frame.iter().copied().cycle().skip(pushed % frame.len()).take(frame.len()).collect::<Vec<_>>();
        while pushed < TOTAL {
            let part = &rest[..rest.len().min(TOTAL - pushed)];
            upstream.write_all(part).await.unwrap();
            pushed += part.len();
        }
    };
    let pull = async {
        let (mut pulled, mut buffer) = (0, vec![0; 1 << 20]);
        while pulled < TOTAL {
            let read = within("the rest", client.read(&mut buffer)).await.unwrap();
            assert!(read > 0, "the link holds");
            let at = pulled % frame.len();
            let expected = frame.iter().cycle().skip(at);
            assert!(buffer[..read].iter().zip(expected).all(|(byte, expected)| byte == expected), "at {pulled}");
            pulled += read;
        }
    };
    tokio::join!(push, pull);
    let growth = relay.peak() - before;
    assert!(growth < MIB, "1 GiB to a slow client costs {growth} bytes");
}

impl crate::relay::Link {
    /// Pushes once. False: nothing was taken for a while.
    async fn upstream_takes(&mut self, frame: &[u8], pushed: &mut usize) -> bool {
        let at = *pushed % frame.len();
        match tokio::time::timeout(Duration::from_millis(300), self.upstream.writable()).await {
            Err(_) => return false,
            Ok(ready) => ready.unwrap(),
        }
        match self.upstream.try_write(&frame[at..]) {
            Ok(taken) => *pushed += taken,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        true
    }
}

#[tokio::test]
async fn an_idle_link_costs_at_most_4_kib() {
    const LINKS: i64 = 4_000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let relay = Relay::start().await;
    let mut links = Vec::new();
    for _ in 0..200 {
        links.push(relay.link().await);
    }
    let before = relay.pss();
    for _ in 0..LINKS {
        links.push(relay.link().await);
    }
    let each = (relay.pss() - before) / LINKS;
    println!("an idle link costs {each} bytes");
    assert!(each <= 4 * KIB, "an idle link costs {each} bytes");
}

#[tokio::test]
async fn what_a_wave_of_tls_connections_leaves_behind_is_given_back() {
    const WAVE: i64 = 2_000;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let authority = Authority::new();
    let relay = Relay::start_secure(&authority, "handshake_timeout = \"10m\"").await;
    let client = authority.newcomer();
    let wave = async |connections| {
        let mut held = Vec::new();
        for _ in 0..connections {
            held.push(connect_as(&client, relay.connect().await).await);
        }
        relay.pss()
    };
    // What is loaded and filled once is no leftover.
    wave(200).await;
    let before = relay.pss();
    let during = wave(WAVE).await;
    assert!(during - before > WAVE * KIB, "{WAVE} connections cost {} bytes", during - before);
    let given_back = async {
        while relay.pss() - before > WAVE * KIB / 2 {
            tokio::task::yield_now().await;
        }
    };
    within(&format!("{} bytes to be given back, of {during}", during - before), given_back).await;
}
