//! The same churn for a long time: links come and go, talk, and end well or badly; at the end the relay must cost what it
//! cost at the beginning, have nothing left, and have recorded what its clients saw.
//!
//! It refuses to compare with other proxies; what a frame costs is only looked at for whether it grows.

mod client;
mod samples;
mod stage;
mod verdict;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::sleep;

use client::{Crowd, Slot};
use samples::Samples;
use stage::Stage;
use verdict::{Claim, Verdict};

/// From the first link of one client to that of the next.
const BETWEEN: Duration = Duration::from_millis(10);
/// Whoever is still talking when the time is over has so long to come to an end.
const PARTING: Duration = Duration::from_secs(45);
/// The relay has so long to let go of what is left: a response that is settled takes up to five seconds, as does a close.
const LETTING_GO: Duration = Duration::from_secs(20);

/// What a soak is asked for.
#[derive(Debug, Args)]
pub struct SoakArgs {
    /// The relay's binary
    #[arg(long, default_value = "target/release/realtime-relay")]
    relay: PathBuf,
    /// Links at once
    #[arg(long, default_value_t = 1_000)]
    links: usize,
    /// How long the load is on (default: 10 minutes)
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// The same in seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Seconds between two samples
    #[arg(long, default_value_t = 5)]
    every: u64,
    /// Decides what clients do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where results are written
    #[arg(long, default_value = "target/loadtest")]
    out: PathBuf,
}

/// Runs it, and fails if a claim does not hold.
pub fn run(args: &SoakArgs) -> anyhow::Result<()> {
    crate::cores::raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verdict = LocalSet::new().block_on(&runtime, soak(args))?;
    verdict.print();
    std::fs::create_dir_all(&args.out)?;
    let path = args.out.join("soak.json");
    std::fs::write(&path, serde_json::to_string_pretty(&verdict.json())?)?;
    println!("written to {}", path.display());
    ensure!(verdict.holds(), "not everything is as it should be");
    Ok(())
}

async fn soak(args: &SoakArgs) -> anyhow::Result<Verdict> {
    ensure!(args.links > 0 && args.every > 0, "nothing to do");
    let time = Duration::from_secs(args.seconds.unwrap_or(args.minutes.unwrap_or(10) * 60));
    let stage = Stage::build(&args.relay)?;
    let crowd = Rc::new(Crowd::default());
    let mut samples = Samples::begin(&stage)?;
    let mut playing = JoinSet::new();
    for number in 0..args.links {
        let slot = Slot::new(number, args.seed, stage.clients, crowd.clone());
        // One after the other, so that the relay and the upstream are not only busy with handshakes.
        playing.spawn_local(slot.play(BETWEEN * u32::try_from(number)?));
    }
    println!("{} links for {time:?}, against {}", args.links, args.relay.display());
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep(Duration::from_secs(args.every).min(end.saturating_duration_since(Instant::now()))).await;
        samples.take(&stage, &crowd)?;
        if let Some(trouble) = crowd.trouble() {
            bail!("a client failed: {trouble}");
        }
    }
    crowd.stop();
    let slots = tokio::time::timeout(PARTING, playing.join_all()).await;
    let Ok(slots) = slots else { bail!("clients do not come to an end") };
    let left = until_let_go(&stage, &samples).await?;
    let (files, threads) = stage.files_and_threads();
    let grew = [
        Claim::equal("links that are left", 0, left as u64),
        Claim::equal("descriptors when all is over", samples.files_before, files),
        Claim::equal("threads when all is over", samples.threads_before, threads),
    ];
    let ledger = stage.finish()?;
    Ok(Verdict::of(time, samples, grew.into(), &slots, &ledger, &crowd))
}

/// Waits until the relay has no links any more, and as few files as before; how many links there are left.
async fn until_let_go(stage: &Stage, samples: &Samples) -> anyhow::Result<usize> {
    let deadline = Instant::now() + LETTING_GO;
    loop {
        let left = stage.links()?;
        let files = stage.files_and_threads().0;
        if (left == 0 && files <= samples.files_before) || Instant::now() > deadline {
            return Ok(left);
        }
        sleep(Duration::from_millis(200)).await;
    }
}
