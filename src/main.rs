//! The binary: the allocator, and the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use realtime_relay::commands::{check, demo, hash_key, serve, simulate, usage};

/// A WebSocket relay for the OpenAI Realtime API.
#[derive(Debug, Parser)]
#[command(name = "realtime-relay", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Demo(demo::DemoArgs),
    Simulate(simulate::SimulateArgs),
    Check(check::CheckArgs),
    Usage(usage::UsageArgs),
    HashKey(hash_key::HashKeyArgs),
}

fn main() -> ExitCode {
    give_memory_back();
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Check(args) => check::run(args),
        Command::Usage(args) => usage::run(args),
        Command::HashKey(args) => hash_key::run(args),
    }
}

/// Of mimalloc's options (`mi_option_e` in its `mimalloc.h`, the same number in versions 2 and 3): how many milliseconds
/// freed pages stay before the system has them back. The crate has no name for it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// Long enough that a handshake does not pay for the pages of the one before it.
const SHORT_STAY: std::ffi::c_long = 100;

/// By default freed pages stay for a second and longer, until the allocator is next used; after a wave of TLS handshakes
/// they are most of the process. (Huge pages, the other default that does not suit many small connections, are off by a
/// crate feature. By another one mimalloc is `malloc` for the whole process: for Rust, whose own allocator that is, and for what is
/// written in C, such as cryptography and SQLite. Of the small pieces that a handshake leaves in the system's own allocator, that
/// gave nothing back.)
#[allow(unsafe_code)]
fn give_memory_back() {
    // SAFETY: `mi_option_set` stores a number in a table of options; any thread may call it at any time, and both
    // arguments are of the declared types. Called first in `main`, it comes before all allocations that matter.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, SHORT_STAY) };
    // SAFETY: any thread may call `mi_collect` at any time; it frees no block that is in use.
    realtime_relay::memory::give_back_by(|| unsafe { libmimalloc_sys::mi_collect(true) });
}
