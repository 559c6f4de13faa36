//! How many may come in, and how fast.

use super::{good, opens};
use crate::support::client::{Client, Refused, client};
use crate::support::operator::until_links;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

/// A scripted upstream does not answer the close frame of a link whose client is gone: its place is free after that.
const SOON_FREE: &str = "close_timeout = \"100ms\"";

fn two_clients(upstream: &Upstream) -> Setup {
    Relay::to(upstream).auth_keys(&[("acme", "key-of-acme"), ("globex", "key-of-globex")]).limits(SOON_FREE)
}

fn other(relay: &Relay) -> Client<'_> {
    client(relay).key("key-of-globex").model("gpt-realtime")
}

#[track_caller]
fn expect_retry_after(refused: &Refused, seconds: std::ops::RangeInclusive<u64>) {
    let after = refused.head.header("retry-after").expect("advice when to try again");
    assert!(after.parse().is_ok_and(|after| seconds.contains(&after)), "{after}");
}

#[tokio::test]
async fn a_key_has_no_more_links_than_it_may() {
    let upstream = Upstream::start().await;
    let _serving = upstream.links();
    let relay = two_clients(&upstream).key("max_links = 2").start();
    let (first, _second) = (good(&relay).open().await, good(&relay).open().await);
    let refused = good(&relay).refused().await;
    refused.expect(429, "too_many_links", "rate_limit_error").expect_header("retry-after", "5");
    let _other = other(&relay).open().await;

    first.reset();
    until_links(&relay, "primary", 2).await;
    let _third = good(&relay).open().await;
    good(&relay).refused().await.expect(429, "too_many_links", "rate_limit_error");
}

#[tokio::test]
async fn a_link_under_admission_counts_until_it_is_refused() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("max_links = 1").start();
    let asking = good(&relay).ask().await;
    let asked = upstream.accept().await;
    good(&relay).refused().await.expect(503, "at_capacity", "server_error").expect_header("retry-after", "5");
    asked.answer("500 Oops", "", "").await;
    asking.refused().await.expect(502, "upstream_refused", "upstream_error");
    opens(good(&relay), &upstream).await;
}

#[tokio::test]
async fn a_link_under_admission_counts_until_its_client_is_gone() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).key("max_links = 1").start();
    let asking = good(&relay).ask().await;
    let asked = upstream.accept().await;
    good(&relay).refused().await.expect(429, "too_many_links", "rate_limit_error");
    asking.leave();
    asked.expect_gone().await;
    opens(good(&relay), &upstream).await;
}

#[tokio::test]
async fn the_workers_of_a_process_share_its_limits() {
    let upstream = Upstream::start().await;
    let _serving = upstream.links();
    let relay = two_clients(&upstream).workers(2).limits("max_links = 5").key("max_links = 3").start();
    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(good(&relay).open().await);
    }
    for _ in 0..2 {
        good(&relay).refused().await.expect(429, "too_many_links", "rate_limit_error");
    }
    for _ in 0..2 {
        links.push(other(&relay).open().await);
    }
    for _ in 0..2 {
        other(&relay).refused().await.expect(503, "at_capacity", "server_error");
    }
    good(&relay).refused().await.expect(429, "too_many_links", "rate_limit_error");
}

#[tokio::test]
async fn a_process_has_a_limit_also_where_nobody_has_a_key_of_its_own() {
    for auth in ["none", "passthrough"] {
        let upstream = Upstream::start().await;
        let _serving = upstream.links();
        let relay = Relay::to(&upstream).auth(auth).limits("max_links = 1").start();
        let _link = good(&relay).open().await;
        good(&relay).refused().await.expect(503, "at_capacity", "server_error");
    }
}

#[tokio::test]
async fn a_key_opens_no_more_links_in_a_minute_than_it_may() {
    let upstream = Upstream::start().await;
    let _serving = upstream.links();
    let relay = two_clients(&upstream).workers(2).key("new_links_per_minute = 3").start();
    for _ in 0..3 {
        drop(good(&relay).open().await);
    }
    let refused = good(&relay).refused().await;
    // One becomes free every twenty seconds.
    expect_retry_after(refused.expect(429, "too_many_new_links", "rate_limit_error"), 1..=20);
    other(&relay).open().await;
}

