//! The fuzzer's way into [`realtime_relay_fuzz::tls`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::tls;

fuzz_target!(|input: &[u8]| tls::holds(input));
