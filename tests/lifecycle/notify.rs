//! What a service manager is told over its socket, as systemd listens on it: a unix datagram socket in `NOTIFY_SOCKET`.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::time::{Instant, timeout};

use crate::peers::{close, expect_exit};
use crate::process::{Relay, Setup};
use crate::support::upstream::Upstream;
use crate::support::within;

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { socket: UnixDatagram::bind(folder.path().join("notify")).unwrap(), folder }
    }

    /// Starts a service that is to tell how it does.
    async fn start(&self, service: Setup, environment: &[(&str, &str)]) -> Relay {
        let (mut command, folder) = service.command();
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify")).envs(environment.iter().copied());
        Relay::run(command, folder).await
    }

    /// The next thing that it is told: lines of `NAME=value`.
    async fn told(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = within("a word to the manager", self.socket.recv(&mut buffer)).await.unwrap();
        let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Whether it is told anything in this time.
    async fn is_told_within(&self, time: Duration) -> bool {
        let mut buffer = [0; 4096];
        timeout(time, self.socket.recv(&mut buffer)).await.is_ok()
    }

    async fn expect_ready(&self, relay: &Relay) {
        let told = self.told().await;
        assert!(told.contains(&"READY=1".to_owned()), "{told:?}");
        assert!(told.contains(&format!("MAINPID={}", relay.process.id())), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("STATUS=serves clients on 127.0.0.1:")), "{told:?}");
    }
}

#[tokio::test]
async fn it_is_ready_when_clients_are_served_and_stops_when_the_drain_begins() {
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let relay = manager.start(Setup::to(&upstream), &[]).await;
    manager.expect_ready(&relay).await;
    let (ours, theirs) = relay.link(&upstream).await;
    relay.process.signal(Signal::TERM);
    let told = manager.told().await;
    assert!(told.contains(&"STOPPING=1".to_owned()), "{told:?}");
    close(ours, theirs).await;
    relay.process.signal(Signal::INT);
    expect_exit(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_is_the_main_process_and_its_predecessor_says_no_more() {
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("takeover");
    let offered = || {
        Setup::to(&upstream).limits("drain_grace = 0").server(&format!("takeover_socket = \"{}\"", socket.display()))
    };
    let mut old = manager.start(offered(), &[]).await;
    manager.expect_ready(&old).await;
    let successor = offered().argument("--takeover").argument(socket.to_str().unwrap());
    let new = manager.start(successor, &[]).await;
    manager.expect_ready(&new).await;
    assert_eq!(old.process.exit_code().await, Some(0), "{}", old.process.log());
    new.process.signal(Signal::INT);
    let next = manager.told().await;
    assert!(next.contains(&"STOPPING=1".to_owned()), "{next:?}");
    expect_exit(new).await;
    assert!(!manager.is_told_within(Duration::ZERO).await, "the one that was relieved spoke for the service");
}

#[tokio::test]
async fn it_is_alive_as_often_as_asked_and_not_while_a_worker_hangs() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: strace, which holds a thread still, is not installed");
        return;
    }
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let relay = manager.start(Setup::to(&upstream), &[("WATCHDOG_USEC", "600000")]).await;
    manager.expect_ready(&relay).await;
    let begin = Instant::now();
    for _ in 0..5 {
        assert_eq!(manager.told().await, ["WATCHDOG=1"]);
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "five pings took {:?}", begin.elapsed());

    let mut held = Held::worker(&relay);
    // What was said before it was held, and a tick that had its answer already.
    let silent = async { while manager.is_told_within(Duration::from_secs(2)).await {} };
    within("the pings to stop", silent).await;
    held.let_go();
    assert_eq!(manager.told().await, ["WATCHDOG=1"]);
    relay.process.signal(Signal::INT);
    expect_exit(relay).await;
}

#[tokio::test]
async fn a_watchdog_that_is_meant_for_another_process_is_left_alone() {
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let environment = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let relay = manager.start(Setup::to(&upstream), &environment).await;
    manager.expect_ready(&relay).await;
    relay.process.signal(Signal::INT);
    let told = manager.told().await;
    assert!(told.contains(&"STOPPING=1".to_owned()), "{told:?}");
    expect_exit(relay).await;
}

#[tokio::test]
async fn a_manager_that_is_gone_harms_nobody() {
    let upstream = Upstream::start().await;
    let (mut command, folder) = Setup::to(&upstream).command();
    command.env("NOTIFY_SOCKET", folder.path().join("nobody"));
    let mut relay = Relay::run(command, folder).await;
    relay.process.says("the service manager could not be told").await;
    relay.process.signal(Signal::INT);
    expect_exit(relay).await;
}

#[tokio::test]
async fn it_reloads_from_the_signal_until_the_configuration_is_in_force_or_refused() {
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let mut relay = manager.start(Setup::to(&upstream), &[]).await;
    manager.expect_ready(&relay).await;
    relay.process.signal(Signal::HUP);
    let told = manager.told().await;
    assert_eq!(told[0], "RELOADING=1");
    let since: u128 = told[1].strip_prefix("MONOTONIC_USEC=").expect("when").parse().unwrap();
    assert!(since > 0);
    assert_eq!(manager.told().await, ["READY=1"]);
    relay.process.says("the configuration was read again").await;
    relay.process.signal(Signal::INT);
    assert!(manager.told().await.contains(&"STOPPING=1".to_owned()));
    expect_exit(relay).await;
}

/// A thread that does not come back from its next wait.
struct Held(Option<std::process::Child>);

impl Held {
    fn worker(relay: &Relay) -> Self {
        let threads = std::fs::read_dir(format!("/proc/{}/task", relay.process.id())).unwrap();
        let is_worker = |thread: &std::path::PathBuf| {
            std::fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == "worker-0")
        };
        let thread = threads.map(|thread| thread.unwrap().path()).find(is_worker).expect("a worker");
        let strace = Command::new("strace")
            .args(["-qq", "-e", "trace=epoll_wait", "-e", "inject=epoll_wait:delay_exit=60000000", "-p"])
            .arg(thread.file_name().unwrap())
            .stderr(Stdio::null())
            .spawn();
        Self(Some(strace.unwrap()))
    }

    fn let_go(&mut self) {
        if let Some(mut strace) = self.0.take() {
            let _ = strace.kill();
            strace.wait().unwrap();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go();
    }
}
