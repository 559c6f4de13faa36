//! Who may scrape, and what a scrape says of the process.

use super::good;
use crate::support::metrics::{scrape, until};
use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

const LOOPBACK_WITH_TOKEN: &str = "listen = \"127.0.0.1:0\"\ntoken = \"the-token\"";
const OPEN_WITH_TOKEN: &str = "listen = \"0.0.0.0:0\"\ntoken = \"the-token\"";

#[tokio::test]
async fn on_loopback_nobody_is_asked_for_a_token() {
    let upstream = Upstream::start().await;
    for admin in ["listen = \"127.0.0.1:0\"", LOOPBACK_WITH_TOKEN] {
        let relay = Relay::to(&upstream).admin(admin).start();
        scrape(&relay).await.value("ready", &[]);
        assert_eq!(operator(&relay, "/metrics").token("whatever").ask().await.status, 200);
    }
}

#[tokio::test]
async fn elsewhere_everybody_is() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).admin(OPEN_WITH_TOKEN).start();
    for wrong in [operator(&relay, "/metrics"), operator(&relay, "/metrics").token("the-tokem")] {
        wrong.ask().await.expect(401, "invalid_token", "authentication_error");
    }
    let answer = operator(&relay, "/metrics").token("the-token").host("relay.example.com").ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.expect_header("cache-control", "no-store");
}

#[tokio::test]
async fn no_web_page_and_no_other_name_reads_them() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for asking in [
        operator(&relay, "/metrics").header("Origin", "https://example.com"),
        operator(&relay, "/metrics").host("rebound.example.com"),
    ] {
        asking.ask().await.expect(403, "origin_not_allowed", "permission_error");
    }
    let answer = operator(&relay, "/metrics").method("POST").ask().await;
    answer.expect(405, "method_not_allowed", "invalid_request_error").expect_header("allow", "GET, HEAD");
}

#[tokio::test]
async fn the_process_tells_its_version_and_what_it_needs() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let metrics = scrape(&relay).await;
    assert_eq!(metrics.value("build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    for (name, least) in [
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 4.0),
        ("process_max_fds", 64.0),
        ("process_start_time_seconds", 1.7e9),
    ] {
        assert!(metrics.value(name, &[]) >= least, "{name}");
    }
}

#[tokio::test]
async fn a_drain_is_seen_as_soon_as_it_begins() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("drain_grace = \"1h\"").start();
    let phases = ["serving", "grace", "draining", "ending"];
    let serving = scrape(&relay).await;
    assert_eq!(serving.value("ready", &[]), 1.0);
    assert_eq!(phases.map(|phase| serving.value("drain_phase", &[("phase", phase)])), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(operator(&relay, "/drain").method("POST").ask().await.status, 202);
    let grace = scrape(&relay).await;
    assert_eq!(grace.value("ready", &[]), 0.0);
    assert_eq!(phases.map(|phase| grace.value("drain_phase", &[("phase", phase)])), [0.0, 1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn workers_say_how_busy_they_are_and_that_they_answer() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).start();
    let _links = [relay.link(&upstream).await, relay.link(&upstream).await];
    let before = scrape(&relay).await;
    for worker in ["0", "1"] {
        assert_eq!(before.value("worker_answered", &[("worker", worker)]), 1.0);
        assert_eq!(before.value("worker_connections", &[("worker", worker)]), 1.0, "{worker}");
        assert!(before.value("worker_busy_seconds_total", &[("worker", worker)]) > 0.0, "{worker}");
    }
    assert_eq!(before.values_of("worker_answered", "worker"), ["0", "1"]);
    // They are busy with the scrapes, if with nothing else; it is seen once they have gone to rest.
    let busy = async |relay| scrape(relay).await.sum("worker_busy_seconds_total");
    let before = before.sum("worker_busy_seconds_total");
    within("a worker to be busy", async { while busy(&relay).await <= before {} }).await;
}

#[tokio::test]
async fn no_label_holds_what_a_client_chose() {
    let upstream = Upstream::start().await;
    let _serving = upstream.links();
    let relay = Relay::to(&upstream).start();
    let marked = "chosen-by-the-client";
    let _opened = good(&relay).query(&format!("voice={marked}")).header("x-request-id", marked).open().await;
    let other = good(&relay).with("Authorization", marked).path(&format!("/{marked}"));
    other.refused().await.expect(404, "not_found", "invalid_request_error");
    let named = crate::support::client::client(&relay).key("key-of-acme").model(marked);
    let _named = named.open().await;
    let metrics = until(&relay, "links_opened_total", &[("key", "acme"), ("upstream", "primary")], 2.0).await;
    for (name, family) in metrics.families() {
        assert!(!format!("{family:?}").contains(marked), "{name}: {family:?}");
    }
}
