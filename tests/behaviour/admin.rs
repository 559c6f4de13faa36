//! The admin listener: who may ask, and what is told.

use serde_json::json;

use crate::support::operator::operator;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

const LOOPBACK_WITH_TOKEN: &str = "listen = \"127.0.0.1:0\"\ntoken = \"the-token\"";
const OPEN_WITH_TOKEN: &str = "listen = \"0.0.0.0:0\"\ntoken = \"the-token\"";

#[tokio::test]
async fn tells_how_each_upstream_does() {
    let upstream = Upstream::start().await;
    let more = "[[upstreams]]\nname = \"second\"\nkind = \"compatible\"\nurl = \"ws://127.0.0.1:1/\"";
    let relay = Relay::to(&upstream).more(more).start();
    let answer = operator(&relay, "/upstreams").ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.expect_header("content-type", "application/json").expect_header("cache-control", "no-store");
    let idle = |name: &str, kind: &str| {
        json!({
            "name": name, "kind": kind, "breaker": "closed", "retry_after_ms": 0, "failures": 0, "links": 0,
            "warm": 0, "last_error": null, "credential_rejected": 0,
        })
    };
    assert_eq!(answer.json, json!([idle("primary", "openai"), idle("second", "compatible")]));
    assert!(answer.request_id().starts_with("req_"));
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let upstream = Upstream::start().await;
    for admin in [LOOPBACK_WITH_TOKEN, OPEN_WITH_TOKEN] {
        let relay = Relay::to(&upstream).admin(admin).start();
        let asking = || operator(&relay, "/upstreams");
        for wrong in [
            asking(),
            asking().token("the-tokem"),
            asking().token("the-token2"),
            asking().token(""),
            asking().token("key-of-acme"),
            asking().header("Authorization", "Basic the-token"),
            asking().header("api-key", "the-token"),
            asking().token("the-token").token("the-token"),
            operator(&relay, "/upstreams?token=the-token"),
            operator(&relay, "/nothing"),
            asking().method("POST"),
        ] {
            let answer = wrong.ask().await;
            answer.expect(401, "invalid_token", "authentication_error").expect_header("www-authenticate", "Bearer");
            answer.expect_without("the-token");
        }
        assert_eq!(asking().token("the-token").ask().await.status, 200);
        assert_eq!(asking().header("authorization", "bearer the-token").ask().await.status, 200);
    }
}

#[tokio::test]
async fn no_web_page_is_answered() {
    let upstream = Upstream::start().await;
    for admin in [LOOPBACK_WITH_TOKEN, OPEN_WITH_TOKEN] {
        let relay = Relay::to(&upstream).admin(admin).start();
        for origin in ["https://example.com", "http://localhost", "null", ""] {
            let answer = operator(&relay, "/upstreams").token("the-token").header("Origin", origin).ask().await;
            answer.expect(403, "origin_not_allowed", "permission_error");
        }
    }
}

#[tokio::test]
async fn a_loopback_listener_answers_to_a_loopback_name() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for host in ["rebound.example.com", "localhost.example.com", "10.0.0.1", "127.0.0.1.nip.io", ""] {
        let answer = operator(&relay, "/upstreams").host(host).ask().await;
        answer.expect(403, "origin_not_allowed", "permission_error");
    }
    let answer = operator(&relay, "http://rebound.example.com/upstreams").ask().await;
    answer.expect(403, "origin_not_allowed", "permission_error");
    for host in ["localhost", "LOCALHOST:9090", "127.0.0.1", "[::1]:9090"] {
        assert_eq!(operator(&relay, "/upstreams").host(host).ask().await.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_listener_that_everybody_reaches_answers_to_every_name() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).admin(OPEN_WITH_TOKEN).start();
    let answer = operator(&relay, "/upstreams").token("the-token").host("relay.example.com").ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for path in ["/", "/v1/realtime", "/readyz/", "/upstreams/", "/Upstreams", "/links/", "/links/1/2"] {
        operator(&relay, path).ask().await.expect(404, "not_found", "invalid_request_error");
    }
}

#[tokio::test]
async fn what_takes_one_method_takes_no_other() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for (path, allowed, others) in [
        ("/upstreams", "GET, HEAD", ["POST", "DELETE", "OPTIONS"]),
        ("/links", "GET, HEAD", ["POST", "DELETE", "PUT"]),
        ("/drain", "POST", ["GET", "PUT", "DELETE"]),
        ("/links/67e55044-10b1-426f-9247-bb680e5fe0c8", "DELETE", ["GET", "PUT", "POST"]),
    ] {
        for method in others {
            let answer = operator(&relay, path).method(method).ask().await;
            assert_eq!((answer.status, answer.head.header("allow")), (405, Some(allowed)), "{method} {path}");
        }
        let answer = operator(&relay, path).method("OPTIONS").ask().await;
        answer.expect(405, "method_not_allowed", "invalid_request_error");
    }
    let answer = operator(&relay, "/readyz").method("POST").ask().await;
    assert_eq!(answer.status, 405);
    answer.expect_header("allow", "GET, HEAD");
}

#[tokio::test]
async fn probes_need_neither_token_nor_name() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).admin(LOOPBACK_WITH_TOKEN).start();
    for path in ["/livez", "/readyz"] {
        let answer = operator(&relay, path).host("10.1.2.3:9090").header("Origin", "https://a.b").ask().await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"));
    }
}
