//! How a duration, a size, a moment, a name and a digest are written. Each parser says what is wrong with a text, and how
//! to write it. Refuses to know where the text stood.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use toml::value::{Datetime, Offset};

/// No deadline of a relay is longer; a longer one is a slip.
const LONGEST: Duration = Duration::from_hours(24);

/// How a duration is written.
const SOME_DURATION: &str = "write one such as \"30s\", \"5m\" or \"250ms\"";

/// The smallest size, in bytes: less is a forgotten unit, and hardly an event of the Realtime API fits.
const SMALLEST: u64 = 1024;

/// The units a size may have, in bytes, the largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// `"30s"`, `"1h30m"`: longer than zero, at most a day.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = duration_or_zero(text)?;
    if duration.is_zero() {
        return Err(format!("a deadline of zero leaves no time at all; {SOME_DURATION}"));
    }
    Ok(duration)
}

/// `"30s"`, `"1h30m"`, `"0"`: at most a day.
pub(super) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("`{text}` is not a duration: {error}; {SOME_DURATION}"))?;
    if duration > LONGEST {
        return Err(format!("longer than a day; {SOME_DURATION}"));
    }
    Ok(duration)
}

/// How long records are kept: `"90d"`, at least an hour; `"0"`: for ever.
pub(super) fn retention(text: &str) -> Result<Option<Duration>, String> {
    let example = "write one such as \"90d\" or \"1y\", or \"0\" to keep everything";
    let duration =
        humantime::parse_duration(text).map_err(|error| format!("`{text}` is not a duration: {error}; {example}"))?;
    match duration {
        Duration::ZERO => Ok(None),
        duration if duration < Duration::from_hours(1) => Err(format!("shorter than an hour; {example}")),
        duration => Ok(Some(duration)),
    }
}

/// As [`duration_or_zero`] reads it.
pub(super) fn write_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// `"24MiB"`, `"1000"`: bytes, at least [`SMALLEST`].
pub(super) fn size(text: &str) -> Result<u64, String> {
    let example = "write one such as \"24MiB\", \"512KiB\" or a number of bytes";
    let wrong = || format!("`{text}` is not a size; {example}");
    let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
    let (digits, unit) = unit.unwrap_or((text, 1));
    let digits = digits.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit)).ok_or_else(wrong)?;
    if bytes < SMALLEST { Err(format!("less than 1KiB; {example}")) } else { Ok(bytes) }
}

/// As [`size`] reads it.
pub(super) fn write_size(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// `4.25` with two decimals is 425: exact, so more decimals are refused.
pub(super) fn decimal(text: &str, decimals: u32) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a plain number, zero or above; write one such as 0.25");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(wrong());
    }
    let fraction = fraction.trim_end_matches('0');
    let room = u32::try_from(fraction.len()).ok().and_then(|length| decimals.checked_sub(length));
    let room = room.ok_or_else(|| format!("`{text}` has more than {decimals} decimals; round it"))?;
    let value = format!("{whole}{fraction}").parse::<u64>().ok();
    let value = value.and_then(|value| value.checked_mul(10_u64.checked_pow(room)?));
    value.ok_or_else(|| format!("`{text}` is too large"))
}

/// A moment of RFC 3339, offset included, from 1970 to 9999.
pub(super) fn moment(moment: &Datetime) -> Result<SystemTime, String> {
    let example = "write one such as \"2027-01-01T00:00:00Z\"";
    let (Some(date), Some(time), Some(offset)) = (moment.date, moment.time, moment.offset) else {
        return Err(format!("needs a date, a time and an offset from UTC; {example}"));
    };
    let wrong = |error| format!("not a moment: {error}; {example}");
    let local = humantime::parse_rfc3339(&format!("{date}T{time}Z")).map_err(|error| wrong(error.to_string()))?;
    let offset = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => minutes,
    };
    let distance = Duration::from_secs(u64::from(offset.unsigned_abs()) * 60);
    let utc = if offset < 0 { local.checked_add(distance) } else { local.checked_sub(distance) };
    // What cannot be written back by `humantime` is outside of its years.
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799); // 9999-12-31T23:59:59Z
    utc.filter(|utc| (UNIX_EPOCH..=last).contains(utc)).ok_or_else(|| wrong("its year is out of range".into()))
}

/// As [`moment`] reads it.
pub(super) fn write_moment(moment: SystemTime) -> String {
    humantime::format_rfc3339(moment).to_string()
}

/// A name that can stand in a log line, a metric and a path.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(fits) {
        Ok(text.to_owned())
    } else {
        Err("not a name; write 1 to 64 letters, digits, `_`, `.` or `-`".into())
    }
}

/// 64 hex digits.
pub(super) fn digest(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "not a SHA-256; write the 64 hex digits that `realtime-relay hash-key` prints".to_owned();
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let moment = moment(&text.parse().ok()?).ok()?;
        Some(moment.duration_since(UNIX_EPOCH).ok()?.as_secs())
    }

    #[test]
    fn a_size_has_a_binary_unit_or_none() {
        assert_eq!(size("24MiB"), Ok(24 << 20));
        assert_eq!(size("2000"), Ok(2000));
        for wrong in ["", "MiB", "24MB", "-1", "+4096", "1.5MiB", "99999999999GiB", "1000"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for bytes in [1024, 1025, 24 << 20, 3 << 30] {
            assert_eq!(size(&write_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn a_decimal_is_exact_or_refused() {
        assert_eq!(decimal("4.25", 2), Ok(425));
        assert_eq!(decimal("0.1", 9), Ok(100_000_000));
        assert_eq!(decimal("7", 0), Ok(7));
        assert_eq!(decimal("1.500", 1), Ok(15), "zeros at the end are no decimals");
        for wrong in ["", ".5", "-1", "+1", "1e3", "inf", "nan", "1.25", "18446744073709551615", "1.2.3"] {
            assert!(decimal(wrong, 1).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_neither_zero_nor_longer_than_a_day() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "30", "0s", "-5s", "25h", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(write_duration(Duration::from_millis(90_250)), "1m30s250ms");
    }

    #[test]
    fn a_duration_that_may_be_zero_is_written_as_zero() {
        for zero in ["0", "0s", "0ms"] {
            assert_eq!(duration_or_zero(zero), Ok(Duration::ZERO), "{zero}");
        }
        assert_eq!(write_duration(Duration::ZERO), "0s");
        for wrong in ["", "30", "-5s", "25h"] {
            assert!(duration_or_zero(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_needs_its_offset() {
        assert_eq!(seconds("1970-01-02T00:00:00Z"), Some(86_400));
        assert_eq!(seconds("1970-01-02T02:00:00+02:00"), Some(86_400));
        assert_eq!(seconds("1970-01-01T23:30:00-00:30"), Some(86_400));
        for wrong in ["1970-01-02T00:00:00", "1970-01-02", "1970-01-01T00:00:00+02:00", "9999-12-31T23:59:59-01:00"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_digest_is_64_hex_digits() {
        assert_eq!(digest(&"aF".repeat(32)), Ok([0xaf; 32]));
        assert!(digest(&"a".repeat(63)).is_err());
        assert!(digest(&"g".repeat(64)).is_err());
        assert!(digest(&"ää".repeat(16)).is_err());
    }
}
