//! Peers that are processes of their own, killed and stopped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::relay::Relay;
use crate::support::within;

/// A stopped peer is noticed after three ping intervals.
const LIMITS: &str = "ping_interval = \"200ms\"\nsettle_timeout = \"100ms\"\nclose_timeout = \"300ms\"";

/// A process that is ended with the test.
struct Process(Child);

impl Process {
    /// Sends it a signal by this name.
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone: that is what these tests are about.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// The simulated upstream, and where it listens.
fn upstream() -> (Process, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_realtime-relay"))
        .args(["simulate", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let process = Process(child);
    let (_, address) = said.split_once("ws://").unwrap_or_else(|| panic!("no address in {said:?}"));
    let end = address.find(|letter: char| !letter.is_ascii_digit() && !".:".contains(letter)).unwrap_or(address.len());
    (process, address[..end].to_owned())
}

/// Opens a link, and reads the session's first event.
async fn link(relay: &Relay) -> TcpStream {
    let mut client = relay.connect().await;
    client.write_all(relay.request().as_bytes()).await.unwrap();
    read_until(&mut client, "session.created").await;
    client
}

/// Reads until this has come, which may be spread over several reads.
async fn read_until(client: &mut TcpStream, text: &str) {
    let mut heard = Vec::new();
    let reading = async {
        while !heard.windows(text.len()).any(|window| window == text.as_bytes()) {
            let read = client.read_buf(&mut heard).await.unwrap();
            assert_ne!(read, 0, "an end instead of {text}: {}", String::from_utf8_lossy(&heard));
        }
    };
    within(text, reading).await;
}

#[tokio::test]
async fn a_killed_upstream_is_told_to_the_client() {
    let (upstream, address) = upstream();
    let relay = Relay::start_before(&address, LIMITS).await;
    let mut client = link(&relay).await;
    upstream.signal("KILL");
    read_until(&mut client, "upstream_connection_lost").await;
    assert!(relay.log().line("link ended").await.contains("upstream_lost"));
}

#[tokio::test]
async fn a_stopped_upstream_is_told_to_the_client() {
    let (upstream, address) = upstream();
    let relay = Relay::start_before(&address, LIMITS).await;
    let mut client = link(&relay).await;
    upstream.signal("STOP");
    // It answers the pings of the relay by sending pings: any byte is a sign of life.
    let speaking = async {
        let mut often = tokio::time::interval(Duration::from_millis(50));
        loop {
            often.tick().await;
            client.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.unwrap();
            let mut heard = [0; 4096];
            if let Ok(read) = client.try_read(&mut heard)
                && String::from_utf8_lossy(&heard[..read]).contains("upstream_connection_lost")
            {
                break;
            }
        }
    };
    within("the event", speaking).await;
    assert!(relay.log().line("link ended").await.contains("upstream_lost"));
}

/// A client in a process of its own: a shell that opens a link, says that it has it, and waits.
async fn client(relay: &Relay) -> Process {
    let request = relay.request().replace("\r\n", "\\r\\n");
    let (host, port) = relay.address().rsplit_once(':').unwrap();
    let script = format!("exec 3<>/dev/tcp/{host}/{port}; printf '{request}' >&3; exec cat <&3 >/dev/null");
    let child = Command::new("bash").args(["-c", &script]).spawn().unwrap();
    let client = Process(child);
    relay.log().line("link opened").await;
    client
}

#[tokio::test]
async fn a_killed_client_is_lost() {
    let (_upstream, address) = upstream();
    let relay = Relay::start_before(&address, LIMITS).await;
    let client = client(&relay).await;
    client.signal("KILL");
    assert!(relay.log().line("link ended").await.contains("client_lost"));
}

#[tokio::test]
async fn a_stopped_client_is_lost() {
    let (_upstream, address) = upstream();
    let relay = Relay::start_before(&address, LIMITS).await;
    let client = client(&relay).await;
    client.signal("STOP");
    let ended = relay.log().line("link ended").await;
    assert!(ended.contains("client_lost") && ended.contains("not even the pong"), "{ended}");
}
