//! What is left of a quota, in its own time, whatever the clock does.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use realtime_relay::control::config::{Key, parse};
use realtime_relay::control::ledger::{NewUsage, Opened, UsageRow, Used, unix_ms};
use realtime_relay::control::prices::NanoUsd;
use realtime_relay::control::quota::{Counter, Crossed, QuotaUsedUp, Quotas};
use uuid::Uuid;

use crate::rows::{PATIENCE, Place, response};

#[test]
fn a_key_is_told_once_that_it_has_run_over() {
    let counter = counter("{ usd = 0.000000010, per = \"month\" }");
    let now = at("2026-11-21T12:00:00Z");
    let add = |nano| counter.add(unix_ms(now), cost(nano), now);
    assert_eq!((add(9), counter.check(now)), (Crossed::No, Ok(())));
    assert_eq!(add(1), Crossed::JustNow, "all of it is used");
    assert!(counter.check(now).is_err());
    assert_eq!(add(100), Crossed::No);
    let standing = counter.standing(now);
    assert_eq!((standing.used, standing.left), (110, 0), "what was under way is counted");
}

#[test]
fn of_all_who_count_at_once_one_crosses() {
    let counter = counter("{ tokens = 40000, per = \"total\" }");
    let now = SystemTime::now();
    let one = Used { cost: NanoUsd::ZERO, tokens: 1 };
    let crossed = |counter: Arc<Counter>| {
        thread::spawn(move || (0..10_000).filter(|_| counter.add(0, one, now) == Crossed::JustNow).count())
    };
    let threads = [0; 8].map(|_| crossed(counter.clone()));
    assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 1);
    assert_eq!(counter.standing(now).used, 80_000, "no count is lost");
}

#[test]
fn a_quota_is_fresh_when_its_time_begins_in_utc() {
    for (per, last, first, wait) in [
        ("day", "2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z", 1),
        ("month", "2026-11-30T23:59:58Z", "2026-12-01T00:00:00Z", 2),
        ("month", "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z", 3600),
        ("month", "2028-02-28T00:00:00Z", "2028-03-01T00:00:00Z", 2 * 86_400),
    ] {
        let counter = counter(&format!("{{ tokens = 1, per = \"{per}\" }}"));
        counter.add(unix_ms(at(last)), cost(1), at(last));
        let retry_after = Some(Duration::from_secs(wait));
        assert_eq!(counter.check(at(last)), Err(QuotaUsedUp { retry_after }), "{last}");
        assert_eq!(counter.check(at(first)), Ok(()), "{first}");
    }
    let ever = counter("{ tokens = 1, per = \"total\" }");
    ever.add(0, cost(1), at("2026-11-21T00:00:00Z"));
    assert_eq!(ever.check(at("2999-01-01T00:00:00Z")), Err(QuotaUsedUp { retry_after: None }));
}

#[test]
fn a_clock_that_jumps_neither_forgets_what_was_used_nor_spends_it_twice() {
    let counter = counter("{ tokens = 10, per = \"day\" }");
    let (today, ahead, back) = (at("2026-11-21T12:00:00Z"), at("2031-01-01T00:00:00Z"), at("2026-11-20T12:00:00Z"));
    let add = |now| counter.add(unix_ms(now), tokens(8), now);
    assert_eq!(add(today), Crossed::No);
    assert_eq!(add(ahead), Crossed::No, "another day");
    assert_eq!(counter.standing(today).used, 8, "the way back finds it as it was");
    assert_eq!(add(back), Crossed::No);
    assert_eq!(add(today), Crossed::JustNow);
    for year in 2040..2060 {
        add(at(&format!("{year}-01-01T00:00:00Z")));
        assert_eq!(add(today), Crossed::No);
    }
    assert!(counter.check(today).is_err(), "a clock gone wild does not push the present out");
    assert_eq!(counter.check(UNIX_EPOCH), Ok(()));
    assert_eq!(counter.check(UNIX_EPOCH - Duration::from_hours(1)), Ok(()));
    let _ = counter.check(UNIX_EPOCH + Duration::from_secs(1 << 50)); // no calendar has it, and nobody panics
}

