//! One end of a link: how it is opened, and how it is closed.
//!
//! It refuses to know what goes over it in between, and who waits for its socket.

use anyhow::bail;

use crate::conn::{Conn, Stream};
use crate::frames::{self, Sender};
use crate::upgrade;

/// A whole close frame begins with it.
const CLOSE: u8 = 0x88;

/// One end of a link.
pub struct End {
    /// Its connection.
    pub conn: Conn,
    /// Which of the two.
    pub sender: Sender,
    /// How far it is.
    pub stage: Stage,
    /// Bytes that have come, and are not a whole head or frame yet.
    pub partial: Vec<u8>,
    /// Which link it belongs to: the same number at both ends.
    pub link: u64,
    /// The load is on it; else it only stands by.
    pub busy: bool,
    /// Its socket is waited for until it takes more.
    pub waits_to_write: bool,
}

/// How far an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The heads are exchanged.
    Head,
    /// Frames are.
    Open,
    /// A close frame is sent.
    Closing,
}

/// What becomes of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is still needed.
    Stays,
    /// It is closed.
    Goes,
}

impl End {
    /// An end of which nothing has been heard.
    pub fn new(sender: Sender, conn: Conn) -> Self {
        Self { conn, sender, stage: Stage::Head, partial: Vec::new(), link: 0, busy: true, waits_to_write: false }
    }

    /// Says goodbye, to be answered.
    pub fn part(&mut self) -> anyhow::Result<Fate> {
        self.conn.send_all(&frames::close(self.sender))?;
        self.stage = Stage::Closing;
        Ok(Fate::Stays)
    }

    /// Heads and close frames are heard, everything else is thrown away.
    pub fn progress(&mut self, scratch: &mut [u8]) -> anyhow::Result<Fate> {
        let Self { conn, partial, .. } = self;
        partial.truncate(upgrade::MAX_HEAD);
        let received = conn.flush().and_then(|()| conn.receive(scratch, |bytes| partial.extend_from_slice(bytes)));
        let ended = !matches!(received, Ok(Stream::Open));
        match (self.stage, self.sender) {
            (Stage::Head, Sender::Client) if ended => {
                bail!("the proxy closed a connection without an answer: {received:?}")
            }
            // Whoever looks whether the proxy listens may have it connect here.
            (Stage::Head, Sender::Upstream) if ended => Ok(Fate::Goes),
            (Stage::Head, _) => self.head(),
            (Stage::Open, Sender::Upstream) if self.partial.first() == Some(&CLOSE) => {
                self.conn.send_all(&frames::close(Sender::Upstream))?;
                Ok(Fate::Goes)
            }
            (Stage::Closing, _) if ended || self.partial.first() == Some(&CLOSE) => Ok(Fate::Goes),
            (Stage::Open, _) if ended => Ok(Fate::Goes),
            _ => {
                self.partial.clear();
                Ok(Fate::Stays)
            }
        }
    }

    fn head(&mut self) -> anyhow::Result<Fate> {
        let Some(end) = upgrade::end_of_head(&self.partial)? else { return Ok(Fate::Stays) };
        match self.sender {
            Sender::Client => upgrade::check(&self.partial[..end])?,
            Sender::Upstream => {
                let (link, answer) = upgrade::answer(&self.partial[..end])?;
                self.link = link;
                self.conn.send_all(&answer)?;
            }
        }
        self.partial.drain(..end);
        self.stage = Stage::Open;
        Ok(Fate::Stays)
    }
}
