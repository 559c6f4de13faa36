//! The order and the moments of a drain, by a clock that the tests move.

use std::cell::{Cell, RefCell};

use tokio::time::{Instant, sleep_until};

use super::*;

const SCHEDULE: Schedule = Schedule {
    grace: Duration::from_secs(5),
    timeout: Some(Duration::from_secs(30)),
    spread: Duration::from_secs(2),
    farewell: Duration::from_secs(10),
};

/// A house that is empty from some moment on, and writes down what is done to it at which second.
struct Noted {
    start: Instant,
    empty_at: Cell<Instant>,
    /// How long the end takes, once it was asked for.
    dies_in: Duration,
    done: RefCell<Vec<(u64, &'static str)>>,
}

impl Noted {
    fn emptied_after(seconds: u64) -> Self {
        let start = Instant::now();
        let empty_at = Cell::new(start + Duration::from_secs(seconds));
        Self { start, empty_at, dies_in: Duration::from_secs(1), done: RefCell::default() }
    }

    fn note(&self, what: &'static str) {
        self.done.borrow_mut().push((self.start.elapsed().as_secs(), what));
    }

    fn dies(&self) {
        self.empty_at.set(self.empty_at.get().min(Instant::now() + self.dies_in));
    }
}

impl House for Noted {
    fn leave(&self) {
        self.note("leave");
    }

    async fn close(&self) {
        self.note("close");
    }

    fn end_all(&self, spread: Duration) {
        assert_eq!(spread, SCHEDULE.spread);
        self.note("end");
        self.dies();
    }

    fn cut_all(&self) {
        self.note("cut");
        self.dies();
    }

    fn carried(&self) -> usize {
        1
    }

    async fn empty(&self) {
        sleep_until(self.empty_at.get()).await;
    }
}

/// What is done when, with the second at which it is over.
async fn seen_through(
    schedule: Schedule,
    house: Noted,
    meanwhile: impl AsyncFnOnce(&Drain),
) -> Vec<(u64, &'static str)> {
    let drain = Drain::default();
    tokio::join!(
        async {
            drain.see_through(schedule, &house).await;
            house.note("over");
        },
        meanwhile(&drain)
    );
    house.done.into_inner()
}

#[tokio::test(start_paused = true)]
async fn nothing_happens_before_it_is_asked_for() {
    let (drain, house) = (Drain::default(), Noted::emptied_after(0));
    assert!(timeout(Duration::from_hours(100), drain.see_through(SCHEDULE, &house)).await.is_err());
    assert_eq!((drain.phase(), house.done.into_inner()), (Phase::Serving, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn links_that_end_by_themselves_are_not_ended() {
    let done = seen_through(SCHEDULE, Noted::emptied_after(20), async |drain| drain.begin()).await;
    assert_eq!(done, [(0, "leave"), (5, "close"), (20, "over")]);
}

#[tokio::test(start_paused = true)]
async fn links_that_go_on_are_ended_after_the_timeout() {
    let done = seen_through(SCHEDULE, Noted::emptied_after(1_000), async |drain| drain.begin()).await;
    assert_eq!(done, [(0, "leave"), (5, "close"), (35, "end"), (36, "over")]);
}

#[tokio::test(start_paused = true)]
async fn links_that_do_not_come_to_an_end_are_cut_when_the_worst_case_has_come() {
    let mut house = Noted::emptied_after(1_000);
    house.dies_in = Duration::from_secs(100);
    let done = seen_through(SCHEDULE, house, async |drain| drain.begin()).await;
    let worst = SCHEDULE.worst_case().unwrap().as_secs();
    assert_eq!(
        (worst, done.as_slice()),
        (47, &[(0, "leave"), (5, "close"), (35, "end"), (47, "cut"), (48, "over")][..])
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_links_are_waited_for() {
    let schedule = Schedule { timeout: None, ..SCHEDULE };
    let done = seen_through(schedule, Noted::emptied_after(100_000), async |drain| drain.begin()).await;
    assert_eq!((schedule.worst_case(), done.as_slice()), (None, &[(0, "leave"), (5, "close"), (100_000, "over")][..]));
}

#[tokio::test(start_paused = true)]
async fn who_is_in_a_hurry_takes_no_grace() {
    let done = seen_through(SCHEDULE, Noted::emptied_after(20), async |drain| drain.hurry()).await;
    assert_eq!(done, [(0, "leave"), (0, "close"), (20, "over")]);
    let later = async |drain: &Drain| {
        drain.begin();
        sleep(Duration::from_secs(3)).await;
        drain.hurry();
    };
    let done = seen_through(SCHEDULE, Noted::emptied_after(20), later).await;
    assert_eq!(done, [(0, "leave"), (3, "close"), (20, "over")]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_changes_nothing() {
    let again = async |drain: &Drain| {
        for _ in 0..40 {
            drain.begin();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let done = seen_through(SCHEDULE, Noted::emptied_after(1_000), again).await;
    assert_eq!(done, [(0, "leave"), (5, "close"), (35, "end"), (36, "over")]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_comes_at_once_whatever_was_going_on() {
    let at = |seconds| {
        async move |drain: &Drain| {
            drain.begin();
            sleep(Duration::from_secs(seconds)).await;
            drain.cut();
        }
    };
    let mut done = Vec::new();
    for seconds in [2, 20, 40] {
        let mut house = Noted::emptied_after(1_000);
        house.dies_in = Duration::from_secs(100);
        done.push(seen_through(SCHEDULE, house, at(seconds)).await.split_off(1 + usize::from(seconds > 5)));
    }
    assert_eq!(done[0], [(2, "cut"), (3, "over")]);
    assert_eq!(done[1], [(20, "cut"), (21, "over")]);
    assert_eq!(done[2], [(35, "end"), (40, "cut"), (41, "over")]);
}

#[tokio::test(start_paused = true)]
async fn the_phases_follow_one_another() {
    let (drain, mut house) = (Drain::default(), Noted::emptied_after(1_000));
    house.dies_in = Duration::from_secs(100);
    let looking = async {
        let mut seen = vec![drain.phase()];
        drain.begin();
        for _ in 0..40 {
            seen.push(drain.phase());
            sleep(Duration::from_millis(1_001)).await;
        }
        seen.dedup();
        seen
    };
    let (seen, ()) = tokio::join!(looking, drain.see_through(SCHEDULE, &house));
    assert_eq!(seen, [Phase::Serving, Phase::Grace, Phase::Draining, Phase::Ending]);
    assert!(seen.iter().all(|phase| phase.unready().is_none() == (*phase == Phase::Serving)));
}
