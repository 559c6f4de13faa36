//! The links of the process, as operators see them, and the one that an operator ends.

use serde_json::{Value, json};

use crate::support::client::{Refused, client};
use crate::support::frame::Frame;
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

const DONE: &str = r#"{"type":"response.done","response":{"id":"resp_1","status":"completed","usage":{"input_tokens":30,"output_tokens":12,"input_token_details":{"text_tokens":10,"audio_tokens":20,"cached_tokens":4,"cached_tokens_details":{"text_tokens":1,"audio_tokens":3}},"output_token_details":{"text_tokens":5,"audio_tokens":7}}}}"#;

async fn links(relay: &Relay) -> Vec<Value> {
    let answer = operator(relay, "/links").ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.expect_header("content-type", "application/json").expect_header("cache-control", "no-store");
    answer.json.as_array().expect("a list").clone()
}

/// The one link there is, as soon as `settled` of it.
async fn until(relay: &Relay, settled: impl Fn(&Value) -> bool) -> Value {
    let looking = async {
        loop {
            match links(relay).await.as_slice() {
                [link] if settled(link) => return link.clone(),
                _ => {}
            }
        }
    };
    within("the link to be as it should", looking).await
}

async fn end(relay: &Relay, id: &str) -> Refused {
    operator(relay, &format!("/links/{id}")).method("DELETE").ask().await
}

#[tokio::test]
async fn are_told_field_by_field() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("models = { voice = \"gpt-realtime\" }").start();
    assert_eq!(links(&relay).await, [] as [Value; 0]);
    let asking = client(&relay).key("key-of-acme").model("voice").header("X-Request-Id", "req-of-mine").ask().await;
    let (mut theirs, mut ours) = (upstream.leg().await, asking.opened().await);
    let hello = Frame::text("hello");
    ours.send(std::slice::from_ref(&hello)).await;
    theirs.expect_text("hello").await;
    theirs.text(DONE).await;
    ours.expect_text(DONE).await;

    let mut link = until(&relay, |link| link["frames_down"] == 1 && link["frames_up"] == 1).await;
    let told = link.as_object_mut().unwrap();
    let names: Vec<_> = told.keys().cloned().collect();
    assert_eq!(
        names,
        [
            "id",
            "request_id",
            "key",
            "model",
            "upstream",
            "client",
            "opened_ms",
            "frames_up",
            "frames_down",
            "bytes_up",
            "bytes_down",
            "input_audio_format",
            "output_audio_format",
            "usage",
        ]
    );
    let id = told.remove("id").unwrap();
    assert!(uuid::Uuid::try_parse(id.as_str().unwrap()).is_ok(), "{id}");
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() - u128::from(told["opened_ms"].as_u64().unwrap());
    assert!(since < 60_000, "opened {since} ms ago");
    told.remove("opened_ms");
    assert!(told.remove("client").unwrap().as_str().unwrap().starts_with("127.0.0.1:"));
    let bytes = (hello.masked().bytes().len(), Frame::text(DONE).bytes().len());
    assert_eq!(
        link,
        json!({
            "request_id": "req-of-mine", "key": "acme", "model": "gpt-realtime", "upstream": "primary",
            "frames_up": 1, "frames_down": 1, "bytes_up": bytes.0, "bytes_down": bytes.1,
            "input_audio_format": "pcm16", "output_audio_format": "pcm16",
            "usage": {
                "responses": 1, "input_text": 10, "input_audio": 20, "input_image": 0, "cached_text": 1,
                "cached_audio": 3, "cached_image": 0, "output_text": 5, "output_audio": 7,
            },
        })
    );
}

#[tokio::test]
async fn of_all_workers_are_told() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(3).start();
    let mut open: Vec<(Leg, Leg)> = Vec::new();
    for count in 1..=7 {
        open.push(relay.link(&upstream).await);
        within("the links to be told", async { while links(&relay).await.len() != count {} }).await;
    }
    drop(open);
    within("the links to be gone", async { while !links(&relay).await.is_empty() {} }).await;
}

#[tokio::test]
async fn end_by_an_operators_word_with_an_event_and_a_close_frame() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).workers(2).start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let link = until(&relay, |_| true).await;
    let (mut other, mut other_upstream) = relay.link(&upstream).await;

    let answer = end(&relay, link["id"].as_str().unwrap()).await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    ours.expect_error("permission_error", "ended_by_operator").await;
    ours.expect_close_code(1008).await;
    theirs.expect_close_code(1000).await;
    ours.close(1008, "").await;
    theirs.close(1000, "").await;
    ours.expect_end().await;
    theirs.expect_end().await;

    other.text("still here").await;
    other_upstream.expect_text("still here").await;
    let left = until(&relay, |_| true).await;
    assert_ne!(left["id"], link["id"]);
}

#[tokio::test]
async fn that_are_not_there_are_not_found() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (_ours, _theirs) = relay.link(&upstream).await;
    let id = until(&relay, |_| true).await["id"].as_str().unwrap().to_owned();
    for wrong in ["67e55044-10b1-426f-9247-bb680e5fe0c8", "1", "", "primary", &id[1..], &format!("{id}/")] {
        end(&relay, wrong).await.expect(404, "not_found", "invalid_request_error");
    }
    assert_eq!(links(&relay).await.len(), 1);
}
