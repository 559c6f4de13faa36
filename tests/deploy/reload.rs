//! What `systemctl reload` runs, without systemd: it says `MAINPID`, and the rest is the relay's.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Relay, Setup};
use crate::shipped::path;
use crate::support::operator::operator;
use crate::support::upstream::Upstream;

/// A relay that was installed: a binary, a configuration, and a takeover socket, each in its place.
struct Installed {
    folder: TempDir,
    relay: Relay,
}

impl Installed {
    async fn start(upstream: &Upstream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = folder.path().join("realtime-relay");
        let socket = folder.path().join("takeover");
        let limits = "drain_grace = \"1s\"";
        let setup = Setup::to(upstream).limits(limits).server(&format!("takeover_socket = \"{}\"", socket.display()));
        let (command, kept) = setup.command();
        copy(command.get_program(), &binary);
        fs::copy(kept.path().join("relay.toml"), folder.path().join("relay.toml")).unwrap();
        let mut installed = Command::new(&binary);
        installed.args(["serve", "--config"]).arg(folder.path().join("relay.toml"));
        let relay = Relay::run(installed, kept).await;
        Self { folder, relay }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As a package does: a new file in the place of the old one.
    fn replace_binary(&self, by: &Path) {
        copy(by, &self.file("new"));
        fs::rename(self.file("new"), self.file("realtime-relay")).unwrap();
    }

    /// What it comes to; the log of a successor goes into a file.
    fn reload(&self) -> Output {
        let log = fs::File::create(self.file("log")).unwrap();
        let mut command = Command::new(path("systemd/reload"));
        command.env("MAINPID", self.relay.process.id().to_string());
        command.env("RELAY_BIN", self.file("realtime-relay")).env("RELAY_CONFIG", self.file("relay.toml"));
        command.env("RELAY_TAKEOVER", self.file("takeover"));
        command.stdout(log.try_clone().unwrap()).stderr(log).output().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap()
    }
}

/// The process that a test has not started itself, and that is to end with it.
struct Successor(rustix::process::Pid);

impl Successor {
    /// By the file that it runs.
    fn of(binary: &Path) -> Self {
        let runs = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == binary);
        let processes =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
        Self(rustix::process::Pid::from_raw(processes.into_iter().find(runs).expect("a successor")).unwrap())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, Signal::KILL);
    }
}

#[tokio::test]
async fn the_same_binary_reads_its_configuration_again() {
    let upstream = Upstream::start().await;
    let mut installed = Installed::start(&upstream).await;
    let reloaded = installed.reload();
    assert!(reloaded.status.success(), "{}", installed.log());
    installed.relay.process.says("SIGHUP").await;
    assert!(installed.relay.process.is_running());
}

#[tokio::test]
async fn another_binary_takes_its_place_and_links_go_on() {
    let upstream = Upstream::start().await;
    let mut installed = Installed::start(&upstream).await;
    let (mut ours, mut theirs) = installed.relay.link(&upstream).await;
    installed.replace_binary(Path::new(env!("CARGO_BIN_EXE_realtime-relay")));
    let reloaded = installed.reload();
    assert!(reloaded.status.success(), "{}", installed.log());
    let successor = Successor::of(&installed.file("realtime-relay"));
    installed.relay.process.says("the successor accepts connections").await;
    assert_eq!(operator(&installed.relay, "/readyz").ask().await.status, 200, "the successor answers");
    ours.text("still here").await;
    theirs.expect_text("still here").await;
    ours.close(1000, "").await;
    theirs.expect_close(1000, "").await;
    theirs.close(1000, "").await;
    assert_eq!(installed.relay.process.exit_code().await, Some(0), "{}", installed.relay.process.log());
    drop(successor);
}

#[tokio::test]
async fn a_binary_that_does_not_start_changes_nothing() {
    let upstream = Upstream::start().await;
    let mut installed = Installed::start(&upstream).await;
    // It takes `check` for an answer, and has nothing else to say.
    installed.replace_binary(Path::new("/bin/true"));
    let reloaded = installed.reload();
    assert!(!reloaded.status.success(), "it is told that there is no successor");
    assert!(installed.log().contains("the old one goes on"), "{}", installed.log());
    assert!(installed.relay.process.is_running());
    assert_eq!(operator(&installed.relay, "/readyz").ask().await.status, 200);
}

#[tokio::test]
async fn a_wrong_configuration_is_told_and_changes_nothing() {
    let upstream = Upstream::start().await;
    let mut installed = Installed::start(&upstream).await;
    fs::write(installed.file("relay.toml"), "[server]\nno_such_key = 1\n").unwrap();
    assert!(!installed.reload().status.success());
    assert!(installed.log().contains("no_such_key"), "{}", installed.log());
    assert!(installed.relay.process.is_running() && !installed.relay.process.log().contains("SIGHUP"));
}

/// Copies a binary, in a process of its own: where this one had it open to be written, a child that another test starts at
/// that moment would hold it open, and nobody could run it.
fn copy(from: impl AsRef<OsStr>, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().unwrap().success());
}
