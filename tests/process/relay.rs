//! The binary as a child, and raw links through it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::head::Head;
use crate::support::upstream::accept;
use crate::support::{client::NONCE, within};

/// A relay process with one upstream, which is this test. Ended when dropped.
pub struct Relay {
    child: Child,
    address: String,
    upstream: TcpListener,
    _folder: TempDir,
}

/// Both ends of a link, behind their heads: raw sockets.
pub struct Link {
    pub client: TcpStream,
    pub upstream: TcpStream,
}

impl Relay {
    /// Starts the binary, or the one that `REALTIME_RELAY_BIN` names, with one worker.
    pub async fn start() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        let url = format!("ws://{}/v1/realtime?model={{model}}", upstream.local_addr().unwrap());
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nauth = \"none\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [log]\nlevel = \"info\"\n[[upstreams]]\nname = \"test\"\nkind = \"compatible\"\nurl = \"{url}\"\n"
        );
        std::fs::write(&file, config).unwrap();
        let built = env!("CARGO_BIN_EXE_realtime-relay").into();
        let mut child = Command::new(std::env::var_os("REALTIME_RELAY_BIN").unwrap_or(built))
            .args(["serve", "--config", file.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let address = address_in_log(&mut child);
        Self { child, address, upstream, _folder: folder }
    }

    /// Opens a link.
    pub async fn link(&self) -> Link {
        let mut client = within("a connection", TcpStream::connect(&self.address)).await.unwrap();
        let head = format!(
            "GET /v1/realtime?model=m HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n",
            self.address
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let (mut upstream, _) = within("the relay to dial", self.upstream.accept()).await.unwrap();
        let asked = read_head(&mut upstream).await;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            accept(asked.header("sec-websocket-key").unwrap())
        );
        upstream.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(read_head(&mut client).await.status(), 101);
        Link { client, upstream }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The process's share of its resident memory, in bytes.
    pub fn pss(&self) -> i64 {
        self.kib("smaps_rollup", "Pss:") * 1024
    }

    /// The most that was ever resident, in bytes.
    pub fn peak(&self) -> i64 {
        self.kib("status", "VmHWM:") * 1024
    }

    fn kib(&self, file: &str, field: &str) -> i64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.child.kill().expect("the relay runs until the test ends");
        self.child.wait().unwrap();
    }
}

/// Where clients connect, as the log says; the rest of the log is read and thrown away.
fn address_in_log(child: &mut Child) -> String {
    let log = BufReader::new(child.stderr.take().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("clients connect to ws://") {
                let _ = tell.send(address.split('/').next().unwrap_or_default().to_owned());
            }
        }
    });
    told.recv_timeout(Duration::from_secs(10)).expect("the relay says where clients connect")
}

/// The head of a message behind which nothing follows by itself.
async fn read_head(stream: &mut TcpStream) -> Head {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(within("a head", stream.read_u8()).await.unwrap());
    }
    Head::parse(&bytes)
}
