//! The scan, stepped over a stream in any pieces, sees what two parsers see that have it whole: one that is naive, and
//! tungstenite's.

use std::io::{self, Cursor, Read, Write};

use fastwebsockets::OpCode;
use realtime_relay::relay::Peer;
use realtime_relay::relay::scan::{Kind, MAX_WITHHELD, Piece, Scan, Step, Violation};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::frames::{self, BINARY, CLOSE, PING, PONG, Parsed, TEXT};
use super::input::Recipe;

/// What the relay's own limit is; or, with flag 1, one that a short stream breaks.
pub(super) fn limit(recipe: &Recipe) -> u64 {
    if recipe.flag(1) { 200 } else { 24 << 20 }
}

/// Who sends, by flag 0.
pub(super) fn sender(recipe: &Recipe) -> Peer {
    if recipe.flag(0) { Peer::Client } else { Peer::Upstream }
}

/// Holds the claim against these bytes.
pub fn holds(input: &[u8]) {
    let Some((recipe, stream)) = Recipe::of(input) else { return };
    let (sender, limit) = (sender(&recipe), limit(&recipe));
    let parsed = frames::parse(stream, sender, limit);
    let seen = scan(Scan::new(sender, limit), &recipe.cut(stream));
    assert_eq!(seen.judged, parsed.legal, "{:?}, {:?}", seen.violation, parsed.offences);
    assert_eq!(seen.frames, parsed.frames.len());
    assert_eq!(seen.controls, parsed.controls());
    assert_eq!(seen.messages, parsed.messages());
    match seen.violation {
        Some(violation) => assert!(parsed.offences.contains(&violation), "{violation:?}, {:?}", parsed.offences),
        None => assert_eq!(parsed.offences, []),
    }
    agrees_with_tungstenite(stream, sender, &parsed);
}

#[derive(Default)]
struct Seen {
    messages: Vec<(u8, Vec<u8>, bool)>,
    controls: Vec<(u8, Vec<u8>)>,
    frames: usize,
    judged: usize,
    violation: Option<Violation>,
}

/// Scans as a pump does: what cannot be judged is offered again, with more behind it.
fn scan(mut scan: Scan, parts: &[&[u8]]) -> Seen {
    let (mut seen, mut held, mut keys) = (Seen::default(), Vec::new(), Unmasking::default());
    for part in parts {
        held.extend_from_slice(part);
        let mut at = 0;
        loop {
            let short_cut = scan.whole_text(&held[at..]);
            let judged = scan.step(&held[at..]);
            if let Some((length, payload)) = short_cut {
                let piece = Piece { kind: Kind::Text, first: true, last: true, frame_begins: true, payload };
                assert_eq!(judged, Ok((length, Step::Data(piece))), "the short cut ends elsewhere");
                assert!(scan.at_message_boundary() && scan.at_frame_boundary());
            }
            let (length, step) = match judged {
                Ok((length, Step::Starved)) => {
                    assert_eq!(length, 0);
                    break;
                }
                Ok(step) => step,
                Err(violation) => {
                    seen.violation = Some(violation);
                    return seen;
                }
            };
            match step {
                Step::Data(piece) => {
                    if piece.first {
                        let kind = if piece.kind == Kind::Text { TEXT } else { BINARY };
                        seen.messages.push((kind, Vec::new(), false));
                    }
                    if piece.frame_begins {
                        seen.frames += 1;
                        keys.begin(&held[at..at + length - piece.payload.len()]);
                    }
                    let message = seen.messages.last_mut().expect("a message begins first");
                    assert!(!message.2, "a message goes on behind its end");
                    message.1.extend(keys.unmask(piece.payload));
                    message.2 = piece.last;
                    assert_eq!(scan.at_message_boundary(), piece.last);
                }
                Step::Control(control) => {
                    seen.frames += 1;
                    seen.controls.push((opcode(control.opcode), control.unmasked().collect()));
                }
                Step::Starved => unreachable!(),
            }
            at += length;
            seen.judged += length;
        }
        held.drain(..at);
        assert!(held.len() < MAX_WITHHELD, "{} bytes are withheld", held.len());
    }
    seen
}

