//! `simulate`: the simulated upstream as a command. What it simulates is decided in `simulate`, not here.

use crate::simulate::{DEFAULT_PACE, Options, fault_help, serve};
use anyhow::Context;
use clap::Args;
use std::io::Write;
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Run a simulated upstream: the Realtime API on loopback, with faults on request.
#[derive(Args, Clone, Debug)]
#[command(after_help = fault_help())]
pub struct SimulateArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9100")]
    listen: String,
    /// Decides every id, note and phrase: equal seeds give equal bytes.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The only key that is good; any other is let in and then closed with 3000, as the live service does.
    #[arg(long)]
    key: Option<String>,
    /// How fast it answers, relative to real time; `inf` for as fast as it can.
    #[arg(long, default_value_t = DEFAULT_PACE, value_parser = pace)]
    pace: f64,
}

/// Serves until SIGINT or SIGTERM; then it exits 0, and 1 if it cannot listen.
pub fn run(args: SimulateArgs) -> ExitCode {
    match simulate(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(args: SimulateArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let listener =
            TcpListener::bind(&args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
        println!("simulated upstream on ws://{}/v1/realtime", listener.local_addr()?);
        // Whoever started it with port 0 reads the port from a pipe, which is not flushed by a line.
        std::io::stdout().flush()?;
        let options = Options { seed: args.seed, key: args.key, pace: args.pace };
        tokio::select! {
            served = serve(listener, options) => served.context("the listener broke"),
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}

fn pace(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(pace) if pace > 0.0 => Ok(pace),
        _ => Err("a number above 0, or `inf`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{SimulateArgs, pace};
    use clap::{Args, Command};

    #[test]
    fn help_lists_the_faults() {
        let help = SimulateArgs::augment_args(Command::new("simulate")).render_long_help().to_string();
        assert!(help.contains("fault-drop-mid-frame"), "{help}");
        assert!(help.contains("127.0.0.1:9100"), "{help}");
    }

    #[test]
    fn a_pace_is_above_nothing() {
        assert_eq!(pace("2.5"), Ok(2.5));
        assert_eq!(pace("inf"), Ok(f64::INFINITY));
        assert!(pace("0").is_err() && pace("-1").is_err() && pace("NaN").is_err());
    }
}
