//! What scan and tap cost together per event of an upstream: a delta, of which all but the first bytes is skipped, and the
//! few events that are read.

mod wire;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use realtime_relay::relay::Peer;
use realtime_relay::relay::scan::{Scan, Step};
use realtime_relay::relay::tap::{EventTap, NoTap, Tap};

fn walk(scan: &mut Scan, bytes: &[u8], tap: &mut impl Tap) {
    let mut at = 0;
    loop {
        while let Some((length, text)) = scan.whole_text(&bytes[at..])
            && tap.passes_over(text)
        {
            at += length;
        }
        match scan.step(&bytes[at..]).expect("legal frames") {
            (_, Step::Starved) => return,
            (length, Step::Data(piece)) => {
                at += length;
                black_box(tap.see(&piece));
            }
            (length, Step::Control(_)) => at += length,
        }
    }
}

fn tap(c: &mut Criterion) {
    let audio = "A".repeat(4_000);
    let events = [
        ("delta", format!(r#"{{"type":"response.output_audio.delta","event_id":"event_A1","delta":"{audio}"}}"#)),
        (
            "delta, id first",
            format!(r#"{{"event_id":"event_A1","type":"response.output_audio.delta","delta":"{audio}"}}"#),
        ),
        ("delta, type last", format!(r#"{{"delta":"{audio}","type":"response.output_audio.delta"}}"#)),
        ("response.done", include_str!("../tests/wire/response_done_ga.json").to_owned()),
    ];
    let mut group = c.benchmark_group("tap");
    for (name, text) in events {
        let (bytes, elements) = wire::read_of(&wire::frame(text.as_bytes(), false));
        group.throughput(Throughput::Elements(elements));
        group.bench_function(name, |b| {
            let mut scan = Scan::new(Peer::Upstream, u64::MAX);
            let mut tap = EventTap::new(|event| drop(black_box(event)));
            b.iter(|| walk(&mut scan, black_box(&bytes), &mut tap));
        });
        // The same without the tap, so that the difference can be read.
        group.bench_function(format!("{name}, scan alone"), |b| {
            let mut scan = Scan::new(Peer::Upstream, u64::MAX);
            b.iter(|| walk(&mut scan, black_box(&bytes), &mut NoTap));
        });
    }
}

criterion_group!(benches, tap);
criterion_main!(benches);
