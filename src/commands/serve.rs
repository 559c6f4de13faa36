//! `serve`: runs the relay until a signal, or an operator, has it drained. It refuses to know how a relay is built, and
//! what a drain consists of.

mod open_files;

use std::convert::Infallible;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{Inherited, Relay};
use crate::control::config::{Config, Log, LogFormat, Sources, load};
use crate::control::drain::Drain;
use crate::control::takeover::Predecessor;
use crate::edge::tls::TlsError;

/// Run the relay.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// The configuration [default: relay.toml if it is there, else the built-in defaults]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take the place of the relay that runs: its listening sockets come from this unix socket, its `takeover_socket`
    #[arg(long, value_name = "PATH")]
    pub takeover: Option<PathBuf>,
}

/// Exits 0 after a drain or a second signal, 2 if the configuration is wrong, 1 if the relay cannot run or there is
/// nothing to take over.
pub fn run(args: ServeArgs) -> ExitCode {
    let config = match load(&Sources::of_process(args.config)) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    log_to_stderr(&config.log);
    match serve(config, args.takeover) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(if error.is::<TlsError>() { 2 } else { 1 })
        }
    }
}

fn serve(config: Config, takeover: Option<PathBuf>) -> anyhow::Result<()> {
    open_files::provide(&config);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Before the start: a signal that comes while it starts is not to kill it.
        let signals = Signals::catch()?;
        let secure = config.server.tls.is_some();
        let (inherited, predecessor) = inherit(takeover).await?;
        let relay = Relay::start_with(config, inherited)?;
        for address in &relay.addresses {
            tracing::info!("clients connect to {}://{address}/v1/realtime", if secure { "wss" } else { "ws" });
        }
        tracing::info!("probes are answered on http://{}/readyz", relay.admin_address);
        tracing::info!("{}", relay.schedule);
        if let Some(predecessor) = predecessor {
            relieve(predecessor).await;
        }
        run_until_drained(relay, signals).await
    })
}

/// The listening sockets that are there already, and the process that still uses them.
async fn inherit(takeover: Option<PathBuf>) -> anyhow::Result<(Inherited, Option<Predecessor>)> {
    let Some(path) = takeover else { return Ok((Inherited::of_manager()?, None)) };
    let (predecessor, sockets) = Predecessor::meet(&path).await?;
    tracing::info!("{} listening sockets are taken over", sockets.len());
    Ok((Inherited::FromPredecessor { sockets, path }, Some(predecessor)))
}

async fn relieve(predecessor: Predecessor) {
    match predecessor.relieve().await {
        Ok(()) => tracing::info!("the predecessor accepts no more connections, and drains"),
        // The sockets are here in any case.
        Err(error) => tracing::warn!(%error, "the predecessor did not say that it accepts no more; is it gone?"),
    }
}

async fn run_until_drained(mut relay: Relay, mut signals: Signals) -> anyhow::Result<()> {
    let drain = relay.drain.clone();
    tokio::select! {
        over = relay.finished() => over,
        never = signals.obey(&drain) => match never {},
    }
}

/// What whoever runs this process tells it.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they do not end the process.
    fn catch() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
        })
    }

    /// The first one drains, unless that is going on already; the second one ends everything at once.
    async fn obey(&mut self, drain: &Drain) -> Infallible {
        tokio::select! {
            _ = self.terminate.recv() => {
                tracing::info!("SIGTERM: draining");
                drain.begin();
            }
            // No load balancer waits for whoever sits at a terminal.
            _ = self.interrupt.recv() => {
                tracing::info!("SIGINT: draining, without the grace");
                drain.hurry();
            }
        }
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            tracing::info!("a second signal: ending at once");
            drain.cut();
        }
    }
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
