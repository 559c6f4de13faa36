//! `realtime-relay check`: says what the configuration amounts to, or everything that is wrong with it. Refuses to start
//! anything.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::control::config::{Sources, load};

/// Validate the configuration, and print the effective one with secrets masked.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// The configuration [default: relay.toml if it is there, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Exits 0 if the configuration holds, 2 if it does not, 1 if it cannot be printed.
pub fn run(args: CheckArgs) -> ExitCode {
    let written = match load(&Sources::of_process(args.config)) {
        Ok(config) => write!(io::stdout(), "{config}").map(|()| ExitCode::SUCCESS),
        Err(mistakes) => writeln!(io::stderr(), "{mistakes}").map(|()| ExitCode::from(2)),
    };
    written.unwrap_or(ExitCode::FAILURE)
}
