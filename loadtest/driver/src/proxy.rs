//! The proxies that are compared: how each is started before the driver's upstream, and that each ends with us.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::account::Account;
use crate::cores::Cores;
use crate::identity::Identity;
use crate::template;

/// A proxy, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No proxy: clients connect to the upstream itself.
    Direct,
    /// realtime-relay.
    Relay,
    /// The same, of another build.
    Before,
    /// nginx with its own buffers (4 KiB), and with 63 KiB.
    Nginx(Tuning),
    /// `HAProxy` with its own buffers (16 KiB), and with 63 KiB.
    Haproxy(Tuning),
    /// tokio's `copy_bidirectional`, with buffers of so many KiB.
    Copy(usize),
    /// hyper on both legs, and a copy behind it.
    Hyper,
    /// A relay on node's `ws`.
    Node,
}

/// The size of a proxy's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tuning {
    /// As it comes.
    Defaults,
    /// 63 KiB.
    Tuned,
}

/// All of them.
pub const ALL: [Kind; 11] = [
    Kind::Direct,
    Kind::Relay,
    Kind::Before,
    Kind::Nginx(Tuning::Defaults),
    Kind::Nginx(Tuning::Tuned),
    Kind::Haproxy(Tuning::Defaults),
    Kind::Haproxy(Tuning::Tuned),
    Kind::Copy(8),
    Kind::Copy(63),
    Kind::Hyper,
    Kind::Node,
];

/// Which legs are under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// None.
    Plain,
    /// The upstream's.
    Upstream,
    /// Both.
    Both,
}

/// What all proxies of a run are started with.
pub struct Setting {
    /// Who runs where.
    pub cores: Cores,
    /// The relay's binary.
    pub relay: PathBuf,
    /// The binary of another build, to be compared with that one.
    pub before: Option<PathBuf>,
    /// Where node's relay is installed.
    pub node: PathBuf,
    /// Open files that a process may have.
    pub files: u64,
    /// Whether they run before whatever else the machine has to do.
    pub undisturbed: bool,
    /// For TLS.
    pub identity: Identity,
}

/// A proxy that runs. It ends when this is dropped, and when this process ends.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it costs.
    pub account: Account,
    child: Option<Child>,
    folder: TempDir,
}

/// So often it is tried to start one, each time on another port.
const ATTEMPTS: usize = 3;
/// From the start to when it listens.
const STARTING: Duration = Duration::from_secs(10);

impl Kind {
    /// What is missing to start it.
    pub fn missing(self, setting: &Setting) -> Option<String> {
        match self {
            Self::Direct | Self::Copy(_) | Self::Hyper => None,
            Self::Relay => no_file(&setting.relay),
            Self::Before => setting.before.as_deref().map_or(Some("no --before".to_owned()), no_file),
            Self::Nginx(_) => find("nginx").is_none().then(|| "nginx is not installed".to_owned()),
            Self::Haproxy(_) => find("haproxy").is_none().then(|| "haproxy is not installed".to_owned()),
            Self::Node if find("node").is_none() => Some("node is not installed".to_owned()),
            Self::Node => {
                let there = setting.node.join("node_modules/ws").is_dir();
                (!there).then(|| format!("`ws` is not installed in {}", setting.node.display()))
            }
        }
    }

    /// Starts it before this upstream.
    pub fn start(self, setting: &Setting, tls: Tls, upstream: SocketAddr) -> anyhow::Result<Proxy> {
        if self == Self::Direct {
            let folder = tempfile::tempdir()?;
            return Ok(Proxy { address: upstream, account: Account::of(None), child: None, folder });
        }
        // Somebody else may have taken the port meanwhile.
        let mut started = self.start_once(setting, tls, upstream);
        for _ in 1..ATTEMPTS {
            if started.is_err() {
                started = self.start_once(setting, tls, upstream);
            }
        }
        started.with_context(|| format!("{self} does not start"))
    }

    fn start_once(self, setting: &Setting, tls: Tls, upstream: SocketAddr) -> anyhow::Result<Proxy> {
        let folder = tempfile::tempdir()?;
        let address = free_address()?;
        let command = self.command(setting, tls, address, upstream, folder.path())?;
        let log = File::create(folder.path().join("log"))?;
        let child = Command::new(std::env::current_exe()?)
            .args(["become", "--core", &setting.cores.proxy.to_string()])
            .args(setting.undisturbed.then_some("--first"))
            .arg("--")
            .args(command)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let account = Account::of(Some(child.id()));
        let mut proxy = Proxy { address, account, child: Some(child), folder };
        proxy.until_listening()?;
        Ok(proxy)
    }

