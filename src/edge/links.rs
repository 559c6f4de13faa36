//! The links of a worker, whatever configuration they began under: they are shown, and they are told to end, by other
//! threads' leave or because their key is valid no more.
//!
//! It refuses to know who asks, and how a link ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::admin::LinkStatus;
use crate::control::keys::{Digest, Keys};
use crate::control::link_info::LinkInfo;
use crate::control::metering::Metering;
use crate::relay::ending::Decision;
use crate::relay::table::{Registered, Table};

/// The calendar may be set anew, or the machine sleep: so often it is looked at, whatever it said.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Which links of a worker.
#[derive(Debug, Clone)]
pub enum Which {
    /// This one.
    Link(Uuid),
    /// Those of the key of this name.
    Key(String),
}

/// The links that run on this worker, and what is known of all of them.
#[derive(Debug, Default)]
pub struct Links {
    table: Rc<Table<Uuid, LinkInfo>>,
    /// Since this was decided, a link ends as soon as it begins.
    over: Cell<Option<Decision>>,
    /// Those that are valid now, which a link may have been admitted before.
    keys: RefCell<Keys>,
    keys_changed: Notify,
}

impl Links {
    /// Takes a link in, with the key that it showed. One that begins after all were told to end, or all of its key, or after
    /// its key was revoked, is told at once.
    pub(super) fn register(
        &self,
        info: &Rc<LinkInfo>,
        key: Option<&Digest>,
        metering: &Metering,
    ) -> Registered<Uuid, LinkInfo> {
        let registered = self.table.register(info.id, info.clone());
        if let Some(decision) = self.over.get() {
            registered.orders.end(decision);
        }
        if key.is_some_and(|key| !self.keys.borrow().is_valid(&info.key, key, SystemTime::now())) {
            registered.orders.end(Decision::KeyRevoked);
        }
        if metering.check_quota(&info.key).is_err() {
            registered.orders.end(Decision::QuotaUsedUp);
        }
        registered
    }

    /// Keeps no more room than the links of this moment need.
    pub(crate) fn shrink(&self) {
        self.table.shrink();
    }

    /// How each link does, in no order.
    pub fn statuses(&self) -> Vec<LinkStatus> {
        self.table.map(LinkStatus::of)
    }

    /// Ends these links; tells how many there were.
    pub fn end(&self, which: &Which, decision: Decision) -> usize {
        match which {
            Which::Link(id) => usize::from(self.table.end(*id, decision)),
            Which::Key(name) => self.table.end_where(|link| *link.key == **name, decision),
        }
    }

    /// Ends all links, and those that are still to begin, one after the other in the course of `spread`, so that their
    /// clients do not all come back at once.
    ///
    /// Not cancel safe: dropped, it leaves the rest of them running.
    pub async fn end_all(&self, decision: Decision, spread: Duration) {
        self.over.set(Some(decision));
        let all = self.table.orders();
        let (begin, count) = (Instant::now(), u32::try_from(all.len()).unwrap_or(u32::MAX).max(1));
        for (index, orders) in (0..).zip(all) {
            sleep_until(begin + spread / count * index).await;
            orders.end(decision);
        }
    }

    /// Has all links gone: each says what can be said without waiting.
    pub fn cut_all(&self, decision: Decision) {
        self.over.set(Some(decision));
        for orders in self.table.orders() {
            orders.end_at_once(decision);
        }
    }

    /// From now on these keys are valid. Ends the links of those that were, and are not any more, or have become another.
    pub(super) fn set_keys(&self, keys: Keys) {
        let before = self.keys.replace(keys);
        let now = self.keys.borrow();
        let revoked = before.revoked_in(&now);
        self.table.end_where(|link| revoked.contains(&*link.key), Decision::KeyRevoked);
        self.keys_changed.notify_one();
    }

    /// Ends the links of each key when that expires, for as long as it is polled.
    ///
    /// Cancel safe.
    pub(super) async fn watch_expiry(&self) {
        loop {
            let now = SystemTime::now();
            let next = {
                let keys = self.keys.borrow();
                let expired = keys.expired(now);
                self.table.end_where(|link| expired.contains(&*link.key), Decision::KeyRevoked);
                keys.next_expiry(now).map(|next| next.duration_since(now).unwrap_or_default())
            };
            tokio::select! {
                () = self.keys_changed.notified() => {}
                () = sleep(next.map_or(LOOK_AGAIN, |next| next.min(LOOK_AGAIN))) => {}
            }
        }
    }
}
