//! The fuzzer's way into [`realtime_relay_fuzz::admission`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::admission;

fuzz_target!(|input: &[u8]| admission::holds(input));
