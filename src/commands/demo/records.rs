//! What the relay recorded of a link, told to a person and held against what the client saw. It refuses to know where a
//! record is read.

use std::fmt::{self, Display, Formatter};

use anyhow::ensure;
use indicatif::HumanBytes;
use serde_json::Value;

use super::recorder::Record;
use super::session::{Heard, NORMAL_CLOSURE};
use super::stage::KEY_NAME;

/// The records of one link.
pub(super) struct LinkRecords {
    /// The last response's.
    pub(super) usage: Record,
    /// The end's.
    pub(super) ended: Record,
}

impl LinkRecords {
    /// Holds them against what the client saw.
    pub(super) fn hold_against(&self, heard: &Heard) -> anyhow::Result<()> {
        let told = |pointer: &str| heard.usage.pointer(pointer).and_then(Value::as_u64);
        let expected = [
            (&self.usage, "input_text", told("/input_token_details/text_tokens")),
            (&self.usage, "input_audio", told("/input_token_details/audio_tokens")),
            (&self.usage, "output_text", told("/output_token_details/text_tokens")),
            (&self.usage, "output_audio", told("/output_token_details/audio_tokens")),
            (&self.ended, "frames_up", Some(heard.sent)),
            (&self.ended, "frames_down", Some(heard.received)),
            (&self.ended, "client_close", Some(NORMAL_CLOSURE.into())),
            (&self.ended, "upstream_close", Some(NORMAL_CLOSURE.into())),
        ];
        for (record, field, expected) in expected {
            let recorded = record.number(field);
            let number = |value: Option<u64>| value.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
            ensure!(
                recorded == expected && recorded != Some(0),
                "the relay recorded {field} = {}, the client saw {}",
                number(recorded),
                number(expected)
            );
        }
        let key = self.usage.text("key");
        ensure!(key == KEY_NAME, "the relay recorded the usage of the key {key}, not of {KEY_NAME}");
        Ok(())
    }
}

impl Display for LinkRecords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (usage, ended) = (&self.usage, &self.ended);
        writeln!(f, "  {:<10} {:>7} {:>7} {:>7}", "tokens", "input", "cached", "output")?;
        for modality in ["text", "audio"] {
            let tokens = |side: &str| usage.number(&format!("{side}_{modality}")).unwrap_or_default();
            let (input, cached, output) = (tokens("input"), tokens("cached"), tokens("output"));
            writeln!(f, "  {modality:<10} {input:>7} {cached:>7} {output:>7}")?;
        }
        let [key, upstream, model] = ["key", "upstream", "model_sent"].map(|field| usage.text(field));
        writeln!(f, "  whose      key {key}, upstream {upstream}, model {model}, response {}", usage.text("status"))?;
        for (direction, way) in [("up", "client → upstream"), ("down", "upstream → client")] {
            let count = |what: &str| ended.number(&format!("{what}_{direction}")).unwrap_or_default();
            writeln!(f, "  traffic    {way}: {} frames, {}", count("frames"), HumanBytes(count("bytes")))?;
        }
        let [ending, reason, client, upstream] =
            ["ending", "reason", "client_close", "upstream_close"].map(|field| ended.text(field));
        writeln!(f, "  ending     {ending} ({reason}); close codes: client {client}, upstream {upstream}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn records(output_audio: u64) -> LinkRecords {
        let usage = json!({
            "key": KEY_NAME, "input_text": 96, "input_audio": 20, "output_text": 11, "output_audio": output_audio,
        });
        let ended = json!({ "frames_up": 54, "frames_down": 49, "client_close": 1000, "upstream_close": 1000 });
        LinkRecords { usage: Record::of(usage), ended: Record::of(ended) }
    }

    fn heard(output_audio: u64) -> Heard {
        let input = json!({ "text_tokens": 96, "audio_tokens": 20 });
        let output = json!({ "text_tokens": 11, "audio_tokens": output_audio });
        let usage = json!({ "input_token_details": input, "output_token_details": output });
        Heard { samples: Vec::new(), usage, sent: 54, received: 49 }
    }

    #[test]
    fn a_record_that_is_not_what_the_client_saw_fails_the_demo() {
        let told = |recorded, seen| records(recorded).hold_against(&heard(seen)).map_err(|error| error.to_string());
        assert_eq!(told(26, 26), Ok(()));
        assert_eq!(told(25, 26), Err("the relay recorded output_audio = 25, the client saw 26".to_owned()));
        assert!(told(0, 0).is_err(), "an answer without audio is none");
    }
}
