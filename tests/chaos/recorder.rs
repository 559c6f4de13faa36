//! Takes the records of a link as a ledger does on a good day, on a slow one, or never.
//!
//! It refuses to know what a record costs.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use realtime_relay::relay::events::{Event, ResponseDone};
use realtime_relay::relay::tap::Observe;
use tokio::time::{Sleep, sleep};

use crate::fault::{Fault, Injected};
use crate::script::Recording;

pub struct Recorder {
    how: Recording,
    injected: Injected,
    kept: Rc<RefCell<Kept>>,
    waits: Option<Pin<Box<Sleep>>>,
}

/// What was recorded.
#[derive(Debug, Default)]
pub struct Kept {
    pub seen: Vec<ResponseDone>,
    /// So many of them have been taken.
    pub taken: usize,
}

impl Recorder {
    pub fn new(how: Recording, injected: Injected) -> (Self, Rc<RefCell<Kept>>) {
        let kept = Rc::<RefCell<Kept>>::default();
        (Self { how, injected, kept: kept.clone(), waits: None }, kept)
    }
}

impl Observe for Recorder {
    fn observe(&mut self, event: Event) -> bool {
        let Event::ResponseDone(done) = event else { return true };
        let mut kept = self.kept.borrow_mut();
        assert_eq!(kept.seen.len(), kept.taken, "the next one waits");
        kept.seen.push(done);
        match self.how {
            Recording::AtOnce => kept.taken += 1,
            Recording::After(time) => {
                self.injected.count(Fault::SlowRecord);
                self.waits = Some(Box::pin(sleep(time)));
            }
            Recording::Never => self.injected.count(Fault::NoRecord),
            Recording::Panics => {
                self.injected.count(Fault::Panic);
                // As a panic, but without a word of it on the terminal.
                resume_unwind(Box::new("as the script says"));
            }
        }
        self.how == Recording::AtOnce
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.waits {
            Some(sleep) => ready!(sleep.as_mut().poll(cx)),
            None if self.how == Recording::Never => return Poll::Pending,
            None => return Poll::Ready(()),
        }
        self.waits = None;
        self.kept.borrow_mut().taken += 1;
        Poll::Ready(())
    }
}
