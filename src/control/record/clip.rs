//! How much of a peer's words stands in one line of the log. Refuses to know whose words they are.

use std::borrow::Cow;

/// In bytes. Names and ids are far shorter; so are messages of the relay's own, unless a peer's words are in them.
const MOST: usize = 512;

/// The beginning of a text that is too long, with a mark that it is no more than that; and without the controls that JSON
/// lets pass: some terminals obey them (U+009B begins an escape sequence).
pub(in crate::control) fn clip(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MOST);
    let clipped = if end == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{}…", &text[..end])) };
    if clipped.contains(passes_json) { clipped.replace(passes_json, "\u{fffd}").into() } else { clipped }
}

fn passes_json(character: char) -> bool {
    matches!(character, '\u{7f}'..='\u{9f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_whole_and_what_does_not_is_cut_between_two_characters() {
        for fits in ["", "gpt-realtime", &"x".repeat(MOST), &"ä".repeat(MOST / 2)] {
            assert!(matches!(clip(fits), Cow::Borrowed(whole) if whole == fits));
        }
        assert_eq!(clip(&"x".repeat(MOST + 1)), format!("{}…", "x".repeat(MOST)));
        assert_eq!(clip("red \u{9b}31m\u{7f}"), "red \u{fffd}31m\u{fffd}");
        assert_eq!(clip(&format!("x{}", "ä".repeat(MOST))), format!("x{}…", "ä".repeat(MOST / 2 - 1)));
    }
}
