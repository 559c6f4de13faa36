//! What the relay asks of the system for its sockets.

use crate::support::frame::Frame;
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_system_watches_over_both_sockets_of_a_link_that_lasts() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("ping_interval = \"1s\"").start();
    let (client, upstream) = relay.link(&upstream).await;
    for leg in [&client, &upstream] {
        let remaining = within("a keepalive timer", keepalive_timer(leg)).await;
        assert!(remaining <= 1.0, "a probe is due within an interval, not in {remaining} s");
    }
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn no_socket_is_watched_before_its_link_is_as_old_as_a_peer_may_be_silent() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).limits("ping_interval = \"1h\"").start();
    let (mut client, mut upstream) = relay.link(&upstream).await;
    // A frame has gone by, so the link has begun.
    client.text("a").await;
    upstream.expect_text("a").await;
    for leg in [&client, &upstream] {
        assert!(!timer(leg).starts_with(KEEPALIVE));
    }
}

/// Nobody else would notice that both peers are gone: no ping may stand inside a frame.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn the_system_watches_over_both_sockets_of_a_link_that_stands_inside_two_frames() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).forwarding("verbatim").limits("ping_interval = \"1s\"").start();
    let (mut client, mut upstream) = relay.link(&upstream).await;
    half_a_frame(&mut client, &mut upstream).await;
    half_a_frame(&mut upstream, &mut client).await;
    for leg in [&client, &upstream] {
        within("a keepalive timer", keepalive_timer(leg)).await;
    }
    assert_eq!((client.arrived(), upstream.arrived()), (&b""[..], &b""[..]), "no ping has come");
}

#[cfg(target_os = "linux")]
async fn half_a_frame(from: &mut Leg, to: &mut Leg) {
    let frame = from.encoded(&[Frame::text("a whole frame")]);
    let half = &frame[..frame.len() / 2];
    from.raw(half).await;
    to.expect_bytes(half).await;
}

/// In `/proc/net/tcp`: the socket's timer is that of keepalive.
#[cfg(target_os = "linux")]
const KEEPALIVE: &str = "02:";

/// Waits until a keepalive timer runs on the relay's socket of this leg, and says when it goes off, in seconds. While
/// something is still to be acknowledged there is another timer, or none.
#[cfg(target_os = "linux")]
async fn keepalive_timer(leg: &Leg) -> f64 {
    /// What it counts time in: `USER_HZ`, on every architecture that the relay is built for.
    const TICKS: f64 = 100.0;
    loop {
        if let Some(ticks) = timer(leg).strip_prefix(KEEPALIVE) {
            return f64::from(u32::from_str_radix(ticks, 16).unwrap()) / TICKS;
        }
        tokio::task::yield_now().await;
    }
}

/// The kind of timer that runs on the relay's socket of this leg, and its ticks.
#[cfg(target_os = "linux")]
fn timer(leg: &Leg) -> String {
    let (ours, relays) = leg.addresses();
    let ends = format!("{:04X} 0100007F:{:04X} 01", relays.port(), ours.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let row = table.lines().find(|row| row.contains(&ends)).expect("the relay's socket, established");
    row.split_whitespace().nth(5).unwrap().to_owned()
}

#[tokio::test]
async fn an_address_is_shared_if_and_only_if_the_configuration_says_so() {
    let upstream = Upstream::start().await;
    let setup = |reuse: bool| Relay::to(&upstream).server(&format!("reuse_port = {reuse}"));
    for (shares, joins, is_shared) in [(true, true, true), (true, false, false), (false, true, false)] {
        let first = setup(shares).start();
        let second = setup(joins).env("RELAY_SERVER__LISTEN", &format!("[\"{}\"]", first.address())).try_start();
        match second {
            Ok(second) => assert!(is_shared && second.address() == first.address()),
            Err(error) => assert!(!is_shared && error.contains("cannot listen on"), "{error}"),
        }
    }
}
