//! The fuzzer's way into [`realtime_relay_fuzz::config`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::config;

fuzz_target!(|input: &[u8]| config::holds(input));
