//! `serve`: runs the relay until a signal, or an operator, has it drained. It refuses to know how a relay is built, and
//! what a drain consists of.

mod log;
mod open_files;

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{Inherited, Relay, Renewing, Source};
use crate::control::config::{Config, Sources, load};
use crate::control::drain::Drain;
use crate::control::spans;
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
    let sources = Sources::of_process(args.config);
    let config = match load(&sources) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    let source = Source { sources, set_log: log::to_stderr(&config.log) };
    match serve_traced(config, args.takeover, source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(if error.is::<TlsError>() { 2 } else { 1 })
        }
    }
}

/// Spans leave as long as links end, and a moment after.
fn serve_traced(config: Config, takeover: Option<PathBuf>, source: Source) -> anyhow::Result<()> {
    let exporting = spans::install().context("no spans can be exported")?;
    let served = serve(config, takeover, source);
    exporting.finish();
    served
}

fn serve(config: Config, takeover: Option<PathBuf>, source: Source) -> anyhow::Result<()> {
    open_files::provide(&config);
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        // Before the start: a signal that comes while it starts is not to kill it.
        let (signals, hangups) = (Signals::catch()?, Hangups::catch()?);
        let secure = config.server.tls.is_some();
        let (inherited, predecessor) = inherit(takeover).await?;
        let relay = Relay::start_with(config, inherited, Some(source))?;
        for address in &relay.addresses {
            tracing::info!("clients connect to {}://{address}/v1/realtime", if secure { "wss" } else { "ws" });
        }
        tracing::info!("probes are answered on http://{}/readyz", relay.admin_address);
        tracing::info!("{}", relay.schedule);
        if let Some(predecessor) = predecessor {
            relieve(predecessor).await;
        }
        relay.notify.ready(&serves(&relay));
        run_until_drained(relay, signals, hangups).await
    })
}

/// For whoever asks the service manager.
fn serves(relay: &Relay) -> String {
    let addresses: Vec<_> = relay.addresses.iter().map(ToString::to_string).collect();
    format!("serves clients on {}, operators on {}", addresses.join(", "), relay.admin_address)
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

async fn run_until_drained(mut relay: Relay, mut signals: Signals, mut hangups: Hangups) -> anyhow::Result<()> {
    let drain = relay.drain.clone();
    let renewing = relay.renewing();
    tokio::select! {
        over = relay.finished() => over,
        never = signals.obey(&drain) => match never {},
        never = hangups.obey(&renewing) => match never {},
    }
}

/// The signal to read the configuration again.
struct Hangups(Signal);

impl Hangups {
    /// From now on it does not end the process.
    fn catch() -> anyhow::Result<Self> {
        Ok(Self(signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?))
    }

    async fn obey(&mut self, renewing: &Renewing) -> Infallible {
        loop {
            self.0.recv().await;
            tracing::info!("SIGHUP: the configuration is read again");
            renewing.renew();
        }
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
