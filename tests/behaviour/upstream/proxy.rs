//! An upstream behind an HTTP proxy.

use tokio::net::TcpSocket;

use super::{PATIENT, expect_discreet, good};
use crate::support::authority::Authority;
use crate::support::client::Refused;
use crate::support::proxy::{Proxy, Tunnelling};
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// What the client is told where the proxy does this, of which the upstream sees nothing.
async fn told(act: impl AsyncFnOnce(Tunnelling)) -> Refused {
    let (upstream, proxy) = (Upstream::start().await, Proxy::start().await);
    let relay = Relay::to(&upstream).proxy(&proxy.url("user:proxys-word@")).start();
    let asking = good(&relay).ask().await;
    act(proxy.accept().await).await;
    let refused = asking.refused().await;
    expect_discreet(&refused, &upstream);
    refused.expect_without("proxys-word").expect_without(&proxy.port().to_string());
    upstream.expect_no_connection().await;
    refused
}

#[tokio::test]
async fn a_link_goes_through_the_proxy() {
    // What is written in a tunnel's answer besides its status means nothing.
    for answer in
        [ESTABLISHED, "HTTP/1.0 200 OK\r\nProxy-Agent: old\r\n\r\n", "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n"]
    {
        let (upstream, proxy) = (Upstream::start().await, Proxy::start().await);
        let relay = Relay::to(&upstream).proxy(&proxy.url("")).start();
        let asking = good(&relay).ask().await;
        let tunnelling = proxy.accept().await;
        let authority = format!("127.0.0.1:{}", upstream.port());
        assert_eq!(tunnelling.head.first_line, format!("CONNECT {authority} HTTP/1.1"));
        assert_eq!(tunnelling.head.text(), format!("CONNECT {authority} HTTP/1.1\nhost: {authority}"));
        tunnelling.tunnel(answer).await;
        let mut upstream = upstream.leg().await;
        let mut client = asking.opened().await;
        client.text("up").await;
        upstream.expect_text("up").await;
        upstream.text("down").await;
        client.expect_text("down").await;
    }
}

#[tokio::test]
async fn tls_with_the_upstream_runs_inside_the_tunnel_and_the_proxys_credential_outside() {
    let (upstream, proxy) = (Upstream::with_tls(Authority::new()).await, Proxy::start().await);
    let ca_file = format!("ca_file = {:?}", upstream.authority().ca_file());
    let relay = Relay::to(&upstream).upstream(&ca_file).proxy(&proxy.url("user:p%40ssword@")).start();
    let asking = good(&relay).ask().await;
    let tunnelling = proxy.accept().await;
    assert_eq!(tunnelling.head.header("proxy-authorization"), Some("Basic dXNlcjpwQHNzd29yZA=="));
    tunnelling.tunnel(ESTABLISHED).await;
    let mut upstream = upstream.leg().await;
    assert_eq!(upstream.head.header("proxy-authorization"), None);
    let mut client = asking.opened().await;
    client.text("up").await;
    upstream.expect_text("up").await;
}

#[tokio::test]
async fn a_link_goes_through_the_proxy_of_the_environment() {
    let (upstream, proxy) = (Upstream::start().await, Proxy::start().await);
    let url = "ws://upstream.invalid/v1/realtime"; // a name that only the proxy can resolve
    let relay = Relay::to_url(url).env("http_proxy", &proxy.url("user:proxys-word@")).start();
    let asking = good(&relay).ask().await;
    let tunnelling = proxy.accept().await;
    assert_eq!(tunnelling.head.first_line, "CONNECT upstream.invalid:80 HTTP/1.1");
    assert_eq!(tunnelling.head.header("proxy-authorization"), Some("Basic dXNlcjpwcm94eXMtd29yZA=="));
    tunnelling.tunnel_to(&format!("127.0.0.1:{}", upstream.port()), ESTABLISHED).await;
    let mut upstream = upstream.leg().await;
    assert_eq!(upstream.head.header("host"), Some("upstream.invalid"));
    let mut client = asking.opened().await;
    client.text("up").await;
    upstream.expect_text("up").await;
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_by_its_status() {
    for (answer, status) in [
        ("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno", "407"),
        ("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "502"),
        ("HTTP/1.1 204 X\r\n\r\n", "204"),
        ("HTTP/1.1 403 No\r\n\r\n<html>", "403"),
        ("HTTP/1.1 302 X\r\nLocation: http://elsewhere/\r\n\r\n", "302"),
        ("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "101"),
    ] {
        let refused = told(async |asked| asked.raw(answer).await).await;
        refused.expect(502, "upstream_unreachable", "upstream_error");
        assert!(refused.message().contains(&format!("the proxy answered {status}")), "{}", refused.message());
    }
}

#[tokio::test]
async fn a_proxy_that_breaks_the_protocol_gives_no_tunnel() {
    for (answer, words) in [
        ("HTTP/1.1 200 OK\r\n\r\nearly", "bytes behind its answer"),
        ("", "does not answer in HTTP"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "does not answer in HTTP"),
        ("HTTP/1.1 200 O", "does not answer in HTTP"),
    ] {
        let refused = told(async |asked| asked.raw(answer).await).await;
        refused.expect(502, "upstream_unreachable", "upstream_error");
        assert!(refused.message().contains(words), "{answer:?}: {}", refused.message());
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_unreachable() {
    // Bound, so that nobody else listens there meanwhile; but it does not listen either.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let upstream = Upstream::start().await;
    for (proxy, words) in [
        (format!("http://u:proxys-word@127.0.0.1:{port}"), "no connection to the proxy: connection refused"),
        ("http://u:proxys-word@does-not-exist.invalid".to_owned(), "the name of the proxy could not be resolved"),
    ] {
        let relay = Relay::to(&upstream).proxy(&proxy).limits(PATIENT).start();
        let refused = good(&relay).refused().await;
        refused.expect(502, "upstream_unreachable", "upstream_error");
        refused.expect_without("proxys-word").expect_without("invalid.").expect_without(&port.to_string());
        assert!(refused.message().contains(words), "{}", refused.message());
    }
    upstream.expect_no_connection().await;
}

#[tokio::test]
async fn a_proxy_that_does_not_answer_is_given_up_in_time() {
    let (upstream, proxy) = (Upstream::start().await, Proxy::start().await);
    let setup = Relay::to(&upstream).proxy(&proxy.url("")).limits("dial_timeout = \"200ms\"");
    let relay = setup.start();
    let asking = good(&relay).ask().await;
    let _silent = proxy.accept().await;
    asking.refused().await.expect(504, "upstream_timeout", "upstream_error");
}
