//! What the relay costs every few seconds: memory, descriptors, threads, CPU per frame.
//!
//! It refuses to judge.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::Crowd;
use super::stage::Stage;

/// What was seen at one time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sample {
    /// Since the beginning.
    pub seconds: f64,
    pub memory_mib: f64,
    pub descriptors: f64,
    pub threads: f64,
    /// As many as clients have open.
    pub links: f64,
    /// Since the sample before.
    pub frames: f64,
    pub cpu_us: f64,
}

/// All of them, and what there was before the first link.
pub struct Samples {
    pub files_before: u64,
    pub threads_before: u64,
    pub all: Vec<Sample>,
    began: Instant,
    cpu: Duration,
    frames: u64,
}

impl Samples {
    /// Of a relay that has no links yet.
    pub fn begin(stage: &Stage) -> anyhow::Result<Self> {
        let (cpu, (files_before, threads_before)) = (stage.account.cpu()?, stage.files_and_threads());
        Ok(Self { files_before, threads_before, all: Vec::new(), began: Instant::now(), cpu, frames: 0 })
    }

    /// Takes one more.
    pub fn take(&mut self, stage: &Stage, crowd: &Crowd) -> anyhow::Result<()> {
        let (cpu, frames) = (stage.account.cpu()?, crowd.frames.get());
        let (descriptors, threads) = stage.files_and_threads();
        #[allow(clippy::cast_precision_loss)] // No count here is that large.
        let number = |count: u64| count as f64;
        self.all.push(Sample {
            seconds: self.began.elapsed().as_secs_f64(),
            memory_mib: number(stage.account.memory()? >> 10) / 1024.0,
            descriptors: number(descriptors),
            threads: number(threads),
            links: number(crowd.open.get()),
            frames: number(frames - self.frames),
            cpu_us: cpu.saturating_sub(self.cpu).as_secs_f64() * 1e6,
        });
        (self.cpu, self.frames) = (cpu, frames);
        Ok(())
    }

    /// The second quarter, and the last.
    pub fn quarters(&self) -> [&[Sample]; 2] {
        let quarter = (self.all.len() / 4).max(1);
        let from = |start: usize| &self.all[start.min(self.all.len() - 1)..(start + quarter).min(self.all.len())];
        [from(quarter), from(self.all.len() - quarter)]
    }
}
