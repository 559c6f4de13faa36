//! The framed forwarder: only whole frames go on. Their text is validated, and each is built anew, with a mask of the relay's
//! own where there has to be one.
//!
//! fastwebsockets reads and writes them, and this file owns its traps. It gets nothing but whole frames that were judged
//! legal, and writes where writing never waits: so a read or a write of its own is done at once, and is never dropped half
//! done; no length is believed before its bytes are there; nothing is left in it from one read to the next. It refuses
//! to know whether what goes on is held.

use std::task::{Context, Waker};

use fastwebsockets::{Frame, OpCode, Role, WebSocket, WebSocketError};
use tokio::io::{AsyncRead, AsyncWrite, Sink, join};

use super::Peer;
use super::forwarder::Passed;
use super::pending::Pending;
use super::pump::{Flow, Stop};
use super::scan::{Violation, frame_length};
use super::utf8::Utf8;

mod ends;

use self::ends::{Input, Out, at_once};

/// One direction of a link, frame by frame.
#[derive(Debug)]
pub(super) struct Framed {
    to: Peer,
    /// The front of a frame that is not whole yet. It grows with what comes, not with what is announced.
    part: Vec<u8>,
    /// So many bytes of it are still to come.
    missing: usize,
    /// The message of which frames have gone on, but not the last.
    message: Option<Message>,
}

#[derive(Debug)]
enum Message {
    Text(Utf8),
    Binary,
}

/// So many frames end in some bytes, the last of them there.
struct Whole {
    frames: usize,
    end: usize,
}

impl Framed {
    pub(super) fn new(to: Peer) -> Self {
        Self { to, part: Vec::new(), missing: 0, message: None }
    }

    /// Whether frames of a message have gone on, but not the last.
    pub(super) fn is_inside_message(&self) -> bool {
        self.message.is_some()
    }

    /// What has come of a frame does not go on, nor will its rest. `was_held`: nothing of its message has.
    pub(super) fn drop_part(&mut self, was_held: bool) {
        (self.part, self.missing) = (Vec::new(), 0);
        if was_held {
            self.message = None;
        }
    }

