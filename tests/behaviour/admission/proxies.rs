//! Whom a connection and a request speak for, and who is believed when it says so. The proxy in front of the relay is at
//! 127.0.0.1.

use tokio::net::TcpStream;

use super::good;
use crate::support::authority::Authority;
use crate::support::client::{Client, client, connect, read_refused};
use crate::support::operator::operator;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;
use crate::support::wire::Wire;
use crate::support::within;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The client, which connected to the proxy at 203.0.113.1:443.
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 203.0.113.1 4711 443\r\n";
/// The same in version 2.
const FOUR: &[u8] = b"\xc0\0\x02\x01\xcb\0\x71\x01\x12\x67\x01\xbb";

/// A header of version 2.
fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, block].concat()
}

fn trusting(upstream: &Upstream) -> Setup {
    Relay::to(upstream).server("trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]")
}

fn announced(upstream: &Upstream) -> Setup {
    trusting(upstream).server("proxy_protocol = true")
}

/// Where operators see the client whose link this request opens.
async fn seen(relay: &Relay, upstream: &Upstream, asking: Client<'_>) -> String {
    let request_id = uuid::Uuid::new_v4().to_string();
    let asking = asking.header("X-Request-Id", &request_id).ask().await;
    let mut theirs = upstream.leg().await;
    let mut ours = asking.opened().await;
    ours.text("up").await;
    theirs.expect_text("up").await;
    let looking = async {
        loop {
            let links = operator(relay, "/links").ask().await.json;
            let link = links.as_array().unwrap().iter().find(|link| link["request_id"] == *request_id);
            if let Some(link) = link {
                return link["client"].as_str().unwrap().to_owned();
            }
        }
    };
    within("the link to be told", looking).await
}

/// It is closed, and nothing is said.
async fn expect_closed(mut wire: Wire, why: &str) {
    let (answer, _) = wire.rest().await;
    assert_eq!(answer, b"", "{why}");
}

