//! The fuzzer's way into [`realtime_relay_fuzz::proxy_header`].
#![no_main]

use libfuzzer_sys::fuzz_target;
use realtime_relay_fuzz::proxy_header;

fuzz_target!(|input: &[u8]| proxy_header::holds(input));
