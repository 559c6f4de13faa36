//! Faults on request: a client that asks for the model `fault-…` gets an upstream that misbehaves in that way.
//!
//! It refuses to know how a fault is carried out. What stands here is the list, for `--help` and for parsing.

/// What every fault's name begins with. Any other model behaves.
const PREFIX: &str = "fault-";

/// A way to misbehave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this HTTP status.
    Http(u16),
    /// Opens, then closes with this code.
    Close(u16),
    /// Opens, then sends an `error` event with this code and closes.
    Error(String),
    /// Takes the request and stays silent.
    NeverAnswers,
    /// Sends half of the head of its 101.
    Half101,
    /// Sends a `Sec-WebSocket-Accept` that is not the key's.
    WrongAccept,
    /// Claims an extension.
    Extension,
    /// Selects a subprotocol that nobody offered.
    UnofferedProtocol,
    /// Takes its time with the 101.
    Slow,
    /// Sends 101 and first event in one write.
    EarlyBytes,
    /// Opens, then closes with an empty close frame.
    CloseEmpty,
    /// Opens, then EOF.
    EofFirst,
    /// Opens, and never says a thing.
    Silent,
    /// Opens, and takes its time with the first event.
    LateFirstEvent,
    /// Pings before the first event.
    PingFirst,
    /// Begins with a reserved opcode.
    IllegalFrameFirst,
    /// Does not read.
    Stall,
    /// EOF in the middle of a frame.
    DropMidFrame,
    /// EOF between two messages.
    Drop,
    /// EOF between two fragments.
    DropMidMessage,
    /// Masks a frame.
    MaskedFrame,
    /// Closes with 1001 while answering.
    CloseMidResponse,
    /// Sends an enormous message.
    Huge,
    /// Says `response.done` twice.
    DuplicateDone,
    /// Never says `response.done`.
    NoDone,
    /// Says `response.done` without usage.
    NullUsage,
    /// Writes `type` last.
    TypeLast,
    /// Fragments everything.
    Fragments,
    /// Does not answer a close frame.
    IgnoresClose,
}

/// Faults with a number or a code in their name.
const FAMILIES: [(&str, &str); 3] = [
    (
        "http-<status>",
        "answers with that status, 200 to 599, instead of 101; 429 and 503 with Retry-After, 3xx with Location",
    ),
    ("close-<code>", "opens, then closes with that code, 1000 to 4999, before any event; 3000 is what a bad key gets"),
    ("error-<code>", "opens, then sends an error event with that code and closes; server_error, model_not_found, …"),
];

const PLAIN: [(&str, Fault, &str); 26] = [
    ("never-answers", Fault::NeverAnswers, "takes the request and never answers it"),
    ("half-101", Fault::Half101, "sends half of the 101's head, then nothing"),
    ("wrong-accept", Fault::WrongAccept, "answers 101 with a wrong Sec-WebSocket-Accept"),
    ("extension", Fault::Extension, "answers 101 with permessage-deflate"),
    ("unoffered-protocol", Fault::UnofferedProtocol, "answers 101 with a subprotocol that was not offered"),
    ("slow", Fault::Slow, "answers 101 after two seconds"),
    ("early-bytes", Fault::EarlyBytes, "sends 101 and session.created in one write"),
    ("close-empty", Fault::CloseEmpty, "opens, then closes without a code"),
    ("eof-first", Fault::EofFirst, "opens, then ends the connection without a close frame"),
    ("silent", Fault::Silent, "opens, answers pings, and never sends an event"),
    ("late-first-event", Fault::LateFirstEvent, "opens, and sends session.created after three seconds"),
    ("ping-first", Fault::PingFirst, "pings before session.created"),
    ("illegal-frame-first", Fault::IllegalFrameFirst, "begins with a frame of a reserved opcode"),
    ("stall", Fault::Stall, "stops reading after session.created"),
    ("drop-mid-frame", Fault::DropMidFrame, "ends the connection in the middle of a response's first delta"),
    ("drop", Fault::Drop, "ends the connection after a response's first delta, without a close frame"),
    ("drop-mid-message", Fault::DropMidMessage, "ends the connection after a first fragment of a delta"),
    ("masked-frame", Fault::MaskedFrame, "masks a response's first delta, as only clients may"),
    ("close-mid-response", Fault::CloseMidResponse, "closes with 1001 after a response's first delta"),
    ("huge", Fault::Huge, "sends a message of 30 MiB after a response's first delta"),
    ("duplicate-done", Fault::DuplicateDone, "sends every response.done twice"),
    ("no-done", Fault::NoDone, "never sends response.done"),
    ("null-usage", Fault::NullUsage, "sends response.done with usage null"),
    ("type-last", Fault::TypeLast, "writes the type of every event last"),
    ("fragments", Fault::Fragments, "sends every event in three fragments, with pings in between"),
    ("ignores-close", Fault::IgnoresClose, "never answers a close frame"),
];

