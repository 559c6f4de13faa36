//! Legs from which nothing comes, and links on which nothing is said.

use std::time::Duration;

use realtime_relay::relay::Peer;
use realtime_relay::relay::ending::{Decision, Ending};
use realtime_relay::relay::link::Limits;
use realtime_relay::relay::tap::EventTap;

use super::{End, LIMITS, TICK, link, link_by};
use crate::pump::Forwarder;
use crate::wire::{Frame, PING};

const INTERVAL: Duration = LIMITS.ping_interval;

/// Closes as a client does, and ends the link.
async fn leave(client: &mut End, upstream: &mut End) {
    client.send(Frame::close(1000, "")).await;
    upstream.expect_close(1000).await;
    upstream.send(Frame::close(1000, "")).await;
    client.expect_close(1000).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_leg_is_pinged_and_its_pong_goes_no_further() {
    link(LIMITS, async |client, upstream, _| {
        let (mut client, mut upstream) = (client.without_pongs(), upstream.without_pongs());
        let (to_client, to_upstream) = (client.next().await, upstream.next().await);
        client.expect_age(INTERVAL);
        assert_eq!((to_client.opcode, to_upstream.opcode), (PING, PING));
        assert_ne!(to_client.payload, to_upstream.payload, "each is random");
        client.send(Frame::pong(&to_client.payload)).await;
        upstream.send(Frame::pong(&to_upstream.payload)).await;
        // What comes behind them goes on.
        client.send(Frame::text("up")).await;
        upstream.send(Frame::text("down")).await;
        upstream.expect(Frame::text("up")).await;
        client.expect(Frame::text("down")).await;
        // The next silence, another ping.
        let again = client.next().await;
        assert_eq!(again.opcode, PING);
        assert_ne!(again.payload, to_client.payload, "each is random");
        client.expect_age(INTERVAL * 2);
        assert_eq!(upstream.next().await.opcode, PING);
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn our_pong_is_taken_out_from_among_other_frames_of_one_read() {
    link(LIMITS, async |client, upstream, _| {
        let (mut client, mut upstream) = (client.without_pongs(), upstream);
        let payload = client.next().await.payload;
        let frames = [
            Frame::text("a"),
            Frame::pong("not ours"),
            Frame::text("b").more(),
            Frame::pong(&payload),
            Frame::continuation("c"),
            Frame::pong(&payload),
        ];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.clone().masked().bytes()).collect();
        client.raw(&bytes).await;
        for index in [0, 1, 2, 4] {
            upstream.expect(frames[index].clone()).await;
        }
        // It answers one ping; another like it answers none of ours.
        upstream.expect(Frame::pong(&payload)).await;
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_lost_after_three_intervals() {
    let report = link(LIMITS, async |client, mut upstream, _| {
        let mut client = client.without_pongs();
        upstream.expect_close(1001).await;
        upstream.expect_age(INTERVAL * 3);
        assert_eq!(client.next().await.opcode, PING);
        client.expect_end().await;
        upstream.send(Frame::close(1001, "")).await;
    })
    .await;
    assert!(matches!(report.ending, Ending::Silent(Peer::Client)), "{:?}", report.ending);
    assert_eq!(report.ending.name(), "client_lost");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_answers_no_ping_is_lost_after_three_intervals() {
    let report = link(LIMITS, async |mut client, upstream, _| {
        let mut upstream = upstream.without_pongs();
        client.expect_event("upstream_connection_lost", "upstream_error").await;
        client.expect_close(1011).await;
        client.expect_age(INTERVAL * 3);
        assert_eq!(upstream.next().await.opcode, PING);
        upstream.expect_end().await;
        client.send(Frame::close(1011, "")).await;
    })
    .await;
    assert!(matches!(report.ending, Ending::Silent(Peer::Upstream)), "{:?}", report.ending);
    assert_eq!(report.ending.name(), "upstream_lost");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_is_not_listened_to_is_not_silent() {
    let limits = Limits { ping_interval: Duration::from_secs(5), ..LIMITS };
    // A client that takes nothing could be pinged before a frame that has not gone on, and would be the silent one.
    let report = link_by(Forwarder::Verbatim, limits, EventTap::new(|_| ()), async |mut client, mut upstream, _| {
        // More than fits anywhere, to a client that takes nothing.
        let flood = Frame::text("x".repeat(4 << 20)).bytes();
        let _ = tokio::time::timeout(Duration::from_secs(1), upstream.raw(&flood)).await;
        let mut next = upstream.next().await;
        while next.opcode == PING {
            next = upstream.next().await;
        }
        assert_eq!(next.closing().map(|(code, _)| code), Some(1001), "{next}");
        upstream.expect_age(limits.write_timeout);
        drop(upstream);
        while client.read().await > 0 {}
    })
    .await;
    assert!(matches!(report.ending, Ending::Stalled(Peer::Client)), "{:?}", report.ending);
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_a_sign_of_life() {
    link(LIMITS, async |client, mut upstream, _| {
        let (mut client, frame) = (client.without_pongs(), Frame::text("slowly").masked().bytes());
        let speak = async {
            for byte in &frame {
                tokio::time::sleep(INTERVAL.saturating_sub(TICK)).await;
                client.raw(&[*byte]).await;
            }
        };
        tokio::join!(speak, upstream.expect(Frame::text("slowly")));
        // Silent for good now.
        assert_eq!(client.next().await.opcode, PING);
        client.expect_age((INTERVAL.saturating_sub(TICK)) * u32::try_from(frame.len()).unwrap() + INTERVAL);
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_ping_without_its_pong_stands_in_for_ours() {
    let report = link(LIMITS, async |mut client, upstream, _| {
        let mut upstream = upstream.without_pongs();
        tokio::time::sleep(INTERVAL / 2).await;
        client.send(Frame::ping("of the client")).await;
        upstream.expect(Frame::ping("of the client")).await;
        client.expect_event("upstream_connection_lost", "upstream_error").await;
        client.expect_age(INTERVAL * 3);
        upstream.expect_end().await;
    })
    .await;
    assert!(matches!(report.ending, Ending::Silent(Peer::Upstream)), "{:?}", report.ending);
}

#[tokio::test(start_paused = true)]
async fn inside_a_frame_no_ping_is_sent_but_soon_after_it() {
    link_by(Forwarder::Verbatim, LIMITS, EventTap::new(|_| ()), async |client, mut upstream, _| {
        let (mut client, frame) = (client.without_pongs(), Frame::text("in two parts").bytes());
        upstream.raw(&frame[..5]).await;
        client.expect_silence(INTERVAL + INTERVAL / 16).await;
        assert_eq!(client.unread, &frame[..5]);
        upstream.raw(&frame[5..]).await;
        client.expect(Frame::text("in two parts")).await;
        assert_eq!(client.next().await.opcode, PING);
        client.expect_age(INTERVAL + INTERVAL / 8);
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn before_a_frame_that_has_not_gone_on_a_ping_may_stand() {
    link_by(Forwarder::Framed, LIMITS, EventTap::new(|_| ()), async |client, mut upstream, _| {
        let (mut client, frame) = (client.without_pongs(), Frame::text("in two parts").bytes());
        upstream.raw(&frame[..5]).await;
        let ping = client.next().await;
        assert_eq!(ping.opcode, PING);
        client.expect_age(INTERVAL);
        client.send(Frame::pong(ping.payload)).await;
        upstream.raw(&frame[5..]).await;
        client.expect(Frame::text("in two parts")).await;
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_link_on_which_nothing_is_said_ends_after_the_idle_timeout_though_both_are_alive() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        upstream.send(Frame::text("the last")).await;
        client.expect(Frame::text("the last")).await;
        let to_client = async {
            client.expect_event("idle_timeout", "invalid_request_error").await;
            client.expect_close(1001).await;
            client.expect_age(Duration::from_mins(15));
            client.send(Frame::close(1001, "")).await;
        };
        let to_upstream = async {
            upstream.expect_close(1001).await;
            upstream.expect_age(Duration::from_mins(15));
            upstream.send(Frame::close(1001, "")).await;
        };
        tokio::join!(to_client, to_upstream);
    })
    .await;
    assert!(matches!(report.ending, Ending::Decided(Decision::IdleTimeout)), "{:?}", report.ending);
    assert_eq!((report.client_close, report.upstream_close), (Some(1001), Some(1001)));
}

#[tokio::test(start_paused = true)]
async fn data_in_either_direction_puts_the_idle_timeout_off() {
    link(LIMITS, async |mut client, mut upstream, _| {
        for _ in 0..2 {
            tokio::join!(
                client.expect_silence(Duration::from_mins(14)),
                upstream.expect_silence(Duration::from_mins(14))
            );
            client.send(Frame::text("up")).await;
            upstream.expect(Frame::text("up")).await;
            tokio::join!(
                client.expect_silence(Duration::from_mins(14)),
                upstream.expect_silence(Duration::from_mins(14))
            );
            upstream.send(Frame::text("down")).await;
            client.expect(Frame::text("down")).await;
        }
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_when_it_has_reached_its_age_whatever_is_said() {
    for idle_timeout in [None, LIMITS.idle_timeout] {
        let report = link(Limits { idle_timeout, ..LIMITS }, async |mut client, mut upstream, _| {
            let talk = async {
                for _ in 0..6 {
                    upstream.expect_silence(Duration::from_mins(9)).await;
                    if idle_timeout.is_some() {
                        upstream.send(Frame::text("still here")).await;
                    }
                }
                upstream.expect_close(1001).await;
                upstream.send(Frame::close(1001, "")).await;
            };
            let listen = async {
                let mut next = client.next().await;
                while next == Frame::text("still here") {
                    next = client.next().await;
                }
                assert!(next.to_string().contains("session_expired"), "{next}");
                client.expect_close(1001).await;
                client.expect_age(Duration::from_hours(1));
                client.send(Frame::close(1001, "")).await;
            };
            tokio::join!(talk, listen);
        })
        .await;
        assert!(matches!(report.ending, Ending::Decided(Decision::SessionExpired)), "{:?}", report.ending);
    }
}
