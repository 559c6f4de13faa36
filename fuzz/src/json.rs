//! A JSON text as it stands there: every key of an object, in its order, also one that is there twice. It refuses to know
//! what a text means.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value.
#[derive(Debug)]
pub enum Node {
    Null,
    Boolean,
    /// As a count: below zero is zero, fractions are cut off.
    Number(u64),
    Text(String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

/// It has another type, or stands there twice.
#[derive(Debug, Clone, Copy)]
pub struct Wrong;

impl Node {
    /// `None`: it is no JSON.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The first value of a key.
    pub fn first(&self, name: &str) -> Option<&Self> {
        let Self::Object(pairs) = self else { return None };
        pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The object behind a key; `None` where there is none, or null.
    pub fn object_at(&self, name: &str) -> Result<Option<&Self>, Wrong> {
        match self.only(name)? {
            None | Some(Self::Null) => Ok(None),
            Some(object @ Self::Object(_)) => Ok(Some(object)),
            Some(_) => Err(Wrong),
        }
    }

    /// The text behind a key; `None` where there is none, or null.
    pub fn text_at(&self, name: &str) -> Result<Option<String>, Wrong> {
        match self.only(name)? {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Text(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Wrong),
        }
    }

    /// The count behind a key; 0 where there is none, or null.
    pub fn count_at(&self, name: &str) -> Result<u64, Wrong> {
        match self.only(name)? {
            None | Some(Self::Null) => Ok(0),
            Some(Self::Number(count)) => Ok(*count),
            Some(_) => Err(Wrong),
        }
    }

    /// Whether this holds of any key and value in it.
    pub fn any(&self, is: &impl Fn(&str, &Self) -> bool) -> bool {
        match self {
            Self::Object(pairs) => pairs.iter().any(|(key, value)| is(key, value) || value.any(is)),
            Self::Array(items) => items.iter().any(|item| item.any(is)),
            _ => false,
        }
    }

    fn only(&self, name: &str) -> Result<Option<&Self>, Wrong> {
        let Self::Object(pairs) = self else { return Err(Wrong) };
        let mut values = pairs.iter().filter(|(key, _)| key == name);
        let first = values.next().map(|(_, value)| value);
        if values.next().is_some() { Err(Wrong) } else { Ok(first) }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Boolean)
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Number(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Number(u64::try_from(number).unwrap_or(0)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Number(number as u64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Node, A::Error> {
        let mut object = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            object.push(pair);
        }
        Ok(Node::Object(object))
    }
}
