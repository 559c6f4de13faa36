//! Which upstream a link goes to where several could take it: priority, weight, and how many links each may carry.

use std::sync::Arc;

use super::{asked, good};
use crate::support::operator::{status, until_links};
use crate::support::relay::Relay;
use crate::support::upstream::{Serving, Upstream};

/// Links of one client after the other, by so many clients at once.
async fn open_and_leave(relay: Relay, clients: usize, each: usize) -> Relay {
    let relay = Arc::new(relay);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let relay = relay.clone();
        crowd.spawn(async move {
            for _ in 0..each {
                good(&relay).open().await;
            }
        });
    }
    crowd.join_all().await;
    Arc::into_inner(relay).expect("the crowd is gone")
}

/// Gives everybody a link, and ends it.
fn fleeting(upstream: &Upstream) -> Serving {
    upstream.serve(|asked| async { asked.switch().await.close(1000, "").await })
}

#[tokio::test]
async fn links_are_shared_by_weight() {
    const LINKS: u32 = 10_000;
    let (light, heavy) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&light).upstream("weight = 1").beside(&heavy).upstream("weight = 3");
    let (at_light, at_heavy) = (fleeting(&light), fleeting(&heavy));
    open_and_leave(setup.workers(2).start(), 20, LINKS as usize / 20).await;
    let [light, heavy] = [at_light, at_heavy].map(|serving| u32::try_from(serving.connections()).unwrap());
    assert_eq!(light + heavy, LINKS);
    // 5 % of the heavy one's share: 375 links, 8.7 standard deviations of a fair draw.
    let fair = |share: u32| share * LINKS / 4;
    let off = light.abs_diff(fair(1));
    assert!(off <= fair(3) / 20, "{light} of {LINKS} links for a weight of 1 beside 3: {off} off");
}

#[tokio::test]
async fn a_lower_priority_takes_every_link() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&first).upstream("weight = 1").then(&second).upstream("weight = 1000");
    let (at_first, at_second) = (fleeting(&first), fleeting(&second));
    open_and_leave(setup.start(), 10, 20).await;
    assert_eq!((at_first.connections(), at_second.connections()), (200, 0));
}

#[tokio::test]
async fn without_a_weight_a_link_comes_only_when_nothing_else_is_left() {
    let (idle, busy) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&idle).upstream("weight = 0").beside(&busy).upstream("max_links = 10");
    let (at_idle, at_busy) = (idle.links(), busy.links());
    let relay = setup.start();
    let mut clients = Vec::new();
    for _ in 0..15 {
        clients.push(good(&relay).open().await);
    }
    assert_eq!((at_idle.connections(), at_busy.connections()), (5, 10));
}

#[tokio::test]
async fn one_that_fails_is_made_up_for_by_its_equals() {
    let (failing, well) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&failing).upstream("weight = 1000").beside(&well).start();
    let (_failing, at_well) = (failing.always("503 Busy"), well.links());
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(good(&relay).open().await);
    }
    assert_eq!(at_well.connections(), 20);
}

#[tokio::test]
async fn a_full_upstream_leaves_the_client_to_the_next_until_a_link_ends() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&first).upstream("max_links = 1").then(&second).workers(2).start();
    // Each client goes to the worker that carries fewer, so the first and the second have different ones.
    let (mut client, mut leg) = relay.link(&first).await;
    let (_other, _leg) = relay.link(&second).await;
    first.expect_no_connection().await;
    assert_eq!(status(&relay, "primary").await["links"], 1);
    assert_eq!(status(&relay, "second").await["links"], 1);
    client.close(1000, "").await;
    leg.expect_close(1000, "").await;
    leg.close(1000, "").await;
    until_links(&relay, "primary", 0).await;
    relay.link(&first).await;
    second.expect_no_connection().await;
}

#[tokio::test]
async fn where_all_are_full_the_client_is_told_to_come_back() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let setup = Relay::to(&first).upstream("max_links = 1").then(&second).upstream("max_links = 1");
    let relay = setup.workers(2).start();
    let (_first, _second) = (relay.link(&first).await, relay.link(&second).await);
    let refused = good(&relay).refused().await;
    refused.expect(503, "upstream_unavailable", "upstream_error").expect_header("retry-after", "1");
    let full = "it carries all the links it may";
    let words = format!("upstream primary: {full}; upstream second: {full}");
    assert!(refused.message().starts_with(&words), "{}", refused.message());
    first.expect_no_connection().await;
    second.expect_no_connection().await;
    let status = status(&relay, "primary").await;
    assert_eq!((&status["failures"], &status["last_error"]), (&0.into(), &serde_json::Value::Null), "{status}");
}

#[tokio::test]
async fn an_attempt_takes_a_place_and_gives_it_back() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("max_links = 1").workers(2).start();
    let (asking, dialled) = asked(good(&relay), &upstream).await;
    good(&relay).refused().await.expect(503, "upstream_unavailable", "upstream_error");
    asking.leave();
    dialled.expect_gone().await;
    until_links(&relay, "primary", 0).await;
    let (asking, failing) = asked(good(&relay), &upstream).await;
    let _kept = failing.answer("503 Busy", "", "").await;
    asking.refused().await.expect(502, "upstream_refused", "upstream_error");
    relay.link(&upstream).await;
}

#[tokio::test]
async fn of_many_clients_at_once_no_more_than_the_limit_come_through() {
    const LIMIT: usize = 7;
    const CLIENTS: usize = 40;
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&first).upstream(&format!("max_links = {LIMIT}")).then(&second).workers(2).start();
    let (at_first, at_second) = (first.links(), second.links());
    let mut asking = Vec::new();
    for _ in 0..CLIENTS {
        asking.push(good(&relay).ask().await);
    }
    let mut clients = Vec::new();
    for asking in asking {
        clients.push(asking.opened().await);
    }
    assert_eq!((at_first.connections(), at_second.connections()), (LIMIT, CLIENTS - LIMIT));
    assert_eq!(status(&relay, "primary").await["links"], LIMIT);
}
