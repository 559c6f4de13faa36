//! What is wrong with a configuration: every mistake with its place, its key and what to do about it. Refuses to know what
//! a right one would have been, and never quotes a value that may be a secret.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Where a value was written. They order as a reader meets them: the files first, top down, then the environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A document as a whole: a file as it was named, or the built-in defaults.
    Document(Arc<str>),
    /// A line and a column of a document, in characters, counted from 1.
    At(Arc<str>, usize, usize),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(name) => f.write_str(name),
            Self::At(name, line, column) => write!(f, "{name}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// A place, and the key that stands or should stand there, such as `upstreams[0].url`. The key of a document is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Where.
    pub place: Place,
    /// Which key.
    pub path: String,
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where, and which key.
    pub spot: Spot,
    /// What is wrong, and a hint what to do.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spot: Spot { place, path }, what } = self;
        if path.is_empty() { write!(f, "{place}: {what}") } else { write!(f, "{place}: {path}: {what}") }
    }
}

/// All that is wrong with a configuration; at least one mistake, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The only one, where nothing more could be looked at.
    pub(super) fn of(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl std::error::Error for Mistakes {}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.0 {
            writeln!(f, "{mistake}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 mistake in the configuration"),
            count => write!(f, "{count} mistakes in the configuration"),
        }
    }
}

/// Where mistakes are collected while the document is walked, so that the walk goes on after each.
#[derive(Debug, Default)]
pub(super) struct Notes(RefCell<Vec<Mistake>>);

impl Notes {
    /// Notes one.
    pub(super) fn add(&self, spot: &Spot, what: impl Into<String>) {
        self.0.borrow_mut().push(Mistake { spot: spot.clone(), what: what.into() });
    }

    /// Notes what went wrong, and goes on without the value.
    pub(super) fn right<T>(&self, spot: &Spot, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.add(spot, what)).ok()
    }

    /// `value`, if nothing was noted.
    pub(super) fn settle<T>(self, value: T) -> Result<T, Mistakes> {
        let mut mistakes = self.0.into_inner();
        drop_guesses(&mut mistakes);
        mistakes.sort();
        mistakes.dedup();
        if mistakes.is_empty() { Ok(value) } else { Err(Mistakes(mistakes)) }
    }
}

/// Where a text is not TOML, the rest of that line is the parser's guess, and what seems to be missing from the document
/// may stand right there: what is wrong with a guess is nobody's mistake.
fn drop_guesses(mistakes: &mut Vec<Mistake>) {
    let line = |mistake: &Mistake| match &mistake.spot.place {
        Place::At(name, line, _) => Some((name.clone(), *line)),
        _ => None,
    };
    let grammar = |mistake: &Mistake| mistake.spot.path.is_empty();
    let broken: Vec<_> = mistakes.iter().filter(|mistake| grammar(mistake)).filter_map(line).collect();
    mistakes.retain(|mistake| match &mistake.spot.place {
        _ if grammar(mistake) => true,
        Place::Document(name) => !broken.iter().any(|(other, _)| other == name),
        Place::At(name, line, _) => !broken.contains(&(name.clone(), *line)),
        Place::Variable(_) => true,
    });
}

/// The one of `known` that was probably meant by `written`.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    /// As many slips of the keyboard as a name may hold and still be recognised; `auht` needs two.
    const SLIPS: usize = 2;
    let written = written.to_ascii_lowercase();
    let (slips, name) = known.iter().map(|name| (distance(&written, name), *name)).min()?;
    (slips <= SLIPS && slips * 2 <= name.len()).then_some(name)
}

/// How many characters have to be added, dropped or replaced to make `from` into `to` (Levenshtein, one row at a time).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_could_have_been_meant() {
        let known = ["auth", "listen", "tls_cert", "to"];
        assert_eq!(nearest("auht", &known), Some("auth"));
        assert_eq!(nearest("LISTEN", &known), Some("listen"));
        assert_eq!(nearest("tls_certs", &known), Some("tls_cert"));
        assert_eq!(nearest("max_links", &known), None);
        assert_eq!(nearest("xy", &known), None, "two slips in two letters are another word");
    }
}