#[tokio::test]
async fn a_header_before_everything_else_says_who_connects() {
    let upstream = Upstream::start().await;
    let six = [b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", &[0; 16][..], &FOUR[8..]].concat();
    // An authority, an id, and 3 KiB of a certificate.
    let more = [FOUR, b"\x02\0\x09localhost\x05\0\x02id\x20\x0c\0", &[0; 0xc00]].concat();
    for relay in [announced(&upstream).start(), announced(&upstream).tls(Authority::new()).start()] {
        for (header, client) in [
            (LINE, "192.0.2.1:4711"),
            (b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n", "[2001:db8::1]:4711"),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 443\r\n", "192.0.2.1:4711"),
            (&block(1, 0x11, FOUR), "192.0.2.1:4711"),
            (&block(1, 0x21, &six), "[2001:db8::1]:4711"),
            (&block(1, 0x11, &more), "192.0.2.1:4711"),
        ] {
            assert_eq!(seen(&relay, &upstream, good(&relay).announced(header)).await, client, "{header:?}");
        }
    }
}

#[tokio::test]
async fn who_announces_nobody_is_seen_itself() {
    let upstream = Upstream::start().await;
    for relay in [announced(&upstream).start(), announced(&upstream).tls(Authority::new()).start()] {
        let unknown = b"PROXY UNKNOWN\r\n".to_vec();
        for header in [unknown, block(0, 0, b""), block(0, 0x11, FOUR), block(1, 0, b"\x04\0\x01x")] {
            let client = seen(&relay, &upstream, good(&relay).announced(&header)).await;
            assert!(client.starts_with("127.0.0.1:"), "{header:?}: {client}");
        }
    }
}

#[tokio::test]
async fn a_header_may_come_in_two_pieces_wherever_it_is_cut() {
    let upstream = Upstream::start().await;
    let relay = announced(&upstream).start();
    let probe = client(&relay).path("/livez").bytes();
    for header in [LINE, &block(1, 0x11, FOUR)] {
        for cut in 1..=header.len() {
            let mut wire = connect(&relay).await;
            wire.send(&header[..cut]).await;
            tokio::task::yield_now().await;
            wire.send(&[&header[cut..], &probe].concat()).await;
            assert_eq!(read_refused(wire).await.status, 200, "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn probes_are_answered_behind_a_proxy() {
    let upstream = Upstream::start().await;
    for header in [LINE, &block(0, 0, b"")] {
        for relay in [announced(&upstream).start(), announced(&upstream).tls(Authority::new()).start()] {
            for path in ["/livez", "/readyz"] {
                let answer = client(&relay).announced(header).path(path).refused().await;
                assert_eq!((answer.status, answer.text.as_str()), (200, "ok\n"));
            }
        }
    }
}

#[tokio::test]
async fn a_connection_without_a_valid_header_is_closed() {
    let upstream = Upstream::start().await;
    for relay in [announced(&upstream).start(), announced(&upstream).tls(Authority::new()).start()] {
        let request = good(&relay).bytes();
        for begin in [
            &b""[..],
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
            b"PROXY TCP4 192.0.2.1 203.0.113.1 4711\r\n",
            b"PROXY TCP4 192.0.2.1 203.0.113.1 4711 443\n",
            b"PROXY TCP5 192.0.2.1 203.0.113.1 4711 443\r\n",
            &[b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat(),
            &block(1, 0x11, &FOUR[1..]),
            &block(2, 0x11, FOUR),
            &block(1, 0x11, &[0; 5_000]),
        ] {
            let mut wire = Wire::new(TcpStream::connect(relay.address()).await.unwrap());
            wire.send(&[begin, &request].concat()).await;
            expect_closed(wire, &format!("{begin:?}")).await;
        }
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    let upstream = Upstream::start().await;
    let relay = announced(&upstream).limits("handshake_timeout = \"200ms\"").start();
    for begin in [&b""[..], b"PROXY", &LINE[..LINE.len() - 1], SIGNATURE, &block(1, 0x11, FOUR)[..20], LINE] {
        let mut wire = Wire::new(TcpStream::connect(relay.address()).await.unwrap());
        wire.send(begin).await;
        // Behind a whole header it is the request that does not come, which hyper answers with 408.
        if begin == LINE {
            let (answer, _) = wire.rest().await;
            assert!(!answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
        } else {
            expect_closed(wire, &format!("{begin:?}")).await;
        }
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
#[cfg(target_os = "linux")] // elsewhere there is one loopback address
async fn a_header_is_taken_from_nobody_else() {
    let upstream = Upstream::start().await;
    let relay = announced(&upstream).start();
    for header in [LINE, &block(1, 0x11, FOUR), b""] {
        let mut asking = good(&relay).from([127, 0, 0, 2]).announced(header).ask().await;
        assert!(!asking.is_answered().await, "{header:?}");
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_request_says_whom_it_is_forwarded_for() {
    let upstream = Upstream::start().await;
    let relay = trusting(&upstream).start();
    for (headers, client) in [
        (&[("X-Forwarded-For", "192.0.2.1")][..], "192.0.2.1"),
        (&[("X-Forwarded-For", "192.0.2.1:4711")], "192.0.2.1:4711"),
        (&[("x-forwarded-for", "203.0.113.9, 192.0.2.1, 10.0.0.1")], "192.0.2.1"),
        (&[("X-Forwarded-For", "203.0.113.9, 2001:db8::1"), ("X-Forwarded-For", "10.0.0.1, 10.0.0.2")], "2001:db8::1"),
        (&[("X-Forwarded-For", "10.0.0.1, 10.0.0.2")], "10.0.0.1"),
        (&[("X-Forwarded-For", "192.0.2.1, unknown, 10.0.0.1")], "10.0.0.1"),
        (&[("Forwarded", "for=\"[2001:db8::1]:4711\";proto=https, for=10.0.0.1")], "[2001:db8::1]:4711"),
        (&[("Forwarded", "for=192.0.2.1, for=_secret, for=\"10.0.0.1\"")], "10.0.0.1"),
        (&[("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "192.0.2.1")], "192.0.2.1"),
    ] {
        let asking = headers.iter().fold(good(&relay), |asking, (name, value)| asking.header(name, value));
        assert_eq!(seen(&relay, &upstream, asking).await, client, "{headers:?}");
    }
    for headers in [&[][..], &[("X-Forwarded-For", "?")], &[("X-Forwarded-For", ""), ("Forwarded", "for=192.0.2.1")]] {
        let asking = headers.iter().fold(good(&relay), |asking, (name, value)| asking.header(name, value));
        let client = seen(&relay, &upstream, asking).await;
        assert!(client.starts_with("127.0.0.1:"), "{headers:?}: {client}");
    }
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let upstream = Upstream::start().await;
    for setup in [Relay::to(&upstream), Relay::to(&upstream).server("trusted_proxies = [\"10.0.0.0/8\"]")] {
        let relay = setup.start();
        for name in ["X-Forwarded-For", "Forwarded"] {
            let forged = good(&relay).header(name, "for=192.0.2.1").header(name, "192.0.2.1");
            let client = seen(&relay, &upstream, forged).await;
            assert!(client.starts_with("127.0.0.1:"), "{client}");
        }
        // And what would be a header of the PROXY protocol is no request.
        assert_eq!(good(&relay).announced(LINE).refused().await.status, 400);
    }
}

#[tokio::test]
async fn who_is_announced_is_one_hop_more() {
    let upstream = Upstream::start().await;
    let relay = announced(&upstream).start();
    let from_proxy = b"PROXY TCP4 10.0.0.7 203.0.113.1 4711 443\r\n";
    for (header, client) in
        [(LINE, "192.0.2.1:4711"), (from_proxy, "198.51.100.1"), (&block(0, 0, b""), "198.51.100.1")]
    {
        let asking = good(&relay).announced(header).header("X-Forwarded-For", "198.51.100.1, 10.0.0.2");
        assert_eq!(seen(&relay, &upstream, asking).await, client, "{header:?}");
    }
    // Whoever is not announced may have written it.
    let asking = good(&relay).announced(b"PROXY UNKNOWN\r\n").header("X-Forwarded-For", "198.51.100.1");
    let client = seen(&relay, &upstream, asking).await;
    assert!(client.starts_with("127.0.0.1:"), "{client}");
}

#[tokio::test]
async fn clients_behind_one_proxy_do_not_answer_for_each_other() {
    let upstream = Upstream::start().await;
    let limits = "auth_failures_per_minute = 1";
    for announcing in [false, true] {
        let setup = if announcing { announced(&upstream) } else { trusting(&upstream) };
        let relay = &setup.limits(limits).start();
        let asking = |host: &str, key: &str| {
            let asking = client(relay).key(key).model("gpt-realtime");
            if announcing {
                asking.announced(format!("PROXY TCP4 {host} 203.0.113.1 4711 443\r\n").as_bytes())
            } else {
                asking.header("X-Forwarded-For", host)
            }
        };
        let (guesser, other) = ("192.0.2.1", "192.0.2.2");
        asking(guesser, "guessed-key").refused().await.expect(401, "invalid_api_key", "authentication_error");
        asking(guesser, "guessed-key").refused().await.expect(429, "too_many_failures", "rate_limit_error");
        asking(guesser, "key-of-acme").refused().await.expect(429, "too_many_failures", "rate_limit_error");
        assert!(seen(relay, &upstream, asking(other, "key-of-acme")).await.starts_with(other));
        asking(other, "guessed-key").refused().await.expect(401, "invalid_api_key", "authentication_error");
    }
}
