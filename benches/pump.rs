//! What it costs to carry frames from one pipe in memory to another: by a whole link, by its pump alone, verbatim or frame by
//! frame, by fastwebsockets' own read and write loop, and by `copy_bidirectional`, which knows no frames.
//!
//! Source, carrier and sink are tasks of one thread, so a time holds the copies into and out of both pipes as well. They
//! are the same for all: what differs is what the carrier does. `63 KiB at once` is a busy link, `one by one` a paced one,
//! where each frame wakes everybody.

mod wire;

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use fastwebsockets::{Frame, Role, WebSocket};
use realtime_relay::relay::Peer;
use realtime_relay::relay::link::{Leg, Limits, Link, Traffic};
use realtime_relay::relay::scan::Scan;
use realtime_relay::relay::table::Orders;
use realtime_relay::relay::tap::{EventTap, NoTap, Tap};
use realtime_relay::relay::verbatim::Pump;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional_with_sizes, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

/// What a pipe holds: a socket's buffer takes about as much.
const PIPE: usize = 64 << 10;

/// Payloads, in bytes: a telephone's append, and a delta.
const SIZES: [usize; 2] = [200, 4_000];

const LIMITS: Limits = Limits {
    max_message_bytes: 24 << 20,
    write_timeout: Duration::from_secs(30),
    close_timeout: Duration::from_secs(5),
    settle_timeout: Duration::from_secs(5),
    ping_interval: Duration::from_secs(25),
    idle_timeout: Some(Duration::from_mins(15)),
    max_link: Duration::from_hours(1),
};

/// Both pipes of a link, each with one end here.
struct Pipes {
    runtime: Runtime,
    tasks: LocalSet,
    client: DuplexStream,
    upstream: DuplexStream,
}

impl Pipes {
    /// Pipes between which `carry` carries: it is given the legs of client and upstream.
    fn joined_by<F: Future + 'static>(carry: impl FnOnce(DuplexStream, DuplexStream) -> F) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let tasks = LocalSet::new();
        let ((client, client_leg), (upstream, upstream_leg)) = (duplex(PIPE), duplex(PIPE));
        let carried = carry(client_leg, upstream_leg);
        tasks.spawn_local(async move { drop(carried.await) });
        Self { runtime, tasks, client, upstream }
    }

    /// Sends these bytes from one end, and waits for as many at the other.
    fn pass(&mut self, sender: Peer, sent: &[u8], received: &mut [u8]) {
        let Self { runtime, tasks, client, upstream } = self;
        let (source, sink) = if sender == Peer::Client { (client, upstream) } else { (upstream, client) };
        tasks.block_on(runtime, async {
            let (written, read) = tokio::join!(source.write_all(sent), sink.read_exact(received));
            written.expect("it is carried");
            read.expect("as much comes out");
        });
    }
}

async fn link(client: DuplexStream, upstream: DuplexStream) {
    let leg = |stream| Leg { stream, early: Bytes::new() };
    let tap = EventTap::new(drop);
    let mut link = Link::new(leg(client), leg(upstream), tap, Rc::new(LIMITS), &Traffic::default());
    link.run(&Orders::default(), "req_1").await;
}

/// One direction of a link, without what watches its time and its orders.
async fn pump(sender: Peer, mut from: DuplexStream, mut to: DuplexStream, mut tap: impl Tap) {
    let mut pump = Pump::new(Scan::new(sender, LIMITS.max_message_bytes), Bytes::new(), Rc::default());
    poll_fn(|cx| pump.poll_pass(cx, &mut from, &mut to, &mut tap)).await;
}

/// The same, frame by frame.
async fn framed(sender: Peer, mut from: DuplexStream, mut to: DuplexStream) {
    let pump = Pump::new(Scan::new(sender, LIMITS.max_message_bytes), Bytes::new(), Rc::default());
    let mut pump = pump.framed();
    poll_fn(|cx| pump.poll_pass(cx, &mut from, &mut to, &mut NoTap)).await;
}

/// One direction, as a relay would do it that reads and writes whole frames.
async fn fastwebsockets(sender: Peer, from: DuplexStream, to: DuplexStream) {
    let (here, there) =
        if sender == Peer::Client { (Role::Server, Role::Client) } else { (Role::Client, Role::Server) };
    let (mut from, mut to) = (WebSocket::after_handshake(from, here), WebSocket::after_handshake(to, there));
    from.set_auto_close(false);
    from.set_auto_pong(false);
    while let Ok(Frame { fin, opcode, payload, .. }) = from.read_frame().await {
        // It came without its mask, and is given a new one where there has to be one.
        if to.write_frame(Frame::new(fin, opcode, None, payload)).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

async fn copy(mut client: DuplexStream, mut upstream: DuplexStream, buffer: usize) {
    let _ = copy_bidirectional_with_sizes(&mut client, &mut upstream, buffer, buffer).await;
}

fn compare(c: &mut Criterion) {
    for sender in [Peer::Upstream, Peer::Client] {
        for size in SIZES {
            let frame = wire::audio(size, sender == Peer::Client);
            let (read, frames) = wire::read_of(&frame);
            for (how, bytes, frames) in [("63 KiB at once", read, frames), ("one by one", frame, 1)] {
                let mut group = c.benchmark_group(format!("pump, {} B from the {}, {how}", size, sender.name()));
                group.throughput(Throughput::Elements(frames));
                contest(&mut group, sender, &bytes);
            }
        }
    }
}

fn contest(group: &mut BenchmarkGroup<'_, WallTime>, sender: Peer, bytes: &[u8]) {
    // As `from` and `to`, whoever sends.
    let ordered = move |client, upstream| if sender == Peer::Client { (client, upstream) } else { (upstream, client) };
    let verbatim = true;
    run(group, "link", sender, bytes, verbatim, link);
    run(group, "pump", sender, bytes, verbatim, |client, upstream| {
        let (from, to) = ordered(client, upstream);
        pump(sender, from, to, NoTap)
    });
    // What a client says is not watched.
    if sender == Peer::Upstream {
        run(group, "pump and tap", sender, bytes, verbatim, move |client, upstream| {
            pump(sender, upstream, client, EventTap::new(drop))
        });
    }
    // A client's frames leave these under another mask.
    run(group, "framed", sender, bytes, sender == Peer::Upstream, |client, upstream| {
        let (from, to) = ordered(client, upstream);
        framed(sender, from, to)
    });
    run(group, "fastwebsockets", sender, bytes, sender == Peer::Upstream, |client, upstream| {
        let (from, to) = ordered(client, upstream);
        fastwebsockets(sender, from, to)
    });
    run(group, "copy_bidirectional, 8 KiB", sender, bytes, verbatim, |client, upstream| {
        copy(client, upstream, 8 << 10)
    });
    run(group, "copy_bidirectional, 63 KiB", sender, bytes, verbatim, |client, upstream| {
        copy(client, upstream, 63 << 10)
    });
}

fn run<F: Future + 'static>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    sender: Peer,
    bytes: &[u8],
    verbatim: bool,
    carry: impl Fn(DuplexStream, DuplexStream) -> F,
) {
    group.bench_function(name, |b| {
        let mut pipes = Pipes::joined_by(&carry);
        let mut received = vec![0; bytes.len()];
        pipes.pass(sender, bytes, &mut received);
        assert!(!verbatim || received == bytes, "{name} carries something else");
        b.iter(|| pipes.pass(sender, bytes, &mut received));
    });
}

criterion_group!(benches, compare);
criterion_main!(benches);
