//! A hostile upstream: what it answers never makes a link that it should not, is never kept without bound, and never keeps a
//! client waiting beyond its deadline.

use std::time::Duration;

use tokio::time::sleep;

use super::{good, serves};
use crate::support::client::{Asking, client};
use crate::support::frame::Frame;
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::{Asked, Upstream};
use crate::support::within;

/// Nothing that an upstream says may cost more than what sockets hold and a head may have.
pub const TAKEN: usize = 16 << 20;

/// Sends `more` over and over until the relay hangs up, or has taken far more than it should; how many bytes it has taken.
pub async fn pour(leg: &mut Leg, more: &[u8]) -> usize {
    let mut taken = 0;
    let pouring = async {
        while taken < 4 * TAKEN && leg.try_raw(more).await {
            taken += more.len();
        }
    };
    within("the relay to hang up", pouring).await;
    taken
}

pub async fn asked(relay: &Relay, upstream: &Upstream) -> (Asking, Asked) {
    let asking = good(relay).ask().await;
    (asking, upstream.accept().await)
}

#[tokio::test]
async fn a_forged_101_is_no_link_and_what_comes_with_it_is_nobodys() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let early = Frame::text("forged").bytes();
    let accept = |asked: &Asked| asked.switching("").split("Accept: ").nth(1).unwrap()[..28].to_owned();
    let forgeries: [fn(&str, &str) -> String; 12] = [
        |valid, own| valid.replace(own, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        |valid, own| valid.replace(own, &own.to_ascii_lowercase()),
        |valid, own| valid.replace(own, &format!("{own}=")),
        |valid, own| valid.replace(own, &format!("{own}, {own}")),
        |valid, own| valid.replace(own, &format!("{own}\r\nSec-WebSocket-Accept: {own}")),
        |valid, own| valid.replace(own, ""),
        |valid, _| valid.replace("HTTP/1.1 101", "HTTP/1.0 101"),
        |valid, _| valid.replace("HTTP/1.1 101", "HTTP/1.1 100"),
        |valid, _| valid.replace("HTTP/1.1 101", "HTTP/1.1 200"),
        |valid, _| valid.replace("Upgrade: websocket", "Upgrade: h2c"),
        |valid, own| valid.replace(own, &format!("{own}\r\nSec-WebSocket-Extensions: permessage-deflate")),
        |valid, own| valid.replace(own, &format!("{own}\r\nSec-WebSocket-Protocol: realtime, realtime")),
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        let relay = if number == 0 { &relay } else { &Relay::to(&upstream).start() };
        let (asking, asked) = asked(relay, &upstream).await;
        let forged = forge(&asked.switching(""), &accept(&asked));
        assert_ne!(forged, asked.switching(""), "forgery {number}");
        println!("{forged}");
        asked.raw(&[forged.as_bytes(), &early].concat()).await;
        let refused = asking.refused().await;
        refused.expect(502, "upstream_refused", "upstream_error").expect_without("forged");
    }
    serves(&relay, &upstream).await;
    println!("{} forgeries", forgeries.len());
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for (begin, more) in [
        ("HTTP/1.1 101 Switching Protocols\r\n", "X-Any: x\r\n".repeat(1000)),
        ("HTTP/1.1 101 Switching Protocols\r\nX-Any: ", "x".repeat(10_000)),
        ("HTTP/1.1 404 ", "No ".repeat(3000)),
        ("", "x".repeat(10_000)),
        ("", "\r\n".repeat(5_000)),
    ] {
        let (asking, asked) = asked(&relay, &upstream).await;
        let mut leg = asked.begin_switch(begin.as_bytes()).await;
        let taken = pour(&mut leg, more.as_bytes()).await;
        assert!(taken < TAKEN, "{taken} bytes of a head were taken");
        asking.refused().await.expect(502, "upstream_refused", "upstream_error");
        // Five of these in a row would open its breaker.
        serves(&relay, &upstream).await;
    }
}

