//! A collector: OTLP over HTTP, on a free port of loopback.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use crate::protobuf::{each, fields};
use crate::support::within;

/// What is of interest of a span, with the attributes of the process that sent it.
#[derive(Debug, Default)]
pub struct Span {
    pub name: String,
    pub kind: u64,
    /// In hexadecimal.
    pub trace: String,
    /// The same; empty: it is a root.
    pub parent: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    pub end: u64,
    pub status: u64,
    attributes: Vec<(String, String)>,
}

impl Span {
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub struct Receiver {
    port: u16,
    spans: Mutex<mpsc::UnboundedReceiver<Span>>,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::listen(true).await
    }

    /// It accepts, and says nothing.
    pub async fn mute() -> Self {
        Self::listen(false).await
    }

    async fn listen(answers: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, spans) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                if answers {
                    tokio::spawn(serve(stream, tell.clone()));
                } else {
                    silent.push(stream);
                }
            }
        });
        Self { port, spans: Mutex::new(spans) }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next one.
    pub async fn span(&self) -> Span {
        let mut spans = self.spans.lock().await;
        within("a span", spans.recv()).await.unwrap()
    }

    pub fn has_nothing(&self) -> bool {
        self.spans.try_lock().unwrap().try_recv().is_err()
    }
}

async fn serve(mut stream: TcpStream, tell: mpsc::UnboundedSender<Span>) {
    let mut unread = Vec::new();
    while let Some(body) = request(&mut stream, &mut unread).await {
        for span in spans(&body) {
            let _ = tell.send(span);
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    }
}

/// The body of the next request for traces.
async fn request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(unread[..end].to_vec()).unwrap().to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let whole = end + 4 + length.parse::<usize>().unwrap();
            if unread.len() >= whole {
                return Some(unread.drain(..whole).skip(end + 4).collect());
            }
        }
        if stream.read_buf(unread).await.ok()? == 0 {
            return None;
        }
    }
}

/// The spans of an `ExportTraceServiceRequest`.
fn spans(body: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    for group in each(body, 1) {
        let of_process: Vec<_> = each(group, 1).flat_map(|resource| each(resource, 1)).map(attribute).collect();
        for span in each(group, 2).flat_map(|scope| each(scope, 2)) {
            spans.push(read(span, of_process.clone()));
        }
    }
    spans
}

fn read(span: &[u8], attributes: Vec<(String, String)>) -> Span {
    let mut read = Span { attributes, ..Span::default() };
    for field in fields(span) {
        match field.number {
            1 => read.trace = hex(field.bytes()),
            4 => read.parent = hex(field.bytes()),
            5 => read.name = field.text(),
            6 => read.kind = field.number(),
            7 => read.start = field.number(),
            8 => read.end = field.number(),
            9 => read.attributes.push(attribute(field.bytes())),
            15 => {
                let code = fields(field.bytes()).into_iter().find(|field| field.number == 3);
                read.status = code.map_or(0, |code| code.number());
            }
            _ => {}
        }
    }
    read
}

/// A `KeyValue`, its value as text.
fn attribute(pair: &[u8]) -> (String, String) {
    let name = fields(pair).into_iter().find(|field| field.number == 1).expect("a name").text();
    let value = each(pair, 2).next().map(|value| match fields(value).first() {
        Some(field) if field.number == 1 => field.text(),
        Some(field) if field.number == 4 => f64::from_bits(field.number()).to_string(),
        Some(field) if matches!(field.number, 2 | 3) => field.number().to_string(),
        _ => String::new(),
    });
    (name, value.unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