fn opcode(opcode: OpCode) -> u8 {
    match opcode {
        OpCode::Close => CLOSE,
        OpCode::Ping => PING,
        OpCode::Pong => PONG,
        other => panic!("{other:?} is no control frame"),
    }
}

/// The masking key of the frame under way, and how far it has been used.
#[derive(Default)]
struct Unmasking {
    key: [u8; 4],
    used: usize,
}

impl Unmasking {
    fn begin(&mut self, header: &[u8]) {
        let masked = header[1] >> 7 == 1;
        let key = if masked { header.last_chunk() } else { None };
        *self = Self { key: key.copied().unwrap_or_default(), used: 0 };
    }

    fn unmask(&mut self, payload: &[u8]) -> Vec<u8> {
        let begin = self.used;
        self.used += payload.len();
        payload.iter().enumerate().map(|(at, byte)| byte ^ self.key[(begin + at) % 4]).collect()
    }
}

/// What tungstenite accuses of, is illegal here; what is legal here, it reads as the same messages. It also wants valid
/// UTF-8, which a scan of frames does not look at, reads nothing behind a close frame, and makes room for what a header
/// announces, so that it has to have a limit.
fn agrees_with_tungstenite(stream: &[u8], sender: Peer, parsed: &Parsed) {
    let close = parsed.frames.iter().find(|frame| frame.opcode == CLOSE);
    if let (Error::Protocol(accusation), None) = (read_all(stream, sender).1, close) {
        assert!(!parsed.offences.is_empty(), "tungstenite says: {accusation}");
    }
    let legal = &stream[..close.map_or(parsed.legal, |close| close.end)];
    let (messages, error) = read_all(legal, sender);
    if matches!(error, Error::Utf8(_) | Error::Capacity(_)) {
        return;
    }
    assert!(matches!(error, Error::Io(_) | Error::ConnectionClosed), "of what is legal tungstenite says: {error}");
    let before = frames::parse(legal, sender, u64::MAX >> 1);
    let whole = before.messages().into_iter().filter(|(_, _, is_whole)| *is_whole);
    let data: Vec<_> = messages.iter().filter(|(kind, _)| *kind < CLOSE).cloned().collect();
    assert_eq!(data, whole.map(|(kind, payload, _)| (kind, payload)).collect::<Vec<_>>());
    let controls: Vec<_> = messages.into_iter().filter(|(kind, _)| *kind > CLOSE).collect();
    let pings = before.controls().into_iter().filter(|(kind, _)| *kind > CLOSE);
    assert_eq!(controls, pings.collect::<Vec<_>>());
}

/// What tungstenite reads, until it reads no more.
fn read_all(stream: &[u8], sender: Peer) -> (Vec<(u8, Vec<u8>)>, Error) {
    let role = if sender == Peer::Client { Role::Server } else { Role::Client };
    let config =
        WebSocketConfig::default().read_buffer_size(4096).max_message_size(Some(1 << 20)).max_frame_size(Some(1 << 20));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(stream)), role, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => messages.push((TEXT, text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => messages.push((BINARY, bytes.to_vec())),
            Ok(Message::Ping(bytes)) => messages.push((PING, bytes.to_vec())),
            Ok(Message::Pong(bytes)) => messages.push((PONG, bytes.to_vec())),
            Ok(Message::Close(_)) => messages.push((CLOSE, Vec::new())),
            Ok(Message::Frame(_)) => unreachable!("a frame alone is never read"),
            Err(error) => return (messages, error),
        }
    }
}

/// Delivers a stream, then has no more for now; takes anything.
struct Wire<'b>(Cursor<&'b [u8]>);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
