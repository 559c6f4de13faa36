//! What is done to the links of a worker by other threads' leave: they are shown, and they are told to end.
//!
//! It refuses to know who asks, and how a link ends.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Edge;
use super::admin::LinkStatus;
use crate::control::link_info::LinkInfo;
use crate::relay::ending::Decision;
use crate::relay::table::Registered;

/// Which links of a worker.
#[derive(Debug, Clone)]
pub enum Which {
    /// This one.
    Link(Uuid),
    /// Those of the key of this name.
    Key(String),
}

impl Edge {
    /// Takes a link in. One that begins after all were told to end, or all of its key, is told at once.
    pub(super) fn register(&self, info: &Rc<LinkInfo>) -> Registered<Uuid, LinkInfo> {
        let registered = self.links.register(info.id, info.clone());
        if let Some(decision) = self.over.get() {
            registered.orders.end(decision);
        }
        if self.metering.check_quota(&info.key).is_err() {
            registered.orders.end(Decision::QuotaUsedUp);
        }
        registered
    }

    /// How each link does, in no order.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.links.map(LinkStatus::of)
    }

    /// Ends these links; tells how many there were.
    pub fn end(&self, which: &Which, decision: Decision) -> usize {
        match which {
            Which::Link(id) => usize::from(self.links.end(*id, decision)),
            Which::Key(name) => self.links.end_where(|link| *link.key == **name, decision),
        }
    }

    /// Ends all links, and those that are still to begin, one after the other in the course of `spread`, so that their
    /// clients do not all come back at once.
    ///
    /// Not cancel safe: dropped, it leaves the rest of them running.
    pub async fn end_all(&self, decision: Decision, spread: Duration) {
        self.over.set(Some(decision));
        let all = self.links.orders();
        let (begin, count) = (Instant::now(), u32::try_from(all.len()).unwrap_or(u32::MAX).max(1));
        for (index, orders) in (0..).zip(all) {
            sleep_until(begin + spread / count * index).await;
            orders.end(decision);
        }
    }

    /// Has all links gone: each says what can be said without waiting.
    pub fn cut_all(&self, decision: Decision) {
        self.over.set(Some(decision));
        for orders in self.links.orders() {
            orders.end_at_once(decision);
        }
    }
}
