//! The fuzzer's way into [`realtime_relay_fuzz::scan`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::scan;

fuzz_target!(|input: &[u8]| scan::holds(input));
