//! Spans, as a collector receives them: `cargo test --features otel --test otel`.
#![cfg(target_os = "linux")]

#[allow(dead_code)] // its own part of it
#[path = "../lifecycle/process.rs"]
mod process;
mod protobuf;
mod receiver;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;

use process::{Relay, Setup};
use receiver::{Receiver, Span};
use support::client::client;
use support::leg::Leg;
use support::upstream::Upstream;

/// As the W3C's recommendation writes it.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A response that has used something.
const DONE: &str = include_str!("../wire/response_done_ga.json");

/// Span kinds and status codes of OTLP.
const CLIENT: u64 = 3;
const ERROR: u64 = 2;

async fn relay(upstream: &Upstream, receiver: &Receiver, more: &[(&str, &str)]) -> Relay {
    let (mut command, folder) = Setup::to(upstream).command();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()).env("OTEL_BSP_SCHEDULE_DELAY", "50");
    command.envs(more.iter().copied());
    Relay::run(command, folder).await
}

/// A link, of a client that is part of this trace.
async fn traced(relay: &Relay, upstream: &Upstream, traceparent: &str) -> (Leg, Leg) {
    let asking = client(relay).model("voice").header("traceparent", traceparent).ask().await;
    let theirs = upstream.leg().await;
    (asking.opened().await, theirs)
}

async fn close(mut ours: Leg, mut theirs: Leg) {
    ours.close(1000, "").await;
    theirs.expect_close(1000, "").await;
    theirs.close(1000, "").await;
    ours.expect_close(1000, "").await;
}

#[tokio::test]
async fn a_link_is_a_span_in_its_clients_trace_with_what_it_has_used() {
    let (upstream, receiver) = (Upstream::start().await, Receiver::start().await);
    let relay = relay(&upstream, &receiver, &[]).await;
    let (mut ours, mut theirs) = traced(&relay, &upstream, &format!("00-{TRACE}-{PARENT}-01")).await;
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;
    close(ours, theirs).await;

    let span = receiver.span().await;
    assert_eq!((span.name.as_str(), span.kind), ("chat voice", CLIENT));
    assert_eq!((span.trace.as_str(), span.parent.as_str()), (TRACE, PARENT));
    assert!(span.start > 0 && span.start < span.end, "{span:?}");
    assert_ne!(span.status, ERROR);
    let told = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "test"),
        ("gen_ai.system", "test"),
        ("gen_ai.request.model", "voice"),
        ("gen_ai.response.model", "voice"),
        ("gen_ai.usage.input_tokens", "260"),
        ("gen_ai.usage.output_tokens", "152"),
        ("gen_ai.usage.cache_read.input_tokens", "192"),
        ("relay.key", "none"),
        ("relay.ending", "client_close"),
        ("relay.client.close", "1000"),
        ("relay.upstream.close", "1000"),
        ("relay.responses", "1"),
        ("relay.frames.up", "1"),
        ("relay.frames.down", "2"),
        ("service.name", "realtime-relay"),
    ];
    for (name, value) in told {
        assert_eq!(span.attribute(name), Some(value), "{name} in {span:?}");
    }
    assert_eq!(span.attribute("error.type"), None);
    assert!(!format!("{span:?}").contains("127.0.0.1"), "no address is told: {span:?}");
}

#[tokio::test]
async fn a_link_that_fails_says_how() {
    let (upstream, receiver) = (Upstream::start().await, Receiver::start().await);
    let relay = relay(&upstream, &receiver, &[("OTEL_SERVICE_NAME", "voices")]).await;
    let (mut ours, theirs) = relay.link(&upstream).await;
    theirs.reset();
    ours.expect_error("upstream_error", "upstream_connection_lost").await;
    ours.expect_close_code(1011).await;
    ours.close(1011, "").await;
    let span = receiver.span().await;
    assert_eq!((span.status, span.attribute("error.type")), (ERROR, Some("upstream_lost")));
    assert_eq!(span.attribute("service.name"), Some("voices"));
}

#[tokio::test]
async fn what_names_no_trace_is_the_root_of_one() {
    let (upstream, receiver) = (Upstream::start().await, Receiver::start().await);
    let relay = relay(&upstream, &receiver, &[]).await;
    let zero = "0".repeat(32);
    for wrong in ["nonsense", &format!("00-{zero}-{PARENT}-01"), &format!("00-{TRACE}-{PARENT}"), ""] {
        let (ours, theirs) = traced(&relay, &upstream, wrong).await;
        close(ours, theirs).await;
        let span = receiver.span().await;
        assert!(span.parent.is_empty() && span.trace.len() == 32 && span.trace != TRACE, "{wrong:?}: {span:?}");
    }
    // A trace that its client does not record is not recorded here.
    let (ours, theirs) = traced(&relay, &upstream, &format!("00-{TRACE}-{PARENT}-00")).await;
    close(ours, theirs).await;
    let (ours, theirs) = relay.link(&upstream).await;
    close(ours, theirs).await;
    assert_eq!(receiver.span().await.attribute("gen_ai.request.model"), Some("m"), "the next one is the next link's");
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_process_ends() {
    let (upstream, receiver) = (Upstream::start().await, Receiver::start().await);
    let mut relay = relay(&upstream, &receiver, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    let (ours, theirs) = relay.link(&upstream).await;
    close(ours, theirs).await;
    relay.process.signal(Signal::INT);
    assert_eq!(relay.process.exit_code().await, Some(0), "{}", relay.process.log());
    let span: Span = receiver.span().await;
    assert_eq!(span.attribute("relay.ending"), Some("client_close"));
}

#[tokio::test]
async fn a_collector_that_does_not_answer_holds_up_nobody() {
    let (upstream, receiver) = (Upstream::start().await, Receiver::mute().await);
    let more = [("OTEL_BSP_MAX_QUEUE_SIZE", "4"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")];
    let mut relay = relay(&upstream, &receiver, &more).await;
    for _ in 0..20 {
        let (ours, theirs) = relay.link(&upstream).await;
        close(ours, theirs).await;
    }
    let begin = Instant::now();
    relay.process.signal(Signal::INT);
    assert_eq!(relay.process.exit_code().await, Some(0), "{}", relay.process.log());
    assert!(begin.elapsed() < Duration::from_secs(8), "it took {:?} to end", begin.elapsed());
}

#[tokio::test]
async fn without_an_endpoint_there_are_no_spans_and_nobody_is_asked() {
    let (upstream, receiver) = (Upstream::start().await, Receiver::start().await);
    let mut relay = relay(&upstream, &receiver, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]).await;
    let (ours, theirs) = relay.link(&upstream).await;
    close(ours, theirs).await;
    relay.process.signal(Signal::INT);
    assert_eq!(relay.process.exit_code().await, Some(0), "{}", relay.process.log());
    assert!(receiver.has_nothing(), "a span was sent");
}