#[test]
fn late_usage_counts_in_its_own_time_and_ends_nothing_in_the_present() {
    let counter = counter("{ tokens = 10, per = \"day\" }");
    let (yesterday, today) = (at("2026-11-20T23:59:59Z"), at("2026-11-21T00:00:01Z"));
    assert_eq!(counter.add(unix_ms(yesterday), tokens(50), today), Crossed::No);
    assert_eq!((counter.check(yesterday).is_err(), counter.check(today)), (true, Ok(())));
}

#[test]
fn what_has_no_price_uses_tokens_and_no_money() {
    let now = at("2026-11-21T12:00:00Z");
    let unpriced = Used { cost: NanoUsd::ZERO, tokens: 1_000 };
    let (usd, tokens) = (counter("{ usd = 1, per = \"day\" }"), counter("{ tokens = 1000, per = \"day\" }"));
    assert_eq!(usd.add(unix_ms(now), unpriced, now), Crossed::No);
    assert_eq!(tokens.add(unix_ms(now), unpriced, now), Crossed::JustNow);
    assert_eq!((usd.standing(now).left, tokens.standing(now).left), (1_000_000_000, 0));
}

#[test]
fn a_quota_survives_a_restart() {
    let place = Place::new();
    let now = SystemTime::now();
    let keys = keys("{ usd = 4.0, per = \"month\" }");
    let mut runs = Vec::new();
    for _ in 0..3 {
        let opened = Opened::new(&place.settings).unwrap();
        let quotas = Quotas::new(&keys, now, |key, time| opened.used(key, time)).unwrap();
        let counter = quotas.of("acme").unwrap().clone();
        runs.push((counter.standing(now).used, counter.check(now).is_ok()));
        let counting = counter.clone();
        let ledger = opened.start(move |new: &NewUsage| {
            counting.add(new.at_ms, new.used, now);
        });
        let ledger = ledger.unwrap();
        let row = UsageRow { at_ms: unix_ms(now), ..response(Uuid::new_v4(), Some("r")) };
        ledger.recorder().try_record(row).unwrap();
        // Of another month, and of another key.
        ledger.recorder().try_record(UsageRow { at_ms: 1, ..response(Uuid::new_v4(), Some("r")) }).unwrap();
        let other = UsageRow { key: "other".into(), at_ms: unix_ms(now), ..response(Uuid::new_v4(), Some("r")) };
        drop(ledger.recorder().try_record(other).unwrap());
        ledger.flush(Instant::now() + PATIENCE).unwrap();
    }
    // 1.50 dollars a run.
    assert_eq!(runs, [(0, true), (1_500_000_000, true), (3_000_000_000, true)]);
    let opened = Opened::new(&place.settings).unwrap();
    let quotas = Quotas::new(&keys, now, |key, time| opened.used(key, time)).unwrap();
    assert!(quotas.of("acme").unwrap().check(now).is_err(), "4.50 of 4");
    assert!(quotas.of("other").is_none());
}

fn counter(quota: &str) -> Arc<Counter> {
    let nothing = |_: &str, _: &_| Ok::<_, Infallible>(Used::default());
    let Ok(quotas) = Quotas::new(&keys(quota), at("2026-11-21T12:00:00Z"), nothing);
    quotas.of("acme").unwrap().clone()
}

fn keys(quota: &str) -> Vec<Key> {
    let upstream = "[[upstreams]]\nname = \"u\"\nkind = \"openai\"\nurl = \"wss://h/v1/realtime\"\nkey = \"k\"\n";
    let text = format!(
        "{upstream}[[keys]]\nname = \"acme\"\nkey = \"a\"\nquota = {quota}\n[[keys]]\nname = \"other\"\nkey = \"b\"\n"
    );
    parse(&text).unwrap().keys
}

fn cost(nano: u64) -> Used {
    Used { cost: NanoUsd::new(nano), tokens: nano }
}

fn tokens(tokens: u64) -> Used {
    Used { cost: NanoUsd::ZERO, tokens }
}

fn at(moment: &str) -> SystemTime {
    humantime::parse_rfc3339(moment).unwrap()
}
