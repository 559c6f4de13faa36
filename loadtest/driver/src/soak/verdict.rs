//! Judges a soak: what may not grow, and what must be equal.
//!
//! It refuses to measure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::client::{Crowd, Slot, WAYS};
use super::samples::{Sample, Samples};
use super::stage::Recorded;

/// From the second quarter to the last a figure may grow by this part, and by so much more: of memory what the allocator
/// keeps ready, of descriptors and links what comes and goes.
const TOLERANCES: [(&str, f64, f64); 5] = [
    ("memory_mib", 0.05, 2.0),
    ("descriptors", 0.02, 20.0),
    ("threads", 0.0, 0.0),
    ("links", 0.02, 10.0),
    ("cpu_us_per_frame", 0.15, 0.0),
];
/// A shorter one is still warming up in its second quarter: it only shows that it runs.
const SHORTEST: Duration = Duration::from_mins(1);
/// Then by this part.
const LOOSE: f64 = 1.0;

/// Something that must be true.
#[derive(Debug, Serialize)]
pub struct Claim {
    what: String,
    expected: f64,
    found: f64,
    most: f64,
    holds: bool,
}

/// What came out.
pub struct Verdict {
    seconds: f64,
    samples: Vec<Sample>,
    claims: Vec<Claim>,
    ways: Value,
}

impl Claim {
    /// Two counts are the same.
    #[allow(clippy::cast_precision_loss)] // No count here is that large.
    pub fn equal(what: &str, expected: u64, found: u64) -> Self {
        let holds = expected == found;
        Self { what: what.to_owned(), expected: expected as f64, found: found as f64, most: expected as f64, holds }
    }

    fn flat(what: &str, expected: f64, found: f64, most: f64) -> Self {
        Self { what: format!("{what}, last quarter by second"), expected, found, most, holds: found <= most }
    }
}

impl Verdict {
    /// Of these samples and claims, and of what the clients have had beside what was recorded of them.
    pub fn of(
        time: Duration,
        samples: Samples,
        mut claims: Vec<Claim>,
        slots: &[Slot],
        ledger: &BTreeMap<usize, Recorded>,
        crowd: &Crowd,
    ) -> Self {
        let [second, last] = samples.quarters();
        for (figure, part, more) in TOLERANCES {
            let (expected, found) = (mean(second, figure), mean(last, figure));
            let part = if time < SHORTEST { LOOSE } else { part };
            claims.push(Claim::flat(figure, expected, found, expected * (1.0 + part) + more));
        }
        let had = |slot: &Slot| Recorded { links: slot.links, responses: slot.responses };
        let recorded = |slot: &Slot| ledger.get(&slot.number).copied().unwrap_or_default();
        let differ = slots.iter().filter(|slot| had(slot) != recorded(slot));
        claims.push(Claim::equal("clients of whom other links or responses are recorded", 0, differ.count() as u64));
        let sum =
            |of: fn(&Recorded) -> u64, what: &dyn Fn(&Slot) -> Recorded| slots.iter().map(|slot| of(&what(slot))).sum();
        claims.push(Claim::equal("links", sum(|had| had.links, &had), sum(|had| had.links, &recorded)));
        claims.push(Claim::equal("responses", sum(|had| had.responses, &had), sum(|had| had.responses, &recorded)));
        let ways = WAYS.iter().zip(*crowd.ways.borrow()).map(|(way, count)| (format!("{way:?}"), count.into()));
        Self { seconds: time.as_secs_f64(), samples: samples.all, claims, ways: Value::Object(ways.collect()) }
    }

    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }

    pub fn print(&self) {
        println!(
            "{:>8} {:>8} {:>8} {:>8} {:>8} {:>10} {:>9}",
            "s", "MiB", "files", "threads", "links", "frames/s", "µs/frame"
        );
        let mut before = 0.0;
        for sample in &self.samples {
            let Sample { seconds, memory_mib, descriptors, threads, links, frames, cpu_us } = sample;
            let (rate, cost) = (frames / (seconds - before), cpu_us / frames.max(1.0));
            println!(
                "{seconds:>8.0} {memory_mib:>8.1} {descriptors:>8} {threads:>8} {links:>8} {rate:>10.0} {cost:>9.2}"
            );
            before = *seconds;
        }
        println!("endings: {}", self.ways);
        for Claim { what, expected, found, most, holds } in &self.claims {
            let verdict = if *holds { "holds" } else { "FAILED" };
            println!("{verdict:<7} {what:<58} {expected:>10.2} -> {found:>10.2}   at most {most:.2}");
        }
    }

    pub fn json(&self) -> Value {
        let Self { seconds, samples, claims, ways } = self;
        json!({ "seconds": seconds, "holds": self.holds(), "claims": claims, "endings": ways, "samples": samples })
    }
}

/// Of these samples; of the cost of a frame the mean over frames.
fn mean(samples: &[Sample], figure: &str) -> f64 {
    let sum = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>();
    #[allow(clippy::cast_precision_loss)] // No count here is that large.
    let count = samples.len().max(1) as f64;
    match figure {
        "memory_mib" => sum(|sample| sample.memory_mib) / count,
        "descriptors" => sum(|sample| sample.descriptors) / count,
        "threads" => sum(|sample| sample.threads) / count,
        "links" => sum(|sample| sample.links) / count,
        _ => sum(|sample| sample.cpu_us) / sum(|sample| sample.frames).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: impl Fn(usize) -> f64) -> Vec<Sample> {
        let sample = |n: usize| Sample {
            seconds: 0.0,
            memory_mib: memory(n),
            descriptors: 7.0,
            threads: 3.0,
            links: 1.0,
            frames: 100.0,
            cpu_us: 1_000.0,
        };
        (0..40).map(sample).collect()
    }

    #[test]
    fn the_cost_of_a_frame_is_a_mean_over_frames() {
        assert!((mean(&samples(|_| 1.0), "cpu_us_per_frame") - 10.0).abs() < 1e-9);
    }

    #[test]
    fn what_grows_by_more_than_is_tolerated_does_not_hold() {
        let grown = |last| Claim::flat("memory_mib", 10.0, last, 10.0 * 1.05 + 2.0).holds;
        assert!(grown(12.5) && !grown(12.6));
    }
}
