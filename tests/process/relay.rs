//! The binary as a child, and raw links through it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::authority::Authority;
use crate::support::head::Head;
use crate::support::transcript;
use crate::support::upstream::accept;
use crate::support::{client::NONCE, within};

/// A relay process with one upstream, which is this test. Ended when dropped.
pub struct Relay {
    child: Child,
    address: String,
    log: Log,
    upstream: TcpListener,
    _folder: TempDir,
}

/// Both ends of a link, behind their heads: raw sockets, or TLS over the client's.
pub struct Link<C = TcpStream> {
    pub client: C,
    pub upstream: TcpStream,
}

impl Relay {
    /// Starts the binary, or the one that `REALTIME_RELAY_BIN` names, with one worker.
    pub async fn start() -> Self {
        Self::start_with("", None).await
    }

    /// The same with these `[limits]`, and with no more open files than this.
    pub async fn start_with(limits: &str, open_files: Option<u64>) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap().to_string();
        Self::start_to(&address, upstream, ("", limits), open_files).await
    }

    /// The same with this authority's certificate for its clients.
    pub async fn start_secure(authority: &Authority, limits: &str) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap().to_string();
        let tls = format!("tls_cert = {:?}\ntls_key = {:?}", authority.cert_file(), authority.key_file());
        Self::start_to(&address, upstream, (&tls, limits), None).await
    }

    /// The same with the upstream at this address, instead of this test.
    pub async fn start_before(upstream: &str, limits: &str) -> Self {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_to(upstream, unused, ("", limits), None).await
    }

    /// One that forwards only whole frames.
    pub async fn start_framed() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap().to_string();
        Self::start_to(&address, upstream, ("forwarding = \"framed\"", ""), None).await
    }

    /// `server` and `limits` are TOML, for their tables.
    async fn start_to(
        address: &str,
        upstream: TcpListener,
        (server, limits): (&str, &str),
        open_files: Option<u64>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        let url = format!("ws://{address}/v1/realtime?model={{model}}");
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nauth = \"none\"\nworkers = 1\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [limits]\n{limits}\n[log]\nlevel = \"info\"\n[[upstreams]]\nname = \"test\"\nkind = \"compatible\"\nurl = \"{url}\"\n"
        );
        std::fs::write(&file, config).unwrap();
        let built = env!("CARGO_BIN_EXE_realtime-relay").into();
        let binary = std::env::var_os("REALTIME_RELAY_BIN").unwrap_or(built);
        let limited = |open_files| format!("ulimit -n {open_files} && exec \"$0\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &open_files.map_or("exec \"$0\" \"$@\"".to_owned(), limited)])
            .arg(binary)
            .args(["serve", "--config", file.to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::of(&mut child);
        let line = log.line("clients connect to ws").await;
        let (_, address) = line.split_once("://").unwrap();
        let address = address.split('/').next().unwrap_or_default().to_owned();
        Self { child, address, log, upstream, _folder: folder }
    }

    /// Opens a link.
    pub async fn link(&self) -> Link {
        self.link_over(self.connect().await).await
    }

    /// Opens a link over this connection to it.
    pub async fn link_over<C: AsyncRead + AsyncWrite + Unpin>(&self, mut client: C) -> Link<C> {
        client.write_all(self.request().as_bytes()).await.unwrap();
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

    /// A connection to it, over which nothing is said yet.
    pub async fn connect(&self) -> TcpStream {
        within("a connection", TcpStream::connect(&self.address)).await.unwrap()
    }

    /// The head of a request for a link.
    pub fn request(&self) -> String {
        format!(
            "GET /v1/realtime?model=m HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n\r\n",
            self.address
        )
    }

    /// How many connections the system has queued for it.
    pub fn queued(&self) -> usize {
        let (_, port) = self.address.rsplit_once(':').unwrap();
        let listening = format!(" 0100007F:{:04X} 00000000:0000 0A ", port.parse::<u16>().unwrap());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let row = table.lines().find(|row| row.contains(&listening)).expect("the relay listens");
        let (_, queued) = row.split_whitespace().nth(4).unwrap().split_once(':').unwrap();
        usize::from_str_radix(queued, 16).unwrap()
    }

    /// Where clients connect.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many files it has open.
    pub fn open_files(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count() as u64
    }

    /// The process's share of its resident memory, in bytes.
    pub fn pss(&self) -> i64 {
        self.kib("smaps_rollup", "Pss:") * 1024
    }

    /// What is resident, shared or not, in bytes.
    pub fn resident(&self) -> i64 {
        self.kib("status", "VmRSS:") * 1024
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

/// What the relay has logged so far.
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn of(child: &mut Child) -> Self {
        let (stderr, lines) = (BufReader::new(child.stderr.take().unwrap()), Arc::<Mutex<Vec<_>>>::default());
        let log = Self(lines.clone());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                transcript::wrote("process", format!("{line}\n").as_bytes());
                lines.lock().unwrap().push(line);
            }
        });
        log
    }

    /// Waits for a line that contains this.
    pub async fn line(&self, text: &str) -> String {
        let found = async {
            loop {
                if let Some(line) = self.lines(text).pop() {
                    return line;
                }
                tokio::task::yield_now().await;
            }
        };
        within(&format!("a line of the log with {text:?}"), found).await
    }

    /// The lines by now that contain this.
    pub fn lines(&self, text: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

/// The head of a message behind which nothing follows by itself.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Head {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(within("a head", stream.read_u8()).await.unwrap());
    }
    Head::parse(&bytes)
}
