//! The tap, on a stream of text messages in any fragments and pieces, finds what a parse of each whole message finds.
//!
//! What it holds to, beyond JSON: the type of a message is that of its **first** top-level `type`, and only a string is
//! one; what is read of an event is read of keys that stand there once, else it is unreadable. A message that is no JSON
//! is at most an unreadable `response.done`, or one whose unknown parts alone are wrong.

use std::cell::RefCell;

use realtime_relay::relay::Peer;
use realtime_relay::relay::events::{Event, ResponseDone, Tokens, Usage};
use realtime_relay::relay::scan::{Scan, Step};
use realtime_relay::relay::tap::{EventTap, Tap};

use super::frames::{self, CONTINUATION, PING, TEXT};
use super::input::Recipe;
use super::json::{Node, Wrong};

/// Stands between two messages: no text holds it.
const BETWEEN: u8 = 0xff;

/// Holds the claim against these bytes. Flag 4: transcriptions are watched as well. Flag 5: messages are held.
pub fn holds(input: &[u8]) {
    let Some((recipe, text)) = Recipe::of(input) else { return };
    for message in text.split(|byte| *byte == BETWEEN) {
        judge(message, recipe.flag(4), &events(&recipe, &[message]));
    }
    // And no message has a say in what another one is.
    let messages: Vec<_> = text.split(|byte| *byte == BETWEEN).collect();
    let apart: Vec<_> = messages.iter().flat_map(|message| events(&recipe, &[message])).collect();
    assert_eq!(events(&recipe, &messages), apart);
}

/// What the tap finds in these messages.
fn events(recipe: &Recipe, messages: &[&[u8]]) -> Vec<Event> {
    let found = RefCell::new(Vec::new());
    let mut tap = EventTap::new(|event| found.borrow_mut().push(event));
    if recipe.flag(4) {
        tap = tap.with_transcription();
    }
    if recipe.flag(5) {
        tap = tap.holding();
    }
    let stream: Vec<u8> = messages.iter().flat_map(|message| fragmented(recipe, message)).collect();
    let (mut scan, mut held) = (Scan::new(Peer::Upstream, u64::MAX >> 1), Vec::new());
    for part in recipe.cut(&stream) {
        held.extend_from_slice(part);
        let mut at = 0;
        loop {
            match scan.step(&held[at..]).expect("a legal stream") {
                (_, Step::Starved) => break,
                (length, Step::Data(piece)) => {
                    let is_whole = piece.first && piece.last;
                    if !(is_whole && tap.passes_over(piece.payload)) {
                        tap.see(&piece);
                    }
                    at += length;
                }
                (length, Step::Control(_)) => at += length,
            }
        }
        held.drain(..at);
    }
    assert!(held.is_empty());
    drop(tap);
    found.into_inner()
}

/// A message in fragments, with a ping after each. Flag 6: in one frame.
fn fragmented(recipe: &Recipe, message: &[u8]) -> Vec<u8> {
    let parts = recipe.cut(message);
    if recipe.flag(6) || parts.len() < 2 {
        return frames::encode(true, TEXT, message);
    }
    let last = parts.len() - 1;
    let frame = |(number, part): (usize, &&[u8])| {
        let opcode = if number == 0 { TEXT } else { CONTINUATION };
        [frames::encode(number == last, opcode, part), frames::encode(true, PING, b"\"}")].concat()
    };
    parts.iter().enumerate().flat_map(frame).collect()
}

/// Compares what was found in a message with what is in it.
fn judge(text: &[u8], transcribes: bool, found: &[Event]) {
    assert!(found.len() <= 1, "{found:?}");
    let Some(message) = Node::parse(text) else {
        return assert!(!matches!(found, [Event::Transcription(_)]) || transcribes);
    };
    match (message.first("type").and_then(Node::text), found) {
        // An array where an object should be: whatever is made of it.
        (Some("response.done"), [Event::ResponseDone(_)]) if message.any(&is_odd) => {}
        (Some("response.done"), [Event::ResponseDone(done)]) => {
            assert_eq!(*done, read(&message).unwrap_or_else(|Wrong| ResponseDone::unreadable()));
        }
        (Some("response.done"), found) => panic!("a response.done was taken for {found:?}"),
        (Some("response.created"), [Event::ResponseCreated { .. }]) if message.any(&is_odd) => {}
        (Some("response.created"), [Event::ResponseCreated { id }]) => {
            let response = message.object_at("response").expect("a response that can be read");
            assert_eq!(*id, response.and_then(|response| response.text_at("id").expect("an id")));
        }
        (Some("session.created" | "session.updated"), [Event::Session(_)]) => {}
        // Where their fields are not what they should be, these are passed over.
        (Some("response.created" | "session.created" | "session.updated"), []) => {}
        (Some(TRANSCRIBED), found) if transcribes => assert!(matches!(found, [Event::Transcription(_)]), "{found:?}"),
        (name, found) => assert!(found.is_empty(), "of the type {name:?} there is {found:?}"),
    }
}

const TRANSCRIBED: &str = "conversation.item.input_audio_transcription.completed";

fn is_odd(key: &str, value: &Node) -> bool {
    matches!(value, Node::Array(_)) && (key == "response" || key == "usage" || key.ends_with("_details"))
}

/// What a `response.done` says.
fn read(message: &Node) -> Result<ResponseDone, Wrong> {
    let response = message.object_at("response")?.ok_or(Wrong)?;
    let status = response.text_at("status")?.unwrap_or_else(|| "unknown".to_owned());
    let usage = response.object_at("usage")?.map(usage).transpose()?.unwrap_or_default();
    Ok(ResponseDone { id: response.text_at("id")?, status, usage })
}

fn usage(usage: &Node) -> Result<Usage, Wrong> {
    let input_details = usage.object_at("input_token_details")?;
    let input = tokens(usage.count_at("input_tokens")?, input_details)?;
    let output = tokens(usage.count_at("output_tokens")?, usage.object_at("output_token_details")?)?;
    let cached = match input_details {
        None => Tokens::default(),
        Some(details) => tokens(details.count_at("cached_tokens")?, details.object_at("cached_tokens_details")?)?,
    };
    let cached = Tokens {
        text: cached.text.min(input.text),
        audio: cached.audio.min(input.audio),
        image: cached.image.min(input.image),
    };
    Ok(Usage { input, cached, output })
}

/// Details and, as text, what a total holds beyond them; in numbers that do not overflow.
fn tokens(total: u64, details: Option<&Node>) -> Result<Tokens, Wrong> {
    let Some(details) = details else { return Ok(Tokens { text: total, audio: 0, image: 0 }) };
    let count = |name| details.count_at(name);
    let (text, audio, image) = (count("text_tokens")?, count("audio_tokens")?, count("image_tokens")?);
    // Not used here, but read.
    tokens(count("cached_tokens")?, details.object_at("cached_tokens_details")?)?;
    let beyond = u128::from(total).saturating_sub(u128::from(text) + u128::from(audio) + u128::from(image));
    let text = u64::try_from(u128::from(text) + beyond).unwrap_or(u64::MAX);
    Ok(Tokens { text, audio, image })
}
