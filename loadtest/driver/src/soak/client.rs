//! What one of many clients does: it opens a link, sends audio, has responses made, leaves well or badly, and comes again.
//!
//! It refuses to know how the relay does meanwhile. Each client asks for a model of its own, so that its records can be told
//! from those of others.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::frames::{self, Frame, Sender};
use crate::upgrade;

/// Of a frame of audio, so that its base64 is whole.
const AUDIO_BYTES: usize = 1_299;
/// Between two of them.
const AUDIO_EVERY: Duration = Duration::from_millis(200);
const ASK: &str = r#"{"type":"response.create"}"#;
/// What has not come by then never comes.
const PATIENCE: Duration = Duration::from_mins(1);

/// What all clients share.
#[derive(Default)]
pub struct Crowd {
    /// Links that are open.
    pub open: Cell<u64>,
    /// Frames that were sent or have come.
    pub frames: Cell<u64>,
    /// How often links ended in each of the [`WAYS`].
    pub ways: RefCell<[u64; WAYS.len()]>,
    stopped: Cell<bool>,
    trouble: RefCell<Option<String>>,
}

/// How a link ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Close,
    End,
    Reset,
    ResetWhileAnswered,
    HalfAFrame,
    Offence,
}

/// All of them. Most links end well.
pub const WAYS: [Way; 6] = [Way::Close, Way::End, Way::Reset, Way::ResetWhileAnswered, Way::HalfAFrame, Way::Offence];

impl Crowd {
    /// Has every client leave when its turn is over.
    pub fn stop(&self) {
        self.stopped.set(true);
    }

    /// What went wrong first.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    fn count(&self, frames: u64) {
        self.frames.set(self.frames.get() + frames);
    }
}

/// One client, whatever links it has one after the other.
pub struct Slot {
    pub number: usize,
    /// Links that were opened.
    pub links: u64,
    /// Responses that began. Each has a row: when it ends, or when it is settled.
    pub responses: u64,
    rng: Rng,
    relay: SocketAddr,
    crowd: Rc<Crowd>,
}

impl Slot {
    pub fn new(number: usize, seed: u64, relay: SocketAddr, crowd: Rc<Crowd>) -> Self {
        let rng = Rng::with_seed(seed ^ ((number as u64) << 32));
        Self { number, links: 0, responses: 0, rng, relay, crowd }
    }

    /// Plays until all are to stop.
    pub async fn play(mut self, begins: Duration) -> Self {
        sleep(begins).await;
        while !self.crowd.stopped.get() {
            if let Err(error) = self.link().await {
                self.crowd.trouble.borrow_mut().get_or_insert(format!("{}: {error:#}", self.number));
                break;
            }
        }
        self
    }

    async fn link(&mut self) -> anyhow::Result<()> {
        let mut talk = Talk::open(self.relay, self.number, self.crowd.clone()).await?;
        self.links += 1;
        let way = if self.rng.u8(..10) < 6 { Way::Close } else { WAYS[self.rng.usize(1..WAYS.len())] };
        for _ in 0..self.rng.usize(1..4) {
            for _ in 0..self.rng.usize(..20) {
                talk.send_audio().await?;
                talk.listen(AUDIO_EVERY).await?;
            }
            if self.crowd.stopped.get() {
                break;
            }
            talk.answer(&mut self.responses, "response.done").await?;
        }
        if way == Way::ResetWhileAnswered {
            talk.answer(&mut self.responses, "response.created").await?;
        }
        self.crowd.ways.borrow_mut()[way as usize] += 1;
        talk.end(way).await
    }
}

/// A link, as its client has it.
struct Talk {
    socket: TcpStream,
    unread: Vec<u8>,
    audio: Frame,
    crowd: Rc<Crowd>,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.crowd.open.set(self.crowd.open.get() - 1);
    }
}

impl Talk {
    async fn open(relay: SocketAddr, slot: usize, crowd: Rc<Crowd>) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(relay).await.context("the relay takes no connection")?;
        socket.set_nodelay(true)?;
        socket.write_all(&upgrade::request(slot as u64)).await?;
        crowd.open.set(crowd.open.get() + 1);
        let mut talk = Self { socket, unread: Vec::new(), audio: Frame::new(Sender::Client, AUDIO_BYTES)?, crowd };
        loop {
            if let Some(end) = upgrade::end_of_head(&talk.unread)? {
                upgrade::check(&talk.unread[..end])?;
                talk.unread.drain(..end);
                return Ok(talk);
            }
            talk.read().await?;
        }
    }

    async fn send(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        self.crowd.count(1);
        Ok(self.socket.write_all(frame).await?)
    }

    async fn send_audio(&mut self) -> anyhow::Result<()> {
        self.crowd.count(1);
        Ok(self.socket.write_all(self.audio.bytes()).await?)
    }

    /// Asks for a response, counts it when it begins, and waits for this event of it.
    async fn answer(&mut self, begun: &mut u64, until: &str) -> anyhow::Result<()> {
        self.send(&frames::text(Sender::Client, ASK)).await?;
        loop {
            let event = self.next().await?;
            let is = |name: &str| event.windows(name.len()).take(200).any(|window| window == name.as_bytes());
            *begun += u64::from(is(r#""response.created""#));
            if is(&format!("\"{until}\"")) {
                return Ok(());
            }
        }
    }

    /// Takes what comes in this time.
    async fn listen(&mut self, time: Duration) -> anyhow::Result<()> {
        let listening = async {
            loop {
                self.next().await?;
            }
        };
        timeout(time, listening).await.unwrap_or(Ok(()))
    }

    /// The payload of the next message. Cancel safe.
    async fn next(&mut self) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some((header, payload)) = frames::size(&self.unread)
                && self.unread.len() >= header + payload
            {
                self.crowd.count(1);
                let first = self.unread[0];
                let frame: Vec<u8> = self.unread.drain(..header + payload).skip(header).collect();
                ensure!(first == 0x81, "a frame that begins with {first:02x}: {}", String::from_utf8_lossy(&frame));
                let is_error = frame.starts_with(br#"{"type":"error""#);
                ensure!(!is_error, "an error event: {}", String::from_utf8_lossy(&frame));
                return Ok(frame);
            }
            timeout(PATIENCE, self.read()).await.context("nothing comes")??;
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.socket.read_buf(&mut self.unread).await? == 0 {
            bail!("the link has ended");
        }
        Ok(())
    }

    async fn end(mut self, way: Way) -> anyhow::Result<()> {
        match way {
            Way::Close => self.send(&frames::close(Sender::Client)).await?,
            Way::End => self.socket.shutdown().await?,
            Way::Reset | Way::ResetWhileAnswered => {
                self.socket.set_zero_linger()?;
                return Ok(());
            }
            Way::HalfAFrame => {
                let half = &self.audio.bytes()[..AUDIO_BYTES / 2];
                self.socket.write_all(half).await?;
                self.socket.shutdown().await?;
            }
            // As no client may: without a mask.
            Way::Offence => self.socket.write_all(&frames::close(Sender::Upstream)).await?,
        }
        timeout(PATIENCE, self.rest()).await.context("the relay does not hang up")
    }

    /// Whatever still comes.
    async fn rest(&mut self) {
        loop {
            self.unread.clear();
            let read: io::Result<usize> = self.socket.read_buf(&mut self.unread).await;
            if !matches!(read, Ok(1..)) {
                return;
            }
        }
    }
}
