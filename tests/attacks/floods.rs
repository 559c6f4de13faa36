//! Floods that are legal: they are carried, cost no memory, and keep nobody else waiting.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::MIB;
use crate::process::Relay;
use crate::support::frame::{Frame, MASK, decode};
use crate::support::within;

/// So many frames a flood has.
const FRAMES: usize = 100_000;
/// The honest link beside it speaks so often meanwhile.
const WORDS: usize = 20;
/// What may be kept of a flood: what sockets and a scratch buffer hold, whatever its length.
const KEPT: i64 = 4 * MIB;

/// Frames without their masks: what a link carries, whoever masks it.
fn unmasked(mut bytes: &[u8]) -> Vec<(bool, u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((length, frame)) = decode(bytes) {
        frames.push((frame.fin, frame.opcode, frame.payload));
        bytes = &bytes[length..];
    }
    assert_eq!(bytes, b"", "whole frames");
    frames
}

async fn read_exactly(from: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    from.read_exact(&mut bytes).await.expect("the flood is carried");
    bytes
}

/// Carries a flood of these frames, first from the client, then from the upstream.
async fn carries(what: &str, pattern: &[Frame]) {
    let relay = Relay::start().await;
    let (mut link, mut beside) = (relay.link().await, relay.link().await);
    beside.speaks().await;
    let count = FRAMES / pattern.len();
    for of_client in [true, false] {
        let mask = of_client.then_some(MASK);
        let one: Vec<u8> = pattern.iter().flat_map(|frame| Frame { mask, ..frame.clone() }.bytes()).collect();
        let (from, to) =
            if of_client { (&mut link.client, &mut link.upstream) } else { (&mut link.upstream, &mut link.client) };
        let flood = one.repeat(count);
        let before = relay.peak();
        let push = async { from.write_all(&flood).await.expect("the flood is taken") };
        let pull = read_exactly(to, flood.len());
        let honest = async {
            for _ in 0..WORDS {
                beside.speaks().await;
            }
        };
        let ((), carried, ()) = within("the flood", async { tokio::join!(push, pull, honest) }).await;
        assert!(unmasked(&carried) == unmasked(&flood), "{what} arrive as they were sent");
        let kept = relay.peak() - before;
        println!("{FRAMES} {what}, of the client: {of_client}, cost {kept} bytes at most");
        assert!(kept < KEPT, "{what} cost {kept} bytes");
    }
    beside.speaks().await;
    relay.link().await.speaks().await;
}

#[tokio::test]
async fn pings_without_end_cost_nothing_and_keep_nobody_waiting() {
    carries("pings", &[Frame::ping("")]).await;
}

#[tokio::test]
async fn long_pings_and_pongs_cost_nothing_and_keep_nobody_waiting() {
    carries("long pings and pongs", &[Frame::ping([b'x'; 125]), Frame::pong([b'y'; 125])]).await;
}

#[tokio::test]
async fn empty_messages_cost_nothing_and_keep_nobody_waiting() {
    carries("empty messages", &[Frame::text("")]).await;
}

#[tokio::test]
async fn messages_of_one_byte_cost_nothing_and_keep_nobody_waiting() {
    carries("messages of one byte", &[Frame::text("x")]).await;
}

/// A message in 100,000 pieces that hold nothing, or one byte each, with pings in between.
#[tokio::test]
async fn a_message_in_a_hundred_thousand_fragments_costs_nothing() {
    for payload in ["", "x"] {
        let relay = Relay::start().await;
        let (mut link, mut beside) = (relay.link().await, relay.link().await);
        beside.speaks().await;
        let before = relay.peak();
        let fragments = [Frame::continuation(payload).more(), Frame::ping("in between")];
        let fragments = fragments.map(|frame| frame.masked().bytes()).concat().repeat(FRAMES / 2);
        let (first, last) = (Frame::text(payload).more().masked(), Frame::continuation(payload).masked());
        let flood = [first.bytes(), fragments, last.bytes()].concat();
        let push = async { link.client.write_all(&flood).await.expect("the flood is taken") };
        let pull = read_exactly(&mut link.upstream, flood.len());
        let ((), carried) = within("the flood", async { tokio::join!(push, pull) }).await;
        assert!(unmasked(&carried) == unmasked(&flood), "the fragments arrive as they were sent");
        let kept = relay.peak() - before;
        assert!(kept < KEPT, "fragments of {payload:?} cost {kept} bytes");
        link.speaks().await;
        beside.speaks().await;
    }
}

/// The sender writes byte by byte, and the receiver reads byte by byte.
#[tokio::test]
async fn single_bytes_cost_nothing_and_keep_nobody_waiting() {
    const BYTES: usize = 8_000;
    let relay = Relay::start().await;
    let (mut link, mut beside) = (relay.link().await, relay.link().await);
    beside.speaks().await;
    link.client.set_nodelay(true).unwrap();
    let before = relay.peak();
    let flood = [Frame::ping("legal").masked().bytes(), Frame::text([b'x'; 100]).masked().bytes()].concat();
    let flood: Vec<u8> = flood.into_iter().cycle().take(BYTES / 117 * 117).collect();
    let push = async {
        for byte in &flood {
            link.client.write_u8(*byte).await.expect("the byte is taken");
        }
    };
    let pull = async {
        let mut carried = Vec::new();
        while carried.len() < flood.len() {
            carried.push(link.upstream.read_u8().await.expect("the byte is carried"));
        }
        carried
    };
    let honest = async {
        for _ in 0..WORDS {
            beside.speaks().await;
        }
    };
    let ((), carried, ()) = within("single bytes", async { tokio::join!(push, pull, honest) }).await;
    assert!(unmasked(&carried) == unmasked(&flood), "single bytes arrive as they were sent");
    let kept = relay.peak() - before;
    assert!(kept < KEPT, "single bytes cost {kept} bytes");
    relay.link().await.speaks().await;
}
