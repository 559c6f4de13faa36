//! A scripted upstream: nothing happens that the test does not say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use sha1::{Digest, Sha1};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::authority::Authority;
use super::frame::Frame;
use super::head::Head;
use super::leg::{Leg, Role};
use super::wire::Wire;
use super::within;

pub struct Upstream {
    listener: Arc<TcpListener>,
    authority: Option<Authority>,
}

impl Upstream {
    pub async fn start() -> Self {
        Self { listener: Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap()), authority: None }
    }

    /// One that speaks TLS, with the certificate of this authority.
    pub async fn with_tls(authority: Authority) -> Self {
        Self { authority: Some(authority), ..Self::start().await }
    }

    pub fn authority(&self) -> &Authority {
        self.authority.as_ref().expect("an upstream with TLS")
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// Scheme, host and port.
    pub fn base_url(&self) -> String {
        let scheme = if self.authority.is_some() { "wss" } else { "ws" };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// The relay's next connection, with its request read.
    pub async fn accept(&self) -> Asked {
        Asked::read(self.accept_wire().await.expect("the relay trusts the certificate")).await
    }

    /// The relay's next connection, from which nothing was read. `None`: TLS failed.
    pub async fn accept_wire(&self) -> Option<Wire> {
        let (stream, _) = within("the relay to connect", self.listener.accept()).await.unwrap();
        match &self.authority {
            Some(authority) => authority.accept(stream).await,
            None => Some(Wire::new(stream)),
        }
    }

    /// A leg that stands: accepted, and answered with a 101.
    pub async fn leg(&self) -> Leg {
        self.accept().await.switch().await
    }

    /// Treats every connection alike, in the background.
    pub fn serve<F>(&self, treat: impl Fn(Asked) -> F + Send + Sync + 'static) -> Serving
    where
        F: Future<Output = ()> + Send + 'static,
    {
        assert!(self.authority.is_none(), "only a plain upstream is served");
        let (listener, connections) = (self.listener.clone(), Arc::new(AtomicUsize::new(0)));
        let (count, treat) = (connections.clone(), Arc::new(treat));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let treat = treat.clone();
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    // A relay that gives up before it has asked is treated well enough.
                    if let Some(head) = wire.head().await {
                        treat(Asked { head, wire }).await;
                    }
                });
            }
        });
        Serving { connections, task }
    }

    /// Answers every request with this status, and nothing else.
    pub fn always(&self, status: &'static str) -> Serving {
        self.serve(move |asked| async move { drop(asked.answer(status, "", "").await) })
    }

    /// Gives everybody a link, and holds it until the relay ends it.
    pub fn links(&self) -> Serving {
        self.serve(|asked| async { asked.switch().await.rest().await })
    }

    /// Gives everybody a link, and says back what it is told there.
    pub fn echoes(&self) -> Serving {
        self.serve(|asked| async { asked.switch().await.echo().await })
    }

    /// The relay has not connected: whoever connects now is the first to be accepted.
    pub async fn expect_no_connection(&self) {
        let ours = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (_, first) = within("our own connection", self.listener.accept()).await.unwrap();
        assert_eq!(first, ours.local_addr().unwrap(), "the relay has connected");
    }
}

/// An upstream at work in the background, until this is dropped; what it has accepted goes on.
pub struct Serving {
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Serving {
    /// How often the relay has connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port at which nobody listens, and that nobody else is given.
pub struct Absent {
    socket: TcpSocket,
}

impl Absent {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { socket }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/v1/realtime", self.socket.local_addr().unwrap())
    }

    /// Somebody listens there from now on.
    pub fn appears(self) -> Upstream {
        Upstream { listener: Arc::new(self.socket.listen(1024).unwrap()), authority: None }
    }
}

/// The relay's request, which waits for an answer.
pub struct Asked {
    pub head: Head,
    wire: Wire,
}

impl Asked {
    /// The request that comes over this connection.
    pub async fn read(mut wire: Wire) -> Self {
        let head = wire.head().await.expect("the relay sends a request");
        Self { head, wire }
    }

    /// Answers 101, and selects the subprotocol `realtime` if it is offered.
    pub async fn switch(self) -> Leg {
        self.switch_with(&[]).await
    }

    /// Answers 101 with frames in the same segment.
    pub async fn switch_with(mut self, frames: &[Frame]) -> Leg {
        let offers = self.head.header("sec-websocket-protocol").is_some_and(|offered| offered.contains("realtime"));
        let extra = if offers { "Sec-WebSocket-Protocol: realtime\r\n" } else { "" };
        let mut bytes = self.switching(extra).into_bytes();
        bytes.extend(frames.iter().flat_map(Frame::bytes));
        self.wire.send(&bytes).await;
        Leg::new(Role::Upstream, self.head, self.wire)
    }

    /// The head of a valid 101, with these header lines more.
    pub fn switching(&self, extra: &str) -> String {
        let accept = accept(self.head.header("sec-websocket-key").unwrap());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{extra}\r\n"
        )
    }

    /// Answers with these bytes, which begin with a 101.
    pub async fn begin_switch(mut self, bytes: &[u8]) -> Leg {
        self.wire.send(bytes).await;
        Leg::new(Role::Upstream, self.head, self.wire)
    }

    /// Answers with this status line, headers and body, and keeps the connection.
    pub async fn answer(mut self, status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
        self.wire.send(answer.as_bytes()).await;
        self
    }

    /// Answers with these bytes, then the end of the stream.
    pub async fn raw(mut self, bytes: &[u8]) {
        self.wire.send(bytes).await;
    }

    /// What the relay has sent behind its request by now.
    pub fn arrived(&mut self) -> &[u8] {
        self.wire.arrived()
    }

    /// The relay gives up.
    pub async fn expect_gone(mut self) {
        assert_eq!(self.wire.rest().await.0, b"", "nothing comes behind the request");
    }
}

/// RFC 6455 section 4.2.2.
pub fn accept(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(digest)
}
