//! An upstream that gives no leg, before or with its answer: the table of attempts.

use std::time::{Duration, Instant};

use tokio::net::{TcpSocket, TcpStream};

use super::{asked, expect_discreet, good};
use crate::support::client::Refused;
use crate::support::relay::Relay;
use crate::support::upstream::{Absent, Asked, Upstream};

/// What the client is told where the upstream answers like this.
async fn told<T>(answer: impl AsyncFnOnce(Asked) -> T) -> Refused {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let _kept = answer(asked).await;
    let refused = asking.refused().await;
    expect_discreet(&refused, &upstream);
    refused
}

#[tokio::test]
async fn where_nobody_listens_it_is_unreachable_at_once() {
    let absent = Absent::new();
    let relay = Relay::to_url(&absent.url()).start();
    let begin = Instant::now();
    let refused = good(&relay).refused().await;
    refused.expect(502, "upstream_unreachable", "upstream_error").expect_without("127.0.0.1");
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert!(refused.message().contains("primary"), "the upstream's name: {}", refused.message());
}

#[tokio::test]
async fn where_it_does_not_answer_it_is_given_up_in_time() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("dial_timeout = \"200ms\"").start();
    let (asking, asked) = asked(good(&relay), &upstream).await;
    let refused = asking.refused().await;
    refused.expect(504, "upstream_timeout", "upstream_error");
    expect_discreet(&refused, &upstream);
    asked.expect_gone().await;
}

#[tokio::test]
async fn where_its_connection_does_not_come_to_stand_it_is_given_up_in_time() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Its queue is full now, and what comes then is dropped.
    let _queue = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    let relay = Relay::to_url(&format!("ws://{address}/")).limits("dial_timeout = \"200ms\"").start();
    good(&relay).refused().await.expect(504, "upstream_timeout", "upstream_error");
}

#[tokio::test]
async fn an_answer_of_no_use_is_a_bad_gateway() {
    for status in ["500 Oops", "503 Busy", "200 OK", "204 No", "301 Moved", "302 Found", "401 Who", "403 No"] {
        let headers = "Location: https://elsewhere.example.com/\r\nRetry-After: 7\r\n";
        let refused = told(async |asked| asked.answer(status, headers, "{\"error\":\"theirs\"}").await).await;
        refused.expect(502, "upstream_refused", "upstream_error").expect_without("theirs");
        assert_eq!(refused.head.header("location"), None);
    }
}

#[tokio::test]
async fn a_rate_limit_goes_to_the_client() {
    let refused = told(async |asked| asked.answer("429 Slow", "Retry-After: 7\r\n", "{\"a\":1}").await).await;
    refused.expect(429, "upstream_rate_limited", "upstream_error").expect_header("retry-after", "7");
}

#[tokio::test]
async fn another_refusal_goes_to_the_client_as_it_is() {
    let body = r#"{"error":{"message":"No such call","code":"call_id_not_found"}}"#;
    for status in [404, 400, 409] {
        let line = format!("{status} No");
        let refused =
            told(async |asked| asked.answer(&line, "Retry-After: 3\r\nSet-Cookie: a=b\r\n", body).await).await;
        assert_eq!((refused.status, refused.text.as_str()), (status, body));
        refused.expect_header("retry-after", "3").expect_header("content-type", "application/json");
        refused.expect_header("connection", "close");
        assert_eq!(refused.head.header("set-cookie"), None);
        assert!(refused.request_id().starts_with("req_"));
    }
}

#[tokio::test]
async fn a_refusal_that_is_no_json_or_too_long_is_told_in_the_relays_words() {
    let too_long = format!("{{\"error\":\"{}\"}}", "x".repeat(64 << 10));
    for body in ["<html>no</html>", "", &too_long] {
        let refused = told(async |asked| asked.answer("404 No", "", body).await).await;
        refused.expect(404, "upstream_refused", "upstream_error");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_bad_gateway() {
    for bytes in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 101 Switching", b"HTTP/2.0 101 x\r\n\r\n"] {
        let refused = told(async |asked| asked.raw(bytes).await).await;
        refused.expect(502, "upstream_refused", "upstream_error");
    }
}

#[tokio::test]
async fn a_101_that_is_not_valid_is_a_bad_gateway() {
    let changes: [(&str, &str); 7] = [
        ("Upgrade: websocket\r\n", ""),
        ("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
        ("Connection: Upgrade\r\n", ""),
        ("Connection: Upgrade\r\n", "Connection: keep-alive\r\n"),
        ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x"),
        ("Sec-WebSocket-Accept: ", "X-Accept: "),
        ("HTTP/1.1 101", "HTTP/1.1 200"),
    ];
    for (there, instead) in changes {
        let answer = async |asked: Asked| {
            let switching = asked.switching("").replace(there, instead);
            asked.raw(switching.as_bytes()).await;
        };
        told(answer).await.expect(502, "upstream_refused", "upstream_error");
    }
}

#[tokio::test]
async fn a_101_that_grants_what_nobody_asked_for_is_a_bad_gateway() {
    for extra in [
        "Sec-WebSocket-Extensions: permessage-deflate\r\n",
        "Sec-WebSocket-Protocol: openai-beta.realtime-v1\r\n",
        "Sec-WebSocket-Protocol: realtime, x\r\n",
        "Sec-WebSocket-Protocol: realtime\r\nSec-WebSocket-Protocol: realtime\r\n",
        "Sec-WebSocket-Protocol: Realtime\r\n",
    ] {
        let answer = async |asked: Asked| {
            let switching = asked.switching(extra);
            asked.raw(switching.as_bytes()).await;
        };
        told(answer).await.expect(502, "upstream_refused", "upstream_error");
    }
}

#[tokio::test]
async fn a_subprotocol_that_was_not_offered_is_a_bad_gateway() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).kind("compatible").start();
    let (asking, asked) = asked(good(&relay).header("Sec-WebSocket-Protocol", "realtime"), &upstream).await;
    let switching = asked.switching("Sec-WebSocket-Protocol: realtime\r\n");
    asked.raw(switching.as_bytes()).await;
    asking.refused().await.expect(502, "upstream_refused", "upstream_error");
}
