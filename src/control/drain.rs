//! The way out: how far the process has come on it, and what is done when.
//!
//! ```text
//!  Serving ──▶ Grace ──▶ Draining ──▶ Ending ──▶ exit
//!              not ready  no more      links are   nothing is carried,
//!              any more   clients      ended       or the worst case has come
//! ```
//! It refuses to know listeners, links, signals and who asked: what has to be done is done by a [`House`].

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::config::Limits;

mod schedule;

pub use schedule::Schedule;

/// How long the last words may take when everything is to end at once. They are said without waiting for an answer, so
/// this is for a machine that has much else to do.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How far the process is on its way out. There is no way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// It is not on its way.
    Serving,
    /// Load balancers are told, and given time to notice; who comes is served.
    Grace,
    /// Nobody new is served; links go on.
    Draining,
    /// Links are ended.
    Ending,
}

impl Phase {
    /// Why nobody should be sent here; `None`: all are welcome.
    pub fn unready(self) -> Option<&'static str> {
        match self {
            Self::Serving => None,
            Self::Grace => Some("draining: about to stop; send new clients elsewhere"),
            Self::Draining => Some("draining: no new client is admitted"),
            Self::Ending => Some("draining: the last links are being ended"),
        }
    }
}

/// Where the process is on its way out, and what was asked of it. All threads share it, and nobody locks it.
#[derive(Debug, Default)]
pub struct Drain {
    phase: AtomicU8,
    begun: Notify,
    hurried: Notify,
    cut: Notify,
}

/// What is to be emptied. Dropping one of its futures leaves no more than what it was doing undone.
pub trait House {
    /// Tells whoever is to know that the end has begun.
    fn leave(&self);

    /// Lets nobody in any more, after those who stand before the door.
    fn close(&self) -> impl Future<Output = ()>;

    /// Ends all links in the course of this time, and those that still begin.
    fn end_all(&self, spread: Duration);

    /// Has all links gone: each says what can be said without waiting.
    fn cut_all(&self);

    /// Links, and clients that are about to have one or a refusal.
    fn carried(&self) -> usize;

    /// Ready as soon as nothing is carried. Nothing may be let in any more.
    fn empty(&self) -> impl Future<Output = ()>;
}

impl Drain {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Serving,
            1 => Phase::Grace,
            2 => Phase::Draining,
            _ => Phase::Ending,
        }
    }

    /// Begins the drain, with its grace. Whoever asks a second time changes nothing.
    pub fn begin(&self) {
        self.advance(Phase::Grace);
        self.begun.notify_one();
    }

    /// Begins the drain without the grace, or ends the grace.
    pub fn hurry(&self) {
        self.hurried.notify_one();
        self.begin();
    }

    /// Ends everything at once.
    pub fn cut(&self) {
        self.advance(Phase::Ending);
        self.cut.notify_one();
    }

    fn advance(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::Relaxed);
    }

    /// Waits until a drain is asked for, and sees it through. When it is done, nothing is carried any more that could
    /// still be told anything.
    ///
    /// Not cancel safe: dropped, it leaves the house as it is.
    pub async fn see_through(&self, schedule: Schedule, house: &impl House) {
        tokio::select! {
            biased;
            () = self.cut.notified() => self.at_once(house).await,
            () = self.in_order(schedule, house) => {}
        }
    }

    async fn in_order(&self, schedule: Schedule, house: &impl House) {
        self.begun.notified().await;
        house.leave();
        if !schedule.grace.is_zero() {
            tracing::info!("draining: not ready any more; clients are still admitted for {:?}", schedule.grace);
        }
        tokio::select! {
            biased;
            () = self.hurried.notified() => {}
            () = sleep(schedule.grace) => {}
        }
        self.advance(Phase::Draining);
        house.close().await;
        let carried = house.carried();
        if let Some(limit) = schedule.timeout {
            tracing::info!(carried, "draining: no new clients; links have {limit:?} to end by themselves");
        } else {
            tracing::info!(carried, "draining: no new clients; links are waited for, however long they last");
        }
        if within(schedule.timeout, house.empty()).await {
            tracing::info!("drained: every link has ended by itself");
            return;
        }
        self.advance(Phase::Ending);
        tracing::info!(carried = house.carried(), "draining: links are ended in the course of {:?}", schedule.spread);
        house.end_all(schedule.spread);
        if within(Some(schedule.ending()), house.empty()).await {
            tracing::info!("drained: the rest has ended");
        } else {
            self.at_once(house).await;
        }
    }

    async fn at_once(&self, house: &impl House) {
        tracing::warn!(carried = house.carried(), "what is left is cut");
        house.cut_all();
        within(Some(LAST_WORDS), house.empty()).await;
    }
}

/// Whether something came to pass in time; with `None` it always does.
async fn within(limit: Option<Duration>, future: impl Future<Output = ()>) -> bool {
    let Some(limit) = limit else {
        future.await;
        return true;
    };
    timeout(limit, future).await.is_ok()
}

#[cfg(test)]
mod tests;
