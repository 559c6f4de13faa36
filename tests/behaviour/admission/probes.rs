//! The probes, on both listeners.

use tokio::net::TcpStream;

use super::{good, relay};
use crate::support::client::{client, raw_request};
use crate::support::relay::Relay;
use crate::support::wire::Wire;

/// Asks the admin listener; the first line of its answer, and the body.
async fn ask_admin(relay: &Relay, request: &str) -> (String, String) {
    let mut wire = Wire::new(TcpStream::connect(relay.admin_address()).await.unwrap());
    wire.send(request.as_bytes()).await;
    let head = wire.head().await.expect("an answer");
    let (body, end) = wire.rest().await;
    assert!(end.is_ok(), "{end:?}");
    (head.first_line, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn are_answered_to_clients() {
    let (relay, upstream) = relay().await;
    for path in ["/livez", "/readyz"] {
        let answer = client(&relay).path(path).without("Upgrade").without("Connection").refused().await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"));
        let answer = raw_request(&relay, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"), "HTTP/1.0");
        assert_eq!(good(&relay).path(path).method("POST").refused().await.status, 405);
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn are_answered_to_operators() {
    let (relay, _upstream) = relay().await;
    for path in ["/livez", "/readyz"] {
        let answer = ask_admin(&relay, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(answer, ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
        let (first_line, body) = ask_admin(&relay, &format!("GET {path} HTTP/1.0\r\n\r\n")).await;
        assert!(first_line.ends_with(" 200 OK") && body == "ok\n", "{first_line}: {body}");
        let answer = ask_admin(&relay, &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(answer, ("HTTP/1.1 200 OK".to_owned(), String::new()));
    }
}
