//! What relays wrote during the tests, and which secrets were in use meanwhile: kept as files where
//! `REALTIME_RELAY_TRANSCRIPT` names a folder, so that `tests/secrets` can look for the ones in the others. Without that
//! variable nothing is kept.
//!
//! Refuses to judge.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use tracing_subscriber::fmt;

/// What an operator may look at.
const PAGES: [&str; 5] = ["/metrics", "/links", "/upstreams", "/usage?by=key", "/usage?by=model"];
/// An answer to that takes no longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A relay wrote this.
pub fn wrote(what: &str, bytes: &[u8]) {
    append(&format!("wrote-{what}"), bytes);
}

/// This is a secret. An empty one is none, nor is what stands for one that is not shown.
pub fn secret(text: &str) {
    if !text.is_empty() && text != "***" {
        append("secrets", format!("{text}\n").as_bytes());
    }
}

/// These are the secrets of a configuration: whatever is called a key, a token, or a proxy.
pub fn secrets_of(toml: &str) {
    if folder().is_some()
        && let Ok(table) = toml.parse::<toml::Table>()
    {
        note(&toml::Value::Table(table));
    }
}

/// This is a secret, or a URL with one, which a proxy is shown in another form.
pub fn secret_in(text: &str) {
    let Some((_, rest)) = text.split_once("://") else { return secret(text) };
    let Some((user, _)) = rest.split_once('@') else { return };
    let Ok(shown) = percent_decode_str(user).decode_utf8() else { return };
    secret(user.split_once(':').map_or("", |(_, password)| password));
    secret(shown.split_once(':').map_or("", |(_, password)| password));
    if shown.contains(':') {
        secret(&STANDARD.encode(&*shown));
    }
}

fn note(value: &toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                match value.as_str() {
                    // Where it is read is no secret.
                    Some(text) if text.starts_with("env:") || text.starts_with("file:") => {}
                    Some(text) if ["key", "token", "proxy"].contains(&name.as_str()) => secret_in(text),
                    _ => note(value),
                }
            }
        }
        toml::Value::Array(values) => values.iter().for_each(note),
        _ => {}
    }
}

/// What this process logs is kept from now on, also what nobody would have it say.
pub fn keep_log() {
    static ONCE: Once = Once::new();
    let Some(file) = folder().map(|folder| folder.join(name("wrote-log"))) else { return };
    ONCE.call_once(|| {
        let open = move || OpenOptions::new().create(true).append(true).open(&file).unwrap();
        let log = fmt().with_writer(open).with_ansi(false).with_env_filter("debug,realtime_relay=trace");
        log.try_init().expect("nobody else has the log of this process");
    });
}

/// What an operator of this relay sees.
pub fn keep_pages(admin: SocketAddr) {
    if folder().is_some() {
        for page in PAGES {
            wrote("page", &read(admin, page).unwrap_or_default());
        }
    }
}

/// A file as it is.
pub fn keep_file(what: &str, file: &Path) {
    if folder().is_some()
        && let Ok(bytes) = fs::read(file)
    {
        wrote(what, &bytes);
    }
}

fn read(admin: SocketAddr, page: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn append(what: &str, bytes: &[u8]) {
    if let Some(folder) = folder() {
        let file = OpenOptions::new().create(true).append(true).open(folder.join(name(what)));
        file.and_then(|mut file| file.write_all(bytes)).expect("a transcript can be written");
    }
}

/// Each process has its own.
fn name(what: &str) -> String {
    format!("{what}-{}", std::process::id())
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("REALTIME_RELAY_TRANSCRIPT").map(PathBuf::from)
}
