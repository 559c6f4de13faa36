//! What is in `deploy/`, against the relay itself: it waits long enough, allows what the relay needs, and asks for metrics
//! that there are. What other programs say of those files is said by `deploy/check`.
#![cfg(target_os = "linux")]

mod metrics;
mod page;
#[allow(dead_code)] // its own part of it
#[path = "../lifecycle/process.rs"]
mod process;
mod reload;
mod shipped;
#[path = "../support/mod.rs"]
mod support;
mod syscalls;
mod waits;
