//! A key that expires while its links run.

use std::time::{Duration, SystemTime};

use crate::support::client::client;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

use super::answer_and_end;

#[tokio::test]
async fn ends_its_links_and_opens_none() {
    let upstream = Upstream::start().await;
    let expires = humantime::format_rfc3339(SystemTime::now() + Duration::from_secs(2));
    let relay = Relay::to(&upstream).key(&format!("expires = {expires}")).start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    ours.expect_error("permission_error", "key_revoked").await;
    ours.expect_close_code(1008).await;
    theirs.expect_close_code(1000).await;
    answer_and_end(ours, 1008).await;
    answer_and_end(theirs, 1000).await;
    let refused = client(&relay).key("key-of-acme").model("m").refused().await;
    refused.expect(401, "invalid_api_key", "authentication_error");
}
