//! Takes the keys out of a table, each as the type it must have. What has another type, and what nobody took, is noted.
//! Refuses to know what any key means.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::document::{self, Entry, Node, Value};
use super::mistake::{Notes, Place, Spot, nearest};
use super::units;

/// A value, and the spot to blame if it turns out wrong.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

impl<T> Given<T> {
    /// Another value, to be blamed at the same spot.
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Given<U> {
        Given { value: map(self.value), spot: self.spot }
    }
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Table<'n> {
    notes: &'n Notes,
    place: Place,
    path: String,
    entries: Vec<Entry>,
    asked: Vec<&'static str>,
}

impl<'n> Table<'n> {
    /// A whole document.
    pub(super) fn document(place: Place, entries: Vec<Entry>, notes: &'n Notes) -> Self {
        Self { notes, place, path: String::new(), entries, asked: Vec::new() }
    }

    /// Another document, to which this one points. What is wrong with it is noted with the rest.
    pub(super) fn other_document(&self, name: &Arc<str>, text: &str) -> Table<'n> {
        let entries = document::parse(name, text, self.notes);
        Table::document(Place::Document(name.clone()), entries, self.notes)
    }

    /// Where a key would stand that is not there.
    pub(super) fn spot_of(&self, key: &str) -> Spot {
        Spot { place: self.place.clone(), path: self.path_of(key) }
    }

    /// Notes a mistake of one of this table's keys.
    pub(super) fn note(&self, spot: &Spot, what: impl Into<String>) {
        self.notes.add(spot, what);
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Given<String>> {
        self.take(key, "a string", as_text)
    }

    /// A string that has to be there.
    pub(super) fn required_text(&mut self, key: &'static str, example: &str) -> Option<Given<String>> {
        if !self.has(key) {
            self.note(&self.spot_of(key), format!("missing; write {key} = \"{example}\""));
        }
        self.text(key)
    }

    /// A string that `parse` makes sense of.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Given<T>> {
        let Given { value, spot } = self.take(key, wanted, as_text)?;
        let value = self.notes.right(&spot, parse(&value))?;
        Some(Given { value, spot })
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<Given<T>> {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let parse = |text: &str| {
            let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
            found.ok_or_else(|| format!("unknown value `{text}`; {}", suggest(text, &names, "one of")))
        };
        self.parsed(key, "a string", parse)
    }

    /// Strings, each with its own spot.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Given<Vec<Given<String>>>> {
        let list = self.list(key, "an array of strings")?;
        let item = |(index, Node { place, value }): (usize, Node)| {
            let spot = Spot { place, path: format!("{}[{index}]", list.spot.path) };
            let value = self.notes.right(&spot, as_text(value).map_err(|other| mismatch("a string", &other)))?;
            Some(Given { value, spot })
        };
        let value = list.value.into_iter().enumerate().filter_map(item).collect();
        Some(Given { value, spot: list.spot })
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<Given<bool>> {
        self.take(key, "true or false", |value| match value {
            Value::Boolean(boolean) => Ok(boolean),
            other => Err(other),
        })
    }

    /// A whole number.
    pub(super) fn integer(&mut self, key: &'static str) -> Option<Given<i64>> {
        self.take(key, "an integer", |value| match value {
            Value::Integer(Some(integer)) => Ok(integer),
            other => Err(other),
        })
    }

    /// How many of something; `hint` says what the ends of the range mean.
    pub(super) fn count(&mut self, key: &'static str, range: RangeInclusive<u32>, hint: &str) -> Option<Given<u32>> {
        let Given { value, spot } = self.integer(key)?;
        let Some(value) = u32::try_from(value).ok().filter(|count| range.contains(count)) else {
            self.note(&spot, format!("not from {} to {}; {hint}", range.start(), range.end()));
            return None;
        };
        Some(Given { value, spot })
    }

    /// A table with fixed keys; one that is not there is empty.
    pub(super) fn table(&mut self, key: &'static str) -> Table<'n> {
        let place = self.entries.iter().find(|entry| entry.key == key).map(|entry| entry.place.clone());
        let entries = self.entries(key).map(|entries| entries.value).unwrap_or_default();
        let (place, path) = (place.unwrap_or_else(|| self.place.clone()), self.path_of(key));
        Table { notes: self.notes, place, path, entries, asked: Vec::new() }
    }

    /// A list, as it stands there.
    pub(super) fn list(&mut self, key: &'static str, wanted: &str) -> Option<Given<Vec<Node>>> {
        self.take(key, wanted, |value| match value {
            Value::List(list) => Ok(list),
            other => Err(other),
        })
    }

    /// A decimal number with so many decimals at most, as that many of its smallest parts: 1.5 with 2 decimals is 150.
    pub(super) fn decimal(&mut self, key: &'static str, decimals: u32) -> Option<Given<u64>> {
        let given = self.take(key, "a number", as_number)?;
        let value = self.notes.right(&given.spot, units::decimal(&given.value, decimals))?;
        Some(Given { value, spot: given.spot })
    }

    /// A table that stood under one of the user's own keys.
    pub(super) fn below(&self, spot: Spot, entries: Vec<Entry>) -> Table<'n> {
        Table { notes: self.notes, place: spot.place, path: spot.path, entries, asked: Vec::new() }
    }

    /// A table whose keys are the user's own.
    pub(super) fn entries(&mut self, key: &'static str) -> Option<Given<Vec<Entry>>> {
        self.take(key, "a table", |value| match value {
            Value::Table(entries) => Ok(entries),
            other => Err(other),
        })
    }

    /// `[[key]]`, each with its place. `None`: it is something else.
    pub(super) fn tables(&mut self, key: &'static str) -> Option<Vec<Table<'n>>> {
        let absent = !self.has(key);
        let list = self.list(key, &format!("tables, each headed [[{key}]]"));
        let Some(Given { value, spot }) = list else { return absent.then(Vec::new) };
        let table = |(index, Node { place, value })| {
            let path = format!("{}[{index}]", spot.path);
            match value {
                Value::Table(entries) => Some(Table { notes: self.notes, place, path, entries, asked: Vec::new() }),
                other => {
                    self.notes.add(&Spot { place, path }, mismatch("a table", &other));
                    None
                }
            }
        };
        Some(value.into_iter().enumerate().filter_map(table).collect())
    }

    /// Takes a key out. `pick` gives back what it has no use for.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        pick: impl FnOnce(Value) -> Result<T, Value>,
    ) -> Option<Given<T>> {
        self.asked.push(key);
        let position = self.entries.iter().position(|entry| entry.key == key)?;
        let node = self.entries.swap_remove(position).node;
        let spot = Spot { place: node.place, path: self.path_of(key) };
        let value = self.notes.right(&spot, pick(node.value).map_err(|other| mismatch(wanted, &other)))?;
        Some(Given { value, spot })
    }

    /// Whether a key is still there to be taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// Every key has been asked for: what is left is unknown.
    pub(super) fn finish(self) {
        for Entry { key, place, .. } in &self.entries {
            let spot = Spot { place: place.clone(), path: self.path_of(key) };
            self.notes.add(&spot, format!("unknown key; {}", suggest(key, &self.asked, "known here:")));
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// A string, or the value back.
pub(super) fn as_text(value: Value) -> Result<String, Value> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(other),
    }
}

/// A number as text, or the value back.
pub(super) fn as_number(value: Value) -> Result<String, Value> {
    match value {
        Value::Integer(Some(integer)) => Ok(integer.to_string()),
        Value::Float(text) => Ok(text),
        other => Err(other),
    }
}

/// Says that a value has the wrong type.
pub(super) fn mismatch(wanted: &str, found: &Value) -> String {
    format!("expected {wanted}, found {}", found.kind())
}

/// The name that was probably meant, or all there are.
pub(super) fn suggest(written: &str, known: &[&str], all: &str) -> String {
    match nearest(written, known) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("{all} {}", known.join(", ")),
    }
}
