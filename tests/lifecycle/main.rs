//! How the relay comes and goes, as a process: what its clients notice of a drain, a successor, and a service manager;
//! and what its log says.
//!
//! Linux only: that is where the tests can hold a process still, and look at what it has.
#![cfg(target_os = "linux")]

mod drain;
mod ledger;
mod log;
mod manager;
mod notify;
mod peers;
mod process;
mod reload;
mod restart;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod takeover;
