//! The claims that `cargo fuzz` attacks, held against its seeds and against some changes of each, drawn from a fixed
//! number: a defect that a fuzzer once found is found again here, where there is no fuzzer.

use std::fs;
use std::path::Path;

#[allow(dead_code, missing_docs, clippy::pedantic, reason = "a crate of its own, as the fuzzer has it")]
#[path = "../fuzz/src/lib.rs"]
mod claims;

use claims::{admission, config, proxy_header, pump, scan, tap, tls, upstream_101};

/// Changes of each seed, where a run costs microseconds.
const MANY: usize = 300;
/// Where it takes connections.
const FEW: usize = 20;

#[test]
fn scan_agrees_with_two_parsers() {
    hold("scan", MANY, scan::holds);
}

#[test]
fn the_tap_agrees_with_a_whole_parse() {
    hold("tap", MANY, tap::holds);
}

#[test]
fn what_goes_out_of_a_pump_is_the_legal_front_of_what_goes_in() {
    hold("pump", MANY, pump::holds);
}

#[test]
fn an_upstream_is_dialled_exactly_for_whom_the_rules_admit() {
    hold("admission", FEW, admission::holds);
}

#[test]
fn a_leg_stands_exactly_behind_a_right_101() {
    hold("upstream_101", FEW, upstream_101::holds);
}

#[test]
fn whom_a_proxy_announces_is_what_the_protocol_says() {
    hold("proxy_header", FEW, proxy_header::holds);
}

#[test]
fn what_tls_delivers_is_what_the_peer_sealed_up_to_what_was_touched() {
    hold("tls", FEW, tls::holds);
}

#[test]
fn a_configuration_is_taken_or_its_mistakes_are_told() {
    hold("config", MANY / 10, config::holds);
}

/// Holds a claim against the seeds of a target, and against so many changes of each.
fn hold(target: &str, changes: usize, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(seeds.len() >= 5, "{} seeds in {}", seeds.len(), folder.display());
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for (seed, file) in seeds.iter().zip(&files) {
        eprintln!("{}", file.display());
        holds(seed);
        for _ in 0..changes {
            let input = changed(seed, &seeds, &mut random);
            eprintln!("{}", input.escape_ascii());
            holds(&input);
        }
    }
}

/// A seed with a few bytes changed, cut out, or taken from another seed.
fn changed(seed: &[u8], seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let (front, back) = bytes.split_at(at);
        let (other, length) = (&seeds[random.below(seeds.len())], random.below(16));
        bytes = match random.below(4) {
            0 => [front, &[u8::try_from(random.below(256)).unwrap()], back.get(1..).unwrap_or_default()].concat(),
            1 => [front, back.get(length..).unwrap_or_default()].concat(),
            2 => [front, &other[random.below(other.len() + 1)..]].concat(),
            _ => [front, &back[..length.min(back.len())], back].concat(),
        };
    }
    bytes
}

/// Xorshift: enough to change bytes, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
