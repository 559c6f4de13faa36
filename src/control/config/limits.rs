//! Reads `[limits]`: how many, how large, how long. Refuses to know what becomes of whatever exceeds them.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::document::Value;
use super::table::{Given, Table};
use super::{Limits, MOST_AUTH_FAILURES, units};

/// Where nothing is said of them. Two file descriptors a link: a process that may have 100,000 is usual on a server.
const MAX_LINKS: NonZeroUsize = NonZeroUsize::new(50_000).expect("not 0");
/// A person who mistypes a key does not come near it, and who guesses does not come far.
const AUTH_FAILURES: NonZeroU32 = NonZeroU32::new(30).expect("not 0");

/// `[limits]`.
pub(super) fn read(mut table: Table<'_>) -> Limits {
    let dial = deadline(&mut table, "dial_timeout", 3);
    let admission = deadline(&mut table, "admission_timeout", 8);
    if admission.value < dial.value {
        let dial = units::write_duration(dial.value);
        table.note(
            &admission.spot,
            format!("shorter than dial_timeout, one of its attempts; write at least \"{dial}\""),
        );
    }
    let limits = Limits {
        max_links: max_links(&mut table),
        max_message_bytes: size(&mut table, "max_message_bytes").unwrap_or(24 << 20),
        max_link: deadline(&mut table, "max_link", 60 * 60).value,
        idle_timeout: or_never(period(&mut table, "idle_timeout", 15 * 60)),
        ping_interval: deadline(&mut table, "ping_interval", 25).value,
        handshake_timeout: deadline(&mut table, "handshake_timeout", 10).value,
        dial_timeout: dial.value,
        admission_timeout: admission.value,
        write_timeout: deadline(&mut table, "write_timeout", 30).value,
        close_timeout: deadline(&mut table, "close_timeout", 5).value,
        settle_timeout: deadline(&mut table, "settle_timeout", 5).value,
        drain_grace: period(&mut table, "drain_grace", 5),
        drain_timeout: or_never(period(&mut table, "drain_timeout", 30)),
        drain_spread: period(&mut table, "drain_spread", 2),
        auth_failures_per_minute: auth_failures(&mut table),
    };
    table.finish();
    limits
}

fn max_links(table: &mut Table<'_>) -> NonZeroUsize {
    let given = table.count("max_links", 1..=u32::MAX, "0 would let nobody in; write one such as 50000");
    given.and_then(|given| NonZeroUsize::new(usize::try_from(given.value).ok()?)).unwrap_or(MAX_LINKS)
}

fn auth_failures(table: &mut Table<'_>) -> NonZeroU32 {
    let hint = "0 would let nobody in; where all clients share one address, write a large one";
    let given = table.count("auth_failures_per_minute", 1..=MOST_AUTH_FAILURES, hint);
    given.and_then(|given| NonZeroU32::new(given.value)).unwrap_or(AUTH_FAILURES)
}

/// How long something may take: longer than zero.
fn deadline(table: &mut Table<'_>, key: &'static str, default: u64) -> Given<Duration> {
    let given = table.parsed(key, "a duration such as \"30s\"", units::duration);
    let spot = given.as_ref().map_or_else(|| table.spot_of(key), |given| given.spot.clone());
    Given { value: given.map_or(Duration::from_secs(default), |given| given.value), spot }
}

/// How long something goes on, which may be not at all. A zero is the same in every unit, so it needs none.
fn period(table: &mut Table<'_>, key: &'static str, default: u64) -> Duration {
    let given = table.take(key, "a duration such as \"30s\", or 0", |value| match value {
        Value::Text(text) => Ok(text),
        Value::Integer(Some(0)) => Ok("0s".to_owned()),
        other => Err(other),
    });
    let parse = |Given { value, spot }: Given<String>| {
        units::duration_or_zero(&value).map_err(|what| table.note(&spot, what)).ok()
    };
    given.and_then(parse).unwrap_or(Duration::from_secs(default))
}

/// Zero stands for no end at all.
fn or_never(period: Duration) -> Option<Duration> {
    (!period.is_zero()).then_some(period)
}

/// A size, or a number of bytes.
fn size(table: &mut Table<'_>, key: &'static str) -> Option<u64> {
    let given = table.take(key, "a size such as \"24MiB\"", |value| match value {
        Value::Text(text) => Ok(text),
        Value::Integer(Some(bytes)) => Ok(bytes.to_string()),
        other => Err(other),
    })?;
    units::size(&given.value).map_err(|what| table.note(&given.spot, what)).ok()
}
