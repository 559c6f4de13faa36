//! From where a configuration is written to a [`Config`], or to every mistake in it. What tables must agree upon is judged
//! here, what is a table's own where that table is read. Refuses to look at the process: it is given what there is.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document;
use super::mistake::{Mistake, Mistakes, Notes, Place, Spot};
use super::outside::Outside;
use super::table::{Given, Table};
use super::{Auth, Config, clients, limits, metering, process, providers};

/// The file that is taken where none is named.
const USUAL_FILE: &str = "relay.toml";

/// The configuration where there is no file: enough for one person on one machine.
const BUILT_IN: &str = r#"
[server]
auth = "none"

[[upstreams]]
name = "openai"
kind = "openai"
url = "wss://api.openai.com/v1/realtime"
key = "env:OPENAI_API_KEY"
models = { "*" = "*" }
"#;

/// Where a configuration is written.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file; `None`: the built-in defaults.
    pub file: Option<PathBuf>,
    /// Overrides (`RELAY_SERVER__AUTH`), what `env:NAME` reads, and the proxy of upstreams that have none of their own.
    pub env: HashMap<String, String>,
}

impl Sources {
    /// This process's environment, and the file it was given, else `relay.toml` in its folder if that is there.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let usual = || {
            // A file that is there and cannot be read must be told, not passed over.
            let absent = fs::symlink_metadata(USUAL_FILE).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            (!absent).then(|| PathBuf::from(USUAL_FILE))
        };
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { file: file.or_else(usual), env: std::env::vars_os().filter_map(text).collect() }
    }
}

/// Reads a configuration. Reads the files it points at, and nothing else of the machine but the number of its cores.
pub fn load(sources: &Sources) -> Result<Config, Mistakes> {
    written(sources, read)
}

/// Where the ledger of a configuration is; absolute. Looks at nothing else: whoever reads a ledger has no use for keys and
/// certificates, and may not be allowed to read them.
pub fn ledger_of(sources: &Sources) -> Result<PathBuf, Mistakes> {
    written(sources, |mut root, outside| metering::ledger(&mut root.table("metering"), outside))
}

fn written<T>(sources: &Sources, read: Reader<T>) -> Result<T, Mistakes> {
    let (name, text) = match &sources.file {
        None => ("built-in defaults".into(), BUILT_IN.to_owned()),
        Some(file) => (file.display().to_string(), text_of(file)?),
    };
    let folder = sources.file.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
    document(name.into(), &text, &Outside { env: &sources.env, folder }, read)
}

/// Reads a configuration that stands in no file. There is no environment for it.
pub fn parse(text: &str) -> Result<Config, Mistakes> {
    document("configuration".into(), text, &Outside { env: &HashMap::new(), folder: PathBuf::new() }, read)
}

/// What makes something of a whole document.
type Reader<T> = fn(Table<'_>, &Outside<'_>) -> T;

fn document<T>(name: Arc<str>, text: &str, outside: &Outside<'_>, read: Reader<T>) -> Result<T, Mistakes> {
    let notes = Notes::default();
    let mut entries = document::parse(&name, text, &notes);
    document::override_from(outside.env, &mut entries);
    let root = Table::document(Place::Document(name), entries, &notes);
    let made = read(root, outside);
    notes.settle(made)
}

fn text_of(file: &Path) -> Result<String, Mistakes> {
    fs::read_to_string(file).map_err(|error| {
        let place = Place::Document(file.display().to_string().into());
        let what = format!("cannot be read: {error}; name another file with --config");
        Mistakes::of(Mistake { spot: Spot { place, path: String::new() }, what })
    })
}

/// Walks the whole document, whatever it finds: the result is only good for something if nothing was noted.
fn read(mut root: Table<'_>, outside: &Outside<'_>) -> Config {
    let (server, auth) = process::server(root.table("server"), outside);
    let admin = process::admin(root.table("admin"), &server.listen, outside);
    let limits = limits::read(root.table("limits"));
    let metering = metering::read(root.table("metering"), outside);
    let log = process::log(root.table("log"));
    let (upstreams, keys) = (root.tables("upstreams"), root.tables("keys"));
    if let (Some(upstreams), Some(keys)) = (&upstreams, &keys) {
        agree(&root, &auth, upstreams.len(), keys.len());
    }
    let providers = providers::read(upstreams.unwrap_or_default(), auth.value, &metering.prices, outside);
    let keys = clients::read(keys.unwrap_or_default(), &providers, metering.retention, outside);
    root.finish();
    Config { server, admin, limits, upstreams: providers.upstreams, keys, metering, log }
}

/// What `auth` asks of the other tables.
fn agree(root: &Table<'_>, auth: &Given<Auth>, upstreams: usize, keys: usize) {
    if upstreams == 0 {
        root.note(&root.spot_of("upstreams"), "missing; write [[upstreams]] with name, kind and url");
    }
    match auth.value {
        Auth::Keys if keys == 0 => {
            root.note(&auth.spot, "\"keys\" lets nobody in without [[keys]]; write one with name and sha256");
        }
        Auth::Passthrough if keys > 0 => {
            root.note(&auth.spot, "\"passthrough\" looks at no [[keys]]; leave them out, or write auth = \"keys\"");
        }
        _ => {}
    }
    if auth.value == Auth::Passthrough && upstreams > 1 {
        let what =
            format!("\"passthrough\" needs exactly one upstream, since one judges every key; here are {upstreams}");
        root.note(&auth.spot, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_a_file_is() {
        assert!(parse(BUILT_IN).is_err_and(|mistakes| mistakes.to_string().contains("OPENAI_API_KEY is not set")));
        let with_key = BUILT_IN.replace("env:OPENAI_API_KEY", "sk-literal");
        assert_eq!(parse(&with_key).map(|config| config.server.auth), Ok(Auth::None));
        let mistakes = parse("[server]\nauht = 1").map(|_| ()).unwrap_err().to_string();
        assert!(mistakes.contains("configuration:2:1: server.auht"), "{mistakes}");
    }
}
