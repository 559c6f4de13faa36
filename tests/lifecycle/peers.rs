//! What both peers of a link say to each other, and see of its end.

use crate::process::Relay;
use crate::support::leg::Leg;

/// A message each way.
pub async fn exchange(client: &mut Leg, upstream: &mut Leg) {
    client.text("up").await;
    upstream.expect_text("up").await;
    upstream.text("down").await;
    client.expect_text("down").await;
}

/// The client closes, and both are gone.
pub async fn close(mut client: Leg, mut upstream: Leg) {
    client.close(1000, "").await;
    upstream.expect_close(1000, "").await;
    upstream.close(1000, "").await;
    client.expect_close(1000, "").await;
    client.expect_end().await;
}

/// What a link is told whose relay stops, and answers.
pub async fn expect_restart(client: &mut Leg, upstream: &mut Leg) {
    client.expect_error("server_error", "relay_restarting").await;
    client.expect_close_code(1012).await;
    upstream.expect_close_code(1001).await;
    client.close(1012, "").await;
    upstream.close(1001, "").await;
    client.expect_end().await;
    upstream.expect_end().await;
}

pub async fn expect_exit(mut relay: Relay) {
    assert_eq!(relay.process.exit_code().await, Some(0), "{}", relay.process.log());
}
