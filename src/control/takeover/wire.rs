//! Lines between two processes, and file descriptors that travel with them. Refuses to know what a line says.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// What one message may carry: `SCM_MAX_FD` of Linux.
const MOST_SOCKETS: usize = 253;
/// The longest line, in bytes: that many sockets, each with a long address, stay below it.
const LONGEST: usize = 64 << 10;

/// How lines are received. What comes with them is for this process alone, where the system can do that in one step.
#[cfg(not(target_vendor = "apple"))]
const RECEIVE: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(target_vendor = "apple")]
const RECEIVE: RecvFlags = RecvFlags::empty();

/// A connection to the other process.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    unread: Vec<u8>,
    /// What came with the lines so far.
    pub(super) sockets: Vec<OwnedFd>,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, unread: Vec::new(), sockets: Vec::new() }
    }

    /// Sends a line.
    pub(super) async fn say(&mut self, line: &str) -> io::Result<()> {
        self.stream.write_all(format!("{line}\n").as_bytes()).await
    }

    /// Sends a line, and sockets with it.
    pub(super) async fn hand(&mut self, line: &str, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        if sockets.len() > MOST_SOCKETS {
            return Err(io::Error::other(format!("more than {MOST_SOCKETS} sockets cannot be handed over")));
        }
        let line = format!("{line}\n");
        let message = || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(sockets)), "there is space for them");
            Ok(sendmsg(&self.stream, &[IoSlice::new(line.as_bytes())], &mut control, SendFlags::NOSIGNAL)?)
        };
        let sent = self.stream.async_io(Interest::WRITABLE, message).await?;
        self.stream.write_all(&line.as_bytes()[sent..]).await
    }

    /// The next line, without its end.
    pub(super) async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.drain(..=end).take(end).collect();
                return String::from_utf8(line).map_err(|_| wrong("a line that is no text"));
            }
            if self.unread.len() > LONGEST {
                return Err(wrong("a line without an end"));
            }
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        let Self { stream, unread, sockets } = self;
        let receive = || {
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let read = recvmsg(&*stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RECEIVE)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(received) = message {
                    sockets.extend(received);
                }
            }
            unread.extend_from_slice(&bytes[..read.bytes]);
            Ok(read.bytes)
        };
        stream.async_io(Interest::READABLE, receive).await
    }
}

/// The other process does not keep to the protocol.
pub(super) fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other process sent {what}"))
}
