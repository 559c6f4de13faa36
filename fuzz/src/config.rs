//! A configuration, whatever its text: it is taken, or every mistake is told with its place. One that is taken prints as a
//! text that is taken and prints the same, and shows no secret.

use realtime_relay::control::config::{Config, parse};

/// Holds the claim against this text.
pub fn holds(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    // A configuration may name files, and reads them. What is in them is not the fuzzer's.
    if text.contains('/') && (text.contains("file:/") || text.contains("/dev") || text.contains("/proc")) {
        return;
    }
    match parse(text) {
        Ok(config) => {
            let shown = config.to_string();
            shows_no_secret(text, &config, &shown);
            let again = parse(&shown).unwrap_or_else(|mistakes| panic!("{shown}\n{mistakes}"));
            assert_eq!(again.to_string(), shown);
        }
        Err(mistakes) => {
            assert!(mistakes.iter().count() > 0);
            for mistake in mistakes.iter() {
                assert!(!mistake.what.is_empty(), "{mistake:?}");
            }
        }
    }
}

/// A secret that the text holds once, where it is the secret, stands nowhere in what is shown.
fn shows_no_secret(text: &str, config: &Config, shown: &str) {
    let secrets = config.upstreams.iter().filter_map(|upstream| upstream.key.as_ref()).chain(&config.admin.token);
    for secret in secrets.map(|secret| secret.expose()) {
        if secret.len() >= 8 && text.matches(secret).count() == 1 {
            assert!(!shown.contains(secret), "it shows {secret}");
        }
    }
}
