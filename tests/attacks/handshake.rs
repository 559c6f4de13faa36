//! Request heads by which others were led to tunnel what they should not, or fell over. None of them is a link, and none
//! reaches the upstream.

use super::{good, serves};
use crate::support::client::{Client, connect};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

/// Stands in a request for bytes that no text can hold.
const MARK: &str = "~mark~";

/// A relay that is attacked, and how often it was.
pub struct Target {
    pub relay: Relay,
    pub upstream: Upstream,
    cases: usize,
}

impl Target {
    pub async fn new() -> Self {
        let upstream = Upstream::start().await;
        let relay = Relay::to(&upstream).limits("handshake_timeout = \"3s\"").start();
        Self { relay, upstream, cases: 0 }
    }

    pub fn good(&self) -> Client<'_> {
        good(&self.relay)
    }

    /// What is answered to these bytes: a status; `None`: the connection ends without one.
    async fn answer(&self, bytes: &[u8]) -> Option<u16> {
        let mut wire = connect(&self.relay).await;
        // It may have hung up before all was sent.
        let _ = wire.try_send(bytes).await;
        let (answer, _) = wire.rest().await;
        let first = String::from_utf8_lossy(&answer);
        first.split(' ').nth(1).and_then(|status| status.parse().ok())
    }

    /// These bytes are answered with one of these statuses, if at all.
    pub async fn refuses(&mut self, what: &str, bytes: &[u8], statuses: &[u16]) {
        let status = self.answer(bytes).await;
        assert!(status.is_none_or(|status| statuses.contains(&status)), "{what} is answered {status:?}");
        self.cases += 1;
    }

    /// Nothing of all that has reached the upstream, and an honest client is served.
    pub async fn ends(self, what: &str) {
        self.upstream.expect_no_connection().await;
        serves(&self.relay, &self.upstream).await;
        println!("{what}: {} cases", self.cases);
    }
}

/// The request with these bytes in the place of the mark.
fn marked(asking: &Client<'_>, bytes: &[u8]) -> Vec<u8> {
    let request = asking.bytes();
    let at = request.windows(MARK.len()).position(|window| window == MARK.as_bytes()).expect("a mark");
    [&request[..at], bytes, &request[at + MARK.len()..]].concat()
}

#[tokio::test]
async fn bytes_that_no_head_may_hold_are_refused() {
    let mut target = Target::new().await;
    for bytes in [&b"\0"[..], b"\x01", b"\x7f", b"a\rb", b"a\nb", b"a\0b", b"\x1b[2J"] {
        let in_value = marked(&target.good().header("X-Any", MARK), bytes);
        let in_name = marked(&target.good().header(MARK, "x"), bytes);
        let in_target = marked(&target.good().query(MARK), bytes);
        let in_method = [bytes, &target.good().bytes()[..]].concat();
        for (where_to, head) in [("value", in_value), ("name", in_name), ("target", in_target), ("method", in_method)] {
            target.refuses(&format!("{bytes:?} in a {where_to}"), &head, &[400]).await;
        }
    }
    for (what, name) in
        [("a space before the colon", "X-Any "), ("no name", ""), ("no ASCII", "é"), ("a space", "X Any")]
    {
        let head = target.good().header(name, "x").bytes();
        target.refuses(what, &head, &[400]).await;
    }
    let folded = marked(&target.good().header("X-Any", MARK), b"one\r\n two");
    target.refuses("a folded line", &folded, &[400]).await;
    let bare = marked(&target.good().header("X-Any", MARK), b"one\r\nno colon");
    target.refuses("a line without a colon", &bare, &[400]).await;
    target.ends("bytes that no head may hold").await;
}

#[tokio::test]
async fn what_is_no_ascii_hides_no_check() {
    let mut target = Target::new().await;
    for (name, statuses) in [
        ("Upgrade", &[426][..]),
        ("Connection", &[426]),
        ("Sec-WebSocket-Version", &[426]),
        ("Sec-WebSocket-Key", &[400]),
        ("Authorization", &[401]),
        ("Origin", &[403]),
    ] {
        for bytes in [&b"\xff"[..], b"websocket\xff", b"\xe2\x80\x8bupgrade", b"13\xa0", b"Bearer key-of-acme\xff"] {
            let head = marked(&target.good().with(name, MARK), bytes);
            target.refuses(&format!("{name}: {bytes:?}"), &head, statuses).await;
        }
    }
    target.ends("no ASCII").await;
}

#[tokio::test]
async fn other_versions_and_protocols_are_no_upgrade() {
    let mut target = Target::new().await;
    for version in ["HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3", "http/1.1", "ICE/1.0", "", "HTTP/1.1 x"] {
        let head = target.good().version(version).bytes();
        target.refuses(version, &head, &[400, 426, 505]).await;
    }
    for (what, bytes) in [
        ("the preface of HTTP/2", &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..]),
        ("HTTP/0.9", b"GET /v1/realtime?model=m\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        ("SOCKS", b"\x05\x01\0\r\n\r\n"),
        ("a PROXY header that nobody asked for", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n\r\n"),
    ] {
        target.refuses(what, bytes, &[400, 505]).await;
    }
    let settings = target.good().with("Upgrade", "h2c").with("Connection", "Upgrade, HTTP2-Settings");
    let head = settings.header("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA").bytes();
    target.refuses("h2c", &head, &[426]).await;
    for upgrade in ["TLS/1.0", "websocket/13", "\"websocket\"", "websocket;h2c", "web socket"] {
        let head = target.good().with("Upgrade", upgrade).bytes();
        target.refuses(upgrade, &head, &[426]).await;
    }
    target.ends("versions and protocols").await;
}

#[tokio::test]
async fn of_two_upgrades_only_that_to_websocket_is_honoured_and_no_hop_by_hop_header_goes_on() {
    let Target { relay, upstream, .. } = Target::new().await;
    let both = good(&relay).with("Upgrade", "h2c, websocket").with("Connection", "Upgrade, HTTP2-Settings, X-Any");
    let both = both.header("HTTP2-Settings", "AAMAAABk").header("X-Any", "smuggled").header("TE", "trailers");
    let both = both.header("Keep-Alive", "timeout=5").header("Proxy-Authorization", "Basic c211Z2dsZWQ=");
    let asking = both.header("Proxy-Connection", "keep-alive").header("Trailer", "X-Any").ask().await;
    let asked = upstream.accept().await;
    let sent = ["authorization", "connection", "host", "sec-websocket-key", "sec-websocket-protocol"];
    let rest = ["sec-websocket-version", "upgrade", "user-agent", "x-client-request-id"];
    assert_eq!(asked.head.names(), [&sent[..], &rest].concat());
    assert_eq!(asked.head.header("upgrade"), Some("websocket"));
    let _theirs = asked.switch().await;
    asking.opened().await;
    serves(&relay, &upstream).await;
}

/// A list that held a byte above ASCII was once not read at all, and what it nominates went on.
#[tokio::test]
async fn a_nomination_beside_what_is_no_ascii_holds() {
    let Target { relay, upstream, .. } = Target::new().await;
    let asking = good(&relay).header("OpenAI-Safety-Identifier", "nominated").header("Connection", MARK);
    let request = marked(&asking, b"\xff, openai-safety-identifier");
    let mut wire = connect(&relay).await;
    wire.send(&request).await;
    let asked = upstream.accept().await;
    assert_eq!(asked.head.header("openai-safety-identifier"), None, "{}", asked.head.text());
    let _theirs = asked.switch().await;
    assert_eq!(wire.head().await.expect("an answer").status(), 101);
    serves(&relay, &upstream).await;
}