/// Answers that trickle and never come to their end: the dial has its deadline, and the worker goes on serving others.
#[tokio::test]
async fn an_answer_that_does_not_end_is_given_up_in_time_and_keeps_nobody_waiting() {
    let (hostile, honest) = (Upstream::start().await, Upstream::start().await);
    let own = "models = { hostile = \"hostile\" }";
    let setup = Relay::to(&hostile).upstream(own).then(&honest).upstream("models = { gpt-realtime = \"m\" }");
    let relay = setup.limits("dial_timeout = \"2s\"").start();
    // The pace is the attack: slow enough that no bound on bytes is reached, and never so slow that the peer seems silent.
    for (begin, more, pause) in [
        ("HTTP/1.1 101 Switching", " ", 20),
        ("HTTP/1.1 101 Switching Protocols\r\n", "a: b\r\n", 100),
        ("HTTP/1.1 404 No\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n", "[", 20),
        ("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n[\r\n", 20),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", 20),
    ] {
        let asking = client(&relay).key("key-of-acme").model("hostile").ask().await;
        let mut leg = hostile.accept().await.begin_switch(begin.as_bytes()).await;
        let trickling = async {
            while leg.try_raw(more.as_bytes()).await {
                sleep(Duration::from_millis(pause)).await;
            }
        };
        let waiting = async {
            serves(&relay, &honest).await;
            asking.refused().await
        };
        let (refused, ()) = within("the end of the dial", async { tokio::join!(waiting, trickling) }).await;
        assert!([502, 504].contains(&refused.status), "{begin:?}: {}", refused.text);
        assert!(refused.json["error"]["code"].as_str().unwrap().starts_with("upstream_"));
        // A link ends the row of failures that would open the breaker.
        let asking = client(&relay).key("key-of-acme").model("hostile").ask().await;
        let _theirs = hostile.leg().await;
        asking.opened().await;
    }
}

/// Any number of interim answers may stand before an answer. They were once read for as long as the dial may take, as fast as they
/// came, and the worker had little time for anybody else.
#[tokio::test]
async fn interim_answers_without_end_are_cut_off() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"] {
        let (asking, asked) = asked(&relay, &upstream).await;
        let mut leg = asked.begin_switch(interim.as_bytes()).await;
        let taken = pour(&mut leg, interim.repeat(200).as_bytes()).await;
        assert!(taken < TAKEN, "{taken} bytes of interim answers were taken");
        asking.refused().await.expect(502, "upstream_refused", "upstream_error");
    }
    // A few are no attack.
    let (asking, asked) = asked(&relay, &upstream).await;
    let head = asked.switching("Sec-WebSocket-Protocol: realtime\r\n");
    let _theirs = asked.begin_switch(format!("{}{head}", "HTTP/1.1 100 Continue\r\n\r\n".repeat(50)).as_bytes()).await;
    asking.opened().await;
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn a_refusal_whose_body_does_not_end_is_told_and_cut_off() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for (head, more) in [
        ("Content-Length: 1000000000000\r\n\r\n", "x".repeat(10_000)),
        ("Transfer-Encoding: chunked\r\n\r\n", format!("2710\r\n{}\r\n", "x".repeat(10_000))),
        ("Connection: close\r\n\r\n", "x".repeat(10_000)),
    ] {
        let (asking, asked) = asked(&relay, &upstream).await;
        let mut leg = asked.begin_switch(format!("HTTP/1.1 404 No\r\n{head}").as_bytes()).await;
        let taken = pour(&mut leg, more.as_bytes()).await;
        assert!(taken < TAKEN, "{taken} bytes of a refusal were taken");
        asking.refused().await.expect(404, "upstream_refused", "upstream_error");
    }
    serves(&relay, &upstream).await;
}

/// Nothing is inflated, and nothing that is compressed goes on: the client would have to trust it.
#[tokio::test]
async fn a_refusal_with_a_compressed_body_is_told_in_the_relays_own_words() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let bomb =
        [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xec, 0xc1, 0x01, 0x0d, 0, 0, 0, 0xc2, 0xa0][..], &vec![0; 60_000]]
            .concat();
    for encoding in ["gzip", "br", "deflate, gzip", "zstd"] {
        let (asking, asked) = asked(&relay, &upstream).await;
        let head = format!(
            "HTTP/1.1 404 No\r\nContent-Encoding: {encoding}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        );
        asked.raw(&[head.as_bytes(), &bomb].concat()).await;
        let refused = asking.refused().await;
        refused.expect(404, "upstream_refused", "upstream_error");
        assert_eq!(refused.head.header("content-encoding"), None);
    }
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn no_redirect_is_followed_and_none_goes_on() {
    let (upstream, elsewhere) = (Upstream::start().await, Upstream::start().await);
    let relay = Relay::to(&upstream).start();
    let place = format!("http://127.0.0.1:{}/v1/realtime", elsewhere.port());
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let (asking, asked) = asked(&relay, &upstream).await;
        let headers = format!("Location: {place}\r\nRefresh: 0; url={place}\r\n");
        let _kept = asked.answer(&format!("{status} Elsewhere"), &headers, "").await;
        let refused = asking.refused().await;
        refused.expect(502, "upstream_refused", "upstream_error").expect_without(&place);
        serves(&relay, &upstream).await;
    }
    elsewhere.expect_no_connection().await;
}
