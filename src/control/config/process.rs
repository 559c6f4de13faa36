//! Reads `[server]`, `[admin]` and `[log]`: what concerns the process as a whole. Refuses to know upstreams and keys.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix;
use std::path::{Path, PathBuf};
use std::thread;

use hyper::http::uri::Authority;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing_subscriber::EnvFilter;

use super::outside::{self, Outside};
use super::table::{Given, Table};
use super::{
    Admin, Auth, Forwarding, Log, LogFormat, Networks, Origins, RefuseWith, Secret, Server, TlsIdentity, networks,
};

/// More threads than any machine has cores are a slip.
const MOST_WORKERS: usize = 1024;

/// `[server]`, with the spot of `auth`, which other tables must agree with.
pub(super) fn server(mut table: Table<'_>, outside: &Outside<'_>) -> (Server, Given<Auth>) {
    let words = [("keys", Auth::Keys), ("passthrough", Auth::Passthrough), ("none", Auth::None)];
    let absent = Given { value: Auth::Keys, spot: table.spot_of("auth") };
    let auth = table.word("auth", &words).unwrap_or(absent);
    let (proxy_protocol, trusted_proxies) = proxies(&mut table);
    let server = Server {
        listen: listen(&mut table, auth.value),
        workers: workers(&mut table),
        auth: auth.value,
        allowed_origins: origins(&mut table, auth.value),
        refuse_browsers_with: table
            .word("refuse_browsers_with", &[("http", RefuseWith::Http), ("event", RefuseWith::Event)])
            .map_or(RefuseWith::Http, |given| given.value),
        forwarding: table
            .word("forwarding", &[("verbatim", Forwarding::Verbatim), ("framed", Forwarding::Framed)])
            .map_or(Forwarding::Verbatim, |given| given.value),
        tls: tls(&mut table, outside),
        proxy_protocol,
        trusted_proxies,
        takeover_socket: takeover_socket(&mut table, outside),
        reuse_port: table.boolean("reuse_port").is_some_and(|given| given.value),
    };
    table.finish();
    (server, auth)
}

/// `[admin]`. Its address must be another than those of the clients, and a token guards it unless it is loopback.
pub(super) fn admin(mut table: Table<'_>, clients: &[SocketAddr], outside: &Outside<'_>) -> Admin {
    let absent = Given { value: SocketAddr::from(([127, 0, 0, 1], 9090)), spot: table.spot_of("listen") };
    let Given { value: listen, spot } = table.parsed("listen", "a string", address).unwrap_or(absent);
    let any_host = |client: &SocketAddr| client.ip().is_unspecified() || listen.ip().is_unspecified();
    let same_port = |client: &SocketAddr| client.port() == listen.port() && client.port() != 0;
    if clients.iter().any(|client| same_port(client) && (client.ip() == listen.ip() || any_host(client))) {
        table.note(&spot, format!("clients are listened to on {listen}; choose another port"));
    }
    if !is_loopback(listen) && !table.has("token") {
        let what = format!("missing, and {listen} is not loopback; write token = \"env:RELAY_TOKEN\"");
        table.note(&table.spot_of("token"), what);
    }
    let token = table.parsed("token", "a string", |text| bearer_token(outside.secret(text)?));
    table.finish();
    Admin { listen, token: token.map(|given| given.value) }
}

/// What can stand behind `Bearer ` in a header.
fn bearer_token(token: Secret) -> Result<Secret, String> {
    if token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err("has a character that no token may hold; write visible ASCII without blanks".into())
    }
}

/// `[log]`.
pub(super) fn log(mut table: Table<'_>) -> Log {
    let format = table.word("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let level = table.parsed("level", "a string", directives);
    table.finish();
    Log {
        format: format.map_or(LogFormat::Text, |format| format.value),
        level: level.map_or_else(|| "info".into(), |level| level.value),
    }
}

fn listen(table: &mut Table<'_>, auth: Auth) -> Vec<SocketAddr> {
    let Some(texts) = table.texts("listen") else { return vec![SocketAddr::from(([127, 0, 0, 1], 8080))] };
    if texts.value.is_empty() {
        table.note(&texts.spot, "empty; write at least one address, [\"127.0.0.1:8080\"]");
    }
    let mut addresses = Vec::new();
    for Given { value, spot } in texts.value {
        match address(&value) {
            Err(what) => table.note(&spot, what),
            Ok(address) if auth == Auth::None && !is_loopback(address) => {
                table.note(
                    &spot,
                    "not loopback, and auth = \"none\" lets everyone in; write 127.0.0.1, or auth = \"keys\"",
                );
            }
            Ok(address) if address.port() != 0 && addresses.contains(&address) => {
                table.note(&spot, "listed twice; leave one out");
            }
            Ok(address) => addresses.push(address),
        }
    }
    addresses
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IP address with a port; write one such as 127.0.0.1:8080"))
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn workers(table: &mut Table<'_>) -> NonZeroUsize {
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let Some(Given { value, spot }) = table.integer("workers") else { return cores() };
    match usize::try_from(value) {
        Ok(count) if count <= MOST_WORKERS => NonZeroUsize::new(count).unwrap_or_else(cores),
        _ => {
            table.note(&spot, format!("not from 0 to {MOST_WORKERS}; 0 is one thread a core"));
            cores()
        }
    }
}

fn origins(table: &mut Table<'_>, auth: Auth) -> Origins {
    let Some(texts) = table.texts("allowed_origins") else {
        // Without a key to show, any web page on this machine could spend the relay's.
        return if auth == Auth::None { Origins::Only(Vec::new()) } else { Origins::Any };
    };
    if texts.value.len() == 1 && texts.value[0].value == "*" {
        return Origins::Any;
    }
    let parse = |Given { value, spot }: Given<String>| origin(&value).map_err(|what| table.note(&spot, what)).ok();
    Origins::Only(texts.value.into_iter().filter_map(parse).collect())
}

/// `scheme://host[:port]`, as browsers send it, in lower case.
fn origin(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not an origin; write one such as \"https://app.example.com\", without a path");
    if text == "*" {
        return Err("`*` is every origin, and stands alone: write [\"*\"]".into());
    }
    let (scheme, authority) = text.split_once("://").ok_or_else(wrong)?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let parsed: Authority = authority.parse().map_err(|_| wrong())?;
    let port_fits = parsed.as_str().len() == parsed.host().len() || parsed.port_u16().is_some();
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) || authority.contains(['@', '*']) || !port_fits {
        return Err(wrong());
    }
    Ok(text.to_ascii_lowercase())
}

