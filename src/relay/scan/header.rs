//! The headers of frames: how they are read, and which are legal by themselves (RFC 6455 section 5.2).
//!
//! It refuses to know messages, and what came before.

use fastwebsockets::OpCode;

use super::super::Peer;
use super::Violation;

/// RFC 6455 section 5.5: control frames carry at most 125 bytes.
pub(super) const MAX_CONTROL_PAYLOAD: usize = 125;
/// Bytes of a masking key.
pub(super) const MASK: usize = 4;

/// The header of a legal frame.
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: Option<[u8; MASK]>,
    /// Bytes of the header itself.
    pub(super) size: usize,
    pub(super) payload: u64,
}

impl Header {
    /// The header at the front of `bytes`, of a frame of `sender`; `None` where it is not whole.
    #[inline]
    pub(super) fn read(bytes: &[u8], sender: Peer) -> Result<Option<Self>, Violation> {
        let [first, second, ..] = *bytes else { return Ok(None) };
        let (fin, masked, short) = (first & 0x80 != 0, second & 0x80 != 0, second & 0x7f);
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBit);
        }
        let opcode = OpCode::try_from(first & 0x0f).map_err(|_| Violation::ReservedOpcode(first & 0x0f))?;
        match (sender, masked) {
            (Peer::Client, false) => return Err(Violation::Unmasked),
            (Peer::Upstream, true) => return Err(Violation::Masked),
            _ => {}
        }
        if matches!(opcode, OpCode::Close | OpCode::Ping | OpCode::Pong) {
            if !fin {
                return Err(Violation::FragmentedControl);
            }
            if usize::from(short) > MAX_CONTROL_PAYLOAD {
                return Err(Violation::LongControl);
            }
        }
        let Some((payload, length_end)) = length(bytes, short)? else { return Ok(None) };
        let size = length_end + if masked { MASK } else { 0 };
        let Some(key) = bytes.get(length_end..size) else { return Ok(None) };
        Ok(Some(Self { fin, opcode, mask: key.try_into().ok(), size, payload }))
    }
}

/// How long the frame at the front of `bytes` is, its header included; `None`: its header is not whole. It is legal.
pub(in crate::relay) fn frame_length(bytes: &[u8]) -> Option<usize> {
    let second = *bytes.get(1)?;
    let (payload, length_end) = length(bytes, second & 0x7f).ok()??;
    let header = length_end + if second & 0x80 != 0 { MASK } else { 0 };
    Some(usize::try_from(payload).unwrap_or(usize::MAX).saturating_add(header))
}

/// A frame's payload length and where it ends in the header (RFC 6455 section 5.2); `None` where it is not whole.
#[inline]
pub(super) fn length(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, Violation> {
    let (length, end, least) = match short {
        126 => match bytes.get(2..4).and_then(|l| l.try_into().ok()) {
            Some(two) => (u64::from(u16::from_be_bytes(two)), 4, 126),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|l| l.try_into().ok()) {
            Some(eight) => (u64::from_be_bytes(eight), 10, 1 << 16),
            None => return Ok(None),
        },
        short => return Ok(Some((u64::from(short), 2))),
    };
    if length < least || length >> 63 != 0 { Err(Violation::BadLength) } else { Ok(Some((length, end))) }
}
