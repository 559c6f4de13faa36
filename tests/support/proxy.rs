//! A scripted HTTP proxy: it reads a CONNECT, and does with it what the test says.

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::head::Head;
use super::within;

pub struct Proxy {
    listener: TcpListener,
}

/// A request for a tunnel, which waits for an answer.
pub struct Tunnelling {
    pub head: Head,
    stream: TcpStream,
}

impl Proxy {
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// Its URL, with this before the host: nothing, or `user:password@`.
    pub fn url(&self, user: &str) -> String {
        format!("http://{user}127.0.0.1:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The relay's next connection, with its request read, and not a byte more.
    pub async fn accept(&self) -> Tunnelling {
        let (mut stream, _) = within("the relay to connect to the proxy", self.listener.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within("a request for a tunnel", stream.read_u8()).await.expect("the relay sends a request"));
        }
        Tunnelling { head: Head::parse(&head), stream }
    }
}

impl Tunnelling {
    /// Answers with these bytes, and tunnels to where it was asked to, as long as both sides like.
    pub async fn tunnel(self, answer: &str) {
        let target = self.head.target().to_owned();
        self.tunnel_to(&target, answer).await;
    }

    /// The same, but to this address: the name asked for is one that only this proxy knows.
    pub async fn tunnel_to(mut self, address: &str, answer: &str) {
        let mut upstream = TcpStream::connect(address).await.unwrap();
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        tokio::spawn(async move { copy_bidirectional(&mut self.stream, &mut upstream).await });
    }

    /// Answers with these bytes, then the end of the stream.
    pub async fn raw(mut self, answer: &str) {
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
