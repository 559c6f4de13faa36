//! Reads `quota`: how much a key may use, and in which time. Refuses to count.

use std::time::Duration;

use super::table::{Given, Table};
use super::units;
use crate::control::prices::NanoUsd;

/// USD, down to a nano-dollar.
const DECIMALS: u32 = 9;
const DAY: Duration = Duration::from_hours(24);

/// How much a key may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Above zero.
    pub allowance: Allowance,
    /// In which time.
    pub per: Period,
}

/// What is counted, and up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Money. What has no price uses none.
    Usd(NanoUsd),
    /// Tokens of all kinds, in and out.
    Tokens(u64),
}

/// In which time, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first of the month to the next.
    Month,
    /// For ever.
    Total,
}

impl Period {
    /// As the configuration spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// How long records must be kept so that it can be counted; `None`: for ever.
    pub(super) fn length(self) -> Option<Duration> {
        match self {
            Self::Day => Some(DAY),
            Self::Month => Some(31 * DAY),
            Self::Total => None,
        }
    }
}

/// `quota = { usd = 100.0, per = "month" }`. A record must live as long as it counts.
pub(super) fn read(table: &mut Table<'_>, retention: Option<Duration>) -> Option<Quota> {
    let Given { value: entries, spot } = table.entries("quota")?;
    let mut quota = table.below(spot.clone(), entries);
    let pair = (quota.has("usd"), quota.has("tokens"));
    let has_period = quota.has("per");
    let usd = quota.decimal("usd", DECIMALS).map(|given| given.map(|nano| Allowance::Usd(NanoUsd::new(nano))));
    let tokens =
        quota.integer("tokens").map(|given| given.map(|count| Allowance::Tokens(count.max(0).cast_unsigned())));
    match pair {
        (false, false) => quota.note(&quota.spot_of("usd"), "missing; write usd = 100.0, or tokens = 1000000"),
        (true, true) => quota.note(&quota.spot_of("usd"), "stands beside `tokens`; leave one of them out"),
        _ => {}
    }
    let allowance = usd.or(tokens);
    if let Some(Given { value: Allowance::Usd(NanoUsd::ZERO) | Allowance::Tokens(0), spot }) = &allowance {
        quota.note(spot, "lets nothing through; write more than 0, or leave the key out");
    }
    if !has_period {
        quota.note(&quota.spot_of("per"), "missing; write per = \"day\", \"month\" or \"total\"");
    }
    let per = quota.word("per", &[Period::Day, Period::Month, Period::Total].map(|per| (per.name(), per)));
    if let (Some(per), Some(retention)) = (&per, retention)
        && per.value.length().is_none_or(|length| retention < length)
    {
        let kept = units::write_duration(retention);
        let what = format!("counted from records that metering.retention deletes after {kept}; keep them longer");
        quota.note(&per.spot, what);
    }
    quota.finish();
    Some(Quota { allowance: allowance?.value, per: per?.value })
}
