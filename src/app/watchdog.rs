//! Tells the service manager that the process is alive, each time after every worker has answered: one that hangs ends
//! that, and the manager ends the process.
//!
//! It refuses to know what the manager does.

use std::rc::Rc;
use std::sync::Arc;

use tokio::task::spawn_local;
use tokio::time::{MissedTickBehavior, interval};

use super::operations::answers;
use crate::control::notify::Notify;
use crate::worker::{Mail, Worker};

/// Begins, in a task of this thread's runtime, where the manager asks for it. Where this thread hangs, nothing is said
/// either.
pub(super) fn keep(notify: Arc<Notify>, workers: Rc<Vec<Worker>>) {
    let Some(every) = notify.watchdog() else { return };
    spawn_local(async move {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if answers(&workers, Mail::Answer).await.is_ok() {
                notify.alive();
            } else {
                tracing::error!("a worker does not answer: the service manager is not told that it lives");
            }
        }
    });
}
