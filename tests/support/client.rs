//! A scripted client: its request is written by the letter, so that every letter of it can be wrong.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use socket2::SockRef;
use tokio::net::TcpSocket;

use super::head::Head;
use super::leg::{Leg, Role};
use super::relay::Reached;
use super::transcript;
use super::upstream::accept;
use super::wire::Wire;
use super::within;

/// The example of RFC 6455 section 1.3.
pub const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A client that asks for nothing yet: a valid upgrade of `/v1/realtime`, without key and query.
pub fn client(relay: &dyn Reached) -> Client<'_> {
    let headers = [
        ("Host", relay.address().to_string()),
        ("Upgrade", "websocket".to_owned()),
        ("Connection", "Upgrade".to_owned()),
        ("Sec-WebSocket-Version", "13".to_owned()),
        ("Sec-WebSocket-Key", NONCE.to_owned()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let (method, path, version) = ("GET", "/v1/realtime".to_owned(), "HTTP/1.1");
    let from = Ipv4Addr::LOCALHOST;
    let (announced, query, behind) = (Vec::new(), Vec::new(), Vec::new());
    Client { relay, from, announced, method, path, version, query, headers, behind }
}

#[derive(Clone)]
#[must_use]
pub struct Client<'r> {
    relay: &'r dyn Reached,
    from: Ipv4Addr,
    announced: Vec<u8>,
    method: &'static str,
    path: String,
    version: &'static str,
    query: Vec<String>,
    headers: Vec<(String, String)>,
    behind: Vec<u8>,
}

impl Client<'_> {
    /// Connects from this loopback address, of which Linux has 16 million.
    pub fn from(mut self, address: [u8; 4]) -> Self {
        self.from = address.into();
        self
    }

    /// Connects through a balancer that sends these bytes first, before TLS and in one segment with what follows.
    pub fn announced(mut self, header: &[u8]) -> Self {
        self.announced = header.to_vec();
        self
    }

    /// Sends its key as most clients do.
    pub fn key(self, key: &str) -> Self {
        transcript::secret(key);
        self.header("Authorization", &format!("Bearer {key}"))
    }

    pub fn model(self, model: &str) -> Self {
        self.query(&format!("model={model}"))
    }

    /// One more parameter, or several, as they stand in the query.
    pub fn query(mut self, query: &str) -> Self {
        self.query.push(query.to_owned());
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// One more header line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without any line of this header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(there, _)| !there.eq_ignore_ascii_case(name));
        self
    }

    /// This header line instead of those there are.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    /// Sends these bytes in one write with its request.
    pub fn behind(mut self, bytes: &[u8]) -> Self {
        self.behind.extend_from_slice(bytes);
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query.join("&")) };
        let first = format!("{} {}{query} {}", self.method, self.path, self.version);
        let lines = self.headers.iter().map(|(name, value)| format!("{name}: {value}"));
        let head = [first].into_iter().chain(lines).collect::<Vec<_>>().join("\r\n");
        [head.as_bytes(), b"\r\n\r\n", &self.behind].concat()
    }

    /// Sends the request.
    pub async fn ask(self) -> Asking {
        let mut wire = connect_from(self.from, self.relay, &self.announced).await;
        let announced = if self.relay.authority().is_none() { &self.announced[..] } else { b"" };
        wire.send(&[announced, &self.bytes()].concat()).await;
        Asking { wire }
    }

    /// Sends the request, and is given its link.
    pub async fn open(self) -> Leg {
        self.ask().await.opened().await
    }

    /// Sends the request, and is refused.
    pub async fn refused(self) -> Refused {
        self.ask().await.refused().await
    }
}

/// A connection to the client listener, over which nothing was said yet.
pub async fn connect(relay: &dyn Reached) -> Wire {
    connect_from(Ipv4Addr::LOCALHOST, relay, b"").await
}

/// What is announced is sent here only where TLS follows; else it goes with the request.
async fn connect_from(address: Ipv4Addr, relay: &dyn Reached, announced: &[u8]) -> Wire {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    let stream = within("a connection", socket.connect(relay.address())).await.unwrap();
    match relay.authority() {
        Some(authority) => {
            // The system keeps it until more is written.
            let sent = SockRef::from(&stream).send_with_flags(announced, libc::MSG_MORE).unwrap();
            assert_eq!(sent, announced.len());
            authority.connect(stream).await
        }
        None => Wire::new(stream),
    }
}

