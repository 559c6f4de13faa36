//! What a frame costs in system calls, as `strace` counts them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::relay::{Link, Relay};
use crate::support::authority::Authority;
use crate::support::frame::Frame;
use crate::support::within;

const ROUNDS: u64 = 1_000;
const TRIES: usize = 5;

#[tokio::test]
async fn a_frame_on_a_paced_link_costs_one_wait_one_read_and_one_write() {
    let relay = Relay::start().await;
    count_calls(&relay, relay.link().await, 1_300, 6_400).await;
}

/// More than the 4,096 bytes that rustls asks for first.
#[tokio::test]
async fn and_so_does_a_record_of_tls() {
    let authority = Authority::new();
    let relay = Relay::start_secure(&authority, "").await;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = authority.newcomer().connect(name, relay.connect().await);
    let client = within("a TLS handshake", client).await.unwrap();
    count_calls(&relay, relay.link_over(client).await, 4_096, 6_400).await;
}

async fn count_calls<C>(relay: &Relay, mut link: Link<C>, up: usize, down: usize)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: strace is not installed");
        return;
    }
    let (up, down) = (Frame::text(vec![b'u'; up]).masked().bytes(), Frame::text(vec![b'd'; down]).bytes());
    let mut calls = HashMap::new();
    // Each frame is written: where fewer writes were seen, it is strace that has missed some, as it does now and then.
    for _ in 0..TRIES {
        calls = traced(relay, &mut link, &up, &down).await;
        if calls.get("sendto").is_some_and(|&writes| writes >= 2 * ROUNDS - 4) {
            break;
        }
    }
    println!("{} frames: {calls:?}", 2 * ROUNDS);

    for (what, names) in [("waits", "epoll_wait"), ("reads", "recvfrom"), ("writes", "sendto")] {
        let count = calls.get(names).copied().unwrap_or_default();
        // The first and the last round may be seen in part.
        assert!((2 * ROUNDS - 4..=2 * ROUNDS + 4).contains(&count), "{count} {what} for {} frames", 2 * ROUNDS);
    }
    let all: u64 = calls.values().sum();
    assert!(all <= 6 * ROUNDS + 20, "{all} calls for {} frames: {calls:?}", 2 * ROUNDS);
}

/// The calls of the relay while frames go up and down in turns.
async fn traced<C>(relay: &Relay, link: &mut Link<C>, up: &[u8], down: &[u8]) -> HashMap<String, u64>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; down.len()];

    let strace = Strace::of(relay.id());
    for _ in 0..ROUNDS {
        link.client.write_all(up).await.unwrap();
        link.client.flush().await.unwrap();
        within("a frame up", link.upstream.read_exact(&mut buffer[..up.len()])).await.unwrap();
        link.upstream.write_all(down).await.unwrap();
        within("a frame down", link.client.read_exact(&mut buffer)).await.unwrap();
    }
    strace.stop()
}

/// A count of the system calls of a process, from now on.
struct Strace {
    child: std::process::Child,
    summary: tempfile::NamedTempFile,
}

impl Strace {
    fn of(process: u32) -> Self {
        let summary = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new("strace")
            .args(["-f", "-c", "-U", "calls,name", "-o"])
            .arg(summary.path())
            .args(["-p", &process.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        // "strace: Process 123 attached with 4 threads"
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "strace says: {said}");
        Self { child, summary }
    }

    fn stop(mut self) -> HashMap<String, u64> {
        let ended = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(ended.success());
        self.child.wait().unwrap();
        let text = std::fs::read_to_string(self.summary.path()).unwrap();
        let rows = text.lines().filter_map(|line| {
            let (count, name) = line.trim().split_once(' ')?;
            Some((name.trim().to_owned(), count.parse().ok()?))
        });
        rows.filter(|(name, _)| name != "total").collect()
    }
}
