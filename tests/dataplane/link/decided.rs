//! Endings that the relay itself decides on, as they arrive from outside of the link.

use std::time::Duration;

use realtime_relay::relay::ending::{Decision, Ending};

use super::{LIMITS, cancel, created, link};
use crate::wire::Frame;

/// What the documentation says of each: its code and type, the client's close code, the upstream's.
const TABLE: [(Decision, &str, &str, u16, u16); 7] = [
    (Decision::IdleTimeout, "idle_timeout", "invalid_request_error", 1001, 1001),
    (Decision::SessionExpired, "session_expired", "invalid_request_error", 1001, 1001),
    (Decision::QuotaUsedUp, "insufficient_quota", "insufficient_quota", 1008, 1000),
    (Decision::KeyRevoked, "key_revoked", "permission_error", 1008, 1000),
    (Decision::EndedByOperator, "ended_by_operator", "permission_error", 1008, 1000),
    (Decision::RelayRestarting, "relay_restarting", "server_error", 1012, 1001),
    (Decision::LedgerUnavailable, "ledger_unavailable", "server_error", 1011, 1001),
];

#[tokio::test(start_paused = true)]
async fn each_is_told_to_both_peers_in_its_own_way() {
    for (decision, code, error_type, to_client, to_upstream) in TABLE {
        let report = link(LIMITS, async |mut client, mut upstream, orders| {
            orders.end(decision);
            client.expect_event(code, error_type).await;
            client.expect_close(to_client).await;
            upstream.expect_close(to_upstream).await;
            client.send(Frame::close(to_client, "")).await;
            upstream.send(Frame::close(to_upstream, "")).await;
            client.expect_age(Duration::ZERO);
        })
        .await;
        assert!(matches!(report.ending, Ending::Decided(told) if told == decision), "{:?}", report.ending);
        assert_eq!(report.ending.name(), code);
        assert!(!report.unsettled);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_of_them_stands() {
    let report = link(LIMITS, async |mut client, _, orders| {
        orders.end(Decision::EndedByOperator);
        orders.end(Decision::RelayRestarting);
        client.expect_event("ended_by_operator", "permission_error").await;
    })
    .await;
    assert_eq!(report.ending.name(), "ended_by_operator");
}

#[tokio::test(start_paused = true)]
async fn in_haste_what_can_be_said_is_said_and_nobody_is_waited_for() {
    let report = link(LIMITS, async |mut client, mut upstream, orders| {
        upstream.create("resp_1").await;
        client.expect(created("resp_1")).await;
        orders.end_at_once(Decision::RelayRestarting);
        client.expect_event("relay_restarting", "server_error").await;
        client.expect_close(1012).await;
        client.expect_end().await;
        upstream.expect(cancel("resp_1")).await;
        upstream.expect_close(1001).await;
        upstream.expect_end().await;
        client.expect_age(Duration::ZERO);
    })
    .await;
    assert!(report.unsettled, "a response was under way");
}

#[tokio::test(start_paused = true)]
async fn haste_also_comes_to_a_link_that_ends_already() {
    let report = link(LIMITS, async |mut client, mut upstream, orders| {
        upstream.create("resp_1").await;
        client.expect(created("resp_1")).await;
        orders.end(Decision::EndedByOperator);
        client.expect_event("ended_by_operator", "permission_error").await;
        orders.end_at_once(Decision::RelayRestarting);
        client.expect_close(1008).await;
        client.expect_end().await;
        client.expect_age(Duration::ZERO);
    })
    .await;
    assert_eq!(report.ending.name(), "ended_by_operator");
}
