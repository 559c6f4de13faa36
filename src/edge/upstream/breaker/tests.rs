//! A breaker without a clock: what opens it, what closes it, and who may probe.

use super::*;

mod at_once;

const START: Duration = Duration::from_secs(1000);
const FIRST_HOLD: Duration = Duration::from_millis(FIRST_HOLD_MS);
const LONGEST_HOLD: Duration = Duration::from_millis(LONGEST_HOLD_MS);
const SECOND: Duration = Duration::from_secs(1);

fn closed() -> Arc<Breaker> {
    Arc::new(Breaker::new())
}

/// Fails as often as it takes, and tells for how long that opened it.
fn open(breaker: &Arc<Breaker>, now: Duration) -> Duration {
    for _ in 1..THRESHOLD {
        assert_eq!(breaker.admit(now).unwrap().failed(now), None);
    }
    hold(breaker.admit(now).unwrap().failed(now))
}

fn hold(change: Option<Change>) -> Duration {
    match change {
        Some(Change::Opened { hold }) => hold,
        other => panic!("not opened: {other:?}"),
    }
}

/// One that has just let its first probe be possible, and the time at which it did.
fn half_open() -> (Arc<Breaker>, Duration) {
    let breaker = closed();
    let now = START + open(&breaker, START);
    (breaker, now)
}

fn phase(breaker: &Breaker, now: Duration) -> Phase {
    breaker.state(now).phase
}

#[test]
fn opens_after_five_failures_in_a_row() {
    let breaker = closed();
    let hold = open(&breaker, START);
    assert!((FIRST_HOLD..=FIRST_HOLD * 11 / 10).contains(&hold), "{hold:?}");
    assert_eq!(breaker.admit(START).unwrap_err(), hold);
    assert_eq!(breaker.state(START), State { phase: Phase::Open { remaining: hold }, failures: 5 });
}

#[test]
fn a_success_ends_the_row() {
    let breaker = closed();
    for _ in 0..3 {
        for _ in 1..THRESHOLD {
            assert_eq!(breaker.admit(START).unwrap().failed(START), None);
        }
        assert_eq!(breaker.admit(START).unwrap().succeeded(), None);
        assert_eq!(breaker.state(START), State { phase: Phase::Closed, failures: 0 });
    }
}

#[test]
fn a_neutral_verdict_neither_adds_to_the_row_nor_ends_it() {
    let breaker = closed();
    for _ in 1..THRESHOLD {
        assert_eq!(breaker.admit(START).unwrap().failed(START), None);
        assert_eq!(breaker.admit(START).unwrap().neutral(), None);
        drop(breaker.admit(START).unwrap());
    }
    assert_eq!(breaker.state(START), State { phase: Phase::Closed, failures: THRESHOLD - 1 });
    hold(breaker.admit(START).unwrap().failed(START));
}

#[test]
fn a_reset_closes_it_and_hears_nobody_who_was_under_way() {
    let (breaker, now) = half_open();
    let probe = breaker.admit(now).unwrap();
    assert_eq!(breaker.reset(), Some(Change::Closed));
    assert_eq!(probe.failed(now), None);
    assert_eq!(breaker.state(now), State { phase: Phase::Closed, failures: 0 });
    assert_eq!(breaker.admit(now).unwrap().failed(now), None);
    assert_eq!(breaker.reset(), None, "it was closed");
    assert_eq!(breaker.state(now).failures, 0);
    open(&breaker, now);
}

#[test]
fn lets_one_probe_through_when_its_time_is_over() {
    let breaker = closed();
    let hold = open(&breaker, START);
    assert_eq!(phase(&breaker, START + SECOND), Phase::Open { remaining: hold.saturating_sub(SECOND) });
    let (now, a_little) = (START + hold, Duration::from_millis(1));
    assert_eq!(breaker.admit(now.saturating_sub(a_little)).unwrap_err(), a_little);
    assert_eq!(phase(&breaker, now), Phase::HalfOpen);
    let probe = breaker.admit(now).unwrap();
    assert!(probe.is_probe());
    assert_eq!(probe.change(), Some(Change::HalfOpen));
    assert_eq!(phase(&breaker, now), Phase::HalfOpen);
    assert_eq!(breaker.admit(now).unwrap_err(), PROBE_PATIENCE);
    assert_eq!(breaker.admit(now + LONGEST_HOLD).unwrap_err(), PROBE_PATIENCE);
}

#[test]
fn a_probe_that_succeeds_closes_and_resets() {
    let (breaker, now) = half_open();
    assert_eq!(breaker.admit(now).unwrap().succeeded(), Some(Change::Closed));
    assert_eq!(breaker.state(now), State { phase: Phase::Closed, failures: 0 });
    assert!(!breaker.admit(now).unwrap().is_probe());
    let hold = open(&breaker, now);
    assert!(hold <= FIRST_HOLD * 11 / 10, "{hold:?}");
}

#[test]
fn failed_probes_double_the_hold_up_to_five_minutes() {
    let (breaker, mut now) = half_open();
    for (failures, doubled) in (6..).zip([20, 40, 80, 160, 272, 272, 272]) {
        let doubled = Duration::from_secs(doubled);
        let hold = hold(breaker.admit(now).unwrap().failed(now));
        assert!((doubled..=doubled * 11 / 10 + SECOND).contains(&hold), "{doubled:?}: {hold:?}");
        assert!(hold <= LONGEST_HOLD, "{hold:?}");
        assert_eq!(breaker.state(now).failures, failures);
        now += hold;
    }
    for _ in 0..300 {
        now += hold(breaker.admit(now).unwrap().failed(now));
    }
    assert_eq!(breaker.state(now).failures, Word::MAX_FAILURES);
}

