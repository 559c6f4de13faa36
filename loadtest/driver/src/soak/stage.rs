//! The processes of a soak: a simulated upstream, and the relay in front of it, on ports that the system chose.
//!
//! It refuses to know what clients do.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;

use crate::account::Account;
use crate::cores::Cores;
use crate::template;

/// Processes start and end within it; the relay drains for as long as a response is settled.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// What runs. It ends when this is dropped, and when this process ends.
pub struct Stage {
    /// Where clients connect.
    pub clients: SocketAddr,
    /// What the relay costs.
    pub account: Account,
    admin: SocketAddr,
    relay: Process,
    binary: PathBuf,
    folder: TempDir,
    _upstream: Process,
}

/// What the ledger has of one model.
#[derive(Debug, Default, Clone, Copy, Deserialize, PartialEq, Eq)]
pub struct Recorded {
    pub links: u64,
    pub responses: u64,
}

/// A row of `usage --json`.
#[derive(Deserialize)]
struct Row {
    group: String,
    #[serde(flatten)]
    recorded: Recorded,
}

impl Stage {
    /// Starts both.
    pub fn build(binary: &Path) -> anyhow::Result<Self> {
        ensure!(binary.is_file(), "no {}: build it, or name another with --relay", binary.display());
        let (folder, cores) = (tempfile::tempdir()?, Cores::of_process()?);
        let arguments = ["simulate", "--listen", "127.0.0.1:0", "--pace", "4"].map(str::to_owned);
        let mut upstream = Process::start(binary, &arguments, cores.driver, &folder.path().join("upstream.log"))?;
        let url = upstream.said("simulated upstream on ")?;
        let config = folder.path().join("relay.toml");
        let words = [("UPSTREAM", url), ("FOLDER", folder.path().display().to_string())];
        fs::write(&config, template::fill_in(include_str!("../../../peers/soak.toml"), &words, &[]))?;
        let arguments = ["serve".to_owned(), "--config".to_owned(), config.display().to_string()];
        let mut relay = Process::start(binary, &arguments, cores.proxy, &folder.path().join("relay.log"))?;
        let clients = address(&relay.said("clients connect to ws://")?)?;
        let admin = address(&relay.said("probes are answered on http://")?)?;
        let account = Account::of(Some(relay.child.id()));
        Ok(Self { clients, account, admin, relay, binary: binary.to_owned(), folder, _upstream: upstream })
    }

    /// How many descriptors and threads the relay has.
    pub fn files_and_threads(&self) -> (u64, u64) {
        let folder = |of: &str| fs::read_dir(format!("/proc/{}/{of}", self.relay.child.id()));
        let entries = |of: &str| folder(of).map_or(0, |entries| entries.count() as u64);
        (entries("fd"), entries("task"))
    }

    /// How many links the relay says that it has.
    pub fn links(&self) -> anyhow::Result<usize> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(b"GET /links HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer from the admin listener")?;
        Ok(serde_json::from_str::<Vec<serde_json::Value>>(body).context("what /links says")?.len())
    }

    /// Has the relay end in order; what it has recorded, by the number of the slot that the links are of.
    pub fn finish(mut self) -> anyhow::Result<BTreeMap<usize, Recorded>> {
        self.relay.terminate()?;
        let ledger = self.folder.path().join("usage.db");
        let output =
            Command::new(&self.binary).args(["usage", "--by", "model", "--json", "--ledger"]).arg(ledger).output()?;
        ensure!(output.status.success(), "no usage: {}", String::from_utf8_lossy(&output.stderr));
        let rows: Vec<Row> = serde_json::from_slice(&output.stdout)?;
        let slot =
            |row: &Row| row.group.strip_prefix('m').and_then(|slot| slot.parse().ok()).context("a model of ours");
        rows.iter().map(|row| Ok((slot(row)?, row.recorded))).collect()
    }
}

/// A child with its output in a file.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(program: &Path, arguments: &[String], core: usize, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["become", "--core", &core.to_string(), "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The word behind these in its output, as soon as it is there.
    fn said(&mut self, before: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait()?.is_some();
            let log = fs::read_to_string(&self.log)?;
            let word = log.split_once(before).and_then(|(_, rest)| rest.split_once(char::is_whitespace));
            if let Some((word, _)) = word {
                return Ok(word.to_owned());
            }
            if ended || Instant::now() > deadline {
                bail!("it does not say `{before}`: {log}");
            }
            std::thread::sleep(LOOK);
        }
    }

    fn terminate(&mut self) -> anyhow::Result<()> {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process")?;
        kill_process(process, Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("it ended with {status}: {}", fs::read_to_string(&self.log)?),
                None if Instant::now() > deadline => bail!("it does not end"),
                None => std::thread::sleep(LOOK),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended by itself is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let (address, _) = url.split_once('/').context("an address with a path")?;
    Ok(address.parse()?)
}
