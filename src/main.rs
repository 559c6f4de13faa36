//! The binary: the allocator, and the command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use realtime_relay::commands::{check, demo, hash_key, serve, simulate, usage};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    give_memory_back_at_once();
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

/// By default freed pages stay for a while, and after a wave of TLS handshakes that is most of the process. (Huge pages,
/// the other default that does not suit many small connections, are off by a crate feature.)
#[allow(unsafe_code)]
fn give_memory_back_at_once() {
    // SAFETY: `mi_option_set` stores a number in a table of options; any thread may call it at any time, and both
    // arguments are of the declared types. Called first in `main`, it comes before all allocations that matter.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 0) };
}
