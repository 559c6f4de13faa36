//! A relay in this process, and its two peers, scripted by hand over real sockets.
//!
//! Refuses to use the relay's own code for HTTP and frames: what checks must not share the mistakes of what is checked.

#![allow(dead_code)] // every test crate uses its own part of it

pub mod authority;
pub mod client;
pub mod frame;
pub mod head;
pub mod ledger;
pub mod leg;
pub mod metrics;
pub mod offence;
pub mod operator;
pub mod proxy;
pub mod relay;
pub mod spender;
pub mod transcript;
pub mod upstream;
pub mod wire;

use std::time::Duration;

/// No wait of a test is longer: what has not come by then never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits, but not for ever.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}
