//! Who runs where: what is tested on one core, alone; the driver, both ends of all links, on another one.

use std::fs::File;
use std::io::Write;
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

/// Keeps all cores from falling asleep as long as this is open, as measurements of real-time systems do: to wake one takes
/// longer than what a proxy does with a frame, and on a virtual machine at times ten times as long (power management's quality of
/// service, in Linux).
pub fn stay_awake() -> anyhow::Result<File> {
    const FILE: &str = "/dev/cpu_dma_latency";
    let mut file =
        File::options().write(true).open(FILE).with_context(|| format!("cannot open {FILE}, which takes root"))?;
    file.write_all(&0_i32.to_ne_bytes()).with_context(|| format!("cannot write to {FILE}"))?;
    Ok(file)
}

/// Becomes another program, on this core, that ends when its parent does, however that ends. With `first` it runs before
/// whatever else the machine has to do (`SCHED_FIFO`).
pub fn become_proxy(core: usize, first: bool, command: &[String]) -> anyhow::Result<()> {
    pin(core)?;
    // Not `KILL`, after which nginx would leave its worker behind.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let urgent: &[_] = if first { &["chrt", "--fifo", "1"] } else { &[] };
    let mut words = urgent.iter().copied().chain(command.iter().map(String::as_str));
    let program = words.next().context("no program")?;
    let error = Command::new(program).args(words).exec();
    Err(error).with_context(|| format!("cannot start {program}"))
}
