//! How long a client waits for its session, with a leg that was opened ahead and without one.
//!
//! `cargo run --release --example setup_time [links]`: a simulated upstream behind a line that takes 50 ms each way, and
//! a relay before it. Each link is timed from its request to `session.created`. The line delays bytes, not the TCP
//! handshake, so a cold link makes one round trip here; over a network it makes two, and three with TLS.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use realtime_relay::app::Relay;
use realtime_relay::control::config;
use realtime_relay::simulate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

/// What the line takes each way.
const ONE_WAY: Duration = Duration::from_millis(50);
/// Legs that wait. Refilling one takes a round trip, so links come no faster than that.
const WARM: usize = 4;
/// No link takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let links = std::env::args().nth(1).map_or(Ok(50), |links| links.parse()).context("links: a number")?;
    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let line = TcpListener::bind("127.0.0.1:0").await?;
    let (line_port, upstream_port) = (line.local_addr()?.port(), upstream.local_addr()?.port());
    tokio::spawn(simulate::serve(upstream, simulate::Options::default()));
    tokio::spawn(delay(line, upstream_port));

    let folder = tempfile::tempdir()?;
    let warm = Relay::start(configuration(line_port, WARM, &folder.path().join("warm.db"))?)?;
    let cold = Relay::start(configuration(line_port, 0, &folder.path().join("cold.db"))?)?;
    report("warm", &measure(&warm, links, WARM).await?);
    report("cold", &measure(&cold, links, 0).await?);
    Ok(())
}

fn configuration(upstream_port: u16, warm: usize, ledger: &Path) -> anyhow::Result<config::Config> {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nauth = \"none\"\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[upstreams]]\nname = \"far\"\nkind = \"openai\"\nurl = \"ws://127.0.0.1:{upstream_port}/v1/realtime\"\n\
         key = \"of-the-upstream\"\nmodels = {{ gpt-realtime = \"gpt-realtime\" }}\nwarm = {warm}\n"
    );
    let mut config = config::parse(&text).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?;
    ledger.clone_into(&mut config.metering.ledger);
    Ok(config)
}

/// Opens links one after the other, each when `warm` legs wait for it.
async fn measure(relay: &Relay, links: usize, warm: usize) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(links);
    for _ in 0..links {
        timeout(PATIENCE, until_waiting(relay, warm)).await.context("no leg is opened ahead")??;
        let began = Instant::now();
        timeout(PATIENCE, open(relay)).await.context("no session in time")??;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

async fn until_waiting(relay: &Relay, warm: usize) -> anyhow::Result<()> {
    loop {
        let mut admin = TcpStream::connect(relay.admin_address).await?;
        admin.write_all(b"GET /upstreams HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = String::new();
        admin.read_to_string(&mut answer).await?;
        if answer.contains(&format!("\"warm\":{warm},")) {
            return Ok(());
        }
    }
}

/// From the request to `session.created`.
async fn open(relay: &Relay) -> anyhow::Result<()> {
    let mut client = TcpStream::connect(relay.addresses[0]).await?;
    client.set_nodelay(true)?;
    let request = "GET /v1/realtime?model=gpt-realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if client.read_buf(&mut answer).await? == 0 {
            bail!("the relay answered {:?}", String::from_utf8_lossy(&answer));
        }
        if answer.windows(15).any(|window| window == b"session.created") {
            return Ok(());
        }
    }
}

fn report(what: &str, times: &[Duration]) {
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    println!("{what}: {} links, median {:.2} ms, p90 {:.2} ms, most {:.2} ms", times.len(), at(50), at(90), at(100));
}

/// A line to the upstream that delays what goes over it.
async fn delay(listener: TcpListener, upstream_port: u16) -> io::Result<()> {
    loop {
        let (near, _) = listener.accept().await?;
        let far = TcpStream::connect(("127.0.0.1", upstream_port)).await?;
        let ((near_reads, near_writes), (far_reads, far_writes)) = (near.into_split(), far.into_split());
        tokio::spawn(carry(near_reads, far_writes));
        tokio::spawn(carry(far_reads, near_writes));
    }
}

/// Hands each read on when its time has come.
async fn carry(mut from: impl AsyncRead + Unpin + Send + 'static, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let (send, mut receive) = mpsc::channel(64);
    tokio::spawn(async move {
        loop {
            let mut bytes = Vec::with_capacity(16 << 10);
            let read = from.read_buf(&mut bytes).await?;
            let due = tokio::time::Instant::now() + ONE_WAY;
            if read == 0 || send.send((due, bytes)).await.is_err() {
                return io::Result::Ok(());
            }
        }
    });
    while let Some((due, bytes)) = receive.recv().await {
        sleep_until(due).await;
        to.write_all(&bytes).await?;
    }
    to.shutdown().await
}
