//! From TOML text and environment variables to one tree whose every value knows where it was written. Refuses to know
//! which keys there are, but for the tables that variables may override.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::mistake::{Notes, Place, Spot};

/// The tables whose values variables may override.
const OVERRIDABLE: [&str; 5] = ["server", "admin", "limits", "metering", "log"];

/// A value, and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// A TOML value that owns its text.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    /// `None`: it does not fit 64 bits.
    Integer(Option<i64>),
    /// As `f64::from_str` reads it. The text is kept: money is not read through a float.
    Float(String),
    Boolean(bool),
    Moment(Datetime),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// One `key = value`. The place is the key's.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for a sentence.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(Some(_)) => "an integer",
            Self::Integer(None) => "an integer of more than 64 bits",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Moment(_) => "a date or time",
            Self::List(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

/// The entries of a document. What the grammar forbids is noted, and the rest is kept.
pub(super) fn parse(name: &Arc<str>, text: &str, notes: &Notes) -> Vec<Entry> {
    let places = Places { name, text };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = places.at(&error.span().unwrap_or_default());
        notes.add(&Spot { place, path: String::new() }, format!("not TOML: {}", error.message()));
    }
    entries(table.into_inner(), &|span| places.at(span))
}

/// Puts `RELAY_<TABLE>__<KEY>` into the document, over what the file says. Other variables are left alone.
pub(super) fn override_from(env: &HashMap<String, String>, document: &mut Vec<Entry>) {
    let mut names: Vec<_> = env.keys().collect();
    names.sort(); // so that the same environment is always told in the same order
    for name in names {
        let Some((table, key)) = name.strip_prefix("RELAY_").and_then(|rest| rest.split_once("__")) else { continue };
        let (table, key) = (table.to_ascii_lowercase(), key.to_ascii_lowercase());
        if !OVERRIDABLE.contains(&table.as_str()) {
            continue;
        }
        let place = Place::Variable(name.clone());
        let node = Node { place: place.clone(), value: value_of_variable(&env[name], &place) };
        let position = document.iter().position(|entry| entry.key == table).unwrap_or_else(|| {
            let node = Node { place: place.clone(), value: Value::Table(Vec::new()) };
            document.push(Entry { key: table, place: place.clone(), node });
            document.len() - 1
        });
        // Where the file has something else under the table's name, that is the mistake to tell.
        if let Value::Table(entries) = &mut document[position].node.value {
            entries.retain(|entry| entry.key != key);
            entries.push(Entry { key, place, node });
        }
    }
}

/// TOML if it is one TOML value, else the text itself: nobody wants to quote twice in a shell.
fn value_of_variable(text: &str, place: &Place) -> Value {
    let as_text = || Value::Text(text.to_owned());
    let document = format!("value = {text}");
    let Ok(table) = DeTable::parse(&document) else { return as_text() };
    let mut entries = entries(table.into_inner(), &|_| place.clone());
    match entries.pop() {
        Some(entry) if entries.is_empty() => entry.node.value,
        _ => as_text(),
    }
}

/// Finds lines and columns of a text.
struct Places<'a> {
    name: &'a Arc<str>,
    text: &'a str,
}

impl Places<'_> {
    fn at(&self, span: &Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Place::At(self.name.clone(), line, column)
    }
}

fn entries(table: DeTable<'_>, at: &dyn Fn(&Range<usize>) -> Place) -> Vec<Entry> {
    let entry = |(key, node): (Spanned<_>, _)| {
        let place = at(&key.span());
        Entry { key: std::borrow::Cow::into_owned(key.into_inner()), place, node: node_of(node, at) }
    };
    table.into_iter().map(entry).collect()
}

fn node_of(value: Spanned<DeValue<'_>>, at: &dyn Fn(&Range<usize>) -> Place) -> Node {
    let place = at(&value.span());
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok()),
        DeValue::Float(float) => Value::Float(float.as_str().to_owned()),
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(moment) => Value::Moment(moment),
        DeValue::Array(list) => Value::List(list.into_iter().map(|node| node_of(node, at)).collect()),
        DeValue::Table(table) => Value::Table(entries(table, at)),
    };
    Node { place, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        value_of_variable(text, &Place::Variable("V".into()))
    }

    #[test]
    fn a_variable_is_toml_or_else_a_string() {
        assert!(matches!(value("4"), Value::Integer(Some(4))));
        assert!(matches!(value("\"4\""), Value::Text(text) if text == "4"));
        assert!(matches!(value("[\"a\"]"), Value::List(_)));
        assert!(matches!(value("30s"), Value::Text(text) if text == "30s"));
        assert!(matches!(value("1\nother = 2"), Value::Text(_)), "one value, not a document");
    }

    #[test]
    fn a_column_counts_characters() {
        let notes = Notes::default();
        let entries = parse(&"f".into(), "\na = \"ä\"\n  \"ö\" = { b = 1 }", &notes);
        let places: Vec<_> = entries.iter().map(|entry| entry.node.place.to_string()).collect();
        assert_eq!(places, ["f:2:5", "f:3:9"]);
    }
}
