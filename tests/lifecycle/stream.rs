//! Clients that come one after the other, each for a link, a message both ways, and an orderly end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::process::Place;
use crate::support::client::client;
use crate::support::within;

/// Clients that keep coming until they are counted. One that fails, fails the test.
pub struct Stream {
    clients: JoinSet<()>,
    served: watch::Sender<usize>,
    enough: Arc<AtomicBool>,
}

impl Stream {
    /// So many at a time, to the relay at this place, whose upstream echoes.
    pub fn of(at_a_time: usize, place: Place) -> Self {
        let (served, enough) = (watch::Sender::new(0), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for _ in 0..at_a_time {
            let (served, enough) = (served.clone(), enough.clone());
            clients.spawn(async move {
                while !enough.load(Ordering::Relaxed) {
                    visit(place).await;
                    served.send_modify(|served| *served += 1);
                }
            });
        }
        Self { clients, served, enough }
    }

    /// Waits until so many more have been served.
    pub async fn more(&mut self, count: usize) {
        let mut served = self.served.subscribe();
        let until = *served.borrow() + count;
        let served = async {
            tokio::select! {
                failed = self.clients.join_next() => panic!("a client failed: {failed:?}"),
                served = served.wait_for(|served| *served >= until) => drop(served.unwrap()),
            }
        };
        within("more clients to be served", served).await;
    }

    /// No more come. How many have been served, all of them.
    pub async fn ends(mut self) -> usize {
        self.enough.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.expect("every client is served");
        }
        *self.served.borrow()
    }
}

async fn visit(place: Place) {
    let mut leg = client(&place).model("m").open().await;
    leg.text("hello").await;
    leg.expect_text("hello").await;
    leg.close(1000, "").await;
    leg.expect_close(1000, "").await;
    leg.expect_end().await;
}
