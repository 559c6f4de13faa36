//! Sockets that a service manager holds, as systemd passes them: `LISTEN_FDS`, `LISTEN_PID`, and file descriptors from 3.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::peers::{close, exchange, expect_exit};
use crate::process::{Process, Relay, Setup};
use crate::support::client::client;
use crate::support::operator::operator;
use crate::support::relay::Reached;
use crate::support::upstream::Upstream;

/// The sockets of a service, for as long as it is defined.
struct Manager {
    clients: TcpListener,
    operators: TcpListener,
}

impl Manager {
    fn new() -> Self {
        let bound = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self { clients: bound(), operators: bound() }
    }

    /// The service: configured for both addresses.
    fn service(&self, upstream: &Upstream) -> Setup {
        let (clients, operators) = (self.clients.local_addr().unwrap(), self.operators.local_addr().unwrap());
        let listen = format!("listen = [\"{clients}\"]");
        Setup::to(upstream).server(&listen).more(&format!("[admin]\nlisten = \"{operators}\""))
    }

    /// The command of a service, with both sockets passed to it.
    fn passing(&self, service: Setup) -> (Command, TempDir) {
        let (serve, folder) = service.command();
        let mut command = Command::new("sh");
        // The process that is exec'd keeps the id of the shell. The sockets come as its standard streams.
        command.args(["-c", "LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 4<&1 </dev/null >/dev/null"]);
        command.arg(serve.get_program()).args(serve.get_args());
        let socket = |listener: &TcpListener| Stdio::from(OwnedFd::from(listener.try_clone().unwrap()));
        command.stdin(socket(&self.clients)).stdout(socket(&self.operators));
        (command, folder)
    }

    async fn start(&self, service: Setup) -> Relay {
        let (command, folder) = self.passing(service);
        Relay::run(command, folder).await
    }
}

#[tokio::test]
async fn sockets_that_are_passed_are_served() {
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let mut relay = manager.start(manager.service(&upstream)).await;
    assert_eq!(relay.address(), manager.clients.local_addr().unwrap());
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    exchange(&mut ours, &mut theirs).await;
    assert_eq!(operator(&relay, "/readyz").ask().await.status, 200);
    relay.process.signal(Signal::INT);
    relay.process.says("draining: no new clients").await;
    close(ours, theirs).await;
    expect_exit(relay).await;
}

#[tokio::test]
async fn who_comes_between_two_processes_waits_for_the_second() {
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let mut first = manager.start(manager.service(&upstream)).await;
    let place = first.place();
    let (ours, theirs) = first.link(&upstream).await;
    first.process.signal(Signal::INT);
    first.process.says("draining: no new clients").await;
    let while_it_drains = client(&place).model("m").ask().await;
    close(ours, theirs).await;
    expect_exit(first).await;
    let when_it_is_gone = client(&place).model("m").ask().await;

    let serving = upstream.echoes();
    let _second = manager.start(manager.service(&upstream)).await;
    for asking in [while_it_drains, when_it_is_gone] {
        let mut leg = asking.opened().await;
        leg.text("hello").await;
        leg.expect_text("hello").await;
    }
    drop(serving);
}

#[tokio::test]
async fn a_socket_that_is_passed_for_nothing_is_an_error_that_names_it() {
    let upstream = Upstream::start().await;
    let manager = Manager::new();
    let stray = manager.operators.local_addr().unwrap();
    let service = manager.service(&upstream).replaced(&stray.to_string(), "127.0.0.1:0");
    let (command, _folder) = manager.passing(service);
    let mut process = Process::start(command);
    let (code, log) = (process.exit_code().await, process.whole_log().await);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("a socket that listens on {stray} was passed in LISTEN_FDS")), "{log}");
}

#[tokio::test]
async fn what_is_meant_for_another_process_is_left_alone() {
    let upstream = Upstream::start().await;
    let (mut command, folder) = Setup::to(&upstream).command();
    command.env("LISTEN_FDS", "2").env("LISTEN_PID", "1");
    let relay = Relay::run(command, folder).await;
    TcpStream::connect(relay.address()).await.unwrap();
}
