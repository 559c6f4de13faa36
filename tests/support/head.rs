//! The head of an HTTP message, taken apart by the letter.

use std::fmt::Write;

#[derive(Debug)]
pub struct Head {
    /// `GET /v1/realtime?model=m HTTP/1.1`, `HTTP/1.1 101 Switching Protocols`.
    pub first_line: String,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.trim_end().split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        });
        Self { first_line, headers: headers.collect() }
    }

    /// The one value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.all(name).collect();
        assert!(values.len() < 2, "{name} is repeated: {values:?}");
        values.first().copied()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(move |(there, _)| there == name).map(|(_, value)| value.as_str())
    }

    /// The second word of a request's first line.
    pub fn target(&self) -> &str {
        self.first_line.split(' ').nth(1).unwrap_or_default()
    }

    /// The second word of a response's first line.
    pub fn status(&self) -> u16 {
        self.target().parse().unwrap_or_else(|_| panic!("no status in {:?}", self.first_line))
    }

    /// Names of all headers, in order of the alphabet.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The whole head as text, to search it.
    pub fn text(&self) -> String {
        self.headers.iter().fold(self.first_line.clone(), |mut text, (name, value)| {
            let _ = write!(text, "\n{name}: {value}"); // a String takes everything
            text
        })
    }
}
