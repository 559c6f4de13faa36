//! The key table: who presents this key? Compares digests only, so it holds no key, and takes the same time whichever
//! one fits. Refuses to know where a key stood in a request and what its owner may do.

use std::time::SystemTime;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::config::Key;

/// The configured keys.
#[derive(Clone, Debug)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// The table of these keys. Their digests differ: the configuration sees to that.
    pub fn new(keys: &[Key]) -> Self {
        Self(keys.to_vec())
    }

    /// The key that was presented, unless it has expired at `now`.
    ///
    /// Every key is compared, to its last byte: the time this takes tells how many keys there are, not how near a guess
    /// came. An expiry is looked at afterwards, and only tells who holds the key.
    pub fn find(&self, presented: &str, now: SystemTime) -> Option<&Key> {
        let presented = digest(presented);
        let mut position = u64::MAX;
        for (index, key) in (0_u64..).zip(&self.0) {
            let fits: Choice = key.digest.ct_eq(&presented);
            position.conditional_assign(&index, fits);
        }
        let key = self.0.get(usize::try_from(position).ok()?)?;
        key.expires.is_none_or(|expires| now < expires).then_some(key)
    }
}

/// What stands for a key in the configuration: its SHA-256.
pub fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// A digest as `sha256 = "…"` has it: 64 hex digits in lower case.
pub fn to_hex(digest: &[u8; 32]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // a String takes everything
        hex
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::config::Allow;

    fn key(name: &str, secret: &str, expires: Option<SystemTime>) -> Key {
        Key {
            name: name.into(),
            digest: digest(secret),
            models: None,
            upstreams: None,
            allow: Allow::default(),
            max_links: None,
            new_links_per_minute: None,
            quota: None,
            expires,
        }
    }

    fn found<'a>(keys: &'a Keys, presented: &str) -> Option<&'a str> {
        keys.find(presented, SystemTime::UNIX_EPOCH).map(|key| key.name.as_str())
    }

    #[test]
    fn finds_each_key_and_nothing_else() {
        let keys = Keys::new(&[key("first", "a", None), key("second", "b", None), key("third", "c", None)]);
        assert_eq!(found(&keys, "a"), Some("first"));
        assert_eq!(found(&keys, "b"), Some("second"));
        assert_eq!(found(&keys, "c"), Some("third"));
        assert_eq!(found(&keys, "d"), None);
        assert_eq!(found(&keys, ""), None);
        assert_eq!(found(&Keys::new(&[]), "a"), None);
    }

    #[test]
    fn an_expired_key_is_no_key() {
        let end = SystemTime::UNIX_EPOCH + Duration::from_mins(1);
        let keys = Keys::new(&[key("short", "a", Some(end))]);
        assert!(keys.find("a", end - Duration::from_nanos(1)).is_some());
        assert!(keys.find("a", end).is_none());
    }

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        assert_eq!(to_hex(&digest("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
