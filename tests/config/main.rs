//! What a configuration may say, and what is said about one that is wrong.

mod document;
mod keys;
mod metering;
mod process;
mod setup;
#[allow(dead_code)] // nothing runs here
#[path = "../support/transcript.rs"]
mod transcript;
mod upstreams;
