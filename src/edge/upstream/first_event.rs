//! Waits for an upstream's first event: it may open a leg and refuse then, and the client is better told in HTTP.
//!
//! It refuses to know who the client is, and keeps every byte that is the client's.

use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::OpCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::failure::FirstWord;
use crate::edge::tls::Conn;
use crate::relay::Peer;
use crate::relay::inject;
use crate::relay::scan::{Control, Scan, Step};

/// How long an upstream that should speak first may stay silent. Then the link begins without its word.
const PATIENCE: Duration = Duration::from_secs(2);
/// A first event of more than this is no refusal.
const MAX_EVENT: usize = 64 << 10;

/// Reads until the first data or close frame of a leg whose first bytes are in `early`. Pings are answered and taken
/// out. Gives all other bytes read so far, for the pump to begin with.
///
/// Not cancel safe: dropped, it loses what it has read.
pub async fn wait(stream: &mut Conn, early: Bytes, max_message_bytes: u64) -> Result<Bytes, FirstWord> {
    let mut first =
        FirstEvent { bytes: early.into(), at: 0, text: Vec::new(), scan: Scan::new(Peer::Upstream, max_message_bytes) };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match first.step()? {
            Next::Begin => return Ok(first.bytes.into()),
            Next::Answer(pong) => match timeout_at(deadline, send(stream, &pong)).await {
                Ok(Ok(())) => {}
                // After the deadline half a pong may have gone out: such a leg cannot be used.
                Ok(Err(_)) | Err(_) => return Err(FirstWord::Ended),
            },
            Next::Read => match timeout_at(deadline, stream.read_buf(&mut first.bytes)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(FirstWord::Ended),
                Err(_) => return Ok(first.bytes.into()),
            },
        }
    }
}

async fn send(stream: &mut Conn, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

struct FirstEvent {
    /// Everything read, but pings.
    bytes: Vec<u8>,
    /// Up to here it was scanned.
    at: usize,
    /// Payload of the first message.
    text: Vec<u8>,
    scan: Scan,
}

enum Next {
    /// The first event is no refusal: the link may begin.
    Begin,
    /// This pong must be sent.
    Answer(Vec<u8>),
    /// More bytes are needed.
    Read,
}

impl FirstEvent {
    fn step(&mut self) -> Result<Next, FirstWord> {
        loop {
            let (length, step) = self.scan.step(&self.bytes[self.at..])?;
            match step {
                Step::Starved => return Ok(Next::Read),
                Step::Data(piece) => {
                    self.text.extend_from_slice(piece.payload);
                    let last = piece.last;
                    self.at += length;
                    if last {
                        return judge(&self.text).map(|()| Next::Begin);
                    }
                    if self.text.len() >= MAX_EVENT {
                        return Ok(Next::Begin);
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
