//! What is asked of everybody when the metrics are read: each worker publishes what it has counted, but one that does not
//! answer is not waited for, and what it published before is told.
//!
//! It refuses to know names, and how things stand elsewhere.

use std::cell::RefCell;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, timeout_at};

use super::operations::ANSWER_TIMEOUT;
use crate::control::metrics::{Metrics, Moment, UpstreamNow, WorkerNow};
use crate::edge::admin::{BreakerState, UpstreamStatus};
use crate::worker::{Mail, Worker};

/// The metrics, and what workers still owe.
pub(super) struct Scrape {
    metrics: Metrics,
    /// By worker, an answer that had not come in time. A worker in trouble gets no more mail before it comes.
    owed: RefCell<Vec<Option<Answer>>>,
}

type Answer = oneshot::Receiver<()>;

impl Scrape {
    pub(super) fn new(metrics: Metrics, workers: usize) -> Self {
        Self { metrics, owed: RefCell::new((0..workers).map(|_| None).collect()) }
    }

    /// Has every worker publish, and tells how each did.
    pub(super) async fn publish(&self, workers: &[Worker]) -> Vec<WorkerNow> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let ask = |(number, worker): (usize, &Worker)| self.ask(number, |done| worker.mail(Mail::Publish(done)));
        let asked: Vec<_> = workers.iter().enumerate().map(ask).collect();
        let mut told = Vec::with_capacity(workers.len());
        for (number, (worker, answer)) in workers.iter().zip(asked).enumerate() {
            let answered = self.await_answer(number, answer, deadline).await;
            told.push(WorkerNow { answered, carried: worker.carried() });
        }
        told
    }

    /// All that was published, and how things stand.
    pub(super) async fn text(&self, moment: Moment) -> Result<String, String> {
        let metrics = self.metrics.clone();
        // It reads files of the system: not on the thread that lets operators in.
        let reading = tokio::task::spawn_blocking(move || metrics.text(&moment));
        reading.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    fn ask(&self, number: usize, mail: impl FnOnce(oneshot::Sender<()>)) -> Answer {
        let owed = self.owed.borrow_mut().get_mut(number).and_then(Option::take);
        if let Some(mut owed) = owed
            && owed.try_recv() == Err(TryRecvError::Empty)
        {
            return owed;
        }
        let (done, answer) = oneshot::channel();
        mail(done);
        answer
    }

    async fn await_answer(&self, number: usize, mut answer: Answer, deadline: Instant) -> bool {
        if let Ok(answered) = timeout_at(deadline, &mut answer).await {
            return answered.is_ok();
        }
        if let Some(owed) = self.owed.borrow_mut().get_mut(number) {
            *owed = Some(answer);
        }
        false
    }
}

impl From<UpstreamStatus> for UpstreamNow {
    fn from(status: UpstreamStatus) -> Self {
        let breaker = match status.breaker {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        };
        let UpstreamStatus { name, links, warm, credential_rejected, .. } = status;
        Self { name, breaker, links, warm, credential_rejected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_owes_an_answer_is_asked_for_no_other_until_it_comes() {
        let config =
            "[[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\"\n[server]\nauth = \"none\"";
        let scrape = Scrape::new(Metrics::new(&config::parse(config).unwrap()), 1);
        let answers = async |answer| scrape.await_answer(0, answer, Instant::now() + ANSWER_TIMEOUT).await;
        let mut owing = None;
        let late = scrape.ask(0, |done| owing = Some(done));
        assert!(!answers(late).await);
        assert!(!answers(scrape.ask(0, |_| panic!("it was asked again"))).await);
        owing.unwrap().send(()).unwrap();
        assert!(answers(scrape.ask(0, |done| done.send(()).unwrap())).await);
        assert!(!answers(scrape.ask(0, drop)).await, "it is gone");
    }
}