#[test]
fn relays_do_not_probe_in_step() {
    let mut holds: Vec<_> = (0..100).map(|_| open(&closed(), START)).collect();
    holds.sort_unstable();
    holds.dedup();
    assert!(holds.len() > 20, "{} different holds of 100", holds.len());
}

#[test]
fn a_probe_without_a_verdict_gives_its_slot_back() {
    let (breaker, now) = half_open();
    drop(breaker.admit(now).unwrap());
    for _ in 0..3 {
        let probe = breaker.admit(now).unwrap();
        assert!(probe.is_probe());
        assert_eq!(probe.change(), None, "it was half-open before");
        breaker.admit(now).unwrap_err();
        assert_eq!(probe.neutral(), None);
        assert_eq!(phase(&breaker, now), Phase::HalfOpen);
    }
    assert_eq!(breaker.admit(now).unwrap().rate_limited(now, None), None);
    assert_eq!(breaker.admit(now).unwrap().succeeded(), Some(Change::Closed));
}

#[test]
fn a_429_opens_it_for_as_long_as_the_upstream_asks() {
    let breaker = closed();
    let change = breaker.admit(START).unwrap().rate_limited(START, Some(SECOND * 7));
    assert_eq!(change, Some(Change::Opened { hold: SECOND * 7 }));
    assert_eq!(breaker.state(START), State { phase: Phase::Open { remaining: SECOND * 7 }, failures: 0 });
    let now = START + SECOND * 7;
    let probe = breaker.admit(now).unwrap();
    assert_eq!(probe.rate_limited(now, Some(SECOND * 3)), Some(Change::Opened { hold: SECOND * 3 }));
    let now = now + SECOND * 3;
    let hold = hold(breaker.admit(now).unwrap().failed(now));
    assert!((FIRST_HOLD..=FIRST_HOLD * 11 / 10).contains(&hold), "nothing to double yet: {hold:?}");
}

#[test]
fn a_429_opens_it_for_five_minutes_at_most() {
    for after in [LONGEST_HOLD + SECOND, Duration::MAX] {
        let change = closed().admit(START).unwrap().rate_limited(START, Some(after));
        assert_eq!(change, Some(Change::Opened { hold: LONGEST_HOLD }));
    }
}

#[test]
fn a_429_that_does_not_say_when_to_come_back_changes_nothing() {
    let breaker = closed();
    for after in [None, Some(Duration::ZERO)] {
        assert_eq!(breaker.admit(START).unwrap().failed(START), None);
        assert_eq!(breaker.admit(START).unwrap().rate_limited(START, after), None);
    }
    assert_eq!(breaker.state(START), State { phase: Phase::Closed, failures: 2 });
}

/// Many attempts are under way when the first 429 opens the breaker, and the upstream asks each for another time.
#[test]
fn the_longest_of_several_429s_decides() {
    let breaker = closed();
    let attempts: Vec<_> = (0..3).map(|_| breaker.admit(START).unwrap()).collect();
    let changes: Vec<_> =
        attempts.into_iter().zip([5, 9, 2]).map(|(late, s)| late.rate_limited(START, Some(SECOND * s))).collect();
    assert_eq!(changes, [Some(Change::Opened { hold: SECOND * 5 }), None, None]);
    assert_eq!(phase(&breaker, START), Phase::Open { remaining: SECOND * 9 });
}

#[test]
fn late_verdicts_do_not_change_an_open_one() {
    let breaker = closed();
    let mut late: Vec<_> = (0..20).map(|_| breaker.admit(START).unwrap()).collect();
    let hold = open(&breaker, START);
    let before = breaker.state(START);
    for permit in late.drain(10..) {
        assert_eq!(permit.failed(START + SECOND), None);
    }
    for permit in late.drain(1..) {
        assert_eq!(permit.succeeded(), None);
    }
    drop(late);
    assert_eq!(breaker.state(START), before);
    assert!(breaker.admit(START + hold).unwrap().is_probe());
}

#[test]
fn late_verdicts_do_not_disturb_a_probe() {
    let breaker = closed();
    let mut late: Vec<_> = (0..20).map(|_| breaker.admit(START).unwrap()).collect();
    let now = START + open(&breaker, START);
    let probe = breaker.admit(now).unwrap();
    for (index, permit) in late.drain(..).enumerate() {
        let change = match index % 4 {
            0 => permit.succeeded(),
            1 => permit.failed(now),
            2 => permit.rate_limited(now, Some(SECOND)),
            _ => permit.neutral(),
        };
        assert_eq!(change, None);
        assert_eq!(breaker.admit(now).unwrap_err(), PROBE_PATIENCE);
    }
    assert_eq!(probe.succeeded(), Some(Change::Closed));
}

#[test]
fn late_verdicts_do_not_open_one_that_has_closed_again() {
    let breaker = closed();
    let late: Vec<_> = (0..20).map(|_| breaker.admit(START).unwrap()).collect();
    let now = START + open(&breaker, START);
    breaker.admit(now).unwrap().succeeded();
    for (index, permit) in late.into_iter().enumerate() {
        let change = if index % 2 == 0 { permit.failed(now) } else { permit.rate_limited(now, Some(SECOND)) };
        assert_eq!(change, None);
    }
    assert_eq!(breaker.state(now), State { phase: Phase::Closed, failures: 0 });
}

#[test]
fn outlives_its_counter_of_spells() {
    let breaker = closed();
    let mut now = START;
    for _ in 0..Word::MAX_SPELL * 2 + 3 {
        hold(breaker.admit(now).unwrap().rate_limited(now, Some(SECOND)));
        now += SECOND;
    }
    assert_eq!(breaker.admit(now).unwrap().succeeded(), Some(Change::Closed));
}
