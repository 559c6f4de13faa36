//! The load driver: puts the same loads on realtime-relay and on other proxies beside it, and says what a frame, a
//! set-up and an idle link cost each of them.
//!
//! `compare` runs the proxies as children on one core. The clients and the upstream are one thread on another core, which
//! waits for all their sockets at once ([`rig`]): so no process switch stands between them, they share a clock, and they
//! cost less than any proxy. What a proxy costs is what the system accounts for its processes ([`account`]), so the
//! figures hold also where the driver is the slower of the two.
//!
//! `soak` puts one load on the relay for a long time, and judges whether anything grows ([`soak`]).

#![forbid(unsafe_code)]

mod account;
mod bars;
mod compare;
mod conn;
mod copy;
mod cores;
mod end;
mod frames;
mod hyper;
mod identity;
mod load;
mod plot;
mod proxy;
mod records;
mod results;
mod rig;
mod scenario;
mod soak;
mod table;
mod template;
mod turns;
mod upgrade;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use results::Results;

/// The relay has it too: what `copy` and `hyper` cost is not to be their allocator's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(name = "driver", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios through proxies, round after round, and print medians and ratios
    Compare(compare::CompareArgs),
    /// Print the tables and the bars of results that are there, and draw them again
    Judge {
        /// What `compare` has written
        #[arg(default_value = "target/loadtest/results.json")]
        results: PathBuf,
    },
    /// Have links come and go for a long time, and say whether the relay's costs grow, and whether its records are right
    Soak(soak::SoakArgs),
    /// Be a proxy that copies bytes
    Copy {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
        /// Where to connect to
        #[arg(long)]
        upstream: SocketAddr,
        /// Bytes for each direction of a link, such as 63k
        #[arg(long, value_parser = bytes)]
        buffer: usize,
    },
    /// Be a proxy that reads HTTP with hyper, and then copies bytes
    Hyper {
        /// Where to listen
        #[arg(long)]
        listen: SocketAddr,
        /// Where to connect to
        #[arg(long)]
        upstream: SocketAddr,
    },
    /// Become another program that stays on a core and ends with its parent
    #[command(hide = true)]
    Become {
        #[arg(long)]
        core: usize,
        #[arg(long)]
        first: bool,
        #[arg(last = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Compare(args) => compare::run(&args),
        Command::Judge { results } => compare::tell(&Results::read(&results)?, &results),
        Command::Soak(args) => soak::run(&args),
        Command::Copy { listen, upstream, buffer } => copy::serve(listen, upstream, buffer),
        Command::Hyper { listen, upstream } => hyper::serve(listen, upstream),
        Command::Become { core, first, command } => cores::become_proxy(core, first, &command),
    }
}

fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = text.strip_suffix('k').map_or((text, 1), |digits| (digits, 1024));
    digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(|| format!("no size: {text}"))
}