    /// Sends on, or puts, the frames that are whole, and keeps the rest. What stands before an offence goes on.
    pub(super) fn pass<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        passed: &Passed<'_>,
        to: &mut W,
        pending: &mut Pending,
        flow: &Flow,
    ) -> Result<(), Stop> {
        let free = self.whole(&passed.bytes[..passed.free]);
        let out = Out::direct(to, pending);
        let (mut out, carried) = self.carry(cx, &passed.bytes[..free.end], free.frames, out, flow);
        if !matches!(carried, Err(Stop::SinkLost(_))) {
            out.send(cx).map_err(Stop::SinkLost)?;
        }
        carried?;

        let rest = &passed.bytes[free.end..];
        let held = self.whole(rest);
        if passed.holds {
            let (out, carried) = self.carry(cx, &rest[..held.end], held.frames, Out::<W>::default(), flow);
            pending.put_held(&out.gathered);
            carried?;
        } else if held.frames > 0 {
            self.drop_part(false);
        }
        self.keep(&rest[held.end..]);
        if passed.abandoned {
            self.drop_part(true);
        }
        Ok(())
    }

    /// The close frame, built anew.
    pub(super) fn close(&mut self, close: &[u8]) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let (out, carried) = self.carry(&mut cx, close, 1, Out::<Sink>::default(), &Flow::default());
        debug_assert!(carried.is_ok(), "its reason was judged");
        out.gathered
    }

    /// The frames that end in `bytes`, of which the first may have begun before.
    fn whole(&self, bytes: &[u8]) -> Whole {
        let (mut frames, mut end) = (0, 0);
        let mut length = if self.part.is_empty() { frame_length(bytes) } else { Some(self.missing) };
        while let Some(rest) = length.and_then(|length| bytes.get(end..)?.get(length..)) {
            frames += 1;
            end = bytes.len() - rest.len();
            length = frame_length(rest);
        }
        Whole { frames, end }
    }

    /// Keeps the front of a frame.
    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.part.is_empty() {
            self.missing = frame_length(bytes).expect("a header is judged when it is whole");
        }
        if self.part.capacity() - self.part.len() < bytes.len() {
            self.part.reserve_exact(self.part.len().clamp(bytes.len(), self.missing));
        }
        self.part.extend_from_slice(bytes);
        self.missing -= bytes.len();
    }

    /// Reads so many frames from what was kept and `bytes`, and writes each to `out`.
    fn carry<'o, W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        frames: usize,
        out: Out<'o, W>,
        flow: &Flow,
    ) -> (Out<'o, W>, Result<(), Stop>) {
        if frames == 0 {
            return (out, Ok(()));
        }
        let input = Input::new(std::mem::take(&mut self.part), bytes);
        // As a server it takes off the mask of what has one; it puts none on, so that is done here. What it would answer, the
        // peers answer; what it would limit, the scan has limited.
        let mut socket = WebSocket::after_handshake(join(input, out), Role::Server);
        socket.set_auto_close(false);
        socket.set_auto_pong(false);
        socket.set_max_message_size(usize::MAX);
        socket.set_writev_threshold(0);
        let mut gone = 0;
        let carried = (0..frames).try_for_each(|_| {
            self.carry_frame(cx, &mut socket)?;
            gone += 1;
            Ok(())
        });
        let (_, out) = socket.into_inner().into_inner();
        flow.count(gone, out.bytes);
        (out, carried)
    }

    fn carry_frame<S>(&mut self, cx: &mut Context<'_>, socket: &mut WebSocket<S>) -> Result<(), Stop>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Frame { fin, opcode, payload, .. } = match at_once(cx, socket.read_frame()) {
            Ok(frame) => frame,
            Err(WebSocketError::InvalidUTF8) => return Err(Stop::Violation(Violation::InvalidUtf8)),
            Err(error) => unreachable!("a whole frame that was judged legal: {error}"),
        };
        if !self.follow(fin, opcode, &payload) {
            return Err(Stop::Violation(Violation::InvalidUtf8));
        }
        // The one that was read would keep its key.
        let mut frame = Frame::new(fin, opcode, None, payload);
        if self.to == Peer::Upstream {
            frame.mask();
        }
        match at_once(cx, socket.write_frame(frame)) {
            Ok(()) => Ok(()),
            Err(WebSocketError::IoError(error)) => Err(Stop::SinkLost(error)),
            Err(error) => unreachable!("nothing is written behind a close frame: {error}"),
        }
    }

    /// Takes note of a frame that goes on; false: it does not, for its text is none.
    fn follow(&mut self, fin: bool, opcode: OpCode, payload: &[u8]) -> bool {
        let is_text = match (opcode, &mut self.message) {
            (OpCode::Close | OpCode::Ping | OpCode::Pong, _) => return true,
            (OpCode::Binary, _) if !fin => {
                self.message = Some(Message::Binary);
                true
            }
            (OpCode::Text, _) if !fin => {
                let mut text = Utf8::default();
                let is_text = text.follows(payload, false);
                self.message = is_text.then_some(Message::Text(text));
                is_text
            }
            (OpCode::Continuation, Some(Message::Text(text))) => text.follows(payload, fin),
            // A text that is whole was looked at when it was read.
            (OpCode::Text | OpCode::Binary | OpCode::Continuation, _) => true,
        };
        if fin && is_text {
            self.message = None;
        }
        is_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an upstream's binary frame of 24 MiB.
    const HEADER: [u8; 10] = [0x82, 127, 0, 0, 0, 0, 1, 0x80, 0, 0];
    const LENGTH: usize = HEADER.len() + (24 << 20);

    #[test]
    fn what_is_announced_takes_no_memory_before_it_comes() {
        let mut framed = Framed::new(Peer::Client);
        framed.keep(&HEADER);
        assert!(framed.part.capacity() < 64, "{} bytes for a header", framed.part.capacity());
        let mut come = HEADER.len();
        for read in [1, 100, 64 << 10].into_iter().cycle().take(300) {
            framed.keep(&vec![0; read]);
            come += read;
            let most = LENGTH.min(2 * come);
            assert!(framed.part.capacity() <= most, "{} bytes for {come}", framed.part.capacity());
        }
        assert_eq!(framed.missing, LENGTH - come);
        framed.drop_part(false);
        assert_eq!(framed.part.capacity(), 0);
    }
}
