//! The client's key: where it may stand, and where it never turns up.

use super::{good, opens, relay};
use crate::support::client::{Client, client};
use crate::support::relay::{Relay, UPSTREAM_KEY};
use crate::support::upstream::Upstream;

/// Puts a key into a request.
type Place = for<'r> fn(Client<'r>, &str) -> Client<'r>;

/// The four places of a key, the first one first.
const PLACES: [Place; 4] = [
    |client, key| client.header("Sec-WebSocket-Protocol", &format!("realtime, openai-insecure-api-key.{key}")),
    |client, key| client.header("Authorization", &format!("Bearer {key}")),
    |client, key| client.header("api-key", key),
    |client, key| client.query(&format!("api-key={key}")),
];

#[tokio::test]
async fn a_key_is_found_in_four_places_and_goes_no_further() {
    let (relay, upstream) = relay().await;
    for place in PLACES {
        let asking = place(client(&relay).model("m"), "key-of-acme").ask().await;
        let asked = upstream.accept().await;
        let head = asked.head.text();
        assert!(!head.contains("key-of-acme") && !head.contains("api-key"), "{head}");
        assert_eq!(asked.head.header("authorization"), Some(format!("Bearer {UPSTREAM_KEY}").as_str()));
        let _leg = asked.switch().await;
        let answer = asking.opened().await.head.text();
        assert!(!answer.contains("key-of-acme") && !answer.contains(UPSTREAM_KEY), "{answer}");
    }
}

#[tokio::test]
async fn the_first_place_with_a_key_decides() {
    let (relay, upstream) = relay().await;
    for (first, second) in [(0, 1), (1, 2), (2, 3), (0, 3)] {
        let both = |keys: [&str; 2]| PLACES[second](PLACES[first](client(&relay).model("m"), keys[0]), keys[1]);
        both(["wrong-key", "key-of-acme"]).refused().await.expect(401, "invalid_api_key", "authentication_error");
        opens(both(["key-of-acme", "wrong-key"]), &upstream).await;
    }
}

#[tokio::test]
async fn a_header_without_a_bearer_token_holds_no_key() {
    let (relay, upstream) = relay().await;
    opens(client(&relay).header("Authorization", "Basic abc").header("api-key", "key-of-acme").model("m"), &upstream)
        .await;
    opens(client(&relay).header("Authorization", "bearer key-of-acme").model("m"), &upstream).await;
}

#[tokio::test]
async fn refuses_a_key_that_is_missing_or_not_known() {
    let (relay, upstream) = relay().await;
    let asking = || client(&relay).model("m");
    for asking in [
        asking(),
        asking().key("Key-of-acme"),
        asking().key("key-of-acme2"),
        asking().key(""),
        asking().key(UPSTREAM_KEY),
    ] {
        let refused = asking.refused().await;
        refused.expect(401, "invalid_api_key", "authentication_error").expect_header("www-authenticate", "Bearer");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_refusal_does_not_echo_the_key() {
    let (relay, _upstream) = relay().await;
    for place in PLACES {
        place(client(&relay).model("m"), "sk-guessed").refused().await.expect_without("sk-guessed");
    }
}

#[tokio::test]
async fn refuses_a_key_that_has_expired() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).key("expires = \"2020-01-01T00:00:00Z\"").start();
    good(&relay).refused().await.expect(401, "invalid_api_key", "authentication_error");
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn each_client_has_its_own_key() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth_keys(&[("acme", "key-of-acme"), ("globex", "key-of-globex")]).start();
    for key in ["key-of-acme", "key-of-globex"] {
        opens(client(&relay).key(key).model("m"), &upstream).await;
    }
    client(&relay).key("key-of-nobody").model("m").refused().await.expect(
        401,
        "invalid_api_key",
        "authentication_error",
    );
}

#[tokio::test]
async fn passthrough_sends_the_clients_own_key() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("passthrough").start();
    for place in PLACES {
        let asking = place(client(&relay).model("m"), "sk-of-mine").ask().await;
        let asked = upstream.accept().await;
        assert_eq!(asked.head.header("authorization"), Some("Bearer sk-of-mine"));
        assert_eq!(asked.head.text().matches("sk-of-mine").count(), 1, "{}", asked.head.text());
        let _leg = asked.switch().await;
        asking.opened().await;
    }
    client(&relay).model("m").refused().await.expect(401, "invalid_api_key", "authentication_error");
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn without_keys_none_is_asked_for_and_none_goes_on() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).auth("none").start();
    for asking in [client(&relay).model("m"), client(&relay).model("m").key("sk-of-mine")] {
        let asking = asking.ask().await;
        let asked = upstream.accept().await;
        assert_eq!(asked.head.header("authorization"), Some(format!("Bearer {UPSTREAM_KEY}").as_str()));
        let _leg = asked.switch().await;
        asking.opened().await;
    }
}
