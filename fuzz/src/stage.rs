//! An edge as a worker has it, and an upstream that notes what it is asked and answers what it is told to. It refuses to
//! know what is right.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use realtime_relay::control::config::{self, Config};
use realtime_relay::control::metering::Metering;
use realtime_relay::control::metrics::{Measures, Metrics};
use realtime_relay::edge::upstream::shared::Shared;
use realtime_relay::edge::upstream::{Candidate, Upstream};
use realtime_relay::edge::{Common, Edge};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::net::leave_no_trace;

/// The client's key.
pub const KEY: &str = "key-of-acme";
/// The provider's.
pub const PROVIDERS_KEY: &str = "sk-of-the-provider";

/// What the upstream answers to a request.
pub type Answer = Rc<dyn Fn(&[u8]) -> Vec<u8>>;

/// What an upstream was asked over each connection, in order.
pub type Asked = Rc<RefCell<Vec<Rc<RefCell<Vec<u8>>>>>>;

/// Begins an upstream, on the runtime of this thread.
pub async fn upstream(answer: Answer) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let (address, asked) = (listener.local_addr().expect("an address"), Asked::default());
    let noted = asked.clone();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            leave_no_trace(&stream);
            let (noted, answer) = (noted.clone(), answer.clone());
            tokio::task::spawn_local(async move {
                let request = Rc::<RefCell<Vec<u8>>>::default();
                noted.borrow_mut().push(request.clone());
                let mut bytes = Vec::new();
                while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
                    if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                *request.borrow_mut() = bytes;
                let answer = answer(&request.borrow());
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                request.borrow_mut().extend(rest);
            });
        }
    });
    (address, asked)
}

/// A configuration with this upstream, any model, both routes without one, and one client's key.
pub fn configuration(upstream: SocketAddr) -> Config {
    let text = format!(
        r#"
        [limits]
        auth_failures_per_minute = 60000
        handshake_timeout = "5s"

        [[upstreams]]
        name = "u"
        kind = "openai"
        url = "ws://{upstream}/v1/realtime"
        key = "{PROVIDERS_KEY}"
        models = {{ "*" = "*" }}
        transcription = "t"
        calls = true
        await_first_event = false

        [[keys]]
        name = "acme"
        key = "{KEY}"
        allow = ["transcription", "calls"]
        "#
    );
    config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// An edge of this configuration. What it needs besides is kept for ever: a fuzzer ends without a word.
pub fn edge(mut config: Config) -> Edge {
    let folder = tempfile::tempdir().expect("a folder");
    config.metering.ledger = folder.path().join("usage.db");
    let metrics = Metrics::new(&config);
    let (metering, ledger) = Metering::start(&config, &metrics, |_| ()).expect("a ledger");
    std::mem::forget((ledger, folder));
    let upstreams = config.upstreams.iter().map(|upstream| Arc::new(Shared::new(&upstream.name))).collect();
    let (counts, drain, tls) = (Arc::default(), Arc::default(), Arc::default());
    let common = Common { counts, upstreams, drain, tls, metering, metrics };
    Edge::new(&config, &common, 0).expect("an edge")
}

/// The upstream of this configuration as a candidate.
pub fn candidate(config: &Config) -> Candidate {
    let shared = Arc::new(Shared::new("u"));
    let measures = Rc::new(Measures::new(&Metrics::new(config), 0));
    let upstream = Upstream::new(&config.upstreams[0], shared, 0, measures).expect("an upstream");
    Candidate { upstream: Rc::new(upstream), model_sent: "m".to_owned(), forwarded: hyper::HeaderMap::default() }
}
