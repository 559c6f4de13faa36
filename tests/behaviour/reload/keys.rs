//! Keys that come, go, and change.

use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{expect_alive, expect_revoked, link, reload};
use crate::support::client::client;
use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

async fn expect_unknown(relay: &Relay, key: &str) {
    let refused = client(relay).key(key).model("gpt-realtime").refused().await;
    refused.expect(401, "invalid_api_key", "authentication_error");
}

#[tokio::test]
async fn a_key_that_goes_ends_its_links_on_every_worker_and_no_other() {
    let upstream = Upstream::start().await;
    let keys = [("acme", "key-of-acme"), ("globex", "key-of-globex")];
    let mut relay = Relay::to(&upstream).workers(2).auth_keys(&keys).start();
    let mut revoked = Vec::new();
    for _ in 0..6 {
        revoked.push(link(&relay, "key-of-acme", &upstream).await);
    }
    let mut stays = link(&relay, "key-of-globex", &upstream).await;

    reload(&mut relay, |setup| setup.auth_keys(&[keys[1], ("initech", "key-of-initech")])).await;

    for link in revoked {
        expect_revoked(link).await;
    }
    expect_alive(&mut stays).await;
    expect_unknown(&relay, "key-of-acme").await;
    expect_alive(&mut link(&relay, "key-of-globex", &upstream).await).await;
    expect_alive(&mut link(&relay, "key-of-initech", &upstream).await).await;
    relay.ledger().until_count("link WHERE key = 'acme' AND ending = 'key_revoked'", 6).await;
}

#[tokio::test]
async fn a_name_that_has_another_key_now_ends_what_the_former_one_opened() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).auth_keys(&[("acme", "leaked-key")]).start();
    let leaked = link(&relay, "leaked-key", &upstream).await;
    reload(&mut relay, |setup| setup.auth_keys(&[("acme", "renewed-key")])).await;
    expect_revoked(leaked).await;
    expect_unknown(&relay, "leaked-key").await;
    expect_alive(&mut link(&relay, "renewed-key", &upstream).await).await;
}

#[tokio::test]
async fn a_client_whose_key_goes_while_its_upstream_is_dialled_gets_no_further() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).auth_keys(&[("acme", "key-of-acme"), ("globex", "key-of-globex")]).start();
    let asking = client(&relay).key("key-of-acme").model("gpt-realtime").ask().await;
    let asked = upstream.accept().await;
    reload(&mut relay, |setup| setup.auth_keys(&[("globex", "key-of-globex")])).await;
    let theirs = asked.switch().await;
    expect_revoked((asking.opened().await, theirs)).await;
}

#[tokio::test]
async fn a_key_that_is_to_expire_sooner_does_for_links_that_run_too() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).key("expires = 2999-01-01T00:00:00Z").start();
    let running = relay.link(&upstream).await;
    let soon = humantime::format_rfc3339(SystemTime::now() + Duration::from_secs(1)).to_string();
    reload(&mut relay, |setup| setup.replaced("2999-01-01T00:00:00Z", &soon)).await;
    expect_revoked(running).await;
}

#[tokio::test]
async fn a_key_that_is_to_expire_later_does_not_end_links_at_the_former_moment() {
    let upstream = Upstream::start().await;
    let soon = humantime::format_rfc3339(SystemTime::now() + Duration::from_secs(2)).to_string();
    let two = "[[keys]]\nname = \"short\"\nkey = \"short-lived\"\nexpires = ";
    let mut relay = Relay::to(&upstream).key(&format!("expires = {soon}")).more(&format!("{two}{soon}\n")).start();
    let mut stays = relay.link(&upstream).await;
    let goes = link(&relay, "short-lived", &upstream).await;
    reload(&mut relay, |setup| setup.replaced(&soon, "2999-01-01T00:00:00Z")).await;
    // The moment has come.
    expect_revoked(goes).await;
    expect_alive(&mut stays).await;
}

#[tokio::test]
async fn limits_of_a_key_count_the_links_that_run_already() {
    let upstream = Upstream::start().await;
    let mut relay = Relay::to(&upstream).start();
    let mut first = relay.link(&upstream).await;
    reload(&mut relay, |setup| setup.key("max_links = 1")).await;
    let refused = client(&relay).key("key-of-acme").model("gpt-realtime").refused().await;
    refused.expect(429, "too_many_links", "rate_limit_error");
    expect_alive(&mut first).await;
}

#[tokio::test]
async fn the_operators_token_can_be_replaced() {
    let upstream = Upstream::start().await;
    let admin = "listen = \"127.0.0.1:0\"\ntoken = \"former-token\"";
    let relay = Relay::to(&upstream).admin(admin).start();
    let shown = async |token: &str| operator(&relay, "/links").token(token).ask().await.status;
    assert_eq!((shown("former-token").await, shown("latter-token").await), (200, 401));
    std::fs::write(relay.file(), relay.toml().replace("former-token", "latter-token")).unwrap();
    let answer = operator(&relay, "/reload").method("POST").token("former-token").ask().await;
    assert_eq!(answer.status, 202);
    assert_eq!((shown("former-token").await, shown("latter-token").await), (401, 200));
}

#[tokio::test]
async fn an_operator_who_does_not_wait_has_it_all_the_same() {
    let upstream = Upstream::start().await;
    // The new key is tried until it is one, however often that is.
    let relay = Relay::to(&upstream).limits("auth_failures_per_minute = 60_000").start();
    std::fs::write(relay.file(), relay.toml().replace("\"key-of-acme\"", "\"latter-key\"")).unwrap();
    let mut operator = TcpStream::connect(relay.admin_address()).await.unwrap();
    operator.write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    drop(operator);
    let _links = upstream.links();
    let taken_up = async { while !client(&relay).key("latter-key").model("m").ask().await.is_opened().await {} };
    within("the new key", taken_up).await;
}