impl Fault {
    /// The fault of this model: none unless its name begins with `fault-`. An unknown one is an error that lists all.
    pub fn of(model: &str) -> Result<Option<Self>, String> {
        let Some(name) = model.strip_prefix(PREFIX) else { return Ok(None) };
        let plain = PLAIN.iter().find(|(plain, ..)| *plain == name).map(|(_, fault, _)| fault.clone());
        plain.or_else(|| Self::of_family(name)).map(Some).ok_or_else(|| {
            let names: Vec<String> = table().map(|(name, _)| name).collect();
            format!("There is no fault '{model}'. There are: {}.", names.join(", "))
        })
    }

    fn of_family(name: &str) -> Option<Self> {
        let (family, rest) = name.split_once('-')?;
        match family {
            "http" => rest.parse().ok().filter(|status| (200..600).contains(status)).map(Self::Http),
            "close" => rest.parse().ok().filter(|code| (1_000..5_000).contains(code)).map(Self::Close),
            "error" if !rest.is_empty() => Some(Self::Error(rest.to_owned())),
            _ => None,
        }
    }
}

/// The name of every fault, and what it does.
pub fn table() -> impl Iterator<Item = (String, &'static str)> {
    let families = FAMILIES.iter().copied();
    let plain = PLAIN.iter().map(|(name, _, does)| (*name, *does));
    families.chain(plain).map(|(name, does)| (format!("{PREFIX}{name}"), does))
}

/// The table as text, for `--help`.
pub fn help() -> String {
    let width = table().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = table().map(|(name, does)| format!("  {name:width$}  {does}"));
    format!("Faults, by the model that a client asks for:\n{}", lines.collect::<Vec<String>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{Fault, help, table};

    #[test]
    fn models_without_the_prefix_behave() {
        assert_eq!(Fault::of("gpt-realtime"), Ok(None));
    }

    #[test]
    fn families_take_what_is_in_their_range() {
        assert_eq!(Fault::of("fault-http-429"), Ok(Some(Fault::Http(429))));
        assert_eq!(Fault::of("fault-close-3000"), Ok(Some(Fault::Close(3_000))));
        assert_eq!(Fault::of("fault-error-server_error"), Ok(Some(Fault::Error("server_error".to_owned()))));
        assert_eq!(Fault::of("fault-close-empty"), Ok(Some(Fault::CloseEmpty)));
        for unknown in ["fault-http-101", "fault-http-600", "fault-close-999", "fault-error-", "fault-"] {
            assert!(Fault::of(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn every_fault_in_the_table_is_understood_and_in_the_help() {
        for (name, _) in table() {
            let example = name.replace("<status>", "503").replace("error-<code>", "error-x").replace("<code>", "1011");
            assert!(matches!(Fault::of(&example), Ok(Some(_))), "{example}");
            assert!(help().contains(&name));
        }
    }
}