/// Whether proxies have to announce whom they speak for, and the proxies that are believed.
fn proxies(table: &mut Table<'_>) -> (bool, Networks) {
    let protocol = table.boolean("proxy_protocol");
    let trusted = table.texts("trusted_proxies").map(|given| given.value).unwrap_or_default();
    if let Some(Given { value: true, spot }) = &protocol
        && trusted.is_empty()
    {
        table.note(
            spot,
            "true, and nobody may send the header; list your load balancers, trusted_proxies = [\"10.0.0.0/8\"]",
        );
    }
    let network =
        |Given { value, spot }: Given<String>| networks::parse(&value).map_err(|what| table.note(&spot, what)).ok();
    let trusted = trusted.into_iter().filter_map(network).collect();
    (protocol.is_some_and(|given| given.value), trusted)
}

fn tls(table: &mut Table<'_>, outside: &Outside<'_>) -> Option<TlsIdentity> {
    let path = |text: &str| outside.path(text);
    let pair = (table.has("tls_cert"), table.has("tls_key"));
    let cert = table.parsed("tls_cert", "a string", path);
    let key = table.parsed("tls_key", "a string", path);
    let lonely = match pair {
        (true, false) => cert.as_ref().map(|cert| (&cert.spot, "tls_key")),
        (false, true) => key.as_ref().map(|key| (&key.spot, "tls_cert")),
        _ => None,
    };
    if let Some((spot, other)) = lonely {
        table.note(spot, format!("without {other}; write both to serve wss, or neither"));
    }
    let (cert, key) = (cert?, key?);
    let certificates = outside::certificates(&cert.value).map_err(|what| table.note(&cert.spot, what)).ok();
    let private = outside::private_key(&key.value).map_err(|what| table.note(&key.spot, what)).ok();
    let (certificates, private) = (certificates?, private?);
    identity(certificates, private, &cert.value, &key.value).map_err(|what| table.note(&key.spot, what)).ok()
}

/// Reads a certificate chain and its key again. The error says what is wrong with which file.
pub fn tls_identity(cert_file: &Path, key_file: &Path) -> Result<TlsIdentity, String> {
    let (certificates, key) = (outside::certificates(cert_file)?, outside::private_key(key_file)?);
    identity(certificates, key, cert_file, key_file).map_err(|what| format!("{} {what}", key_file.display()))
}

fn identity(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_file: &Path,
    key_file: &Path,
) -> Result<TlsIdentity, String> {
    CertifiedKey::from_der(certificates.clone(), key.clone_key(), &aws_lc_rs::default_provider())
        .map_err(|error| format!("does not open {}: {error}", cert_file.display()))?;
    Ok(TlsIdentity { certificates, key, cert_file: cert_file.into(), key_file: key_file.into() })
}

fn takeover_socket(table: &mut Table<'_>, outside: &Outside<'_>) -> Option<PathBuf> {
    let path = table.parsed("takeover_socket", "a string", |text| match text {
        "" => Ok(None),
        text => {
            let path = outside.path(text)?;
            let too_long = |error| format!("no path of a unix socket ({error}); write a shorter one");
            unix::net::SocketAddr::from_pathname(&path).map_err(too_long)?;
            Ok(Some(path))
        }
    });
    path.and_then(|given| given.value)
}

/// What `EnvFilter` takes. It also takes a misspelt level, as the name of a module; nobody means that.
fn directives(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let hint = "write one of off, error, warn, info, debug, trace, or directives such as \"info,realtime_relay=debug\"";
    let level = |part: &str| LEVELS.contains(&part.to_ascii_lowercase().as_str());
    let bare = text.split(',').find(|part| !part.contains(['=', '[', ':']) && !level(part.trim()));
    if let Some(bare) = bare {
        return Err(format!("`{bare}` is not a level; {hint}"));
    }
    // Its parser counts from behind leading blanks and cuts from before them, so it can cut inside a character, and
    // panic (tracing-subscriber 0.3.23).
    if !text.is_ascii() {
        return Err(format!("`{text}` has a character that is not ASCII; {hint}"));
    }
    EnvFilter::try_new(text).map_err(|error| format!("{error}; {hint}"))?;
    Ok(text.to_owned())
}
