//! Paced frames through several proxies that are all up, in turns of a quarter of a second: what the machine does meanwhile
//! falls on all of them alike, so that their tails can be compared, and what such a frame costs. The others leave each of them
//! colder caches than it would have alone.

use std::time::Duration;

use anyhow::Error;

use crate::load::paced::{self, Record};
use crate::load::{Figures, Span};
use crate::proxy::{Kind, Proxy};
use crate::rig::Rig;

/// About how long a turn is, without its warm-up.
const TURN: Duration = Duration::from_millis(250);

/// A proxy whose links are open, and what it has done so far.
pub struct Contender {
    kind: Kind,
    /// It ends before its links do.
    proxy: Proxy,
    rig: Rig,
    record: Record,
    failure: Option<Error>,
}

impl Contender {
    /// One that has done nothing yet.
    pub fn new(kind: Kind, proxy: Proxy, rig: Rig) -> anyhow::Result<Self> {
        Ok(Self { kind, proxy, rig, record: Record::new()?, failure: None })
    }

    /// Which proxy it is, and what came out for it.
    pub fn figures(self) -> (Kind, anyhow::Result<Figures>) {
        (self.kind, self.failure.map_or_else(|| self.record.figures(), Err))
    }

    /// After one that failed there are no more.
    fn turn(&mut self, span: Span) {
        if self.failure.is_none() {
            self.failure = paced::run(&mut self.rig, &self.proxy.account, span, &mut self.record).err();
        }
    }
}

/// Lets each have its window in turns, the order moving on by one each time.
pub fn run(contenders: &mut [Contender], span: Span) {
    let turns = (span.window.as_millis() / TURN.as_millis()).clamp(1, u128::from(u32::MAX));
    let turns = u32::try_from(turns).expect("no more");
    let each = Span { warm_up: span.warm_up / turns, window: span.window / turns, ..span };
    for _ in 0..turns {
        for contender in &mut *contenders {
            contender.turn(each);
        }
        let next = contenders.len().min(1);
        contenders.rotate_left(next);
    }
}
