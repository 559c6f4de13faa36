//! What all workers know of an upstream: its breaker, how many links it carries, and what last went wrong with it.
//!
//! It refuses to dial, and to be locked: everything here is an atomic.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::breaker::{Breaker, Change, Phase};
use crate::edge::admin::{BreakerState, UpstreamStatus};

/// The state of one upstream, for as long as there is one of this name, whatever its configuration becomes.
#[derive(Debug)]
pub struct Shared {
    /// The upstream's name.
    pub name: Arc<str>,
    /// Whether it may be dialled.
    pub breaker: Arc<Breaker>,
    /// Attempts at which it did not take our credential.
    pub credential_rejected: AtomicU64,
    last_error: ArcSwapOption<String>,
    /// Legs in use or waiting.
    places: AtomicUsize,
    /// Those of them that wait.
    warm: AtomicUsize,
}

/// A place at an upstream: taken before it is dialled, given back when the leg, or the attempt, is gone.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    waits: bool,
}

impl Shared {
    /// An upstream of which nothing is known yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            breaker: Arc::new(Breaker::new()),
            credential_rejected: AtomicU64::new(0),
            last_error: ArcSwapOption::empty(),
            places: AtomicUsize::new(0),
            warm: AtomicUsize::new(0),
        }
    }

    /// A place, unless `most` are taken.
    pub fn take_place(self: &Arc<Self>, most: usize) -> Option<Place> {
        let take = |places| (places < most).then_some(places + 1);
        let taken = self.places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok().then(|| Place { shared: self.clone(), waits: false })
    }

    /// Keeps what went wrong, for the operator.
    pub fn note_error(&self, error: String) {
        self.last_error.store(Some(Arc::new(error)));
    }

    /// Forgets what went wrong: it is given another chance.
    pub fn reset(&self) {
        self.note_change(self.breaker.reset());
        self.last_error.store(None);
    }

    /// How it does, for the operator.
    pub fn status(&self, kind: &'static str) -> UpstreamStatus {
        let state = self.breaker.state(now());
        let warm = self.warm.load(Ordering::Relaxed);
        let (breaker, remaining) = match state.phase {
            Phase::Closed => (BreakerState::Closed, Duration::ZERO),
            Phase::Open { remaining } => (BreakerState::Open, remaining),
            Phase::HalfOpen => (BreakerState::HalfOpen, Duration::ZERO),
        };
        UpstreamStatus {
            name: self.name.to_string(),
            kind,
            breaker,
            retry_after_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            failures: state.failures,
            links: self.places.load(Ordering::Relaxed).saturating_sub(warm),
            warm,
            last_error: self.last_error.load().as_deref().cloned(),
            credential_rejected: self.credential_rejected.load(Ordering::Relaxed),
        }
    }

    /// Says in the log what a verdict changed.
    pub fn note_change(&self, change: Option<Change>) {
        let upstream = &*self.name;
        match change {
            None => {}
            Some(Change::Opened { hold }) => {
                let hold_ms = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(upstream, hold_ms, "breaker opened");
            }
            Some(Change::HalfOpen) => tracing::info!(upstream, "breaker half open"),
            Some(Change::Closed) => tracing::info!(upstream, "breaker closed"),
        }
    }
}

impl Place {
    /// Its leg waits for a client.
    pub fn wait(&mut self) {
        if !std::mem::replace(&mut self.waits, true) {
            self.shared.warm.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Its leg has a client.
    pub fn serve(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.shared.warm.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.serve();
        self.shared.places.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The time by which breakers go: since the process first asked, the same on all workers.
pub fn now() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
