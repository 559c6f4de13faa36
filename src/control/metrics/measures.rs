//! What one worker counts: for itself, without atomics, until it is asked to publish.
//!
//! It refuses to know other workers, and who reads what is published.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{AtomicU64, GenericLocalCounterVec};
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{Counter, IntCounter};

use super::Metrics;
use super::work::Work;
use crate::control::link_info::LinkInfo;
use crate::relay::link::{LinkReport, Tallies};
use crate::relay::pump::Tally;

/// The measures of one worker. Nothing of it is touched per frame but the tallies, which the pumps share.
#[derive(Debug)]
pub struct Measures {
    /// What all its links carry.
    pub tallies: Tallies,
    local: RefCell<Local>,
}

/// A part of setting up a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The request is judged.
    Admission,
    /// An upstream is called, up to its 101.
    Dial,
    /// It is waited for to speak.
    FirstEvent,
}

impl Stage {
    pub(super) const ALL: [Self; 3] = [Self::Admission, Self::Dial, Self::FirstEvent];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Dial => "dial",
            Self::FirstEvent => "first_event",
        }
    }
}

/// The worker's share of each family.
#[derive(Debug)]
struct Local {
    work: Arc<Work>,
    /// By key and upstream.
    links: HashMap<(Arc<str>, Arc<str>), Rc<Links>>,
    refusals: LocalCounters,
    tls_failures: LocalIntCounter,
    /// By [`Stage::ALL`].
    setup: [LocalHistogram; 3],
    attempts: LocalCounters,
    failures: LocalCounters,
    passed_over: LocalCounters,
    warm_legs_used: LocalCounters,
    up: Published,
    down: Published,
    busy: (Counter, Duration),
}

/// What is counted of the links of one key to one upstream, and is not published yet. A link has it at hand, so that it is
/// looked up once for each.
#[derive(Debug, Default)]
struct Links {
    /// How many more are open.
    open: Cell<i64>,
    opened: Cell<u64>,
    ended: RefCell<Vec<(&'static str, u64)>>,
    unsettled: Cell<u64>,
}

/// A link that counts as open.
#[derive(Debug)]
pub struct OpenLink(Rc<Links>);

type LocalCounters = GenericLocalCounterVec<AtomicU64>;

/// A tally, and how much of it is known to everybody.
#[derive(Debug)]
struct Published {
    tally: Rc<Tally>,
    frames: (IntCounter, Cell<u64>),
    bytes: (IntCounter, Cell<u64>),
}

impl Measures {
    /// Those of the worker of this number, which has counted nothing yet.
    pub fn new(metrics: &Metrics, worker: usize) -> Self {
        let work = metrics.work.clone();
        let tallies = Tallies::default();
        let local = Local {
            links: HashMap::new(),
            refusals: work.refusals.local(),
            tls_failures: work.tls_failures.local(),
            setup: Stage::ALL.map(|stage| work.setup.with_label_values(&[stage.name()]).local()),
            attempts: work.attempts.local(),
            failures: work.failures.local(),
            passed_over: work.passed_over.local(),
            warm_legs_used: work.warm_legs_used.local(),
            up: Published::new(&work, &tallies.up, "up"),
            down: Published::new(&work, &tallies.down, "down"),
            busy: (work.busy.with_label_values(&[&worker.to_string()]), Duration::ZERO),
            work,
        };
        Self { tallies, local: RefCell::new(local) }
    }

    /// A link has begun.
    pub fn link_opened(&self, link: &LinkInfo) -> OpenLink {
        let mut local = self.local.borrow_mut();
        let links = local.links.entry((link.key.clone(), link.upstream.clone())).or_default();
        links.opened.update(|opened| opened + 1);
        links.open.update(|open| open + 1);
        OpenLink(links.clone())
    }

    /// A request got no link.
    pub fn refused(&self, code: &'static str) {
        self.local.borrow_mut().refusals.with_label_values(&[code]).inc();
    }

    /// A client did not come as far as a request.
    pub fn tls_failed(&self) {
        self.local.borrow().tls_failures.inc();
    }

    /// A stage of setting up a link is done.
    pub fn took(&self, stage: Stage, time: Duration) {
        self.local.borrow().setup[stage as usize].observe(time.as_secs_f64());
    }

    /// An upstream is called.
    pub fn attempted(&self, upstream: &str) {
        self.local.borrow_mut().attempts.with_label_values(&[upstream]).inc();
    }

    /// It was called in vain; `kind` says where it failed.
    pub fn attempt_failed(&self, upstream: &str, kind: &'static str) {
        self.local.borrow_mut().failures.with_label_values(&[upstream, kind]).inc();
    }

    /// It is not called.
    pub fn passed_over(&self, upstream: &str, reason: &'static str) {
        self.local.borrow_mut().passed_over.with_label_values(&[upstream, reason]).inc();
    }

    /// A leg that waited has its client.
    pub fn warm_leg_used(&self, upstream: &str) {
        self.local.borrow_mut().warm_legs_used.with_label_values(&[upstream]).inc();
    }

    /// Lets everybody know what was counted. `busy`: how long the worker has done anything but wait, since it began.
    pub fn publish(&self, busy: Duration) {
        let mut local = self.local.borrow_mut();
        let Local { refusals, attempts, failures, passed_over, warm_legs_used, .. } = &*local;
        for counters in [refusals, attempts, failures, passed_over, warm_legs_used] {
            counters.flush();
        }
        local.tls_failures.flush();
        local.setup.iter().for_each(LocalHistogram::flush);
        local.up.publish();
        local.down.publish();
        let work = local.work.clone();
        for ((key, upstream), links) in &local.links {
            links.publish(&work, key, upstream);
        }
        local.links.retain(|_, links| Rc::strong_count(links) > 1);
        let (counter, known) = &mut local.busy;
        counter.inc_by(busy.saturating_sub(*known).as_secs_f64());
        *known = busy;
    }
}

impl OpenLink {
    /// The link is over.
    pub fn ended(self, report: &LinkReport) {
        let Self(links) = self;
        links.open.update(|open| open - 1);
        links.unsettled.update(|unsettled| unsettled + u64::from(report.unsettled));
        let (name, mut ended) = (report.ending.name(), links.ended.borrow_mut());
        match ended.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => ended.push((name, 1)),
        }
    }
}

impl Links {
    fn publish(&self, work: &Work, key: &str, upstream: &str) {
        let (opened, ended) = (self.opened.take(), self.ended.take());
        if opened == 0 && ended.is_empty() {
            return;
        }
        work.links.with_label_values(&[key, upstream]).add(self.open.take());
        work.opened.with_label_values(&[key, upstream]).inc_by(opened);
        work.unsettled.with_label_values(&[upstream]).inc_by(self.unsettled.take());
        for (ending, count) in ended {
            work.ended.with_label_values(&[upstream, ending]).inc_by(count);
        }
    }
}

impl Published {
    fn new(work: &Work, tally: &Rc<Tally>, direction: &str) -> Self {
        let count = |family: &prometheus::IntCounterVec| (family.with_label_values(&[direction]), Cell::new(0));
        Self { tally: tally.clone(), frames: count(&work.frames), bytes: count(&work.bytes) }
    }

    fn publish(&self) {
        let Self { tally, frames, bytes } = self;
        for ((counter, known), count) in [(frames, &tally.frames), (bytes, &tally.bytes)] {
            counter.inc_by(count.get() - known.replace(count.get()));
        }
    }
}
