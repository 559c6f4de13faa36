//! `realtime-relay hash-key`: turns a key into what the configuration holds of it. The key comes on stdin, so that it
//! stays out of process lists and shell histories.

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use crate::control::config::Secret;
use crate::control::keys;

/// Read a key on stdin, print its SHA-256 for [[keys]].
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct HashKeyArgs {}

/// Exits 0 with the digest, 2 if there is no key, 1 if stdin or stdout fail.
pub fn run(_args: HashKeyArgs) -> ExitCode {
    match key_of(&mut io::stdin().lock()) {
        Ok(Some(key)) => {
            let digest = keys::to_hex(&keys::digest(key.expose()));
            writeln!(io::stdout(), "{digest}").map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Ok(None) => {
            eprintln!("no key on stdin; write it there, on one line: printf %s \"$KEY\" | realtime-relay hash-key");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("stdin cannot be read: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The first line without its newline; `None` if nothing is left.
fn key_of(input: &mut impl BufRead) -> io::Result<Option<Secret>> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    let key = line.trim_end_matches(['\r', '\n']);
    Ok((!key.is_empty()).then(|| Secret::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_first_line_without_its_newline() -> io::Result<()> {
        assert_eq!(key_of(&mut "sk-1\r\nmore\n".as_bytes())?, Some(Secret::new("sk-1")));
        assert_eq!(key_of(&mut " sk 1 ".as_bytes())?, Some(Secret::new(" sk 1 ")), "blanks may belong to a key");
        assert_eq!(key_of(&mut "\n".as_bytes())?, None);
        assert_eq!(key_of(&mut "".as_bytes())?, None);
        Ok(())
    }
}
