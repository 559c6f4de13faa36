//! Reads the keys of an upstream that only one kind has. The other kinds may write what would be there anyway, and nothing
//! else. Refuses to know what all kinds have.

use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::Kind;
use super::headers;
use super::table::{Given, Table};
use super::url::Flavour;

/// The kind, with its own keys. `None`: the kind itself is missing or unknown.
pub(super) fn read(table: &mut Table<'_>, flavour: Option<Flavour>) -> Option<Kind> {
    let own = Own { flavour };
    let organization = table.parsed("organization", "a string", header_value);
    let organization = own.take(table, Flavour::OpenAi, organization, None);
    let project = table.parsed("project", "a string", header_value);
    let project = own.take(table, Flavour::OpenAi, project, None);
    let api_version = table.parsed("api_version", "a string", version);
    let api_version = own.take(table, Flavour::Azure, api_version, None);
    let auth_header = table.parsed("auth_header", "a string", headers::for_credential);
    let auth_header: HeaderName = own.take(table, Flavour::Compatible, auth_header, AUTHORIZATION);
    let auth_scheme = table.parsed("auth_scheme", "a string", scheme);
    let auth_scheme = own.take(table, Flavour::Compatible, auth_scheme, Some("Bearer".into()));
    let subprotocols = subprotocols(table);
    let subprotocols = own.take(table, Flavour::Compatible, subprotocols, Vec::new());
    Some(match flavour? {
        Flavour::OpenAi => Kind::OpenAi { organization, project },
        Flavour::Azure => Kind::Azure { api_version },
        Flavour::Compatible => Kind::Compatible { auth_header, auth_scheme, subprotocols },
    })
}

/// Whose upstream is being read.
struct Own {
    flavour: Option<Flavour>,
}

impl Own {
    /// The value of a key that only `owner` has.
    fn take<T: PartialEq>(&self, table: &Table<'_>, owner: Flavour, given: Option<Given<T>>, absent: T) -> T {
        let Some(Given { value, spot }) = given else { return absent };
        if self.flavour.is_some_and(|flavour| flavour != owner) && value != absent {
            table.note(&spot, format!("only for kind = \"{}\"; leave it out", owner.name()));
        }
        value
    }
}

fn header_value(text: &str) -> Result<Option<HeaderValue>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_str(text).map(Some).map_err(|_| "has a character that no header may hold".into())
}

/// A date, mostly: what needs no escaping in a query.
fn version(text: &str) -> Result<Option<String>, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    match text {
        "" => Ok(None),
        text if text.bytes().all(plain) => Ok(Some(text.to_owned())),
        _ => Err("not a version; write one such as \"2025-04-01-preview\"".into()),
    }
}

fn scheme(text: &str) -> Result<Option<String>, String> {
    match text {
        "" => Ok(None),
        text if headers::is_token(text) => Ok(Some(text.to_owned())),
        _ => Err("not one word; write \"Bearer\", \"Basic\", or \"\" to send the key alone".into()),
    }
}

fn subprotocols(table: &mut Table<'_>) -> Option<Given<Vec<String>>> {
    let Given { value, spot } = table.texts("subprotocols")?;
    let mut tokens: Vec<String> = Vec::new();
    for Given { value, spot } in value {
        if !headers::is_token(&value) {
            table.note(&spot, "not a subprotocol; write one word of visible ASCII without separators");
        } else if tokens.contains(&value) {
            table.note(&spot, "listed twice; leave one out");
        } else {
            tokens.push(value);
        }
    }
    Some(Given { value: tokens, spot })
}