    fn command(
        self,
        setting: &Setting,
        tls: Tls,
        listen: SocketAddr,
        upstream: SocketAddr,
        folder: &Path,
    ) -> anyhow::Result<Vec<String>> {
        let write = |name: &str, template: &str| -> anyhow::Result<String> {
            let path = folder.join(name);
            fs::write(&path, self.filled_in(template, setting, tls, listen, upstream, folder)?)?;
            text(&path)
        };
        let (listen, upstream) = (listen.to_string(), upstream.to_string());
        let words = match self {
            Self::Direct => bail!("nothing to start"),
            Self::Relay | Self::Before => {
                let config = write("relay.toml", include_str!("../../peers/relay.toml"))?;
                let binary = if self == Self::Relay { Some(&setting.relay) } else { setting.before.as_ref() };
                vec![text(binary.context("no --before")?)?, "serve".into(), "--config".into(), config]
            }
            Self::Nginx(_) => {
                let config = write("nginx.conf", include_str!("../../peers/nginx.conf"))?;
                let log = format!("{}/nginx.log", folder.display());
                vec!["nginx".into(), "-e".into(), log, "-p".into(), text(folder)?, "-c".into(), config]
            }
            Self::Haproxy(_) => {
                let config = write("haproxy.cfg", include_str!("../../peers/haproxy.cfg"))?;
                vec!["haproxy".into(), "-db".into(), "-f".into(), config]
            }
            Self::Copy(kib) => {
                let program = text(&std::env::current_exe()?)?;
                let mut words = vec![program, "copy".into(), "--listen".into(), listen];
                words.extend(["--upstream".into(), upstream, "--buffer".into(), format!("{kib}k")]);
                words
            }
            Self::Hyper => {
                let program = text(&std::env::current_exe()?)?;
                [&program, "hyper", "--listen", &listen, "--upstream", &upstream].map(str::to_owned).to_vec()
            }
            Self::Node => {
                let (_, port) = listen.rsplit_once(':').expect("an address has a port");
                vec!["node".into(), text(&setting.node.join("relay.mjs"))?, port.into(), format!("ws://{upstream}")]
            }
        };
        Ok(words)
    }

    fn filled_in(
        self,
        template: &str,
        setting: &Setting,
        tls: Tls,
        listen: SocketAddr,
        upstream: SocketAddr,
        folder: &Path,
    ) -> anyhow::Result<String> {
        let Identity { authority, certificate, key, both, .. } = &setting.identity;
        let words = [
            ("LISTEN", listen.to_string()),
            ("UPSTREAM", upstream.to_string()),
            ("FOLDER", text(folder)?),
            ("FILES", setting.files.to_string()),
            // Two files for each, and some for itself.
            ("LINKS", (setting.files.saturating_sub(200) / 2).to_string()),
            ("AUTHORITY", text(authority)?),
            ("CERTIFICATE", text(certificate)?),
            ("KEY", text(key)?),
            ("BOTH", text(both)?),
        ];
        let conditions = [
            ("client tls", tls == Tls::Both),
            ("upstream tls", tls != Tls::Plain),
            ("tuned", matches!(self, Self::Nginx(Tuning::Tuned) | Self::Haproxy(Tuning::Tuned))),
        ];
        Ok(template::fill_in(template, &words, &conditions))
    }
}

impl Proxy {
    fn until_listening(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + STARTING;
        while !self.account.listens(self.address) {
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                bail!("{log}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // Looked up first: the children of a process that has ended are nobody's.
        for process in self.account.processes() {
            let process = i32::try_from(process).ok().and_then(Pid::from_raw);
            // One that has ended by itself is fine.
            let _ = process.map(|process| kill_process(process, Signal::KILL));
        }
        let _ = child.wait();
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("direct"),
            Self::Relay => f.write_str("relay"),
            Self::Before => f.write_str("before"),
            Self::Nginx(Tuning::Defaults) => f.write_str("nginx"),
            Self::Nginx(Tuning::Tuned) => f.write_str("nginx-tuned"),
            Self::Haproxy(Tuning::Defaults) => f.write_str("haproxy"),
            Self::Haproxy(Tuning::Tuned) => f.write_str("haproxy-tuned"),
            Self::Copy(kib) => write!(f, "copy-{kib}k"),
            Self::Hyper => f.write_str("hyper"),
            Self::Node => f.write_str("node"),
        }
    }
}

/// An address that was free just now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn no_file(path: &Path) -> Option<String> {
    (!path.is_file()).then(|| format!("no {}", path.display()))
}

fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}
