//! The fuzzer's way into [`realtime_relay_fuzz::pump`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::pump;

fuzz_target!(|input: &[u8]| pump::holds(input));
