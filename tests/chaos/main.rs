//! Many links whose legs fail in every way there is, in memory and by a clock of their own; a seed decides what happens, and
//! makes it happen again.

mod claims;
mod delivery;
mod draw;
mod fault;
mod forwarder;
mod frames;
mod player;
mod recorder;
mod responses;
mod script;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod tally;
mod trace;
mod wire;
mod world;

use std::ops::Range;

use realtime_relay::relay::ending::Ending;

use crate::fault::{Fault, Injected};
use crate::support::frame;
use crate::tally::Tally;

/// Links of one seed, at once.
const LINKS: usize = 40;
/// The seeds of a usual run. `REALTIME_RELAY_CHAOS_SEEDS=a..b` are others, `REALTIME_RELAY_CHAOS_SEED=n` is one.
const SEEDS: Range<u64> = 0..30;

/// What every seed in the range shows: the claims hold for each of its links.
#[test]
fn whatever_happens_to_its_legs_a_link_keeps_its_promises() {
    let (seeds, links) = (seeds(), variable("LINKS").map_or(LINKS, |links| links.parse().expect("a number")));
    let mut tally = Tally::default();
    for seed in seeds.clone() {
        tally.play(seed, links);
    }
    println!("{tally}");
    // A single seed need not have everything.
    if seeds.end - seeds.start >= SEEDS.end && links >= LINKS {
        let missing: Vec<_> = Fault::ALL.into_iter().filter(|fault| tally.injected(*fault) == 0).collect();
        assert!(missing.is_empty(), "never injected: {missing:?}");
        let missing: Vec<_> = Ending::NAMES.into_iter().filter(|name| tally.ended(name) == 0).collect();
        assert!(missing.is_empty(), "no link has ended so: {missing:?}");
    }
}

#[test]
fn a_seed_makes_the_same_happen_again() {
    for seed in 0..3 {
        let [first, second] = [(); 2].map(|()| world::play(seed, LINKS, &Injected::default()));
        for (first, second) in first.outcomes.iter().zip(&second.outcomes) {
            assert_eq!(first.script.plot, second.script.plot);
            assert_eq!(first.happened, second.happened, "link {} of seed {seed}", first.link);
            assert_eq!(first.report().ending.name(), second.report().ending.name());
        }
    }
}

fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match (variable("SEED"), variable("SEEDS")) {
        (Some(seed), _) => number(&seed)..number(&seed) + 1,
        (_, Some(seeds)) => {
            let (first, end) = seeds.split_once("..").expect("a range, as 0..1000");
            number(first)..number(end)
        }
        _ => SEEDS,
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("REALTIME_RELAY_CHAOS_{name}")).ok()
}
