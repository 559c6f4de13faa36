//! What the benches of the data plane share: frames, and reads full of them. It refuses to know what is done with them.

use fastwebsockets::{Frame, OpCode, Payload};

/// What a pump reads at once.
pub const READ: usize = 63 << 10;

/// One text frame, masked as a client's or not.
pub fn frame(payload: &[u8], masked: bool) -> Vec<u8> {
    let mut frame = Frame::new(true, OpCode::Text, None, Payload::from(payload));
    if masked {
        frame.mask();
    }
    let mut bytes = Vec::new();
    let length = frame.write(&mut bytes).len();
    bytes.truncate(length);
    bytes
}

/// One read full of frames like this one, and how many they are.
pub fn read_of(frame: &[u8]) -> (Vec<u8>, u64) {
    let frames = (READ / frame.len()).max(1);
    (frame.repeat(frames), frames as u64)
}

/// An event with so much payload as a frame: an upstream's audio delta, or a client's append.
#[allow(dead_code, reason = "each bench is a crate of its own, and not all of them carry audio")]
pub fn audio(size: usize, masked: bool) -> Vec<u8> {
    let (head, tail) = if masked {
        (r#"{"type":"input_audio_buffer.append","audio":""#, "\"}")
    } else {
        (r#"{"type":"response.output_audio.delta","event_id":"event_A1","delta":""#, "\"}")
    };
    let audio = "A".repeat(size.saturating_sub(head.len() + tail.len()));
    frame(format!("{head}{audio}{tail}").as_bytes(), masked)
}