/// Sends these bytes to the client listener, and reads the answer.
pub async fn raw_request(relay: &dyn Reached, bytes: &[u8]) -> Refused {
    let mut wire = connect(relay).await;
    wire.send(bytes).await;
    Asking { wire }.refused().await
}

/// Reads an answer that is no link, from whichever listener.
pub async fn read_refused(wire: Wire) -> Refused {
    Asking { wire }.refused().await
}

/// A request on its way.
pub struct Asking {
    wire: Wire,
}

impl Asking {
    pub async fn opened(mut self) -> Leg {
        let head = self.wire.head().await.expect("an answer");
        transcript::wrote("answer", head.text().as_bytes());
        assert_eq!(head.status(), 101, "{}", head.text());
        assert_eq!(head.header("upgrade"), Some("websocket"));
        assert_eq!(head.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
        assert_eq!(head.header("sec-websocket-accept"), Some(accept(NONCE).as_str()));
        Leg::new(Role::Client, head, self.wire)
    }

    /// Whether the answer is a link. It can still be read.
    pub async fn is_opened(&mut self) -> bool {
        let switching = b"HTTP/1.1 101 ";
        while self.wire.unread().len() < switching.len() {
            assert!(matches!(self.wire.fill("an answer").await, Ok(1..)), "an answer");
        }
        self.wire.unread().starts_with(switching)
    }

    /// Whether anything is answered before the connection ends.
    pub async fn is_answered(&mut self) -> bool {
        matches!(self.wire.fill("an answer, or the end").await, Ok(1..))
    }

    /// The head of whatever is answered.
    pub async fn answered(&mut self) -> Head {
        self.wire.head().await.expect("an answer")
    }

    /// Any other answer than 101, and the end of the stream behind it.
    pub async fn refused(mut self) -> Refused {
        let head = self.wire.head().await.expect("an answer");
        assert_ne!(head.status(), 101, "{}", head.text());
        let (text, end) = self.wire.rest().await;
        assert!(end.is_ok(), "an orderly end behind the answer, not {end:?}");
        let length = head.header("content-length").map(|length| length.parse().unwrap());
        assert!(length.is_none_or(|length: usize| length == text.len()), "the whole body: {}", head.text());
        let text = String::from_utf8(text).unwrap();
        transcript::wrote("answer", format!("{}\n{text}\n", head.text()).as_bytes());
        Refused { status: head.status(), json: serde_json::from_str(&text).unwrap_or_default(), text, head }
    }

    /// Sends more behind the request.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.wire.send(bytes).await;
    }

    /// What has been answered by now.
    pub fn arrived(&mut self) -> &[u8] {
        self.wire.arrived()
    }

    /// Goes away.
    pub fn leave(self) {
        drop(self.wire);
    }
}

/// An HTTP answer that is no link.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub head: Head,
    pub text: String,
    /// The body; null where it is no JSON.
    pub json: Value,
}

impl Refused {
    /// It is a refusal of the relay's own, in its exact shape.
    #[track_caller]
    pub fn expect(&self, status: u16, code: &str, error_type: &str) -> &Self {
        let (head, text) = (self.head.text(), &self.text);
        let error = &self.json["error"];
        let found = (self.status, error["code"].as_str(), error["type"].as_str());
        assert_eq!(found, (status, Some(code), Some(error_type)), "{head}\n{text}");
        assert_eq!(self.json.as_object().unwrap().len(), 1, "{text}");
        assert_eq!(error.as_object().unwrap().len(), 4, "{text}");
        assert_eq!(error.get("param"), Some(&Value::Null), "{text}");
        assert_eq!(self.head.header("content-type"), Some("application/json"), "{head}");
        assert_eq!(self.head.header("connection"), Some("close"), "{head}");
        let request_id = self.request_id();
        assert!(self.message().ends_with(&format!(" (request id: {request_id})")), "{text}");
        self
    }

    #[track_caller]
    pub fn expect_header(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.head.header(name), Some(value), "{}", self.head.text());
        self
    }

    /// Neither head nor body holds this.
    #[track_caller]
    pub fn expect_without(&self, secret: &str) -> &Self {
        let all = format!("{}\n\n{}", self.head.text(), self.text);
        assert!(!all.contains(secret), "{secret} in:\n{all}");
        self
    }

    #[track_caller]
    pub fn request_id(&self) -> &str {
        self.head.header("x-request-id").expect("a request id")
    }

    #[track_caller]
    pub fn message(&self) -> &str {
        self.json["error"]["message"].as_str().expect("a message")
    }
}
