//! A recorded stream of every kind of frame, in both directions at once.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::relay::Relay;
use crate::support::frame::{BINARY, CONTINUATION, PING, PONG, TEXT, header};
use crate::support::within;

/// Bytes in each direction.
const TOTAL: usize = 100 << 20;

#[tokio::test]
async fn a_hundred_megabytes_of_all_kinds_of_frames_arrive_byte_for_byte_both_ways_at_once() {
    let relay = Relay::start().await;
    let link = relay.link().await;
    let (from_client, to_client) = (recording(1, true), recording(2, false));
    let (client_reads, client_writes) = link.client.into_split();
    let (upstream_reads, upstream_writes) = link.upstream.into_split();
    tokio::join!(
        play(client_writes, &from_client, 3),
        play(upstream_writes, &to_client, 4),
        compare(upstream_reads, &from_client, 5),
        compare(client_reads, &to_client, 6),
    );
}

/// Sends a recording in writes of random sizes. The stream comes back open: the other end has yet to read.
async fn play(mut stream: OwnedWriteHalf, recording: &[u8], seed: u64) -> OwnedWriteHalf {
    let mut random = Random(seed);
    let mut rest = recording;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(random.size(200_000).min(rest.len()));
        within("the relay to take bytes", stream.write_all(part)).await.unwrap();
        rest = after;
    }
    stream
}

/// Reads in random sizes, and finds every byte as it was recorded.
async fn compare(mut stream: OwnedReadHalf, recording: &[u8], seed: u64) {
    let mut random = Random(seed);
    let (mut at, mut buffer) = (0, vec![0; 300_000]);
    while at < recording.len() {
        let size = random.size(buffer.len());
        let read = within("the next bytes", stream.read(&mut buffer[..size])).await.unwrap();
        assert!(read > 0, "the stream ended after {at} of {} bytes", recording.len());
        assert!(buffer[..read] == recording[at..at + read], "bytes differ between {at} and {}", at + read);
        at += read;
    }
}

/// Frames of all kinds, of 0 bytes to 2 MiB, in random fragments with control frames between them.
fn recording(seed: u64, masked: bool) -> Vec<u8> {
    let mut random = Random(seed);
    let mut bytes = Vec::with_capacity(TOTAL + (4 << 20));
    while bytes.len() < TOTAL {
        let kind = if random.size(2) == 1 { TEXT } else { BINARY };
        let fragments = random.size(4);
        for n in 1..=fragments {
            let length = match random.size(10) {
                1..=6 => random.size(2_000) - 1,
                7..=9 => random.size(70_000),
                _ => random.size(2 << 20),
            };
            frame(&mut bytes, n == fragments, if n == 1 { kind } else { CONTINUATION }, length, masked, &mut random);
            if random.size(5) == 1 {
                let opcode = if random.size(2) == 1 { PING } else { PONG };
                let length = random.size(126) - 1;
                frame(&mut bytes, true, opcode, length, masked, &mut random);
            }
        }
    }
    bytes
}

fn frame(bytes: &mut Vec<u8>, fin: bool, opcode: u8, length: usize, masked: bool, random: &mut Random) {
    bytes.extend(header(fin, opcode, masked, length as u64));
    // Random bytes are as good as any once masked: the relay does not look at them.
    let end = bytes.len() + length + if masked { 4 } else { 0 };
    while bytes.len() < end {
        let word = random.next().to_le_bytes();
        bytes.extend_from_slice(&word[..word.len().min(end - bytes.len())]);
    }
}

/// A generator whose sequence its seed decides.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        let high = hasher.finish();
        hasher.write_u64(high);
        hasher.finish()
    }

    /// From 1 to `most`.
    fn size(&mut self, most: usize) -> usize {
        1 + usize::try_from(self.next() % most as u64).unwrap()
    }
}
