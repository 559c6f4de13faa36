//! What it costs that links come and go, with every worker in its own table of links, and with one table under a lock.
//!
//! A time is that of one link's coming and going on one thread, while as many threads do the same as it says. With as
//! many cores, shards take no longer for it; a lock does.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use realtime_relay::relay::table::{Orders, Table};
use uuid::Uuid;

/// Links that are there all the time, for each thread.
const RUNNING: u128 = 1_000;

/// A key that no other thread has. Links of the relay are named by chance, which is slower than either table.
fn key(thread: usize, number: u128) -> Uuid {
    Uuid::from_u128((thread as u128) << 64 | number)
}

/// Has `threads` begin at once, each with what `prepare` makes on it, and tells how long the slowest took for `rounds`.
fn together<W: FnMut(u128)>(threads: usize, rounds: u64, prepare: impl Fn(usize) -> W + Sync) -> Duration {
    let start = Barrier::new(threads);
    let (start, prepare) = (&start, &prepare);
    let run = move |thread| {
        let mut work = prepare(thread);
        start.wait();
        let began = Instant::now();
        (0..u128::from(rounds)).for_each(|round| work(RUNNING + round));
        began.elapsed()
    };
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("it does not panic")).max().unwrap_or_default()
    })
}

fn shard(thread: usize) -> impl FnMut(u128) {
    let table = Rc::new(Table::default());
    let known = Rc::new(());
    let running: Vec<_> = (0..RUNNING).map(|number| table.register(key(thread, number), known.clone())).collect();
    move |number| {
        let _ = &running;
        drop(table.register(key(thread, number), known.clone()));
    }
}

/// The same, as it would be if any thread might look up any link. Who is told to end is the same.
type Locked = Mutex<HashMap<Uuid, (Arc<()>, Arc<Mutex<Orders>>)>>;

fn locked(table: &Arc<Locked>, thread: usize) -> impl FnMut(u128) + use<> {
    let (table, known) = (table.clone(), Arc::new(()));
    let mut enter = {
        let table = table.clone();
        move |number| {
            let link = (known.clone(), Arc::default());
            table.lock().expect("nobody panics").insert(key(thread, number), link);
        }
    };
    (0..RUNNING).for_each(&mut enter);
    move |number| {
        enter(number);
        table.lock().expect("nobody panics").remove(&key(thread, number));
    }
}

fn tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("table");
    for threads in [1, 2, 4] {
        group.bench_function(BenchmarkId::new("a shard each", threads), |b| {
            b.iter_custom(|rounds| together(threads, rounds, shard));
        });
        group.bench_function(BenchmarkId::new("one with a lock", threads), |b| {
            b.iter_custom(|rounds| {
                let table = Arc::<Locked>::default();
                together(threads, rounds, |thread| locked(&table, thread))
            });
        });
    }
}

criterion_group!(benches, tables);
criterion_main!(benches);
