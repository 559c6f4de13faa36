//! What the ledger comes to is what the upstream says was used, to the token and the nano-dollar.

use tokio::task::JoinSet;

use crate::support::client::client;
use crate::support::frame::{CLOSE, Frame};
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::spender::{Account, Lots, recorded, recorded_in_all};
use crate::support::upstream::Upstream;
use crate::support::within;

const LINKS: u64 = 200;
const CREATE: &str = r#"{"type":"response.create"}"#;
const SLOWLY: &str = r#"{"type":"response.create","slowly":true}"#;

/// Has a response, whole.
async fn respond(leg: &mut Leg) {
    leg.text(CREATE).await;
    await_event(leg, "response.done").await;
}

async fn await_event(leg: &mut Leg, name: &str) {
    while !String::from_utf8_lossy(&leg.next().await.payload).contains(name) {}
}

/// Reads on until the answer to its close frame, whatever comes before that.
async fn leave(leg: &mut Leg) {
    leg.close(1000, "").await;
    within("an answer to the close", async { while leg.next().await.opcode != CLOSE {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_responses_on_two_hundred_links_add_up() {
    const RESPONSES: u64 = 50;
    let (upstream, account) = (Upstream::start().await, Account::default());
    let _serving = account.serve(&upstream);
    let relay = std::sync::Arc::new(Relay::to(&upstream).workers(2).start());
    let mut clients = JoinSet::new();
    for _ in 0..LINKS {
        let relay = relay.clone();
        clients.spawn(async move {
            let mut leg = client(&relay).key("key-of-acme").model("gpt-realtime").open().await;
            for _ in 0..RESPONSES {
                respond(&mut leg).await;
            }
            leave(&mut leg).await;
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let ledger = relay.ledger();
    ledger.until_count("link", usize::try_from(LINKS).unwrap()).await;
    let total = account.total();
    assert_eq!(total.responses, LINKS * RESPONSES);
    assert_eq!(recorded_in_all(&ledger), total);
    assert_eq!(recorded(&ledger, "NOT unsettled"), account.sums());
    println!("{total:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_in_the_middle_of_answers_leave_nothing_unpaid() {
    let (upstream, account) = (Upstream::start().await, Account::default());
    let _serving = account.serve(&upstream);
    let relay = std::sync::Arc::new(Relay::to(&upstream).workers(2).start());
    let mut clients = JoinSet::new();
    for number in 0..LINKS {
        let relay = relay.clone();
        clients.spawn(async move {
            let mut lots = Lots(number);
            let mut leg = client(&relay).key("key-of-acme").model("gpt-realtime").open().await;
            for _ in 0..lots.draw(20) {
                respond(&mut leg).await;
            }
            match number % 8 {
                // When a response has just been asked for, and when one is under way: in order, ...
                0 => leg.text(CREATE).await,
                1 => leg.text(SLOWLY).await,
                2 => {
                    leg.text(SLOWLY).await;
                    await_event(&mut leg, "response.created").await;
                }
                // ... with the end of the stream, and cut off.
                3 => {
                    leg.text(CREATE).await;
                    return leg.hang_up().await;
                }
                4 => {
                    leg.text(SLOWLY).await;
                    await_event(&mut leg, "response.created").await;
                    return leg.reset();
                }
                5 => {
                    leg.text(CREATE).await;
                    await_event(&mut leg, "response.created").await;
                    return leg.reset();
                }
                // In the middle of a message of its own, where nothing can be cancelled for it.
                6 => {
                    leg.text(CREATE).await;
                    leg.send(&[Frame::text("half a").more()]).await;
                    return leg.hang_up().await;
                }
                _ => {}
            }
            leave(&mut leg).await;
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let ledger = relay.ledger();
    ledger.until_count("link", usize::try_from(LINKS).unwrap()).await;
    assert_eq!(ledger.ask("SELECT request_id FROM link WHERE unsettled"), [] as [&str; 0], "the upstream answers all");
    assert_eq!(recorded(&ledger, "NOT unsettled"), account.sums());
    assert_eq!(recorded_in_all(&ledger), account.total());
    let endings = ledger.ask("SELECT ending, count(*) FROM link GROUP BY 1 ORDER BY 1");
    assert_eq!(endings, ["client_close|100", "client_lost|100"]);
    println!("{:?}", account.total());
}
