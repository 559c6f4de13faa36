//! A client that does by hand what a test wants to see: the request, the head of the answer, events, the end.

use fastwebsockets::{Frame, OpCode, Role, WebSocket, WebSocketError};
use realtime_relay::simulate::{Options, serve};
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Nothing here may take longer, the slowest fault included.
const LIMIT: Duration = Duration::from_secs(10);

/// A simulated upstream on a free port that answers as fast as it can.
pub async fn upstream(key: Option<&str>) -> SocketAddr {
    simulated(Options { seed: 7, key: key.map(str::to_owned), pace: f64::INFINITY }).await.0
}

/// One that speaks in real time, so that an answer is still under way when the client's next event arrives.
pub async fn unhurried_upstream() -> SocketAddr {
    simulated(Options { seed: 7, key: None, pace: 1.0 }).await.0
}

/// For as long as the test's runtime lives, or until the task is aborted.
pub async fn simulated(options: Options) -> (SocketAddr, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (address, tokio::spawn(serve(listener, options)))
}

/// Waits, but not for ever.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("in time")
}

/// Sends an upgrade request, with more headers if they are given (each with its line end).
pub async fn ask(upstream: SocketAddr, target: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(upstream).await.expect("a connection");
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {upstream}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// Reads the head of the answer, and not a byte more.
pub async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.expect("a byte of the head"));
    }
    String::from_utf8(head).expect("ASCII")
}

/// A refused request: status line and headers, and the error object.
pub async fn refused(upstream: SocketAddr, target: &str) -> (String, Value) {
    let mut stream = ask(upstream, target, "").await;
    let head = head(&mut stream).await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    soon(stream.read_exact(&mut body)).await.expect("the body");
    (head, serde_json::from_slice(&body).expect("JSON"))
}

/// One open session.
pub struct Client {
    socket: WebSocket<TcpStream>,
}

/// What a client can come to see.
#[derive(Debug, PartialEq)]
pub enum Seen {
    Event(Value),
    Fragment,
    Ping,
    Closed(Option<u16>, String),
    /// The connection ended without a close frame.
    Eof,
    /// What came is no WebSocket.
    Illegal,
}

impl Client {
    /// Opens a session with this model.
    pub async fn open(upstream: SocketAddr, model: &str) -> Self {
        Self::open_at(upstream, &format!("/v1/realtime?model={model}")).await
    }

    /// Opens whatever this is.
    pub async fn open_at(upstream: SocketAddr, target: &str) -> Self {
        let mut stream = ask(upstream, target, "").await;
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        Self::on(stream)
    }

    /// On a stream that has been upgraded.
    pub fn on(stream: TcpStream) -> Self {
        let mut socket = WebSocket::after_handshake(stream, Role::Client);
        socket.set_auto_close(false);
        socket.set_auto_pong(false);
        Self { socket }
    }

    /// The stream under it, for bytes that no client would send.
    pub fn into_stream(self) -> TcpStream {
        self.socket.into_inner()
    }

    /// Sends an event.
    pub async fn send(&mut self, event: &Value) {
        self.send_frame(Frame::text(event.to_string().into_bytes().into())).await;
    }

    /// Sends any frame.
    pub async fn send_frame(&mut self, frame: Frame<'_>) {
        let frame = Frame::new(frame.fin, frame.opcode, None, frame.payload.to_vec().into());
        soon(self.socket.write_frame(frame)).await.expect("sent");
    }

    /// Says something as text, and asks for an answer.
    pub async fn ask(&mut self, text: &str) {
        let content = json!([{ "type": "input_text", "text": text }]);
        let item = json!({ "type": "message", "role": "user", "content": content });
        self.send(&json!({ "type": "conversation.item.create", "item": item })).await;
        self.send(&json!({ "type": "response.create" })).await;
    }

    /// What comes next.
    pub async fn next(&mut self) -> Seen {
        let frame = match soon(self.socket.read_frame()).await {
            Ok(frame) => frame,
            Err(WebSocketError::UnexpectedEOF) => return Seen::Eof,
            Err(_) => return Seen::Illegal,
        };
        match frame.opcode {
            OpCode::Text if frame.fin => Seen::Event(serde_json::from_slice(&frame.payload).expect("JSON")),
            OpCode::Text | OpCode::Binary | OpCode::Continuation => Seen::Fragment,
            OpCode::Ping | OpCode::Pong => Seen::Ping,
            OpCode::Close => {
                let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                let reason = frame.payload.get(2..).unwrap_or_default();
                Seen::Closed(code, String::from_utf8_lossy(reason).into_owned())
            }
        }
    }

    /// The next event, where nothing else can come.
    pub async fn event(&mut self) -> Value {
        match self.next().await {
            Seen::Event(event) => event,
            other => panic!("an event was expected, not {other:?}"),
        }
    }

    /// The events up to the first of this type, that one included.
    pub async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            events.push(self.event().await);
            if events.last().is_some_and(|event| event["type"] == kind) {
                return events;
            }
        }
    }

    /// Reads on until something that is no event.
    pub async fn end(&mut self) -> Seen {
        loop {
            match self.next().await {
                Seen::Event(_) => {}
                other => return other,
            }
        }
    }
}
