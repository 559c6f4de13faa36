//! Whoever guesses keys learns nothing from an answer, and is soon not listened to.
//!
//! That a comparison takes the same time whatever fits is held by construction and not by a clock: the SHA-256 of a key is
//! compared with each configured one through `subtle`, in `control::keys`.

use super::{good, serves};
use crate::support::client::{Client, Refused, client};
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

/// A client with another key.
fn guessing<'r>(relay: &'r Relay, key: &str) -> Client<'r> {
    client(relay).key(key).model("gpt-realtime")
}

/// The same through a proxy that is trusted, for a client at this address.
fn guessing_from<'r>(relay: &'r Relay, key: &str, address: &str) -> Client<'r> {
    guessing(relay, key).header("X-Forwarded-For", address)
}

#[track_caller]
fn expect_wrong(refused: &Refused) {
    refused.expect(401, "invalid_api_key", "authentication_error");
}

#[track_caller]
fn expect_ignored(refused: &Refused) {
    refused.expect(429, "too_many_failures", "rate_limit_error");
    let after: u64 = refused.head.header("retry-after").expect("when to come back").parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
}

/// An answer without what is different on every request.
fn told(refused: &Refused) -> String {
    let (id, date) = (refused.request_id(), refused.head.header("date").unwrap_or_default());
    let all = format!("{}\n{}", refused.head.text(), refused.text).replace(id, "ID");
    if date.is_empty() { all } else { all.replace(date, "DATE") }
}

fn behind_a_proxy(upstream: &Upstream, failures: usize) -> Setup {
    let limits = format!("auth_failures_per_minute = {failures}");
    Relay::to(upstream).server("trusted_proxies = [\"127.0.0.1\"]").limits(&limits)
}

#[tokio::test]
async fn a_guess_that_is_nearly_right_is_told_what_any_other_is() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("auth_failures_per_minute = 1000").start();
    let answer = told(&guessing(&relay, "nothing-like-it").refused().await);
    let long = "key-of-acme".repeat(500);
    for key in [
        "key-of-a",
        "key-of-acm",
        "key-of-acmf",
        "Key-of-acme",
        "key-of-acme-",
        "key-of-acme\u{1}",
        "key-of-globex",
        "********",
        &long,
    ] {
        let refused = guessing(&relay, key).refused().await;
        if refused.status != 400 {
            expect_wrong(&refused);
            assert_eq!(told(&refused), answer, "{key}");
        }
        refused.expect_without(key.get(3..).unwrap_or("\0"));
    }
    // Nor is there a digest to present instead.
    let digest = "ac4f3b3b2c0d1d8d9ba6b2b4e5b1a9f3a1e7f4c4a9b6d3e0c1f2a3b4c5d6e7f8";
    expect_wrong(&guessing(&relay, digest).refused().await);
    upstream.expect_no_connection().await;
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn whoever_guesses_is_not_listened_to_wherever_the_guesses_stand() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).limits("auth_failures_per_minute = 4").start();
    let guess = || client(&relay).model("gpt-realtime");
    for asking in [
        guess().key("guessed-key"),
        guess().header("api-key", "guessed-key"),
        guess().query("api-key=guessed-key"),
        guess().header("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.guessed-key"),
    ] {
        expect_wrong(&asking.refused().await);
    }
    // Not even where it is right, and whatever it says of itself: nobody here is a trusted proxy.
    for asking in [
        good(&relay),
        good(&relay).header("X-Forwarded-For", "192.0.2.1"),
        good(&relay).header("Forwarded", "for=192.0.2.2"),
        good(&relay).header("X-Real-IP", "192.0.2.3"),
    ] {
        expect_ignored(&asking.refused().await);
    }
    upstream.expect_no_connection().await;
    let honest = good(&relay).from([127, 0, 0, 2]).ask().await;
    let _theirs = upstream.leg().await;
    honest.opened().await;
}

#[tokio::test]
async fn a_guesser_has_its_whole_64_of_ipv6_against_it_and_no_more() {
    let upstream = Upstream::start().await;
    let relay = behind_a_proxy(&upstream, 3).start();
    for host in 1..=3 {
        expect_wrong(&guessing_from(&relay, "guessed-key", &format!("2001:db8:0:1::{host}")).refused().await);
    }
    for address in ["2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1:8000::"] {
        expect_ignored(&guessing_from(&relay, "key-of-acme", address).refused().await);
    }
    for address in ["2001:db8:0:2::1", "2001:db8::1", "192.0.2.1"] {
        let asking = good(&relay).header("X-Forwarded-For", address).ask().await;
        let _theirs = upstream.leg().await;
        asking.opened().await;
    }
    // An IPv4 address is one in both of its spellings.
    for address in ["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.7"] {
        expect_wrong(&guessing_from(&relay, "guessed-key", address).refused().await);
    }
    expect_ignored(&guessing_from(&relay, "key-of-acme", "::ffff:192.0.2.7").refused().await);
    serves(&relay, &upstream).await;
}

/// The table of guessers has a fixed size (`edge::failures`): whoever guesses from more addresses than it holds keeps nobody out
/// who does not guess.
#[tokio::test]
async fn guesses_from_a_thousand_networks_keep_nobody_else_out() {
    const NETWORKS: u16 = 1_000;
    let upstream = Upstream::start().await;
    let relay = behind_a_proxy(&upstream, 1).start();
    for network in 0..NETWORKS {
        let address = format!("2001:db8:{network:x}::1");
        expect_wrong(&guessing_from(&relay, "guessed-key", &address).refused().await);
    }
    // The last ones are remembered.
    expect_ignored(&guessing_from(&relay, "key-of-acme", &format!("2001:db8:{:x}::2", NETWORKS - 1)).refused().await);
    for address in ["198.51.100.1", "2001:db8:ffff::1", "2001:db9::1"] {
        let asking = good(&relay).header("X-Forwarded-For", address).ask().await;
        let _theirs = upstream.leg().await;
        asking.opened().await;
    }
    serves(&relay, &upstream).await;
}
