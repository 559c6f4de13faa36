//! An HTTP head, read as naively as can be: lines, names, values. It refuses to know hyper.

use std::borrow::Cow;

/// A head, and what is behind it.
#[derive(Debug)]
pub struct Head<'b> {
    /// The first line; whatever in it is no UTF-8 is replaced.
    pub first: Cow<'b, str>,
    /// Names in lower case, values without white space around them.
    pub headers: Vec<(String, &'b [u8])>,
    /// Where it ends.
    pub end: usize,
    /// Every line is as RFC 9112 wants it written, and short enough: no parser may refuse it.
    pub is_strict: bool,
}

impl<'b> Head<'b> {
    /// The head at the front of `bytes`. Lines may end without a carriage return, as most parsers have it.
    pub fn parse(bytes: &'b [u8]) -> Option<Self> {
        // Empty lines before it count for nothing (RFC 9112 section 2.2).
        let skipped = bytes.iter().take_while(|byte| **byte == b'\r' || **byte == b'\n').count();
        let mut end = skipped;
        let mut lines = Vec::new();
        loop {
            let length = bytes[end..].iter().position(|byte| *byte == b'\n')?;
            let line = &bytes[end..end + length];
            end += length + 1;
            match line.strip_suffix(b"\r").unwrap_or(line) {
                b"" => break,
                stripped => lines.push((stripped, stripped.len() < line.len())),
            }
        }
        let ends_well = bytes[..end].ends_with(b"\r\n");
        let ((first, first_ends_well), lines) = lines.split_first()?;
        let mut is_strict = skipped == 0 && ends_well && *first_ends_well && end < 8 << 10 && lines.len() < 64;
        is_strict &= first.iter().all(|byte| (b' '..0x7f).contains(byte));
        let mut headers = Vec::new();
        for (line, ends_well) in lines {
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
            is_strict &= *ends_well && !name.is_empty() && name.iter().all(is_token_char) && colon < line.len();
            is_strict &= value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
            headers.push((String::from_utf8_lossy(name).to_ascii_lowercase(), value.trim_ascii()));
        }
        Some(Self { first: String::from_utf8_lossy(first), headers, end, is_strict })
    }

    /// Each value of a header.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.headers.iter().filter(move |(there, _)| there == name).map(|(_, value)| *value)
    }

    /// The value of a header that is there once.
    pub fn only(&self, name: &str) -> Option<&'b [u8]> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The items of a header that is a list.
    pub fn items(&self, name: &str) -> Vec<&'b str> {
        let readable = |value: &&[u8]| value.iter().all(|byte| *byte == b'\t' || (b' '..0x7f).contains(byte));
        let lines = self.all(name).filter(readable).filter_map(|value| str::from_utf8(value).ok());
        lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    /// Whether a list holds this word, in any case.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.items(name).iter().any(|item| item.eq_ignore_ascii_case(word))
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_char(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}
