//! A configuration that is wrong changes nothing, and every mistake is told.

use std::sync::Arc;

use super::{expect_alive, link};
use crate::support::authority::Authority;
use crate::support::metrics::scrape;
use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn every_mistake_is_told_and_nothing_changes() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let mut running = relay.link(&upstream).await;
    let wrong = relay.toml().replace("name = \"acme\"", "name = \"renamed\"");
    let refused = relay.reload_file(&format!("{wrong}maximum = 3\n[log]\nlevel = \"loud\"\n")).await;
    refused.expect(422, "invalid_configuration", "invalid_request_error");
    let message = refused.message();
    for told in ["keys[0].maximum", "unknown key", "log.level", "`loud` is not a level", "2 mistakes"] {
        assert!(message.contains(told), "{told} in {message}");
    }
    expect_alive(&mut running).await;
    expect_alive(&mut link(&relay, "key-of-acme", &upstream).await).await;
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    std::fs::remove_file(relay.file()).unwrap();
    let refused = operator(&relay, "/reload").method("POST").ask().await;
    refused.expect(422, "invalid_configuration", "invalid_request_error");
    assert!(refused.message().contains("cannot be read"), "{}", refused.message());
    expect_alive(&mut link(&relay, "key-of-acme", &upstream).await).await;
}

#[tokio::test]
async fn a_key_that_does_not_open_its_certificate_changes_nothing() {
    let upstream = Upstream::start().await;
    let (own, other) = (Arc::new(Authority::new()), Authority::new());
    let relay = Relay::to(&upstream).tls(own.clone()).start();
    let refused = relay.reload_file(&relay.toml().replace(&own.key_file(), &other.key_file())).await;
    refused.expect(422, "invalid_configuration", "invalid_request_error");
    expect_alive(&mut link(&relay, "key-of-acme", &upstream).await).await;
}

#[tokio::test]
async fn only_a_post_reloads() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    operator(&relay, "/reload").ask().await.expect(405, "method_not_allowed", "invalid_request_error");
    operator(&relay, "/reload").method("POST").header("Origin", "https://a.b").ask().await.expect(
        403,
        "origin_not_allowed",
        "permission_error",
    );
}

#[tokio::test]
async fn what_became_of_each_reload_is_counted() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let counted = async || {
        let metrics = scrape(&relay).await;
        let of = |outcome| metrics.value("config_reloads_total", &[("outcome", outcome)]);
        [of("success"), of("failure"), metrics.value("config_last_reload_successful", &[])]
            .map(|value| value.to_string())
    };
    assert_eq!(counted().await, ["0", "0", "1"]);
    for (toml, status, expected) in [
        (relay.toml(), 202, ["1", "0", "1"]),
        ("no TOML".to_owned(), 422, ["1", "1", "0"]),
        (relay.toml(), 202, ["2", "1", "1"]),
    ] {
        assert_eq!(relay.reload_file(&toml).await.status, status);
        assert_eq!(counted().await, expected);
    }
}
