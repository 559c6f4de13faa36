//! The fuzzer's way into [`realtime_relay_fuzz::upstream_101`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::upstream_101;

fuzz_target!(|input: &[u8]| upstream_101::holds(input));
