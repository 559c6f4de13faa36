//! The fuzzer's way into [`realtime_relay_fuzz::tap`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::tap;

fuzz_target!(|input: &[u8]| tap::holds(input));
