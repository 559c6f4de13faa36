//! An ordinary client of the Realtime API: an upgrade with a bearer token, JSON events, a close. It refuses to know that
//! there is a relay, and what is said.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fastwebsockets::{FragmentCollector, Frame, OpCode, Role, WebSocket, WebSocketError};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::edge::handshake;

/// Nothing on loopback takes longer, unless it is broken.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

const SUBPROTOCOL: &str = "realtime";

/// What a request for a session comes to.
pub(super) enum Answer {
    /// A 101.
    Open(Client),
    /// Any other status.
    Refused {
        /// Which.
        status: StatusCode,
        /// What is in it.
        body: Bytes,
    },
}

/// An open session.
pub(super) struct Client {
    socket: FragmentCollector<TokioIo<Upgraded>>,
    /// Frames so far.
    pub(super) sent: u64,
    /// Frames so far.
    pub(super) received: u64,
}

/// Asks for a session.
pub(super) async fn ask(address: SocketAddr, key: &str, model: &str) -> anyhow::Result<Answer> {
    soon("the answer to a request", attempt(address, key, model)).await
}

async fn attempt(address: SocketAddr, key: &str, model: &str) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let (mut requests, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the session; what fails in it fails for whoever waits for the answer.
    tokio::spawn(connection.with_upgrades());
    let nonce = handshake::new_key();
    let request = Request::get(format!("/v1/realtime?model={model}"))
        .header(HOST, address.to_string())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, handshake::WEBSOCKET)
        .header(SEC_WEBSOCKET_VERSION, handshake::VERSION)
        .header(SEC_WEBSOCKET_KEY, &nonce)
        .header(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .header(AUTHORIZATION, format!("Bearer {key}"))
        .body(Empty::<Bytes>::new())?;
    let response = requests.send_request(request).await.context("the request was not answered")?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        return Ok(Answer::Refused { status, body: response.into_body().collect().await?.to_bytes() });
    }
    handshake::verify_switch(response.headers(), &nonce, &[SUBPROTOCOL.to_owned()]).map_err(anyhow::Error::msg)?;
    Ok(Answer::Open(Client::on(response).await?))
}

impl Client {
    async fn on(response: Response<Incoming>) -> anyhow::Result<Self> {
        let stream = hyper::upgrade::on(response).await.context("the connection was not upgraded")?;
        let mut socket = WebSocket::after_handshake(TokioIo::new(stream), Role::Client);
        socket.set_auto_close(false);
        Ok(Self { socket: FragmentCollector::new(socket), sent: 0, received: 0 })
    }

    /// Sends an event.
    pub(super) async fn send(&mut self, event: &Value) -> anyhow::Result<()> {
        self.write(Frame::text(event.to_string().into_bytes().into())).await
    }

    /// The next event. An `error` is an error, and so is an end.
    pub(super) async fn event(&mut self) -> anyhow::Result<Value> {
        let frame = self.read().await?;
        match frame.opcode {
            OpCode::Text => {
                let event: Value = serde_json::from_slice(&frame.payload).context("an event is not JSON")?;
                ensure!(event["type"] != "error", "the upstream sent an error: {}", event["error"]);
                Ok(event)
            }
            OpCode::Close => bail!("the session was closed with {}", described(close_code(&frame))),
            _ => bail!("a frame came that holds no event"),
        }
    }

    /// The next event of this type, whatever stands before it.
    pub(super) async fn until(&mut self, wanted: &str) -> anyhow::Result<Value> {
        loop {
            let event = self.event().await.with_context(|| format!("while waiting for {wanted}"))?;
            if event["type"] == wanted {
                return Ok(event);
            }
        }
    }

    /// Sends a close frame, and gives the code of the one that answers it.
    pub(super) async fn close(&mut self, code: u16) -> anyhow::Result<Option<u16>> {
        self.write(Frame::close(code, b"")).await?;
        loop {
            match self.read().await {
                Ok(frame) if frame.opcode == OpCode::Close => return Ok(close_code(&frame)),
                Ok(_) => {}
                // What fastwebsockets says of a frame that comes after a close was sent. It has read the whole of it.
                Err(error) if matches!(error.downcast_ref(), Some(WebSocketError::ConnectionClosed)) => {
                    self.received += 1;
                }
                Err(error) => return Err(error.context("while waiting for the close frame")),
            }
        }
    }

    async fn write(&mut self, frame: Frame<'_>) -> anyhow::Result<()> {
        soon("room to send", async { Ok(self.socket.write_frame(frame).await?) }).await?;
        self.sent += 1;
        Ok(())
    }

    /// Not called again after an error: a read that was given up leaves half a frame.
    async fn read(&mut self) -> anyhow::Result<Frame<'static>> {
        let frame = soon("a frame", async { Ok(self.socket.read_frame().await?) }).await?;
        self.received += 1;
        Ok(frame)
    }
}

/// A close code in words.
pub(super) fn described(code: Option<u16>) -> String {
    code.map_or_else(|| "no code".to_owned(), |code| code.to_string())
}

fn close_code(frame: &Frame<'_>) -> Option<u16> {
    frame.payload.first_chunk().copied().map(u16::from_be_bytes)
}

async fn soon<T>(what: &str, future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let limit = tokio::time::timeout(PATIENCE, future).await;
    limit.with_context(|| format!("{what} did not come within {} s", PATIENCE.as_secs()))?
}
