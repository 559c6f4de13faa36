//! One end of a connection, plain or TLS, with what was read of it and not looked at yet.

use std::io;
use std::net::SocketAddr;

use rustls::HandshakeKind;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::frame::{Frame, decode};
use super::head::Head;
use super::within;

pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;

    /// How TLS was begun; `None`: there is none.
    fn handshake(&self) -> Option<HandshakeKind> {
        None
    }

    /// What the other end has shown; `None`: there is no TLS, or nothing was shown.
    fn certificate(&self) -> Option<CertificateDer<'static>> {
        None
    }
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for tokio_rustls::client::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn handshake(&self) -> Option<HandshakeKind> {
        self.get_ref().1.handshake_kind()
    }

    fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.get_ref().1.peer_certificates()?.first().cloned()
    }
}

impl Socket for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn handshake(&self) -> Option<HandshakeKind> {
        self.get_ref().1.handshake_kind()
    }
}

pub struct Wire {
    socket: Box<dyn Socket>,
    unread: Vec<u8>,
}

impl Wire {
    pub fn new(socket: impl Socket + 'static) -> Self {
        socket.tcp().set_nodelay(true).unwrap();
        Self { socket: Box::new(socket), unread: Vec::new() }
    }

    /// The certificate that a server has shown.
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        self.socket.certificate()
    }

    /// How TLS was begun; `None`: there is none.
    pub fn handshake(&self) -> Option<HandshakeKind> {
        self.socket.handshake()
    }

    /// Our address, and the relay's.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let tcp = self.socket.tcp();
        (tcp.local_addr().unwrap(), tcp.peer_addr().unwrap())
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        within("the relay to take bytes", self.try_send(bytes)).await.expect("the relay takes bytes");
    }

    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes).await?;
        self.socket.flush().await
    }

    /// Ends this side's stream; the other side's can still be read.
    pub async fn finish(&mut self) {
        within("the end to be sent", self.try_finish()).await.expect("the end is sent");
    }

    /// Ends this side's stream, if there is still a connection.
    pub async fn try_finish(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }

    /// Cuts the connection, so that the other side sees a reset.
    pub fn reset(self) {
        self.socket.tcp().set_zero_linger().unwrap();
    }

    /// Reads once; 0: the stream has ended.
    pub async fn fill(&mut self, what: &str) -> io::Result<usize> {
        within(what, self.next_read()).await
    }

    /// Reads once, whenever something comes; 0: the stream has ended.
    pub async fn next_read(&mut self) -> io::Result<usize> {
        self.socket.read_buf(&mut self.unread).await
    }

    /// What has been read and not been taken yet.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// What has arrived by now; does not wait.
    pub fn arrived(&mut self) -> &[u8] {
        let mut scrap = [0; 4096];
        while let Ok(read @ 1..) = self.socket.tcp().try_read(&mut scrap) {
            self.unread.extend_from_slice(&scrap[..read]);
        }
        &self.unread
    }

    /// The head of a request or a response. `None`: the stream ended first.
    pub async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return Some(Head::parse(&head));
            }
            if !matches!(self.fill("the head of a message").await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Exactly this many bytes.
    pub async fn take(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            let read = self.fill("bytes").await;
            assert!(matches!(read, Ok(1..)), "{read:?} after {} of {count} bytes", self.unread.len());
        }
        self.unread.drain(..count).collect()
    }

    /// Everything up to the end of the stream, and how it ended.
    pub async fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        loop {
            match self.fill("the end of the stream").await {
                Ok(1..) => {}
                Ok(0) => return (std::mem::take(&mut self.unread), Ok(())),
                Err(error) => return (std::mem::take(&mut self.unread), Err(error)),
            }
        }
    }

    /// Sends bytes while this many come in.
    pub async fn exchange(&mut self, bytes: &[u8], count: usize) -> Vec<u8> {
        let Self { socket, unread } = self;
        let (mut reader, mut writer) = tokio::io::split(socket);
        let writing = async { writer.write_all(bytes).await.expect("the relay takes bytes") };
        let reading = async {
            while unread.len() < count {
                assert!(matches!(reader.read_buf(unread).await, Ok(1..)), "an end after {} bytes", unread.len());
            }
        };
        within("bytes both ways", async { tokio::join!(writing, reading) }).await;
        unread.drain(..count).collect()
    }

    /// Sends the same bytes over and over until a frame comes back.
    pub async fn flood(&mut self, bytes: &[u8]) -> Frame {
        let Self { socket, unread } = self;
        let (mut reader, mut writer) = tokio::io::split(socket);
        let pushing = async {
            while writer.write_all(bytes).await.is_ok() {}
            std::future::pending().await
        };
        let reading = async {
            loop {
                if let Some((length, frame)) = decode(unread) {
                    unread.drain(..length);
                    return frame;
                }
                let read = reader.read_buf(unread).await;
                assert!(matches!(read, Ok(1..)), "{read:?} where a frame was awaited");
            }
        };
        let either = async {
            tokio::select! {
                frame = reading => frame,
                frame = pushing => frame,
            }
        };
        within("an answer to the flood", either).await
    }
}
