//! What an upstream says before there is a client to hear it: its first event, which may be a refusal, and whatever
//! comes while a leg waits for its client.
//!
//! It refuses to know who the client is, and keeps every byte that is the client's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::OpCode;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::failure::FirstWord;
use crate::edge::conn::Conn;
use crate::relay::Peer;
use crate::relay::inject;
use crate::relay::scan::{Control, Scan, Step};

/// How long an upstream that should speak first may stay silent. Then the link begins without its word.
const PATIENCE: Duration = Duration::from_secs(2);
/// A first event of more than this is no refusal, and no more than this is kept while one is waited for.
const MAX_EVENT: usize = 64 << 10;
/// Bytes read at once. An upstream's first words are short.
const READ: usize = 4 << 10;

/// A leg to which nobody listens yet but us. Pings are answered, and taken out of what it keeps.
#[derive(Debug)]
pub struct Listening {
    stream: Conn,
    /// Everything that came, but pings.
    bytes: Vec<u8>,
    /// Up to here it was scanned.
    at: usize,
    /// From here on no event has come.
    waited_from: usize,
    /// The payload of the message under way.
    text: Vec<u8>,
    scan: Scan,
}

impl Listening {
    /// Listens to a leg whose first bytes are in `early`.
    pub fn new(stream: Conn, early: Bytes, max_message_bytes: u64) -> Self {
        let scan = Scan::new(Peer::Upstream, max_message_bytes);
        Self { stream, bytes: early.into(), at: 0, waited_from: 0, text: Vec::new(), scan }
    }

    /// Waits for the first data or close frame, or until patience ends. Fails where it is a refusal.
    ///
    /// Cancel safe: what came is kept.
    pub async fn first_event(&mut self) -> Result<(), FirstWord> {
        let wait = timeout(PATIENCE, std::future::poll_fn(|cx| self.poll_event(cx)));
        wait.await.unwrap_or(Ok(()))
    }

    /// `Ready` with each data message that is no refusal, and when the leg is of no more use.
    ///
    /// Cancel safe.
    pub fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FirstWord>> {
        loop {
            match self.step()? {
                Next::Event => return Poll::Ready(Ok(())),
                Next::Answer(pong) => self.say(cx, &pong).map_err(|_| FirstWord::Ended)?,
                Next::Read => match ready!(self.poll_read(cx)) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(Err(FirstWord::Ended)),
                },
            }
        }
    }

    /// How much it keeps for the client.
    pub fn kept(&self) -> usize {
        self.bytes.len()
    }

    /// The stream, and what came over it, to be delivered first.
    pub fn into_parts(self) -> (Conn, Bytes) {
        (self.stream, self.bytes.into())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [0; READ];
        let mut buffer = ReadBuf::new(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        self.bytes.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Sends a pong, whole and at once: half of one would spoil the leg, and nothing else was said on it that could
    /// fill its buffers.
    fn say(&mut self, cx: &mut Context<'_>, pong: &[u8]) -> io::Result<()> {
        let stream = &mut self.stream;
        match Pin::new(&mut *stream).poll_write(cx, pong) {
            Poll::Ready(Ok(taken)) if taken == pong.len() => {}
            Poll::Ready(Err(error)) => return Err(error),
            _ => return Err(io::ErrorKind::WriteZero.into()),
        }
        match Pin::new(stream).poll_flush(cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn step(&mut self) -> Result<Next, FirstWord> {
        loop {
            let (length, step) = self.scan.step(&self.bytes[self.at..])?;
            match step {
                // What is no event and yet is kept counts as well: pongs, and fragments with nothing in them.
                Step::Starved if self.at - self.waited_from >= MAX_EVENT => return Ok(self.event()),
                Step::Starved => return Ok(Next::Read),
                Step::Data(piece) => {
                    self.text.extend_from_slice(piece.payload);
                    self.at += length;
                    if piece.last || self.text.len() >= MAX_EVENT {
                        let text = std::mem::take(&mut self.text);
                        return if piece.last { judge(&text).map(|()| self.event()) } else { Ok(self.event()) };
                    }
                }
                Step::Control(control) => match control.opcode {
                    OpCode::Close => return Err(judge_close(&control)),
                    OpCode::Ping => {
                        let pong = inject::pong(Peer::Upstream, control.payload);
                        self.bytes.drain(self.at..self.at + length);
                        return Ok(Next::Answer(pong));
                    }
                    _ => self.at += length,
                },
            }
        }
    }

    /// From here on the next one is waited for.
    fn event(&mut self) -> Next {
        self.waited_from = self.at;
        Next::Event
    }
}

enum Next {
    /// A message has ended, or is too long to be a refusal.
    Event,
    /// This pong must be sent.
    Answer(Vec<u8>),
    /// More bytes are needed.
    Read,
}

fn judge(text: &[u8]) -> Result<(), FirstWord> {
    let Ok(mut event) = serde_json::from_slice::<Value>(text) else { return Ok(()) };
    if event["type"] != "error" {
        return Ok(());
    }
    let error = event["error"].take();
    if error["code"] == "invalid_api_key" {
        let reason = error["message"].as_str().unwrap_or("invalid_api_key").to_owned();
        return Err(FirstWord::Credential { reason });
    }
    Err(FirstWord::Error { error })
}

/// How OpenAI refuses a key after its 101.
const CLOSE_UNAUTHORIZED: u16 = 3000;

fn judge_close(close: &Control<'_>) -> FirstWord {
    let reason = String::from_utf8_lossy(close.payload.get(2..).unwrap_or_default()).into_owned();
    match close.close_code() {
        CLOSE_UNAUTHORIZED => FirstWord::Credential { reason },
        code => FirstWord::Close { code, reason },
    }
}
