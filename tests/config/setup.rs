//! A configuration in a folder of its own, and what is told about it.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use realtime_relay::control::config::{Config, Mistakes, Sources, load};
use tempfile::TempDir;

use crate::transcript;

/// An upstream without a mistake; more lines may follow.
pub const UPSTREAM: &str = r#"
[[upstreams]]
name = "openai"
kind = "openai"
url = "wss://api.openai.com/v1/realtime"
key = "sk-literal"
"#;

/// A key without a mistake; more lines may follow.
pub const KEY: &str = "[[keys]]\nname = \"acme\"\nkey = \"client-key\"\n";

/// A folder with a `relay.toml`, and an environment.
pub struct Setup {
    folder: TempDir,
    env: HashMap<String, String>,
}

impl Setup {
    pub fn file(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("relay.toml"), text).unwrap();
        Self { folder, env: HashMap::new() }
    }

    pub fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("relay.toml")
    }

    /// What comes of it, of which the transcript knows nothing: it may call any text a secret.
    pub fn load_untold(&self) -> Result<Config, Mistakes> {
        load(&Sources { file: Some(self.path()), env: self.env.clone() })
    }

    pub fn load(&self) -> Result<Config, Mistakes> {
        let loaded = self.load_untold();
        transcript::secrets_of(&fs::read_to_string(self.path()).unwrap_or_default());
        let told = loaded.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        transcript::wrote("mistakes", told.as_bytes());
        loaded
    }

    pub fn config(&self) -> Config {
        self.load().unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    /// What is told, without the folder's name.
    pub fn told(&self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        self.load().map(|_| ()).unwrap_err().to_string().replace(&folder, "")
    }
}

/// These mistakes are told, and no other.
pub fn assert_told(told: &str, expected: &[&str]) {
    for part in expected {
        assert!(told.contains(part), "missing {part:?} in:\n{told}");
    }
    let end = match expected.len() {
        1 => "\n1 mistake in the configuration".to_owned(),
        count => format!("\n{count} mistakes in the configuration"),
    };
    assert!(told.ends_with(&end), "expected {end:?} after:\n{told}");
}

/// A certificate and its key, as PEM.
pub fn identity() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}
