//! Who runs where: what is tested on one core, alone; the driver, both ends of all links, on another one.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores. Where there is only one, both have to do with it, and no figure is worth much.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Cores {
    /// Of the proxy under test.
    pub proxy: usize,
    /// Of the driver.
    pub driver: usize,
}

impl Cores {
    /// The first two that this process may use.
    pub fn of_process() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot tell the cores")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let proxy = cores.next().context("no core")?;
        let driver = cores.next().unwrap_or(proxy);
        if proxy == driver {
            eprintln!("there is only one core: the driver and what it measures share it, and no figure is worth much");
        }
        Ok(Self { proxy, driver })
    }
}

/// Keeps the calling thread, and what it starts, on a core.
pub fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot stay on core {core}"))
}

/// Raises the soft limit of open files to the hard one, which is what comes back. Children inherit it.
pub fn raise_open_files() -> anyhow::Result<u64> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).context("cannot raise the limit of files")?;
    Ok(most.unwrap_or(u64::MAX))
}

/// Becomes another program, on this core, that ends when its parent does, however that ends.
pub fn become_proxy(core: usize, command: &[String]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no program")?;
    pin(core)?;
    // Not `KILL`, after which nginx would leave its worker behind.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {program}"))
}
