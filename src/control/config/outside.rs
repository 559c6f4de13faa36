//! What a configuration points at without holding it: variables, secret files, certificates. Refuses to know which key
//! points there; says what is missing, never what was read.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::pem::{Error, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Secret;

/// The environment, and the folder that relative paths start from.
#[derive(Debug)]
pub(super) struct Outside<'a> {
    pub(super) env: &'a HashMap<String, String>,
    pub(super) folder: PathBuf,
}

impl Outside<'_> {
    /// The secret a value stands for: `env:NAME`, `file:PATH`, or the text itself. Never empty.
    pub(super) fn secret(&self, value: &str) -> Result<Secret, String> {
        if let Some(name) = value.strip_prefix("env:") {
            let found = self.env.get(name).ok_or_else(|| {
                format!("the environment variable {name} is not set; set it, or use \"file:PATH\" to read a file")
            })?;
            return secret_of(found).ok_or_else(|| format!("the environment variable {name} is empty; set it"));
        }
        if let Some(path) = value.strip_prefix("file:") {
            let path = self.path(path)?;
            let found = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            return secret_of(&found).ok_or_else(|| format!("{} is empty; write the secret into it", path.display()));
        }
        secret_of(value).ok_or_else(|| "empty; write \"env:NAME\" or \"file:PATH\" to say where it is read".into())
    }

    /// Where a path leads, absolute: relative ones start from the folder of the configuration.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, String> {
        if text.is_empty() {
            return Err("empty; write the path of a file".into());
        }
        std::path::absolute(self.folder.join(text)).map_err(|error| format!("not a path: {error}"))
    }
}

/// The certificates of a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(no_pem(path, "certificate", &Error::NoItemsFound)),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(no_pem(path, "certificate", &error)),
    }
}

/// The certificates of a PEM file, if each of them can be trusted as an authority.
pub(super) fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        let wrong = |error| format!("{} holds a certificate that no one can trust: {error}", path.display());
        roots.add(certificate.clone()).map_err(wrong)?;
    }
    Ok(certificates)
}

/// The first private key of a PEM file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| no_pem(path, "private key", &error))
}

fn secret_of(text: &str) -> Option<Secret> {
    let text = text.trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then(|| Secret::new(text))
}

fn no_pem(path: &Path, wanted: &str, error: &Error) -> String {
    match error {
        Error::Io(error) => unreadable(path, error),
        Error::NoItemsFound => format!("{} holds no {wanted}; it must be a PEM file with one", path.display()),
        // What else can be wrong is the armour. The error might quote the file, and this might be a key.
        _ => format!("{} is not a PEM file that can be read; a line of it is damaged", path.display()),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(env: &HashMap<String, String>, folder: &Path) -> Result<Secret, String> {
        Outside { env, folder: folder.into() }.secret("file:key")
    }

    #[test]
    fn a_secret_is_read_from_where_it_is_and_loses_its_newline() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let env = HashMap::from([("NAME".to_owned(), "from-env\n".to_owned()), ("NONE".to_owned(), "\n".to_owned())]);
        fs::write(folder.path().join("key"), "from-file\r\n")?;
        assert_eq!(outside(&env, folder.path()), Ok(Secret::new("from-file")));

        let outside = Outside { env: &env, folder: folder.path().into() };
        assert_eq!(outside.secret("env:NAME"), Ok(Secret::new("from-env")));
        assert_eq!(outside.secret("itself"), Ok(Secret::new("itself")));
        assert!(outside.secret("env:NONE").is_err_and(|what| what.contains("NONE is empty")));
        assert!(outside.secret("env:MISSING").is_err_and(|what| what.contains("MISSING is not set")));
        assert!(outside.secret("file:missing").is_err_and(|what| what.contains("cannot read")));
        assert!(outside.secret("").is_err());
        Ok(())
    }

    #[test]
    fn a_damaged_pem_file_is_not_quoted() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key.pem");
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\nsecret!\n-----END PRIVATE KEY-----\n")?;
        assert!(private_key(&path).is_err_and(|what| what.contains("key.pem") && !what.contains("secret")));
        Ok(())
    }
}
