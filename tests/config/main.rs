//! What a configuration may say, and what is said about one that is wrong.

mod document;
mod keys;
mod metering;
mod process;
mod setup;
mod upstreams;