#[tokio::test]
async fn a_client_that_finds_no_place_may_still_come_again() {
    let upstream = Upstream::start().await;
    let _serving = upstream.links();
    let relay = two_clients(&upstream).limits("max_links = 1").key("new_links_per_minute = 1").start();
    let link = other(&relay).open().await;
    for _ in 0..3 {
        good(&relay).refused().await.expect(503, "at_capacity", "server_error");
    }
    link.reset();
    until_links(&relay, "primary", 0).await;
    good(&relay).open().await;
}

#[tokio::test]
async fn a_place_is_asked_for_after_everything_else() {
    let upstream = Upstream::start().await;
    let _serving = upstream.links();
    let setup = Relay::to(&upstream).upstream("models = { a = \"a\" }").key("max_links = 1\nnew_links_per_minute = 1");
    let relay = setup.limits("max_links = 1").limits(SOON_FREE).start();
    let asking = || client(&relay).key("key-of-acme");
    let link = asking().model("a").open().await;
    client(&relay).key("wrong-key").model("a").refused().await.expect(401, "invalid_api_key", "authentication_error");
    asking().refused().await.expect(400, "missing_model", "invalid_request_error");
    asking().model("b").refused().await.expect(404, "model_not_found", "invalid_request_error");
    asking().model("a").refused().await.expect(429, "too_many_links", "rate_limit_error");
    link.reset();
    until_links(&relay, "primary", 0).await;
    asking().model("a").refused().await.expect(429, "too_many_new_links", "rate_limit_error");
}

#[tokio::test]
async fn an_address_that_guesses_is_not_listened_to_even_where_it_is_right() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).limits("auth_failures_per_minute = 3").start();
    let wrong = [client(&relay).key("guessed-key"), client(&relay).header("api-key", "guessed-key"), client(&relay)];
    for asking in wrong {
        asking.model("m").refused().await.expect(401, "invalid_api_key", "authentication_error");
    }
    for asking in [client(&relay).key("guessed-key").model("m"), good(&relay), good(&relay).path("/openai/realtime")] {
        let refused = asking.refused().await;
        expect_retry_after(refused.expect(429, "too_many_failures", "rate_limit_error"), 1..=20);
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
#[cfg(target_os = "linux")] // elsewhere there is one loopback address
async fn the_other_addresses_are_listened_to() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("auth_failures_per_minute = 1").start();
    let wrong = || client(&relay).key("guessed-key").model("m");
    wrong().refused().await.expect(401, "invalid_api_key", "authentication_error");
    wrong().refused().await.expect(429, "too_many_failures", "rate_limit_error");
    opens(good(&relay).from([127, 0, 0, 2]), &upstream).await;
    wrong().from([127, 0, 0, 3]).refused().await.expect(401, "invalid_api_key", "authentication_error");
    opens(good(&relay).from([127, 0, 0, 2]), &upstream).await;
}

#[tokio::test]
async fn only_a_wrong_key_counts() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("auth_failures_per_minute = 1").upstream("models = { m = \"m\" }").start();
    let asking = || client(&relay).key("key-of-acme");
    for _ in 0..2 {
        asking().path("/nowhere").refused().await.expect(404, "not_found", "invalid_request_error");
        asking().refused().await.expect(400, "missing_model", "invalid_request_error");
        asking().model("unknown").refused().await.expect(404, "model_not_found", "invalid_request_error");
        opens(asking().model("m"), &upstream).await;
    }
}

#[tokio::test]
async fn where_the_relay_judges_no_key_none_is_counted() {
    let upstream = Upstream::start().await;
    let _serving = upstream.always("401 Unauthorized");
    let relay = Relay::to(&upstream).auth("passthrough").limits("auth_failures_per_minute = 1").start();
    for _ in 0..3 {
        good(&relay).refused().await.expect(401, "upstream_refused", "upstream_error");
        client(&relay).model("m").refused().await.expect(401, "invalid_api_key", "authentication_error");
    }
}
