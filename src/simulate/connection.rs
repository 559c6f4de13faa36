//! One connection after its request: the 101, then a conversation, until one of the sides ends it.
//!
//! Reader and talk are two futures of one task: `read_frame` must be polled to its end, never dropped and begun anew.
//! It refuses to know what is said.

use super::Options;
use super::conversation::Conversation;
use super::events::Event;
use super::fault::Fault;
use super::http::Upgrade;
use super::ids::Ids;
use super::wire::{self, Next, Wire};
use fastwebsockets::{OpCode, Role, WebSocket, WebSocketError};
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Twice the live service's 15 MiB of audio in one append: what stands in front must refuse first.
const MOST_MESSAGE_BYTES: usize = 32 << 20;

/// Messages read ahead while one is being answered.
const INBOX_MESSAGES: usize = 8;

/// How long the other side may take to end what was ended here.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The live service ends a session then; here it bounds a fault that only waits.
const LONGEST_SESSION: Duration = Duration::from_hours(1);

const SLOW_UPGRADE: Duration = Duration::from_secs(2);
const LATE_FIRST_EVENT: Duration = Duration::from_secs(3);

/// Runs one. An error is a peer that has gone, which nobody needs to be told.
pub(super) async fn run(upgrade: Upgrade, options: &Options, number: u64) -> io::Result<()> {
    let Upgrade { stream, early, asked } = upgrade;
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let read = io::Cursor::new(early).chain(read);
    let head = asked.switching_protocols();
    match asked.fault {
        Some(Fault::NeverAnswers) => return swallow(read).await,
        Some(Fault::Half101) => {
            write.write_all(&head[..head.len() / 2]).await?;
            return swallow(read).await;
        }
        Some(Fault::Slow) => sleep(SLOW_UPGRADE).await,
        _ => {}
    }
    let ids = Ids::new(options.seed, number);
    let (conversation, created) = Conversation::open(asked.model.as_deref(), options.pace, ids);
    let mut wire = Wire::new(asked.fault.clone());
    let (first, next) = wire.first(&created);
    if asked.fault == Some(Fault::EarlyBytes) {
        write.write_all(&[head, first].concat()).await?;
    } else {
        write.write_all(&head).await?;
        if asked.fault == Some(Fault::LateFirstEvent) {
            sleep(LATE_FIRST_EVENT).await;
        }
        write.write_all(&first).await?;
    }
    if asked.fault == Some(Fault::Stall) {
        sleep(LONGEST_SESSION).await;
        return Ok(());
    }
    let (sender, inbox) = mpsc::channel(INBOX_MESSAGES);
    let answers_close = asked.fault != Some(Fault::IgnoresClose);
    let talk = Talk { inbox, write, wire, conversation, answers_close };
    let (mut reader, mut talk) = (pin!(read_messages(read, sender)), pin!(talk.run(next)));
    tokio::select! {
        result = &mut talk => result,
        () = &mut reader => talk.await,
    }
}

/// What the client sent.
enum Received {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Close(Vec<u8>),
    /// It breaks the protocol: the code to close with.
    Offence(u16),
}

/// The side that answers.
struct Talk {
    inbox: mpsc::Receiver<Received>,
    write: OwnedWriteHalf,
    wire: Wire,
    conversation: Conversation,
    answers_close: bool,
}

impl Talk {
    /// Talks to the end, closing handshake included.
    async fn run(mut self, first: Next) -> io::Result<()> {
        let mut next = first;
        while next == Next::GoOn {
            next = self.step().await?;
        }
        if next == Next::AwaitClose {
            // A client that does not answer in time is left like any other.
            let _ = timeout(CLOSE_TIMEOUT, self.close_or_end()).await;
        }
        self.write.shutdown().await?;
        // Unread input at the end would make a reset of it, and the client might lose what was said last.
        let _ = timeout(CLOSE_TIMEOUT, async { while self.inbox.recv().await.is_some() {} }).await;
        Ok(())
    }

    async fn step(&mut self) -> io::Result<Next> {
        let due = self.conversation.due();
        let events = tokio::select! {
            received = self.inbox.recv() => match received {
                Some(Received::Message(message)) => self.conversation.receive(&message, Instant::now()),
                Some(Received::Ping(payload)) => return self.send(&wire::pong(payload)).await,
                Some(Received::Close(payload)) => return self.answer_close(&payload).await,
                Some(Received::Offence(code)) => {
                    self.send(&wire::close(code, "")).await?;
                    return Ok(Next::AwaitClose);
                }
                None => return Ok(Next::HangUp),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.conversation.advance(),
        };
        self.deliver(&events).await
    }

    async fn deliver(&mut self, events: &[Event]) -> io::Result<Next> {
        for event in events {
            let (bytes, next) = self.wire.event(event);
            self.send(&bytes).await?;
            if next != Next::GoOn {
                return Ok(next);
            }
        }
        Ok(Next::GoOn)
    }

    /// The same code, and no reason: as the live service answers.
    async fn answer_close(&mut self, payload: &[u8]) -> io::Result<Next> {
        if !self.answers_close {
            return Ok(Next::GoOn);
        }
        self.send(&wire::close_with(&payload[..payload.len().min(2)])).await?;
        Ok(Next::HangUp)
    }

    async fn close_or_end(&mut self) {
        while let Some(received) = self.inbox.recv().await {
            if matches!(received, Received::Close(_)) {
                return;
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<Next> {
        self.write.write_all(bytes).await?;
        Ok(Next::GoOn)
    }
}

/// Reads until the client has gone, or nobody listens. Not cancel safe: `read_frame` is not.
async fn read_messages(read: impl AsyncRead + Unpin, inbox: mpsc::Sender<Received>) {
    // Nothing may be written from here: pings and closes are answered by the talk.
    let mut socket = WebSocket::after_handshake(tokio::io::join(read, tokio::io::sink()), Role::Server);
    socket.set_auto_close(false);
    socket.set_auto_pong(false);
    socket.set_max_message_size(MOST_MESSAGE_BYTES);
    let mut message = Vec::new();
    loop {
        let received = match socket.read_frame().await {
            Ok(frame) => match frame.opcode {
                OpCode::Ping => Received::Ping(frame.payload.into()),
                OpCode::Pong => continue,
                OpCode::Close => Received::Close(frame.payload.into()),
                OpCode::Text | OpCode::Binary | OpCode::Continuation => {
                    message.extend_from_slice(&frame.payload);
                    match (frame.fin, message.len() > MOST_MESSAGE_BYTES) {
                        (_, true) => Received::Offence(1_009),
                        (true, false) => Received::Message(std::mem::take(&mut message)),
                        (false, false) => continue,
                    }
                }
            },
            Err(WebSocketError::IoError(_) | WebSocketError::UnexpectedEOF) => return,
            Err(WebSocketError::FrameTooLarge) => Received::Offence(1_009),
            Err(_) => Received::Offence(1_002),
        };
        let last = matches!(received, Received::Offence(_));
        if inbox.send(received).await.is_err() || last {
            return;
        }
    }
}

/// Reads to the end, and says nothing.
async fn swallow(mut read: impl AsyncRead + Unpin) -> io::Result<()> {
    let reading = async { tokio::io::copy(&mut read, &mut tokio::io::sink()).await.map(|_| ()) };
    timeout(LONGEST_SESSION, reading).await.unwrap_or(Ok(()))
}
