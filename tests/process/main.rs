//! The relay as a process of its own: what it costs, and that it loses nothing.
//!
//! Linux only: that is where a process tells how much memory is its own.
#![cfg(target_os = "linux")]

mod bytes;
mod endings;
mod fairness;
mod killed;
mod memory;
mod open_files;
mod relay;
#[path = "../support/mod.rs"]
mod support;
mod syscalls;
