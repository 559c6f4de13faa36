//! The routes without a model: transcription sessions, and calls that are under way.

use crate::support::client::{Client, client};
use crate::support::frame::Frame;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

/// A relay whose one upstream serves both, to a key that may use both.
fn both(upstream: &Upstream) -> Setup {
    serving_both(Relay::to(upstream))
}

fn serving_both(setup: Setup) -> Setup {
    setup.upstream("transcription = \"gpt-4o transcribe\"\ncalls = true").key("allow = [\"transcription\", \"calls\"]")
}

fn asking<'r>(relay: &'r Relay, query: &str) -> Client<'r> {
    client(relay).key("key-of-acme").query(query)
}

/// What the upstream is asked for, when a client asks for this.
async fn target(upstream: &Upstream, relay: &Relay, query: &str) -> String {
    let asking = asking(relay, query).ask().await;
    let leg = upstream.leg().await;
    asking.opened().await;
    leg.head.target().to_owned()
}

#[tokio::test]
async fn to_openai() {
    let upstream = Upstream::start().await;
    let relay = both(&upstream).start();
    for (query, sent) in [
        ("intent=transcription", "/v1/realtime?intent=transcription"),
        ("intent=transcription&model=m&x=%26&y=1", "/v1/realtime?intent=transcription&x=%26&y=1"),
        ("deployment=m&intent=transcription&api-key=k", "/v1/realtime?intent=transcription"),
        ("call_id=rtc_u1-2", "/v1/realtime?call_id=rtc_u1-2"),
        ("model=m&call_id=rtc_1%26x%3D1%0d%0a&v=1", "/v1/realtime?call_id=rtc_1%26x%3D1%0D%0A&v=1"),
    ] {
        assert_eq!(target(&upstream, &relay, query).await, sent, "{query}");
    }
}

#[tokio::test]
async fn to_azure() {
    let upstream = Upstream::start().await;
    for (version, transcription, call) in [
        ("", "/openai/v1/realtime?intent=transcription", "/openai/v1/realtime?call_id=rtc_1"),
        (
            "api_version = \"v9\"",
            "/openai/realtime?api-version=v9&intent=transcription",
            "/openai/realtime?api-version=v9&call_id=rtc_1",
        ),
    ] {
        let setup = serving_both(Relay::to_url(&upstream.base_url()).kind("azure")).upstream(version);
        let relay = setup.start();
        assert_eq!(target(&upstream, &relay, "intent=transcription&deployment=d&x=1").await, transcription);
        assert_eq!(target(&upstream, &relay, "call_id=rtc_1&x=1").await, call);
    }
}

#[tokio::test]
async fn to_a_compatible_upstream() {
    let upstream = Upstream::start().await;
    for (path, transcription, call) in [
        ("/ws?model={model}", "/ws?model=gpt-4o%20transcribe&intent=transcription&x=1", "/ws?model=&call_id=rtc_1&x=1"),
        ("/plain", "/plain?intent=transcription&x=1", "/plain?call_id=rtc_1&x=1"),
    ] {
        let url = format!("{}{path}", upstream.base_url());
        let relay = serving_both(Relay::to_url(&url).kind("compatible")).start();
        assert_eq!(target(&upstream, &relay, "intent=transcription&model=m&x=1").await, transcription);
        assert_eq!(target(&upstream, &relay, "x=1&call_id=rtc_1").await, call);
    }
}

#[tokio::test]
async fn each_goes_to_the_upstream_that_serves_it() {
    let (talks, listens, calls) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    let other = |name: &str, upstream: &Upstream, serves: &str| {
        let url = upstream.base_url();
        format!("[[upstreams]]\nname = {name:?}\nkind = \"compatible\"\nurl = \"{url}/\"\npriority = 1\n{serves}\n")
    };
    let more = other("listens", &listens, "transcription = \"w\"") + &other("calls", &calls, "calls = true");
    let relay = Relay::to(&talks).key("allow = [\"transcription\", \"calls\"]").more(&more).start();
    assert_eq!(target(&talks, &relay, "model=m").await, "/v1/realtime?model=m");
    assert_eq!(target(&listens, &relay, "intent=transcription").await, "/?intent=transcription");
    assert_eq!(target(&calls, &relay, "call_id=c").await, "/?call_id=c");
}

#[tokio::test]
async fn a_key_may_use_transcription_unless_it_is_told_otherwise() {
    let upstream = Upstream::start().await;
    let serving = || Relay::to(&upstream).upstream("transcription = \"w\"\ncalls = true");
    let relay = serving().start();
    let call = asking(&relay, "call_id=c").refused().await;
    assert!(call.expect(403, "model_not_allowed", "permission_error").message().contains("calls"));
    assert_eq!(target(&upstream, &relay, "intent=transcription").await, "/v1/realtime?intent=transcription");

    let relay = serving().key("allow = [\"calls\"]").start();
    let transcription = asking(&relay, "intent=transcription").refused().await;
    transcription.expect(403, "model_not_allowed", "permission_error");
    assert_eq!(target(&upstream, &relay, "call_id=c").await, "/v1/realtime?call_id=c");

    let relay = serving().key("allow = []").start();
    for query in ["intent=transcription", "call_id=c"] {
        asking(&relay, query).refused().await.expect(403, "model_not_allowed", "permission_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn the_models_of_a_key_say_nothing_of_transcription_but_its_upstreams_do() {
    let upstream = Upstream::start().await;
    let relay = both(&upstream).key("models = [\"gpt-realtime\"]\nupstreams = [\"primary\"]").start();
    assert_eq!(target(&upstream, &relay, "intent=transcription").await, "/v1/realtime?intent=transcription");

    let other = "[[upstreams]]\nname = \"other\"\nkind = \"compatible\"\nurl = \"ws://127.0.0.1:1/\"";
    let relay = both(&upstream).key("upstreams = [\"other\"]").more(other).start();
    for query in ["intent=transcription", "call_id=c"] {
        asking(&relay, query).refused().await.expect(403, "model_not_allowed", "permission_error");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn without_keys_whatever_is_served_may_be_used() {
    let upstream = Upstream::start().await;
    let serves = "transcription = \"w\"\ncalls = true";
    for auth in ["none", "passthrough"] {
        let relay = Relay::to(&upstream).auth(auth).upstream(serves).start();
        assert_eq!(target(&upstream, &relay, "call_id=c").await, "/v1/realtime?call_id=c");
        assert_eq!(target(&upstream, &relay, "intent=transcription").await, "/v1/realtime?intent=transcription");
    }
}

#[tokio::test]
async fn a_call_is_joined_without_waiting_for_its_first_event() {
    let upstream = Upstream::start().await;
    let relay = both(&upstream).awaits_first_event().start();
    let call = asking(&relay, "call_id=c").ask().await;
    let mut leg = upstream.leg().await;
    let mut client = call.opened().await;
    leg.text("late").await;
    client.expect_text("late").await;

    let mut transcription = asking(&relay, "intent=transcription").ask().await;
    let mut leg = upstream.leg().await;
    leg.send(&[Frame::ping("still there")]).await;
    leg.expect(Frame::pong("still there")).await;
    assert_eq!(transcription.arrived(), b"", "transcription waits as ever");
    leg.text("first").await;
    transcription.opened().await.expect_text("first").await;
}
