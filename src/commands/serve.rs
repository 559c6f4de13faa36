//! `serve`: runs the relay until a signal ends it. It refuses to know how a relay is built.

mod open_files;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::Relay;
use crate::control::config::{Config, Log, LogFormat, Sources, load};
use crate::edge::tls::TlsError;

/// Run the relay.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The configuration [default: relay.toml if it is there, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Exits 0 after SIGINT or SIGTERM, 2 if the configuration is wrong, 1 if the relay cannot run.
pub fn run(args: ServeArgs) -> ExitCode {
    let config = match load(&Sources::of_process(args.config)) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    log_to_stderr(&config.log);
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(if error.is::<TlsError>() { 2 } else { 1 })
        }
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    open_files::provide(&config);
    let secure = config.server.tls.is_some();
    let relay = Relay::start(config)?;
    for address in &relay.addresses {
        tracing::info!("clients connect to {}://{address}/v1/realtime", if secure { "wss" } else { "ws" });
    }
    tracing::info!("probes are answered on http://{}/readyz", relay.admin_address);
    let signal = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(stop_signal())?;
    tracing::info!("{signal}: stopping");
    drop(relay);
    Ok(())
}

async fn stop_signal() -> anyhow::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// The log goes to stderr: stdout belongs to what a command answers.
fn log_to_stderr(log: &Log) {
    // The configuration was checked: its directives parse.
    let filter = tracing_subscriber::EnvFilter::new(&log.level);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
