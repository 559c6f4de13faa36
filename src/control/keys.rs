//! The key table: who presents this key? Compares digests only, so it holds no key, and takes the same time whichever
//! one fits. Refuses to know where a key stood in a request and what its owner may do.

use std::collections::HashSet;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::config::Key;

/// What stands for a key: its SHA-256.
pub type Digest = [u8; 32];

/// The configured keys.
#[derive(Clone, Debug, Default)]
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
        lasts(key, now).then_some(key)
    }

    /// Whether this is still the key of this name at `now`. Tells a stranger nothing: who asks has shown it before.
    pub fn is_valid(&self, name: &str, digest: &Digest, now: SystemTime) -> bool {
        self.0.iter().any(|key| key.name == name && key.digest == *digest && lasts(key, now))
    }

    /// The names of those that have expired at `now`.
    pub fn expired(&self, now: SystemTime) -> HashSet<&str> {
        self.0.iter().filter(|key| !lasts(key, now)).map(|key| key.name.as_str()).collect()
    }

    /// When the next one expires, after `now`.
    pub fn next_expiry(&self, now: SystemTime) -> Option<SystemTime> {
        self.0.iter().filter_map(|key| key.expires).filter(|expires| *expires > now).min()
    }

    /// The names whose key is another one `here` than there, or is gone.
    pub fn revoked_in<'k>(&'k self, here: &Self) -> HashSet<&'k str> {
        let stays = |key: &Key| here.0.iter().any(|other| other.name == key.name && other.digest == key.digest);
        self.0.iter().filter(|key| !stays(key)).map(|key| key.name.as_str()).collect()
    }
}

fn lasts(key: &Key, now: SystemTime) -> bool {
    key.expires.is_none_or(|expires| now < expires)
}

/// What stands for this key.
pub fn digest(key: &str) -> Digest {
    Sha256::digest(key).into()
}

/// A digest as `sha256 = "…"` has it: 64 hex digits in lower case.
pub fn to_hex(digest: &Digest) -> String {
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
    fn a_key_is_revoked_that_is_gone_or_has_become_another() {
        let before = Keys::new(&[key("stays", "a", None), key("changes", "b", None), key("goes", "c", None)]);
        let after = Keys::new(&[key("changes", "d", None), key("stays", "a", None), key("comes", "e", None)]);
        assert_eq!(before.revoked_in(&after), HashSet::from(["changes", "goes"]));
    }

    #[test]
    fn the_next_expiry_is_that_of_no_key_that_has_expired() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let keys = Keys::new(&[key("a", "a", Some(at(3))), key("b", "b", Some(at(2))), key("c", "c", None)]);
        assert_eq!((keys.next_expiry(at(1)), keys.expired(at(1))), (Some(at(2)), HashSet::new()));
        assert_eq!((keys.next_expiry(at(2)), keys.expired(at(2))), (Some(at(3)), HashSet::from(["b"])));
        assert_eq!((keys.next_expiry(at(3)), keys.expired(at(3))), (None, HashSet::from(["a", "b"])));
    }

    #[test]
    fn a_digest_is_what_sha256sum_prints() {
        assert_eq!(to_hex(&digest("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
