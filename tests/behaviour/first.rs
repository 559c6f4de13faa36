use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn a_link_carries_text_both_ways() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (mut client, mut upstream) = relay.link(&upstream).await;
    client.text("up").await;
    upstream.expect_text("up").await;
    upstream.text("down").await;
    client.expect_text("down").await;
}
