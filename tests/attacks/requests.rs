//! Requests that are whole and yet ask for what is not theirs: another target, a body, a place for a second request, or more than
//! a head may hold.

use super::handshake::Target;
use super::{good, serves};
use crate::support::client::connect;
use crate::support::upstream::Upstream;

#[tokio::test]
async fn targets_in_other_forms_lead_nowhere_else() {
    let mut target = Target::new().await;
    for path in [
        "/v1/%72ealtime",
        "/v1%2frealtime",
        "/v1/../v1/realtime",
        "/v1/./realtime",
        "/v1/realtime/",
        "/v1/realtime/..",
        "/v1/realtime%00",
        "/v1/realtime%20",
        "/v1/realtime;x",
        "/v1\\realtime",
        "//v1/realtime",
        "///evil.example.com/v1/realtime",
        "http:/v1/realtime",
        "*",
        "",
        "v1/realtime",
        "127.0.0.1:22",
        "http://127.0.0.1:22",
        "http://127.0.0.1:22/v1/realtime/x",
        "/livez/../v1/realtime",
    ] {
        let head = target.good().path(path).bytes();
        target.refuses(path, &head, &[400, 404]).await;
    }
    for (method, path) in
        [("CONNECT", "127.0.0.1:22"), ("CONNECT", "/v1/realtime"), ("OPTIONS", "*"), ("TRACE", "/v1/realtime")]
    {
        let head = target.good().method(method).path(path).bytes();
        target.refuses(&format!("{method} {path}"), &head, &[400, 404, 405]).await;
    }
    target.ends("targets").await;
}

#[tokio::test]
async fn an_absolute_target_names_no_other_upstream() {
    let Target { relay, upstream, .. } = Target::new().await;
    let elsewhere = Upstream::start().await;
    let there = format!("http://127.0.0.1:{}/v1/realtime", elsewhere.port());
    let asking = good(&relay).path(&there).ask().await;
    let asked = upstream.accept().await;
    assert_eq!(asked.head.header("host"), Some(format!("127.0.0.1:{}", upstream.port()).as_str()));
    assert_eq!(asked.head.target(), "/v1/realtime?model=gpt-realtime");
    let _theirs = asked.switch().await;
    asking.opened().await;
    elsewhere.expect_no_connection().await;
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn a_body_on_an_upgrade_is_refused_however_its_length_is_told() {
    let mut target = Target::new().await;
    for headers in [
        &[("Content-Length", "5")][..],
        &[("Content-Length", "00005")],
        &[("Content-Length", "+5")],
        &[("Content-Length", "-1")],
        &[("Content-Length", "5, 0")],
        &[("Content-Length", "0"), ("Content-Length", "5")],
        &[("Content-Length", "18446744073709551616")],
        &[("Content-Length", "18446744073709551615")],
        &[("Content-Length", "0x5")],
        &[("Transfer-Encoding", "chunked")],
        &[("Transfer-Encoding", "chunked"), ("Content-Length", "0")],
        &[("Transfer-Encoding", "identity")],
        &[("Transfer-Encoding", "xchunked")],
        &[("Transfer-Encoding", "\u{b}chunked")],
        &[("Transfer-Encoding", "gzip, chunked")],
    ] {
        for behind in [&b"hello"[..], b"0\r\n\r\nGET /livez HTTP/1.1\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"] {
            let asking = headers.iter().fold(target.good(), |asking, (name, value)| asking.header(name, value));
            let head = asking.behind(behind).bytes();
            target.refuses(&format!("{headers:?}"), &head, &[400, 431]).await;
        }
    }
    target.ends("bodies").await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_whatever_makes_them_so() {
    let mut target = Target::new().await;
    let many = (0..200).fold(target.good(), |asking, n| asking.header(&format!("X-{n}"), "x")).bytes();
    target.refuses("200 headers", &many, &[431]).await;
    let long = "x".repeat(17 << 10);
    let name = target.good().header(&long, "x").bytes();
    let value = target.good().header("X-Any", &long).bytes();
    let query = target.good().query(&long).bytes();
    let path = target.good().path(&format!("/{long}")).bytes();
    let megabyte = target.good().header("X-Any", &"x".repeat(1 << 20)).bytes();
    let cookies = (0..90).fold(target.good(), |asking, _| asking.header("Cookie", &"x".repeat(200))).bytes();
    let lines = "\r\n".repeat(1 << 19).into_bytes();
    let method = long.clone().into_bytes();
    for (what, head) in [
        ("a name", name),
        ("a value", value),
        ("a query", query),
        ("a path", path),
        ("a megabyte", megabyte),
        ("cookies", cookies),
        ("empty lines", lines),
        ("a method", method),
    ] {
        target.refuses(what, &head, &[400, 414, 431]).await;
    }
    target.ends("large heads").await;
}

#[tokio::test]
async fn what_must_be_there_once_is_not_there_twice() {
    let mut target = Target::new().await;
    for (name, value, statuses) in [
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", &[400][..]),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==", &[400]),
        ("Sec-WebSocket-Version", "13", &[426]),
        ("Sec-WebSocket-Version", "8", &[426]),
        ("Authorization", "Bearer key-of-acme", &[401]),
    ] {
        let head = target.good().header(name, value).bytes();
        target.refuses(&format!("{name} twice"), &head, statuses).await;
    }
    for query in
        ["model=other", "model=gpt-realtime", "m%6fdel=other", "deployment=other", "intent=transcription&call_id=x"]
    {
        let head = target.good().query(query).bytes();
        target.refuses(query, &head, &[400]).await;
    }
    target.ends("what is there twice").await;
}

#[tokio::test]
async fn a_second_request_is_never_read_as_one() {
    let Target { relay, upstream, .. } = Target::new().await;
    let second = good(&relay).bytes();
    // Behind a refusal that its client would like to keep the connection for.
    for asking in [good(&relay).path("/livez"), good(&relay).path("/nowhere"), good(&relay).with("Upgrade", "h2c")] {
        let mut wire = connect(&relay).await;
        wire.send(&asking.header("Connection", "keep-alive").behind(&second).bytes()).await;
        let (answers, _) = wire.rest().await;
        // A refusal may speak of HTTP/1.1 as well, but not with a status behind it.
        let answers = String::from_utf8_lossy(&answers);
        let is_status = |behind: &&str| behind.starts_with(|letter: char| letter.is_ascii_digit());
        assert_eq!(answers.split("HTTP/1.1 ").filter(is_status).count(), 1, "{answers}");
    }
    upstream.expect_no_connection().await;
    // Behind an upgrade it is read as frames, which it is not.
    let asking = good(&relay).behind(&second).ask().await;
    let mut theirs = upstream.leg().await;
    asking.opened().await.expect_close_code(1002).await;
    theirs.expect_close_code(1001).await;
    serves(&relay, &upstream).await;
}
