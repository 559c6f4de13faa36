//! The faults, as a client sees them.

use crate::client::{Client, Seen, ask, head, refused, soon, upstream};
use fastwebsockets::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Asks for an answer, and reads on until something that is no event.
async fn end_of_answer(model: &str) -> Seen {
    let mut client = Client::open(upstream(None).await, model).await;
    client.ask("Hello").await;
    client.until("response.content_part.added").await;
    client.end().await
}

#[tokio::test]
async fn a_status_on_request_comes_with_what_belongs_to_it() {
    let upstream = upstream(None).await;
    for (status, code, header) in [
        (429, "rate_limit_exceeded", "retry-after: 7"),
        (404, "model_not_found", "application/json"),
        (301, "simulated", "location: https://"),
        (503, "server_error", "retry-after: 7"),
        (200, "simulated", "application/json"),
    ] {
        let (head, body) = refused(upstream, &format!("/v1/realtime?model=fault-http-{status}")).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains(header), "{head}");
        assert_eq!(body["error"]["code"], code);
    }
    let (head, body) = refused(upstream, "/v1/realtime?model=fault-unheard-of").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    assert!(body["error"]["message"].as_str().is_some_and(|message| message.contains("fault-drop-mid-frame")));
}

#[tokio::test]
async fn heads_are_wrong_in_the_way_that_was_asked_for() {
    let upstream = upstream(None).await;
    for (model, wrong) in [
        ("fault-extension", "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        ("fault-unoffered-protocol", "Sec-WebSocket-Protocol: chat\r\n"),
        ("fault-slow", "101 Switching Protocols\r\n"),
    ] {
        let mut stream = ask(upstream, &format!("/v1/realtime?model={model}"), "").await;
        let head = head(&mut stream).await;
        assert!(head.contains(wrong), "{head}");
    }
    let mut stream = ask(upstream, "/v1/realtime?model=fault-wrong-accept", "").await;
    assert!(!head(&mut stream).await.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

#[tokio::test]
async fn early_bytes_come_in_one_read_with_the_head() {
    let mut stream = ask(upstream(None).await, "/v1/realtime?model=fault-early-bytes", "").await;
    let mut bytes = vec![0; 8_192];
    let count = soon(stream.read(&mut bytes)).await.expect("bytes");
    let text = String::from_utf8_lossy(&bytes[..count]);
    assert!(text.contains("\r\n\r\n") && text.contains("session.created"), "{text}");
}

#[tokio::test]
async fn half_a_head_is_all_there_is() {
    let mut stream = ask(upstream(None).await, "/v1/realtime?model=fault-half-101", "").await;
    let mut bytes = vec![0; 8_192];
    let count = soon(stream.read(&mut bytes)).await.expect("bytes");
    let text = String::from_utf8_lossy(&bytes[..count]);
    assert!(text.starts_with("HTTP/1.1 101") && !text.contains("\r\n\r\n"), "{text}");
}

#[tokio::test]
async fn first_things_are_not_always_a_session() {
    let upstream = upstream(None).await;
    let closed = |code, reason: &str| Seen::Closed(Some(code), reason.to_owned());
    for (model, first) in [
        ("fault-close-3000", closed(3_000, "invalid_request_error.invalid_api_key")),
        ("fault-close-1011", closed(1_011, "internal error")),
        ("fault-close-empty", Seen::Closed(None, String::new())),
        ("fault-eof-first", Seen::Eof),
        ("fault-illegal-frame-first", Seen::Illegal),
        ("fault-ping-first", Seen::Ping),
    ] {
        assert_eq!(Client::open(upstream, model).await.next().await, first, "{model}");
    }
    let mut client = Client::open(upstream, "fault-error-server_error").await;
    assert_eq!(client.event().await["error"]["type"], "server_error");
    assert_eq!(client.next().await, closed(1_000, ""));
}

#[tokio::test]
async fn a_silent_upstream_answers_pings_and_nothing_else() {
    let mut client = Client::open(upstream(None).await, "fault-silent").await;
    client.ask("Hello").await;
    client.send_frame(Frame::new(true, fastwebsockets::OpCode::Ping, None, (&b"x"[..]).into())).await;
    assert_eq!(client.next().await, Seen::Ping);
}

#[tokio::test]
async fn answers_break_off_in_every_way() {
    assert_eq!(end_of_answer("fault-drop").await, Seen::Eof);
    assert_eq!(end_of_answer("fault-drop-mid-frame").await, Seen::Eof);
    assert_eq!(end_of_answer("fault-drop-mid-message").await, Seen::Fragment);
    let closed = Seen::Closed(Some(1_001), "going away".to_owned());
    assert_eq!(end_of_answer("fault-close-mid-response").await, closed);
}

#[tokio::test]
async fn done_comes_twice_or_empty_or_last() {
    let upstream = upstream(None).await;
    let mut client = Client::open(upstream, "fault-duplicate-done").await;
    client.ask("Hello").await;
    let first = client.until("response.done").await;
    assert_eq!(client.event().await, first[first.len() - 1]);

    let mut client = Client::open(upstream, "fault-null-usage").await;
    client.ask("Hello").await;
    let events = client.until("response.done").await;
    assert!(events[events.len() - 1]["response"]["usage"].is_null());

    let mut client = Client::open(upstream, "fault-no-done").await;
    client.ask("Hello").await;
    let events = client.until("rate_limits.updated").await;
    assert!(events.iter().all(|event| event["type"] != "response.done"));

    let created = Client::open(upstream, "fault-type-last").await.event().await;
    let keys: Vec<&String> = created.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["event_id", "session", "type"]);
}

#[tokio::test]
async fn every_event_comes_in_fragments_with_pings_in_between() {
    let mut client = Client::open(upstream(None).await, "fault-fragments").await;
    for expected in [Seen::Fragment, Seen::Ping, Seen::Fragment, Seen::Ping, Seen::Fragment] {
        assert_eq!(client.next().await, expected);
    }
}

#[tokio::test]
async fn a_huge_message_is_thirty_mebibytes_and_the_answer_goes_on() {
    let mut client = Client::open(upstream(None).await, "fault-huge").await;
    client.ask("Hello").await;
    let events = client.until("response.done").await;
    let longest = events.iter().filter_map(|event| event["padding"].as_str()).map(str::len).max();
    assert_eq!(longest, Some(30 << 20));
}

#[tokio::test]
async fn a_close_may_remain_unanswered() {
    let mut client = Client::open(upstream(None).await, "fault-ignores-close").await;
    client.event().await;
    client.send_frame(Frame::close(1_000, b"")).await;
    let mut stream = client.into_stream();
    // An empty ping; its pong is the first thing that comes after the close.
    stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.expect("sent");
    let mut pong = [0; 2];
    soon(stream.read_exact(&mut pong)).await.expect("a pong");
    assert_eq!(pong, [0x8a, 0x00]);
}
