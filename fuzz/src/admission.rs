//! A client's bytes, from the first on, through the real service to the decision. An upstream is dialled exactly if a naive
//! reader finds in them all that a client has to show; it is asked in the relay's own words; and nobody gets a 101 whose
//! upstream gave none. Who is refused gets one whole HTTP answer, in the shape of the API's errors.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use realtime_relay::edge::load::Load;
use realtime_relay::edge::service::serve;
use realtime_relay::edge::{Client, Edge};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::head::Head;
use super::net::{self, pair};
use super::stage::{self, Asked, PROVIDERS_KEY};
use super::wants::{has_a_plain_target, may_have_a_link};

/// After so long a client that may not expect an answer closes its half. Whose request is complete waits for its answer: a
/// client that closes its half is taken for one that has gone away, and nothing is dialled for it.
const PATIENCE: Duration = Duration::from_millis(20);

/// All that may stand in a request to an upstream of this configuration.
const HEADERS: [&str; 10] = [
    "host",
    "user-agent",
    "connection",
    "upgrade",
    "sec-websocket-version",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "x-client-request-id",
    "authorization",
    "openai-safety-identifier",
];

thread_local! {
    static STAGE: &'static (Rc<Edge>, Asked) = Box::leak(Box::new(net::run(set_up())));
}

/// Holds the claim against these bytes.
pub fn holds(sent: &[u8]) {
    let (answer, asked) = STAGE.with(|(edge, asked)| {
        asked.borrow_mut().clear();
        let answer = net::run(answer_to(sent, edge.clone()));
        (answer, asked.borrow().iter().map(|request| request.borrow().clone()).collect::<Vec<_>>())
    });
    let head = Head::parse(sent);
    let may = head.as_ref().is_some_and(may_have_a_link);
    let strict = head.as_ref().is_some_and(|head| head.is_strict && has_a_plain_target(head));
    assert!(asked.len() <= 1, "the upstream is asked {} times", asked.len());
    match asked.first() {
        Some(request) => {
            // Behind an answer that keeps the connection open, as a probe has, comes another request.
            assert!(may || answer.starts_with(b"HTTP/1.1 200"), "dialled for {head:?}");
            judge_request(request);
        }
        None => assert!(!(may && strict), "nothing is dialled for {head:?}"),
    }
    judge_answer(sent, &answer);
}

async fn set_up() -> (Rc<Edge>, Asked) {
    // Counts for no breaker.
    let refusing = |_: &[u8]| b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec();
    let (address, asked) = stage::upstream(Rc::new(refusing)).await;
    (Rc::new(stage::edge(stage::configuration(address))), asked)
}

/// Sends this as a client of its own address, and gives all that it is answered.
async fn answer_to(sent: &[u8], edge: Rc<Edge>) -> Vec<u8> {
    static ADDRESSES: AtomicU32 = AtomicU32::new(1 << 24);
    let address = Ipv4Addr::from(ADDRESSES.fetch_add(1, Ordering::Relaxed));
    let client = Client { address: std::net::SocketAddr::from((address, 50_000)).into() };
    let (mut stream, relay) = pair().await;
    let serving = tokio::task::spawn_local(serve(relay, client, edge, Arc::<Load>::default().take()));
    let _ = stream.write_all(sent).await;
    let mut answer = Vec::new();
    let is_complete = Head::parse(sent).is_some_and(|head| head.is_strict && may_have_a_link(&head));
    let patience = if is_complete { Duration::MAX } else { PATIENCE };
    if timeout(patience, stream.read_to_end(&mut answer)).await.is_err() {
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
    }
    drop(stream);
    serving.await.expect("no panic");
    answer
}

fn judge_request(request: &[u8]) {
    // A client that has left meanwhile has cut it short.
    let Some(head) = Head::parse(request) else { return };
    assert_eq!(head.end, request.len(), "something follows the head");
    assert!(head.first.starts_with("GET /v1/realtime?") && head.first.ends_with(" HTTP/1.1"), "{}", head.first);
    for (name, _) in &head.headers {
        assert!(HEADERS.contains(&name.as_str()), "{name} goes upstream");
    }
    let bearer = format!("Bearer {PROVIDERS_KEY}");
    assert_eq!(head.only("authorization"), Some(bearer.as_bytes()));
}

/// A probe is for machines that look at the status: it answers in plain text, also where the method is not its own.
fn asks_for_a_probe(sent: &[u8]) -> bool {
    let words = Head::parse(sent).map(|head| head.first.split(' ').map(str::to_owned).collect::<Vec<_>>());
    words
        .is_some_and(|words| words.get(1).is_some_and(|target| target.contains("/readyz") || target.contains("/livez")))
}

fn judge_answer(sent: &[u8], answer: &[u8]) {
    if answer.is_empty() {
        // Who sends no whole head may be left without an answer.
        return;
    }
    let head = Head::parse(answer).expect("a head");
    let status = head.first.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).expect("a status");
    let status: u16 = status.parse().expect("a status");
    assert!(status == 200 || (400..600).contains(&status), "{}", head.first);
    if status == 200 || asks_for_a_probe(sent) {
        return;
    }
    let body = &answer[head.end..];
    let length: usize = str::from_utf8(head.only("content-length").expect("a length")).unwrap().parse().unwrap();
    if head.only("x-request-id").is_none() {
        // hyper's own word for what it cannot parse.
        return assert!([400, 414, 431].contains(&status) && body.is_empty(), "{}", head.first);
    }
    // For a client of HTTP/1.0 that wants it, hyper adds `keep-alive`, which beside `close` says nothing.
    assert!(head.lists("connection", "close"), "{:?}", head.headers);
    if sent.trim_ascii_start().starts_with(b"HEAD ") {
        return assert!(body.is_empty());
    }
    assert_eq!(body.len(), length);
    let body: Value = serde_json::from_slice(body).expect("JSON");
    let error = body["error"].as_object().expect("an error object");
    assert_eq!(error.keys().collect::<Vec<_>>(), ["message", "type", "param", "code"]);
    assert!(error["message"].is_string() && error["type"].is_string() && error["code"].is_string());
}
