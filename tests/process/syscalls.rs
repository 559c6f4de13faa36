//! What a frame costs in system calls, as `strace` counts them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::relay::Relay;
use crate::support::frame::Frame;
use crate::support::within;

const ROUNDS: u64 = 1_000;

#[tokio::test]
async fn a_frame_on_a_paced_link_costs_one_wait_one_read_and_one_write() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: strace is not installed");
        return;
    }
    let relay = Relay::start().await;
    let mut link = relay.link().await;
    let (up, down) = (Frame::text([b'u'; 1_300]).masked().bytes(), Frame::text([b'd'; 6_400]).bytes());
    let mut buffer = vec![0; down.len()];

    let strace = Strace::of(relay.id());
    for _ in 0..ROUNDS {
        link.client.write_all(&up).await.unwrap();
        within("a frame up", link.upstream.read_exact(&mut buffer[..up.len()])).await.unwrap();
        link.upstream.write_all(&down).await.unwrap();
        within("a frame down", link.client.read_exact(&mut buffer)).await.unwrap();
    }
    let calls = strace.stop();
    println!("{} frames: {calls:?}", 2 * ROUNDS);

    for (what, names) in [("waits", "epoll_wait"), ("reads", "recvfrom"), ("writes", "sendto")] {
        let count = calls.get(names).copied().unwrap_or_default();
        // The first and the last round may be seen in part.
        assert!((2 * ROUNDS - 4..=2 * ROUNDS + 4).contains(&count), "{count} {what} for {} frames", 2 * ROUNDS);
    }
    let all: u64 = calls.values().sum();
    assert!(all <= 6 * ROUNDS + 20, "{all} calls for {} frames: {calls:?}", 2 * ROUNDS);
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
