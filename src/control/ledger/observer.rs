//! What the ledger's thread tells while it works. Refuses to know who listens.

use std::time::Duration;

use super::record::{NewUsage, Record};
use super::recorder::Stored;

/// Listens on the ledger's thread, so nothing of it may block. A closure is one that listens to what is new.
pub trait Observer {
    /// A usage row is new to the ledger, whichever process wrote it. Told once of each.
    fn is_new(&mut self, usage: &NewUsage);

    /// The ledger is done with a record of this process.
    fn is_stored(&mut self, _: &Record, _: Stored) {}

    /// A group of records is on the disk, which took so long.
    fn has_committed(&mut self, _: Duration) {}

    /// The disk has refused a group of records; so many of them are kept, to be tried again.
    fn has_failed(&mut self, _: usize) {}
}

impl<F: FnMut(&NewUsage)> Observer for F {
    fn is_new(&mut self, usage: &NewUsage) {
        self(usage);
    }
}
