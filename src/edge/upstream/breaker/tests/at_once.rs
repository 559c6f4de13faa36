//! The same when everybody asks at once, on many threads.

use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::thread;

use super::*;

#[test]
fn a_thousand_callers_at_once_get_one_probe() {
    let (breaker, now) = half_open();
    let start = Barrier::new(1000);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let ask = || {
            start.wait();
            breaker.admit(now)
        };
        let callers: Vec<_> = (0..1000).map(|_| scope.spawn(ask)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let probes: Vec<_> = outcomes.into_iter().filter_map(Result::ok).collect();
    assert_eq!(probes.len(), 1);
    assert_eq!(probes[0].change(), Some(Change::HalfOpen));
}

#[test]
fn a_thousand_failures_at_once_open_it_once() {
    let breaker = closed();
    let start = Barrier::new(1000);
    let changes: usize = thread::scope(|scope| {
        let fail = |permit: Permit| {
            start.wait();
            usize::from(permit.failed(START).is_some())
        };
        let permits: Vec<_> = (0..1000).map(|_| breaker.admit(START).unwrap()).collect();
        let failing: Vec<_> = permits.into_iter().map(|permit| scope.spawn(move || fail(permit))).collect();
        failing.into_iter().map(|failing| failing.join().unwrap()).sum()
    });
    assert_eq!(changes, 1);
    assert_eq!(breaker.state(START).failures, THRESHOLD);
}

/// Callers on many threads that see every outcome in every order, while the time runs.
#[test]
fn never_two_probes_at_a_time() {
    let (breaker, probes, time) = (closed(), AtomicUsize::new(0), AtomicU64::new(0));
    let work = |thread: u64| {
        for round in 0..20_000 {
            let now = Duration::from_millis(time.fetch_add(50, Ordering::Relaxed));
            let Ok(permit) = breaker.admit(now) else { continue };
            if permit.is_probe() {
                assert_eq!(probes.fetch_add(1, Ordering::SeqCst), 0, "two probes at a time");
                thread::yield_now();
                probes.fetch_sub(1, Ordering::SeqCst);
            }
            match (round * 7 + thread) % 11 {
                0 => permit.succeeded(),
                1 => permit.neutral(),
                2 => permit.rate_limited(now, Some(SECOND)),
                3 => permit.rate_limited(now, None),
                _ => permit.failed(now),
            };
        }
    };
    thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || work(thread));
        }
    });
    let later = Duration::from_millis(time.into_inner()) + LONGEST_HOLD * 2;
    breaker.admit(later).expect("no slot was lost").succeeded();
    assert_eq!(breaker.state(later), State { phase: Phase::Closed, failures: 0 });
}
