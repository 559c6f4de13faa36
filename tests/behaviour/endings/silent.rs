//! A peer from which not a byte comes, though it is pinged: as a stopped process, or one behind a dead network.

use super::relays_with;
use crate::support::frame::{Frame, PING, TEXT};

const LIMITS: &str = "ping_interval = \"150ms\"\nsettle_timeout = \"50ms\"\nclose_timeout = \"250ms\"";

#[tokio::test]
async fn a_client_is_lost_and_the_upstream_is_told() {
    for (relay, upstream) in relays_with(LIMITS).await {
        let (mut client, mut upstream) = relay.link(&upstream).await;
        let pings = upstream.answer_pings_until_close(1001).await;
        assert!(pings > 0, "the upstream was asked as well, and is alive");
        let ping = client.next().await;
        assert_eq!((ping.opcode, ping.payload.len()), (PING, 8));
        assert_eq!(client.expect_reset().await, b"");
    }
}

#[tokio::test]
async fn an_upstream_is_lost_and_the_client_is_told() {
    for (relay, upstream) in relays_with(LIMITS).await {
        let (mut client, mut upstream) = relay.link(&upstream).await;
        let mut next = client.next().await;
        while next.opcode == PING {
            client.send(&[Frame::pong(&next.payload)]).await;
            next = client.next().await;
        }
        assert_eq!(next.opcode, TEXT);
        assert!(next.to_string().contains("upstream_connection_lost"), "{next}");
        client.expect_close_code(1011).await;
        let ping = upstream.next().await;
        assert_eq!((ping.opcode, ping.payload.len()), (PING, 8));
        assert_eq!(upstream.expect_reset().await, b"");
    }
}

#[tokio::test]
async fn peers_that_answer_live_on_and_see_no_pong_but_those_they_asked_for() {
    for (relay, upstream) in relays_with(LIMITS).await {
        let (mut client, mut upstream) = relay.link(&upstream).await;
        for _ in 0..4 {
            let (to_client, to_upstream) = tokio::join!(client.next(), upstream.next());
            assert_eq!((to_client.opcode, to_upstream.opcode), (PING, PING));
            client.send(&[Frame::pong(&to_client.payload)]).await;
            upstream.send(&[Frame::pong(&to_upstream.payload)]).await;
        }
        client.send(&[Frame::ping("of the client")]).await;
        upstream.expect(Frame::ping("of the client")).await;
        upstream.send(&[Frame::pong("of the client")]).await;
        client.expect(Frame::pong("of the client")).await;
    }
}
