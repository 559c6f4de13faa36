//! What the 101 says: subprotocol, extensions, request id.

use super::{good, relay};

#[tokio::test]
async fn answers_the_subprotocol_realtime_if_and_only_if_it_is_offered() {
    let (relay, upstream) = relay().await;
    let browser = "realtime, openai-insecure-api-key.key-of-acme, openai-beta.realtime-v1";
    for (offered, answered) in [
        (&[][..], None),
        (&["realtime"], Some("realtime")),
        (&[browser], Some("realtime")),
        (&["other", "x,realtime"], Some("realtime")),
        (&["openai-insecure-api-key.key-of-acme"], None),
        (&["openai-beta.realtime-v1", "Realtime", "realtime2"], None),
    ] {
        let asking = offered.iter().fold(good(&relay), |asking, line| asking.header("Sec-WebSocket-Protocol", line));
        let asking = asking.ask().await;
        let _upstream = upstream.leg().await;
        let leg = asking.opened().await;
        assert_eq!(leg.head.header("sec-websocket-protocol"), answered, "{offered:?}");
    }
}

#[tokio::test]
async fn negotiates_no_extension() {
    let (relay, upstream) = relay().await;
    let asking =
        good(&relay).header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits").ask().await;
    let upstream = upstream.leg().await;
    let client = asking.opened().await;
    assert_eq!(client.head.header("sec-websocket-extensions"), None);
    assert_eq!(upstream.head.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn the_101_says_no_more_than_it_must() {
    let (relay, upstream) = relay().await;
    let asking = good(&relay).ask().await;
    let _upstream = upstream.leg().await;
    let head = asking.opened().await.head;
    assert_eq!(head.first_line, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(head.names(), ["connection", "date", "sec-websocket-accept", "upgrade", "x-request-id"]);
}

#[tokio::test]
async fn a_valid_request_id_is_taken_over() {
    let (relay, upstream) = relay().await;
    let longest = "x".repeat(128);
    for id in ["trace-7", "!\"#~", &longest] {
        let asking = good(&relay).header("X-Request-Id", id).ask().await;
        let asked = upstream.accept().await;
        assert_eq!(asked.head.header("x-client-request-id"), Some(id), "the upstream is told");
        assert_eq!(asked.head.header("x-request-id"), None);
        let _leg = asked.switch().await;
        assert_eq!(asking.opened().await.head.header("x-request-id"), Some(id), "on the 101");
        let refused = good(&relay).header("X-Request-Id", id).path("/nowhere").refused().await;
        assert_eq!(refused.request_id(), id, "on a refusal");
    }
}

#[tokio::test]
async fn any_other_request_id_is_replaced() {
    let (relay, upstream) = relay().await;
    let too_long = "x".repeat(129);
    for id in ["two words", "", "größe", &too_long] {
        let refused = good(&relay).header("X-Request-Id", id).path("/nowhere").refused().await;
        let made = refused.expect(404, "not_found", "invalid_request_error").request_id();
        assert!(made.starts_with("req_") && made.len() > 20, "{made}");
    }
    let asking = good(&relay).ask().await;
    let upstream = upstream.leg().await;
    let client = asking.opened().await;
    let made = client.head.header("x-request-id").unwrap();
    assert!(made.starts_with("req_"), "{made}");
    assert_eq!(upstream.head.header("x-client-request-id"), Some(made));
}
