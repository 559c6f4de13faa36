//! Paced frames through several proxies that are all up, in turns of a quarter of a second: what the machine does meanwhile
//! falls on all of them alike, so that their tails can be compared, and what such a frame costs. The others leave each of them
//! colder caches than it would have alone.

use std::time::Duration;

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
}

impl Contender {
    /// One that has done nothing yet.
    pub fn new(kind: Kind, proxy: Proxy, rig: Rig) -> anyhow::Result<Self> {
        Ok(Self { kind, proxy, rig, record: Record::new()? })
    }

    fn turn(&mut self, span: Span) -> anyhow::Result<()> {
        paced::run(&mut self.rig, &self.proxy.account, span, &mut self.record)
    }
}

/// Lets each have its window in turns, in another order each time, and tells what came out. One that fails ends at once, and
/// does not disturb the others.
pub fn run(mut contenders: Vec<Contender>, span: Span) -> Vec<(Kind, anyhow::Result<Figures>)> {
    let (turns, each) = divide(span);
    let mut told = Vec::new();
    for _ in 0..turns {
        fastrand::shuffle(&mut contenders);
        contenders.retain_mut(|contender| match contender.turn(each) {
            Ok(()) => true,
            Err(error) => {
                told.push((contender.kind, Err(error)));
                false
            }
        });
    }
    told.extend(contenders.into_iter().map(|contender| (contender.kind, contender.record.figures())));
    told
}

/// How many turns there are, two at least, and how long each of them is.
fn divide(span: Span) -> (u32, Span) {
    let turns = u32::try_from(span.window.as_millis() / TURN.as_millis()).unwrap_or(u32::MAX).max(2);
    (turns, Span { warm_up: span.warm_up / turns, window: span.window / turns, ..span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_divided_into_turns_of_a_quarter_of_a_second_and_two_at_least() {
        let divided = |window| {
            let span = Span { warm_up: window / 4, window, after_closing: Duration::ZERO, under_way: 0 };
            let (turns, each) = divide(span);
            (turns, each.warm_up * turns, each.window)
        };
        let (five, short) = (Duration::from_secs(5), Duration::from_millis(300));
        assert_eq!(divided(five), (20, five / 4, Duration::from_millis(250)));
        assert_eq!(divided(short), (2, short / 4, Duration::from_millis(150)));
    }
}
