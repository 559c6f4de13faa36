//! What it costs to judge a request: from its head to the decision, before anything is dialled.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use hyper::Request;
use hyper::header::HeaderValue;
use hyper::http::request;
use realtime_relay::control::config::{self, Config};
use realtime_relay::control::metering::Metering;
use realtime_relay::control::metrics::Metrics;
use realtime_relay::edge::admit::{admit, upgrade};
use realtime_relay::edge::upstream::shared::Shared;
use realtime_relay::edge::{Client, Common, Edge};

/// Keys of the configuration: that of the request is looked for among them.
const KEYS: usize = 100;

fn config() -> Config {
    let upstream = "[[upstreams]]\nname = \"u\"\nkind = \"openai\"\nurl = \"ws://localhost/\"\nkey = \"sk-u\"\n";
    let key = |number| format!("[[keys]]\nname = \"k{number}\"\nkey = \"sk-{number}\"\nmodels = [\"gpt-realtime\"]\n");
    let text = (0..KEYS).map(key).fold(upstream.to_owned(), |text, key| text + &key);
    config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn request(key: &str, model: &str) -> request::Parts {
    let request = Request::get(format!("/v1/realtime?model={model}"))
        .header("host", "relay.example")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("authorization", format!("Bearer {key}"));
    request.body(()).expect("a request").into_parts().0
}

fn admission(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config();
    config.metering.ledger = folder.path().join("usage.db");
    let metrics = Metrics::new(&config);
    let (metering, _ledger) = Metering::start(&config, &metrics, |_| ()).expect("a ledger");
    let upstreams = config.upstreams.iter().map(|upstream| Arc::new(Shared::new(&upstream.name))).collect();
    let (counts, drain, tls) = (Arc::default(), Arc::default(), Arc::default());
    let common = Common { counts, upstreams, drain, tls, metering, metrics };
    let edge = Edge::new(&config, &common, 0).expect("an edge");
    let client = Client { address: SocketAddr::from(([192, 0, 2, 1], 50_000)).into() };
    let request_id = HeaderValue::from_static("req_1");

    let mut group = c.benchmark_group("admit");
    let requests = [
        ("admitted", "sk-50", "gpt-realtime", None),
        ("a model that is not the key's", "sk-50", "other", Some("model_not_allowed")),
        // Last: from then on nobody at this address is listened to.
        ("one more wrong key", "sk-wrong", "gpt-realtime", Some("too_many_failures")),
    ];
    for (name, key, model, refused) in requests {
        let head = request(key, model);
        let judge = || upgrade(&edge, &head).and_then(|_| admit(&edge, &head, client, &request_id));
        // The first wrong keys are looked at.
        (0..100).for_each(|_| drop(judge()));
        assert_eq!(judge().err().map(|refusal| refusal.code), refused, "{name}");
        group.bench_function(name, |b| b.iter(|| black_box(judge().is_ok())));
    }
}

criterion_group!(benches, admission);
criterion_main!(benches);
