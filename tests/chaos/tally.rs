//! Counts what was tried, and stops at the first link of which a claim is not true, with all that is needed to see it again.
//!
//! It refuses to know the claims.

use std::collections::BTreeMap;
use std::fmt;

use crate::claims::check;
use crate::fault::{Fault, Injected};
use crate::world::{Outcome, play};

/// The last so many things that happened are printed of a link that failed.
const SHOWN: usize = 60;

#[derive(Default)]
pub struct Tally {
    seeds: u64,
    links: usize,
    /// Frames that went on, and their bytes.
    frames: u64,
    bytes: u64,
    recorded: usize,
    injected: Injected,
    endings: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Plays so many links of a seed.
    pub fn play(&mut self, seed: u64, links: usize) {
        let world = play(seed, links, &self.injected);
        assert_eq!(world.left, 0, "tasks are left of seed {seed}");
        self.seeds += 1;
        for outcome in &world.outcomes {
            match check(outcome) {
                Ok((down, up)) => {
                    self.links += 1;
                    self.frames += down.frames + up.frames;
                    self.bytes += down.bytes + up.bytes;
                    self.recorded += outcome.kept.seen.len();
                    *self.endings.entry(outcome.report().ending.name()).or_default() += 1;
                }
                Err(why) => panic!("{}", story(seed, links, outcome, &why)),
            }
        }
    }

    pub fn injected(&self, fault: Fault) -> u64 {
        self.injected.counts().get(&fault).copied().unwrap_or_default()
    }

    pub fn ended(&self, name: &str) -> u64 {
        self.endings.get(name).copied().unwrap_or_default()
    }
}

/// All that is known of a link that failed.
fn story(seed: u64, links: usize, link: &Outcome, why: &str) -> String {
    let happened = &link.happened[link.happened.len().saturating_sub(SHOWN)..];
    let happened = happened.iter().map(|what| format!("{what:?}\n"));
    format!(
        "{}\nreport {:?}, after {:?}\nat last\n{}\
         link {} of seed {seed}, {:?}: {why}\n\
         again: REALTIME_RELAY_CHAOS_SEED={seed} REALTIME_RELAY_CHAOS_LINKS={links} cargo test --test chaos whatever\n",
        link.script.plot,
        link.report,
        link.ended - link.begins,
        happened.collect::<String>(),
        link.link,
        link.forwarder,
    )
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seeds, links, frames, bytes, recorded, injected, endings } = self;
        writeln!(
            f,
            "{seeds} seeds, {links} links, {frames} frames and {bytes} bytes that went on, {recorded} records"
        )?;
        let counts = injected.counts();
        writeln!(f, "{} faults injected:", counts.values().sum::<u64>())?;
        for (fault, count) in counts {
            writeln!(f, "  {count:>9} {fault:?}")?;
        }
        writeln!(f, "endings:")?;
        for (name, count) in endings {
            writeln!(f, "  {count:>9} {name}")?;
        }
        Ok(())
    }
}
