//! What the scan alone costs, by the size of frames: bytes, and frames, a second.
//!
//! It looks at a frame's header and skips the rest, so what counts is the time per frame; what bytes a second come of it
//! says how far it is from being what a link waits for.

mod wire;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use realtime_relay::relay::Peer;
use realtime_relay::relay::scan::{Scan, Step};

/// Payloads, in bytes: a small event, a telephone's append, a delta, a large append.
const SIZES: [usize; 4] = [20, 200, 4_000, 32_000];

/// Walks a read, as a pump does, and tells how many frames it held.
fn walk(scan: &mut Scan, bytes: &[u8]) -> u64 {
    let (mut at, mut frames) = (0, 0);
    loop {
        while let Some((length, _)) = scan.whole_text(&bytes[at..]) {
            at += length;
            frames += 1;
        }
        match scan.step(&bytes[at..]).expect("legal frames") {
            (_, Step::Starved) => return frames,
            (length, Step::Data(piece)) => {
                at += length;
                frames += u64::from(piece.frame_begins);
            }
            (length, Step::Control(_)) => at += length,
        }
    }
}

fn scan(c: &mut Criterion) {
    let mut group = c.benchmark_group("scan");
    for size in SIZES {
        for (sender, masked) in [(Peer::Client, true), (Peer::Upstream, false)] {
            let (bytes, elements) = wire::read_of(&wire::frame(&vec![b'x'; size], masked));
            assert_eq!(walk(&mut Scan::new(sender, u64::MAX), &bytes), elements);
            group.throughput(Throughput::ElementsAndBytes { elements, bytes: bytes.len() as u64 });
            group.bench_function(BenchmarkId::new(sender.name(), size), |b| {
                let mut scan = Scan::new(sender, u64::MAX);
                b.iter(|| walk(&mut scan, black_box(&bytes)));
            });
        }
    }
}

criterion_group!(benches, scan);
criterion_main!(benches);
