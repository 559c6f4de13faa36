//! How bytes go on that were read and judged: the seam between the two forwarders. The verbatim one is here; there is not
//! more to it than to write.
//!
//! It refuses to know what is judged, and why.

use std::task::Context;

use tokio::io::AsyncWrite;

use super::Peer;
use super::framed::Framed;
use super::pending::Pending;
use super::pump::{Boundary, Flow, Stop};

/// What comes behind the judge of a pump.
#[derive(Debug)]
pub(super) enum Forwarder {
    /// Bytes go on as they are, as soon as they come.
    Verbatim,
    /// Only whole frames go on, built anew.
    Framed(Box<Framed>),
}

/// What of a read goes on.
pub(super) struct Passed<'b> {
    pub(super) bytes: &'b [u8],
    /// So many frames begin in them, or are whole.
    pub(super) frames: u64,
    /// So many bytes may go on now.
    pub(super) free: usize,
    /// The others may go on later; else they never will.
    pub(super) holds: bool,
    /// What was held of the message that they end in never will either.
    pub(super) abandoned: bool,
}

impl Forwarder {
    /// The one that lets only whole frames go on, to this peer.
    pub(super) fn framed(to: Peer) -> Self {
        Self::Framed(Box::new(Framed::new(to)))
    }

    /// Sends on what may go on, and holds what may not yet. What stands before an offence has gone on.
    #[inline]
    pub(super) fn pass<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        passed: &Passed<'_>,
        to: &mut W,
        pending: &mut Pending,
        flow: &Flow,
    ) -> Result<(), Stop> {
        let Passed { bytes, frames, free, holds, .. } = *passed;
        match self {
            Self::Verbatim => {
                flow.count(frames, bytes.len() as u64);
                pending.write(cx, &bytes[..free], to).map_err(Stop::SinkLost)?;
                if holds {
                    pending.put_held(&bytes[free..]);
                }
                Ok(())
            }
            Self::Framed(framed) => framed.pass(cx, passed, to, pending, flow),
        }
    }

    /// The close frame that goes on for this one of the source's.
    pub(super) fn close(&mut self, close: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Verbatim => close,
            Self::Framed(framed) => framed.close(&close),
        }
    }

    /// Nothing more goes on of a frame that is not whole, where nothing of it has. `was_held`: nor did any of its message.
    pub(super) fn drop_part(&mut self, was_held: bool) {
        if let Self::Framed(framed) = self {
            framed.drop_part(was_held);
        }
    }

    /// Where the sink's stream stands when the source stands here.
    pub(super) fn boundary(&self, source: Boundary) -> Boundary {
        match self {
            Self::Verbatim => source,
            Self::Framed(framed) if framed.is_inside_message() => Boundary::Frame,
            Self::Framed(_) => Boundary::Message,
        }
    }
}
