//! What is going to be said, cut into pieces with the time at which each is due at real time.
//!
//! It refuses to know events, and how fast it is really said.

use super::answer::Answer;
use super::format::Format;
use super::ids::Ids;
use super::melody::Melody;
use super::session::Session;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::collections::VecDeque;

/// Audio in one delta.
const DELTA_MS: usize = 100;

/// A word of text, or a bite of arguments, takes this long at real time.
const TEXT_PIECE_MS: usize = 120;

/// Characters of arguments in one delta.
const ARGUMENTS_BITE: usize = 8;

/// The pieces, and what they are pieces of.
pub(super) struct Script {
    pub(super) output: Output,
    pub(super) pieces: VecDeque<Piece>,
}

/// The kind of an answer.
pub(super) enum Output {
    Speech { melody: Melody, format: Format },
    Text,
    Call { name: String, call_id: String },
}

/// What becomes one delta.
pub(super) struct Piece {
    pub(super) due_ms: usize,
    pub(super) content: Content,
}

/// Audio is rendered when it is due: a thousand links must not hold a thousand answers.
pub(super) enum Content {
    Text(String),
    Audio { from_ms: usize },
}

impl Script {
    /// Of this answer, spoken or written as the session wants it.
    pub(super) fn of(answer: Answer, session: &Session, ids: &mut Ids) -> Self {
        match answer {
            Answer::Call { name, arguments } => {
                Self { output: Output::Call { name, call_id: ids.fresh("call_") }, pieces: bites(&arguments) }
            }
            Answer::Say(text) if session.speaks() => sung(&text, session.output_format(), ids),
            Answer::Say(text) => Self { output: Output::Text, pieces: written(words(&text)) },
        }
    }

    /// The audio of one delta in base64, and the millisecond at which it ends.
    pub(super) fn audio(&self, from_ms: usize) -> (String, usize) {
        let Output::Speech { melody, format } = &self.output else { return (String::new(), 0) };
        let to_ms = melody.length_ms().min(from_ms + DELTA_MS);
        (STANDARD.encode(format.encode(&melody.samples(from_ms, to_ms))), to_ms)
    }
}

/// Words and tones, merged in the order in which they are due.
fn sung(text: &str, format: Format, ids: &mut Ids) -> Script {
    let mut melody = Melody::new();
    let mut pieces: Vec<Piece> = words(text)
        .map(|word| Piece { due_ms: melody.sing(word, ids), content: Content::Text(word.to_owned()) })
        .collect();
    let audio = (0..melody.length_ms()).step_by(DELTA_MS);
    pieces.extend(audio.map(|from_ms| Piece { due_ms: from_ms, content: Content::Audio { from_ms } }));
    pieces.sort_by_key(|piece| piece.due_ms);
    Script { output: Output::Speech { melody, format }, pieces: pieces.into() }
}

fn bites(arguments: &str) -> VecDeque<Piece> {
    let characters: Vec<char> = arguments.chars().collect();
    let bites: Vec<String> = characters.chunks(ARGUMENTS_BITE).map(|bite| bite.iter().collect()).collect();
    written(bites.iter().map(String::as_str))
}

fn written<'a>(texts: impl Iterator<Item = &'a str>) -> VecDeque<Piece> {
    let piece =
        |(index, text): (usize, &str)| Piece { due_ms: index * TEXT_PIECE_MS, content: Content::Text(text.to_owned()) };
    texts.enumerate().map(piece).collect()
}

/// Words with the space behind them, so that they join to the text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

#[cfg(test)]
mod tests {
    use super::{Answer, Content, Ids, Script, Session};

    fn script(text: &str) -> Script {
        let session = Session::realtime("sess_1", "gpt-realtime");
        Script::of(Answer::Say(text.to_owned()), &session, &mut Ids::new(1, 1))
    }

    #[test]
    fn words_and_audio_come_in_the_order_in_which_they_are_due() {
        let script = script("You said: hello again");
        assert!(script.pieces.iter().is_sorted_by_key(|piece| piece.due_ms));
        assert!(script.pieces.iter().take(2).all(|piece| piece.due_ms == 0));
    }

    #[test]
    fn deltas_join_to_the_text() {
        let text = "You said:  two  spaces ";
        let pieces = script(text).pieces;
        let texts = pieces.iter().filter_map(|piece| match &piece.content {
            Content::Text(text) => Some(text.as_str()),
            Content::Audio { .. } => None,
        });
        assert_eq!(texts.collect::<String>(), text);
    }
}
