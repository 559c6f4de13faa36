//! What operators have done: the workers are mailed, and their answers awaited, but not for ever.
//!
//! It refuses to know how an operator asks.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout;
use uuid::Uuid;

use super::renewal::{NotRenewed, Renewer};
use super::scrape::Scrape;
use crate::control::config::Secret;
use crate::control::drain::Drain;
use crate::control::ledger::{By, Group, Health, report};
use crate::control::metrics::{Moment, UpstreamNow};
use crate::edge::admin::{LinkStatus, NotReloaded, Operations, Unanswered, UpstreamStatus};
use crate::edge::links::Which;
use crate::relay::ending::Decision;
use crate::worker::{Mail, Renewal, Worker};

/// A worker comes to its mail between two polls of its links, so this is a worker in trouble.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The process, as its operators see it.
pub(super) struct Operated {
    /// All of them.
    pub(super) workers: Rc<Vec<Worker>>,
    /// What the workers know of it too.
    pub(super) drain: Arc<Drain>,
    /// What is in force, and can be renewed.
    pub(super) renewer: Rc<Renewer>,
    /// What is counted.
    pub(super) scrape: Scrape,
}

impl Operations for Operated {
    fn unready(&self) -> Option<&'static str> {
        self.drain.phase().unready().or(self.renewer.in_force().common.metering.unavailable())
    }

    fn drain(&self) {
        tracing::info!("an operator asks for the drain");
        self.drain.begin();
    }

    async fn reload(&self) -> Result<(), NotReloaded> {
        tracing::info!("an operator asks for the configuration to be read again");
        let renewer = self.renewer.clone();
        // An operator who goes away meanwhile leaves nothing half done.
        let renewing = spawn_local(async move { renewer.renew().await });
        renewing.await.map_err(|error| NotReloaded::NotNow(error.to_string()))?.map_err(|error| match error {
            NotRenewed::Mistakes(_) | NotRenewed::Unfit(_) | NotRenewed::Tls(_) => {
                NotReloaded::Wrong(error.to_string())
            }
            other => NotReloaded::NotNow(other.to_string()),
        })
    }

    fn token(&self) -> Option<Secret> {
        self.renewer.in_force().config.admin.token.clone()
    }

    fn upstreams(&self) -> Vec<UpstreamStatus> {
        let Renewal { config, common } = self.renewer.in_force();
        let pairs = config.upstreams.iter().zip(&common.upstreams);
        pairs.map(|(upstream, shared)| shared.status(upstream.kind.name())).collect()
    }

    async fn links(&self) -> Result<Vec<LinkStatus>, Unanswered> {
        Ok(answers(&self.workers, Mail::Snapshot).await?.into_iter().flatten().collect())
    }

    async fn end_link(&self, id: Uuid) -> Result<bool, Unanswered> {
        let (which, decision) = (Which::Link(id), Decision::EndedByOperator);
        let mail = |ended| Mail::End { which: which.clone(), decision, ended };
        // A worker that does not answer may be the one that has it.
        Ok(answers(&self.workers, mail).await?.into_iter().sum::<usize>() > 0)
    }

    async fn metrics(&self) -> Result<String, String> {
        let workers = self.scrape.publish(&self.workers).await;
        let metering = self.renewer.in_force().common.metering;
        self.scrape
            .text(Moment {
                ready: self.unready().is_none(),
                phase: self.drain.phase(),
                workers,
                upstreams: self.upstreams().into_iter().map(UpstreamNow::from).collect(),
                ledger_is_well: *metering.recorder.health() == Health::Ok,
                ledger_queue: (metering.recorder.waiting(), metering.recorder.room_for()),
                quotas: metering.quota_ratios(),
            })
            .await
    }

    async fn usage(&self, by: By, since: Option<SystemTime>) -> Result<Value, String> {
        let Renewal { config, common } = self.renewer.in_force();
        let path = config.metering.ledger.clone();
        // It reads a file: not on the thread that lets operators in.
        let reading = tokio::task::spawn_blocking(move || report(&path, by, since));
        let groups = reading.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let quotas = if by == By::Key { common.metering.quotas() } else { BTreeMap::new() };
        Ok(with_quotas(groups, quotas))
    }
}

/// Puts what is left of each key's quota beside what it has used.
fn with_quotas(groups: Vec<Group>, mut quotas: BTreeMap<String, Value>) -> Value {
    let mut told = Vec::with_capacity(groups.len());
    for group in groups {
        let quota = quotas.remove(&group.group);
        told.push(with_quota(&group, quota));
    }
    // Those that have used nothing in this time.
    for (key, quota) in quotas {
        told.push(with_quota(&Group { group: key, ..Group::default() }, Some(quota)));
    }
    Value::Array(told)
}

fn with_quota(group: &Group, quota: Option<Value>) -> Value {
    let mut told = json!(group);
    if let (Some(told), Some(quota)) = (told.as_object_mut(), quota) {
        told.insert("quota".to_owned(), quota);
    }
    told
}

/// What every worker answers, in time.
pub(super) async fn answers<T>(
    workers: &[Worker],
    mail: impl Fn(oneshot::Sender<T>) -> Mail,
) -> Result<Vec<T>, Unanswered> {
    let ask = |worker: &Worker| {
        let (tell, told) = oneshot::channel();
        worker.mail(mail(tell));
        told
    };
    gather(workers.iter().map(ask).collect()).await
}

async fn gather<T>(answers: Vec<oneshot::Receiver<T>>) -> Result<Vec<T>, Unanswered> {
    let gathering = async {
        let mut gathered = Vec::with_capacity(answers.len());
        for answer in answers {
            gathered.push(answer.await.map_err(|_| Unanswered)?);
        }
        Ok(gathered)
    };
    timeout(ANSWER_TIMEOUT, gathering).await.unwrap_or(Err(Unanswered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_answer_is_not_waited_for_and_not_left_out() {
        let ((tell, told), (_silent, never)) = (oneshot::channel(), oneshot::channel());
        tell.send(1).unwrap();
        assert_eq!(gather(vec![told, never]).await, Err(Unanswered));
    }

    #[tokio::test]
    async fn all_answers_are_gathered_whoever_is_first() {
        let ((tell_first, first), (tell_second, second)) = (oneshot::channel(), oneshot::channel());
        tell_second.send(2).unwrap();
        tokio::task::LocalSet::new()
            .run_until(async {
                tokio::task::spawn_local(async move { tell_first.send(1) });
                assert_eq!(gather(vec![first, second]).await, Ok(vec![1, 2]));
            })
            .await;
    }
}
