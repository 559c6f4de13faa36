//! What the data plane costs per frame, apart from the sockets: the scan alone, and the scan with the tap.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastwebsockets::{Frame, OpCode, Payload};
use realtime_relay::relay::Peer;
use realtime_relay::relay::scan::{Scan, Step};
use realtime_relay::relay::tap::{EventTap, NoTap, Tap};

/// What a pump reads at once.
const READ: usize = 64 << 10;

/// One read full of frames like this one.
fn read_of(frame: &[u8]) -> Vec<u8> {
    frame.repeat((READ / frame.len()).max(1))
}

fn encode(payload: &[u8], masked: bool) -> Vec<u8> {
    let mut frame = Frame::new(true, OpCode::Text, None, Payload::from(payload));
    if masked {
        frame.mask();
    }
    let mut bytes = Vec::new();
    let length = frame.write(&mut bytes).len();
    bytes.truncate(length);
    bytes
}

/// Walks a read, as a pump does, and tells how many frames it held.
fn walk(scan: &mut Scan, bytes: &[u8], tap: &mut impl Tap) -> u64 {
    let (mut at, mut frames) = (0, 0);
    loop {
        match scan.step(&bytes[at..]).expect("legal frames") {
            (_, Step::Starved) => return frames,
            (length, Step::Data(piece)) => {
                at += length;
                frames += u64::from(piece.frame_begins);
                tap.see(&piece);
            }
            (length, Step::Control(_)) => at += length,
        }
    }
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    for size in [20, 200, 4_000, 32_000] {
        for (sender, masked) in [(Peer::Client, true), (Peer::Upstream, false)] {
            let bytes = read_of(&encode(&vec![b'x'; size], masked));
            let frames = walk(&mut Scan::new(sender, u64::MAX), &bytes, &mut NoTap);
            group.throughput(Throughput::Elements(frames));
            group.bench_function(BenchmarkId::new(sender.name(), size), |b| {
                let mut scan = Scan::new(sender, u64::MAX);
                b.iter(|| walk(&mut scan, black_box(&bytes), &mut NoTap));
            });
        }
    }
}

fn tap(c: &mut Criterion) {
    let delta = |head: &str| format!("{head}{}\"}}", "A".repeat(4_000));
    let done = include_str!("../tests/wire/response_done_ga.json").to_owned();
    let events = [
        ("delta", delta(r#"{"type":"response.output_audio.delta","event_id":"event_A1","delta":""#)),
        ("delta, id first", delta(r#"{"event_id":"event_A1","type":"response.output_audio.delta","delta":""#)),
        (
            "delta, type last",
            format!("{{\"delta\":\"{}\",\"type\":\"response.output_audio.delta\"}}", "A".repeat(4_000)),
        ),
        ("response.done", done),
    ];
    let mut group = c.benchmark_group("tap");
    for (name, text) in events {
        let bytes = read_of(&encode(text.as_bytes(), false));
        let frames = walk(&mut Scan::new(Peer::Upstream, u64::MAX), &bytes, &mut NoTap);
        group.throughput(Throughput::Elements(frames));
        group.bench_function(name, |b| {
            let mut scan = Scan::new(Peer::Upstream, u64::MAX);
            let mut tap = EventTap::new(|event| drop(black_box(event)));
            b.iter(|| walk(&mut scan, black_box(&bytes), &mut tap));
        });
    }
}

criterion_group!(benches, scan, tap);
criterion_main!(benches);
