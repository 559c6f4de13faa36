//! The input audio buffer: what the client has appended and not yet committed, and the turns in it.
//!
//! It refuses to know what becomes of a committed buffer. It keeps lengths, never audio.

use super::events::Complaint;
use super::format::Format;
use super::ids::Ids;
use super::session::Turns;
use super::vad::{Turn, Vad};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The live service refuses to commit less.
const LEAST_COMMIT_MS: usize = 100;

/// The buffer.
#[derive(Default)]
pub(super) struct Input {
    buffered_bytes: usize,
    vad: Vad,
    speech: Option<Speech>,
}

/// A turn that has begun. It has the name of the item that it will become.
struct Speech {
    item_id: String,
    began_ms: usize,
}

/// What an append brought about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    SpeechStarted {
        at_ms: usize,
        item_id: String,
    },
    /// The buffer is to be committed as that item.
    SpeechStopped {
        at_ms: usize,
        item_id: String,
        length_ms: usize,
    },
}

impl Input {
    /// Takes base64 audio.
    pub(super) fn append(
        &mut self,
        audio: &str,
        format: Format,
        turns: Option<Turns>,
        ids: &mut Ids,
    ) -> Result<Vec<Heard>, Complaint> {
        let bytes = STANDARD.decode(audio).map_err(|_| {
            let message = "Invalid 'audio'. Expected base64-encoded audio bytes, but got an invalid value.";
            Complaint::new("invalid_value", message).about("audio")
        })?;
        self.buffered_bytes += bytes.len();
        let Some(turns) = turns else { return Ok(Vec::new()) };
        let turned = self.vad.hear(&format.decode(&bytes), format.samples_per_ms(), turns.silence_ms);
        Ok(turned.into_iter().filter_map(|turn| self.turn(turn, ids)).collect())
    }

    /// Empties it for a new item: its name and its length.
    pub(super) fn take(&mut self, format: Format, ids: &mut Ids) -> Result<(String, usize), Complaint> {
        let ms = self.buffered_bytes / format.bytes_per_ms();
        if ms < LEAST_COMMIT_MS {
            let message = format!(
                "Error committing input audio buffer: buffer too small. Expected at least {LEAST_COMMIT_MS}ms of \
                 audio, but buffer only has {ms}.00ms of audio."
            );
            return Err(Complaint::new("input_audio_buffer_commit_empty", message));
        }
        let item_id = self.speech.take().map_or_else(|| ids.fresh("item_"), |speech| speech.item_id);
        self.clear();
        Ok((item_id, ms))
    }

    /// Throws away what is in it.
    pub(super) fn clear(&mut self) {
        self.buffered_bytes = 0;
        self.speech = None;
        self.vad.rest();
    }

    /// One append may hold several turns: each takes its own part of the buffer with it.
    fn turn(&mut self, turn: Turn, ids: &mut Ids) -> Option<Heard> {
        match turn {
            Turn::Began { at_ms } => {
                let item_id = ids.fresh("item_");
                self.speech = Some(Speech { item_id: item_id.clone(), began_ms: at_ms });
                Some(Heard::SpeechStarted { at_ms, item_id })
            }
            Turn::Ended { at_ms } => {
                let Speech { item_id, began_ms } = self.speech.take()?;
                self.buffered_bytes = 0;
                Some(Heard::SpeechStopped { at_ms, item_id, length_ms: at_ms - began_ms })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Heard, Ids, Input, Turns};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn tone(ms: usize, level: i16) -> String {
        STANDARD.encode(Format::Pcm16.encode(&vec![level; ms * 24]))
    }

    #[test]
    fn an_empty_buffer_is_not_committed() {
        let mut ids = Ids::new(0, 0);
        let mut input = Input::default();
        assert!(input.take(Format::Pcm16, &mut ids).is_err());
        input.append(&tone(150, 0), Format::Pcm16, None, &mut ids).expect("base64");
        assert_eq!(input.take(Format::Pcm16, &mut ids).expect("long enough").1, 150);
        assert!(input.take(Format::Pcm16, &mut ids).is_err());
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        assert!(Input::default().append("*", Format::Pcm16, None, &mut Ids::new(0, 0)).is_err());
    }

    #[test]
    fn an_append_of_two_turns_makes_two_items() {
        let mut ids = Ids::new(0, 0);
        let mut input = Input::default();
        let turns = Turns { silence_ms: 200, create_response: true, interrupt_response: true };
        let audio = [tone(300, 3_000), tone(240, 0), tone(120, 3_000), tone(240, 0)].concat();
        let heard = input.append(&audio, Format::Pcm16, Some(turns), &mut ids).expect("base64");
        let [Heard::SpeechStarted { item_id: first, .. }, one, Heard::SpeechStarted { item_id: second, .. }, two] =
            &heard[..]
        else {
            panic!("{heard:?}");
        };
        assert_eq!(one, &Heard::SpeechStopped { at_ms: 300, item_id: first.clone(), length_ms: 300 });
        assert_eq!(two, &Heard::SpeechStopped { at_ms: 660, item_id: second.clone(), length_ms: 120 });
        assert_ne!(first, second);
    }
}
