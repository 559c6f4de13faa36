//! What the allocator keeps for later, and when the system has it back: not with each connection that goes, which would
//! have the next one pay for its pages anew, but a while after.
//!
//! It refuses to know the allocator. The binary chooses one, and says how it is asked.

use std::sync::OnceLock;
use std::time::Duration;

/// How long after a connection came or went: long beside a handshake, and short beside the time in which somebody looks at the
/// memory of a process that has nothing left to carry.
pub(crate) const LULL: Duration = Duration::from_secs(1);

static GIVE_BACK: OnceLock<fn()> = OnceLock::new();

/// From now on `how` has the allocator give back what it keeps for the calling thread. The first one stays.
pub fn give_back_by(how: fn()) {
    let _ = GIVE_BACK.set(how);
}

/// Gives back what is kept for this thread; does nothing where nobody said how.
pub(crate) fn give_back() {
    if let Some(give_back) = GIVE_BACK.get() {
        give_back();
    }
}
