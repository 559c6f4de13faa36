//! The binary as a child whose log is read, which is signalled, and whose exit is awaited.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::support::client::{Asking, client};
use crate::support::leg::Leg;
use crate::support::relay::Reached;
use crate::support::transcript;
use crate::support::upstream::Upstream;
use crate::support::within;

/// How a relay process is started. Every text is TOML.
#[must_use]
pub struct Setup {
    upstream: String,
    server: String,
    limits: String,
    more: String,
    arguments: Vec<String>,
}

impl Setup {
    /// To this upstream, on free ports, with two workers, asking for no key.
    pub fn to(upstream: &Upstream) -> Self {
        Self {
            upstream: upstream.base_url(),
            server: String::new(),
            limits: String::new(),
            more: String::new(),
            arguments: Vec::new(),
        }
    }

    /// Lines for `[server]`.
    pub fn server(mut self, toml: &str) -> Self {
        add(&mut self.server, toml);
        self
    }

    /// Lines for `[limits]`.
    pub fn limits(mut self, toml: &str) -> Self {
        add(&mut self.limits, toml);
        self
    }

    /// Whole tables.
    pub fn more(mut self, toml: &str) -> Self {
        add(&mut self.more, toml);
        self
    }

    /// With this in place of that in what was told for whole tables.
    pub fn replaced(mut self, this: &str, by: &str) -> Self {
        self.more = self.more.replace(this, by);
        self
    }

    /// One more argument of `serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts it, and waits until it serves.
    pub async fn start(self) -> Relay {
        let (command, folder) = self.command();
        Relay::run(command, folder).await
    }

    /// Starts it, and waits until it gives up: its exit code, and its log.
    pub async fn fails(self) -> (Option<i32>, String) {
        let (command, _folder) = self.command();
        let mut process = Process::start(command);
        let code = process.exit_code().await;
        (code, process.whole_log().await)
    }

    /// The command that starts it, and the folder that it needs.
    pub fn command(self) -> (Command, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        let Self { upstream, server, limits, more, arguments } = self;
        let listen = if server.contains("listen =") { "" } else { "listen = [\"127.0.0.1:0\"]\n" };
        let admin = if more.contains("[admin]") { "" } else { "[admin]\nlisten = \"127.0.0.1:0\"\n" };
        let workers = if server.contains("workers =") { "" } else { "workers = 2\n" };
        let config = format!(
            "[server]\n{listen}auth = \"none\"\n{workers}{server}{admin}[limits]\n{limits}[[upstreams]]\n\
             name = \"test\"\nkind = \"compatible\"\nurl = \"{upstream}/v1/realtime?model={{model}}\"\n{more}"
        );
        transcript::secrets_of(&config);
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-relay"));
        command.args(["serve", "--config"]).arg(&file).args(arguments).env_remove("LISTEN_FDS");
        (command, folder)
    }
}

fn add(table: &mut String, toml: &str) {
    table.push_str(toml);
    table.push('\n');
}

/// A process of the binary. Killed when dropped, should it still run.
pub struct Process {
    child: Child,
    /// Its lines so far; closed when it has said its last.
    log: watch::Receiver<Vec<String>>,
}

impl Process {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = follow(child.stderr.take().unwrap());
        Self { child, log }
    }

    pub fn id(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The first line that holds this text, as soon as it is there.
    pub async fn says(&mut self, text: &str) -> String {
        let line = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let said = within(text, self.log.wait_for(|lines| line(lines).is_some())).await.map(|lines| line(&lines));
        said.ok().flatten().unwrap_or_else(|| panic!("never said {text:?}:\n{}", self.log()))
    }

    pub fn log(&self) -> String {
        self.log.borrow().join("\n")
    }

    pub async fn whole_log(&mut self) -> String {
        let _ = within("the end of the log", self.log.wait_for(|_| false)).await;
        self.log()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end. `None`: a signal killed it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        // Its log ends with it.
        let ended = async { while self.log.changed().await.is_ok() {} };
        let in_time = tokio::time::timeout(EXIT, ended).await.is_ok();
        assert!(in_time, "it runs on:\n{}", self.log());
        self.child.wait().unwrap().code()
    }
}

/// Longer than anything that a test configures.
const EXIT: Duration = Duration::from_secs(40);

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn follow(stderr: ChildStderr) -> watch::Receiver<Vec<String>> {
    let (tell, log) = watch::channel(Vec::new());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            transcript::wrote("process", format!("{line}\n").as_bytes());
            tell.send_modify(|lines: &mut Vec<String>| lines.push(line));
        }
    });
    log
}

/// A relay process that serves.
pub struct Relay {
    pub process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    folder: TempDir,
}

impl Relay {
    /// Runs this command until it serves.
    pub async fn run(command: Command, folder: TempDir) -> Self {
        let mut process = Process::start(command);
        let address = address_in(&process.says("clients connect to ws://").await, "ws://");
        let admin = address_in(&process.says("probes are answered on http://").await, "http://");
        Self { process, address, admin, folder }
    }

    /// Its configuration is what `change` makes of it, the next time that it is read.
    pub fn configure(&self, change: impl FnOnce(String) -> String) {
        let file = self.folder.path().join("relay.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, change(config)).unwrap();
    }

    /// Where it is, for those who are not to hold it.
    pub fn place(&self) -> Place {
        Place { address: self.address, admin: self.admin }
    }

    /// Asks for a link.
    pub async fn ask(&self) -> Asking {
        client(self).model("m").ask().await
    }

    /// A link: both its peers.
    pub async fn link(&self, upstream: &Upstream) -> (Leg, Leg) {
        let asking = self.ask().await;
        let theirs = upstream.leg().await;
        (asking.opened().await, theirs)
    }

    /// What it printed as the longest that a drain takes.
    pub async fn worst_case(&mut self) -> Duration {
        let line = self.process.says("SIGTERM drains: at most ").await;
        let text = line.split("at most ").nth(1).unwrap().split(' ').next().unwrap();
        humantime::parse_duration(text)
            .unwrap_or_else(|_| Duration::from_secs_f64(text.trim_end_matches('s').parse().unwrap()))
    }
}

impl Reached for Relay {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn admin_address(&self) -> SocketAddr {
        self.admin
    }
}

/// Where a relay is, whichever process that may be.
#[derive(Clone, Copy)]
pub struct Place {
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Reached for Place {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn admin_address(&self) -> SocketAddr {
        self.admin
    }
}

fn address_in(line: &str, scheme: &str) -> SocketAddr {
    let address = line.split_once(scheme).unwrap().1.split('/').next().unwrap();
    address.parse().unwrap()
}
