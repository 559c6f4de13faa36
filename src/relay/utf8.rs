//! Whether a text that comes in parts is UTF-8, which may cut it anywhere. It refuses to keep the text.

use std::str::from_utf8;

/// What is known of a text so far.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The front of a character whose rest has not come.
    begun: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Whether the text is UTF-8 up to the end of `part`, at least so far as can be told; `last`: nothing follows.
    pub(super) fn follows(&mut self, part: &[u8], last: bool) -> bool {
        let mut rest = part;
        while self.length > 0 && !rest.is_empty() {
            self.begun[self.length] = rest[0];
            self.length += 1;
            rest = &rest[1..];
            match from_utf8(&self.begun[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {} // not whole yet: no character has more than four bytes
            }
        }
        // Then nothing is begun, or nothing is left.
        if let Err(error) = from_utf8(rest) {
            if error.error_len().is_some() {
                return false;
            }
            let begun = &rest[error.valid_up_to()..];
            self.begun[..begun.len()].copy_from_slice(begun);
            self.length = begun.len();
        }
        !last || self.length == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this is a text, in these parts.
    fn is_text(parts: &[&[u8]]) -> bool {
        let mut text = Utf8::default();
        parts.iter().enumerate().all(|(n, part)| text.follows(part, n + 1 == parts.len()))
    }

    #[test]
    fn any_two_cuts_tell_the_same_as_none() {
        let texts: [&[u8]; 12] = [
            "".as_bytes(),
            "größe €uro 𝄞 \u{10ffff}".as_bytes(),
            b"\xc3",
            b"a\xc3(",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xe2\x82",
            b"\xe2\x82\xac\xe2\x82",
            b"\xf0\x9d\x84",
            b"\xf4\x90\x80\x80",
            b"\x80",
            b"\xff",
        ];
        for text in texts {
            for first in 0..=text.len() {
                for second in first..=text.len() {
                    let parts = [&text[..first], &text[first..second], &text[second..]];
                    assert_eq!(is_text(&parts), from_utf8(text).is_ok(), "{parts:?}");
                }
            }
        }
    }

    #[test]
    fn what_can_be_no_character_is_told_at_its_first_wrong_byte() {
        let mut text = Utf8::default();
        assert!(text.follows(b"\xf0\x9d", false));
        assert!(!text.follows(b"x", false));
        assert!(!Utf8::default().follows(b"\xed\xa0", false), "half a surrogate pair");
    }
}
