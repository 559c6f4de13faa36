//! Places that are taken: on a worker by each accepted connection, until its link, or the refused connection, is gone; at
//! the gate by each link, from its admission on.
//!
//! It refuses to know what takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The places that are taken.
#[derive(Debug, Default)]
pub struct Load {
    taken: AtomicUsize,
    /// Rung when the last place is given back. Nobody waits for it but at the end of the process, and until somebody does,
    /// ringing is an atomic exchange.
    emptied: Notify,
    /// Rung each time that a place is taken or given back.
    changed: Notify,
}

/// A place. Dropped, it is free.
#[derive(Debug)]
pub struct Slot(Arc<Load>);

impl Load {
    /// Takes a place.
    pub fn take(self: &Arc<Self>) -> Slot {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
        Slot(self.clone())
    }

    /// Takes a place, unless `most` are taken.
    pub fn take_of(self: &Arc<Self>, most: usize) -> Option<Slot> {
        let take = |taken| (taken < most).then(|| taken + 1);
        let found = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        found.is_ok().then(|| Slot(self.clone()))
    }

    /// How many places are taken at this moment.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Ready when places have been taken or given back since this was last ready. One waits at a time.
    ///
    /// Cancel safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Ready at a moment when no place is taken. One waits at a time.
    ///
    /// Cancel safe.
    pub async fn emptied(&self) {
        // A ring that nobody heard is kept, so none is missed between the look and the wait.
        while self.taken() > 0 {
            self.emptied.notified().await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.changed.notify_one();
        if self.0.taken.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_waits_for_the_last_place_learns_of_it_on_another_thread() {
        for _ in 0..2_000 {
            let load = Arc::new(Load::default());
            let slots = [load.take(), load.take(), load.take()];
            let giving_back = tokio::spawn(async move { drop(slots) });
            tokio::time::timeout(std::time::Duration::from_secs(10), load.emptied()).await.expect("the ring is heard");
            assert_eq!(load.taken(), 0);
            giving_back.await.unwrap();
        }
    }
}
