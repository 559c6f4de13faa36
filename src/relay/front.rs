//! Decides of a message from its first bytes whether it is an event of interest. All but one in a hundred are not, and are
//! never looked at again.
//!
//! It refuses to know what follows those bytes, and what is of interest.

use super::events::Names;
use super::tap::Watch;

/// Where the type has not shown within this many bytes, the message is kept whole and decided at its end. An event id
/// is a few dozen bytes long; the bound keeps a message in one-byte pieces from being read again at every piece.
const MAX_UNDECIDED: usize = 256;

/// How nearly all messages begin, the deltas of a response among them, in the form in which the live service writes them.
const RESPONSE: &[u8] = br#"{"type":"response."#;

/// What the first bytes of a message tell: `{"type":"…"`, or `{"event_id":"…","type":"…"`, compact or spaced.
#[inline]
pub(super) fn decide(text: &[u8], names: Names) -> Watch {
    if is_another_response(text) {
        return Watch::Skip;
    }
    let front = &text[..text.len().min(MAX_UNDECIDED)];
    match Front(front).watch(names) {
        Ok(watch) => watch,
        Err(Unclear::Short) if front.len() < MAX_UNDECIDED => Watch::Undecided,
        Err(_) => Watch::Candidate,
    }
}

/// Whether a glance tells that it is not of interest: no name that is goes on behind `response.` with this letter, and no
/// escape spells one. Only a short cut: what follows finds the same.
#[inline]
fn is_another_response(text: &[u8]) -> bool {
    let next = text.strip_prefix(RESPONSE).and_then(<[u8]>::first);
    next.is_some_and(|next| !matches!(next, b'c' | b'd' | b'\\'))
}

/// Why the front of a message does not tell its type.
enum Unclear {
    /// It ends too early.
    Short,
    /// It is of another form.
    Other,
}

/// What is left of the first bytes of a message.
struct Front<'b>(&'b [u8]);

impl<'b> Front<'b> {
    #[inline]
    fn watch(mut self, names: Names) -> Result<Watch, Unclear> {
        self.expect(b'{')?;
        let mut key = self.key()?;
        if key == b"event_id" {
            self.string()?;
            self.expect(b',')?;
            key = self.key()?;
        }
        if key != b"type" {
            return Err(Unclear::Other);
        }
        self.expect(b'"')?;
        self.name(names)
    }

    /// The name that begins here.
    #[inline]
    fn name(&self, names: Names) -> Result<Watch, Unclear> {
        let end = memchr::memchr2(b'"', b'\\', self.0);
        let plain = &self.0[..end.unwrap_or(self.0.len())];
        if let Some(b'"') = end.map(|end| self.0[end]) {
            let found = names.iter().find(|(name, _)| name.as_bytes() == plain);
            return Ok(found.map_or(Watch::Skip, |(_, name)| Watch::Keep(*name)));
        }
        // Cut off, or an escape, which may spell the rest of a name, but cannot mend what differs before it.
        match end {
            _ if !names.iter().any(|(name, _)| name.as_bytes().starts_with(plain)) => Ok(Watch::Skip),
            None => Err(Unclear::Short),
            Some(_) => Err(Unclear::Other),
        }
    }

    #[inline]
    fn key(&mut self) -> Result<&'b [u8], Unclear> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// A string without escapes.
    #[inline]
    fn string(&mut self) -> Result<&'b [u8], Unclear> {
        self.expect(b'"')?;
        let end = memchr::memchr2(b'"', b'\\', self.0).ok_or(Unclear::Short)?;
        if self.0[end] == b'\\' {
            return Err(Unclear::Other);
        }
        let (string, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Ok(string)
    }

    /// This byte, after any white space (RFC 8259 section 2).
    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Unclear> {
        loop {
            let (&next, rest) = self.0.split_first().ok_or(Unclear::Short)?;
            self.0 = rest;
            match next {
                next if next == byte => return Ok(()),
                b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => return Err(Unclear::Other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::NAMES_WITH_TRANSCRIPTION;
    use super::*;

    fn message(name: &str) -> String {
        format!("{{\"type\":\"{name}\",\"event_id\":\"event_1\"}}")
    }

    #[test]
    fn a_glance_overlooks_no_event_of_interest() {
        for (name, _) in NAMES_WITH_TRANSCRIPTION {
            assert!(!is_another_response(message(name).as_bytes()), "{name}");
            for (at, letter) in name.char_indices() {
                let escaped = format!("{}\\u{:04x}{}", &name[..at], u32::from(letter), &name[at + 1..]);
                assert!(!is_another_response(message(&escaped).as_bytes()), "{escaped}");
            }
        }
    }

    #[test]
    fn a_glance_finds_what_a_closer_look_finds() {
        let mut glances = 0;
        for next in 0..=u8::MAX {
            let text = [RESPONSE, &[next], br#"one","event_id":"event_1"}"#].concat();
            if is_another_response(&text) {
                glances += 1;
                assert!(matches!(Front(&text).watch(&NAMES_WITH_TRANSCRIPTION), Ok(Watch::Skip)), "byte {next}");
            }
        }
        assert_eq!(glances, 253);
    }
}
