//! Accepts clients, and hands each to the worker with the fewest links and admissions.
//!
//! It refuses to read a byte of them.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;

use super::Client;
use crate::worker::{Accepted, Worker};

/// How long to rest when the process has run out of what an accepted socket needs.
const REST: Duration = Duration::from_millis(100);

/// Accepts until dropped.
///
/// Cancel safe: a connection is either still queued by the system or handed on.
pub async fn accept(listener: TcpListener, workers: &[Worker]) {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                rest_after(&error).await;
                continue;
            }
        };
        let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) else { return };
        // The socket leaves this thread's runtime, and joins that of its worker.
        match stream.into_std() {
            Ok(stream) => worker.take(Accepted { stream, client: Client { address }, slot: worker.slot() }),
            Err(error) => tracing::warn!(%error, "an accepted connection could not be handed on"),
        }
    }
}

/// After a failed accept: says so, and rests where trying again at once would only burn the core.
pub(super) async fn rest_after(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return; // that client's own affair
    }
    tracing::warn!(%error, "cannot accept connections");
    tokio::time::sleep(REST).await;
}
