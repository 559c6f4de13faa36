//! Whether the ledger takes records, for everyone to see at any time. Refuses to know what is done about it.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;

/// Whether the ledger takes records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It does, as far as anyone has tried.
    #[default]
    Ok,
    /// It does not. What waits is kept, and tried again.
    Failing {
        /// When that was first found out.
        since: SystemTime,
        /// What the disk said last.
        error: String,
    },
}

/// The state that the writer sets and everyone reads, without a lock.
#[derive(Clone, Debug, Default)]
pub(super) struct Sign(Arc<ArcSwap<Health>>);

impl Sign {
    pub(super) fn read(&self) -> Arc<Health> {
        self.0.load_full()
    }

    /// It works. Whether it did not before.
    pub(super) fn mend(&self) -> bool {
        let failed = *self.read() != Health::Ok;
        if failed {
            self.0.store(Arc::default());
        }
        failed
    }

    /// It fails. Whether it did not before.
    pub(super) fn fail(&self, error: String) -> bool {
        let (since, first) = match &*self.read() {
            Health::Ok => (SystemTime::now(), true),
            Health::Failing { since, .. } => (*since, false),
        };
        self.0.store(Arc::new(Health::Failing { since, error }));
        first
    }
}
