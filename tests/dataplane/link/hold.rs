//! A message that uses something, and may not be delivered before it is recorded; and an observer that is not done.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use realtime_relay::relay::events::Event;
use realtime_relay::relay::tap::{EventTap, Observe};

use super::{End, LIMITS, created, done, link_by, link_with_tap};
use crate::pump::Forwarder;
use crate::wire::{Frame, PING};

/// An observer that is done with a `response.done` when the test says so.
#[derive(Clone, Default)]
struct Slow(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    seen: usize,
    allowed: usize,
    waker: Option<Waker>,
}

impl Slow {
    fn seen(&self) -> usize {
        self.0.borrow().seen
    }

    /// Is done with one more.
    fn allow(&self) {
        let mut state = self.0.borrow_mut();
        state.allowed += 1;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl Observe for Slow {
    fn observe(&mut self, event: Event) -> bool {
        let mut state = self.0.borrow_mut();
        if matches!(event, Event::ResponseDone(_)) {
            assert!(state.seen <= state.allowed, "the next one waits");
            state.seen += 1;
        }
        state.seen <= state.allowed
    }

    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        state.waker = Some(cx.waker().clone());
        if state.seen <= state.allowed { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Nothing comes, though there is time.
async fn hears_nothing(client: &mut End) {
    client.expect_silence(Duration::from_secs(1)).await;
    assert!(client.unread.is_empty(), "not a byte: {:?}", client.unread);
}

async fn leave(client: &mut End, upstream: &mut End) {
    upstream.send(Frame::close(1000, "")).await;
    client.expect_close(1000).await;
    client.send(Frame::close(1000, "")).await;
}

#[tokio::test(start_paused = true)]
async fn what_uses_something_is_delivered_when_it_is_recorded_and_all_that_follows_waits_behind_it() {
    let slow = Slow::default();
    link_with_tap(LIMITS, EventTap::new(slow.clone()).holding(), async |client, mut upstream, _| {
        let frames =
            [Frame::text("before"), done("resp_1"), Frame::ping("behind"), Frame::text("after"), done("resp_2")];
        upstream.raw(&frames.iter().flat_map(Frame::bytes).collect::<Vec<_>>()).await;
        let mut client = client.without_pongs();
        client.expect(frames[0].clone()).await;
        hears_nothing(&mut client).await;
        assert_eq!(slow.seen(), 1, "the next one is not looked at");
        slow.allow();
        for frame in &frames[1..4] {
            client.expect(frame.clone()).await;
        }
        hears_nothing(&mut client).await;
        slow.allow();
        client.expect(frames[4].clone()).await;
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_is_held_from_its_first_byte_whatever_its_pieces() {
    let message = done("resp_1");
    let (front, back) = message.payload.split_at(30);
    let fragments = [Frame::text(front).more(), Frame::pong("between"), Frame::continuation(back)];
    for bytes in [message.bytes(), fragments.iter().flat_map(Frame::bytes).collect()] {
        let slow = Slow::default();
        link_with_tap(LIMITS, EventTap::new(slow.clone()).holding(), async |mut client, mut upstream, _| {
            for byte in &bytes {
                upstream.raw(&[*byte]).await;
                tokio::task::yield_now().await;
            }
            hears_nothing(&mut client).await;
            slow.allow();
            while client.unread.len() < bytes.len() {
                assert_ne!(client.read().await, 0);
            }
            assert_eq!(client.unread, bytes);
            client.unread.clear();
            leave(&mut client, &mut upstream).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_messages_are_held_only_until_their_type_is_known() {
    let slow = Slow::default();
    let tap = EventTap::new(slow.clone()).holding();
    link_by(Forwarder::Verbatim, LIMITS, tap, async |mut client, mut upstream, _| {
        let delta = Frame::text(r#"{"type":"response.output_audio.delta","delta":"AAAA"}"#).bytes();
        upstream.raw(&delta[..12]).await;
        hears_nothing(&mut client).await;
        upstream.raw(&delta[12..40]).await;
        while client.unread.len() < 40 {
            assert_ne!(client.read().await, 0);
        }
        assert_eq!(client.unread, &delta[..40], "it is cut through");
        upstream.raw(&delta[40..]).await;
        client.next().await;
        // Interesting, but it uses nothing.
        upstream.send(created("resp_1")).await;
        client.expect(created("resp_1")).await;
        leave(&mut client, &mut upstream).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn half_of_it_is_not_delivered_when_an_offence_follows_but_what_stands_before_it_is() {
    let [before, message] = [Frame::text("before"), done("resp_1")];
    let (front, back) = message.payload.split_at(30);
    let held = [Frame::text(front).more(), Frame::pong("between")].map(|frame| frame.bytes()).concat();
    let no_text = Frame::continuation([back, b"\xff"].concat()).bytes();
    let reserved = vec![0xf0, 0];
    for (forwarder, offence, code) in [
        (Forwarder::Verbatim, &reserved, 1002),
        (Forwarder::Framed, &reserved, 1002),
        (Forwarder::Framed, &no_text, 1007),
    ] {
        let bytes = [&before.bytes()[..], &held, offence].concat();
        for split in 1..bytes.len() {
            let tap = EventTap::new(Slow::default()).holding();
            link_by(forwarder, LIMITS, tap, async |mut client, mut upstream, _| {
                upstream.raw(&bytes[..split]).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
                upstream.raw(&bytes[split..]).await;
                client.expect(before.clone()).await;
                client.expect_event("upstream_protocol_error", "upstream_error").await;
                client.expect_close(1011).await;
                upstream.expect_close(code).await;
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_it_is_not_delivered_when_the_rest_does_not_come() {
    let slow = Slow::default();
    link_with_tap(LIMITS, EventTap::new(slow).holding(), async |mut client, mut upstream, _| {
        let message = done("resp_1").bytes();
        upstream.raw(&message[..message.len() - 1]).await;
        drop(upstream);
        // So that the event may stand: for the client no message has begun.
        client.expect_event("upstream_connection_lost", "upstream_error").await;
        client.expect_close(1011).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_link_waits_behind_it_too() {
    let slow = Slow::default();
    let report = link_with_tap(LIMITS, EventTap::new(slow.clone()).holding(), async |mut client, mut upstream, _| {
        upstream.send(done("resp_1")).await;
        upstream.send(Frame::close(4000, "over")).await;
        drop(upstream);
        hears_nothing(&mut client).await;
        slow.allow();
        client.expect(done("resp_1")).await;
        client.expect_close(4000).await;
    })
    .await;
    assert_eq!(report.ending.name(), "upstream_close");
}

#[tokio::test(start_paused = true)]
async fn a_link_ends_when_nobody_takes_its_records_within_the_write_timeout() {
    for holds in [false, true] {
        let slow = Slow::default();
        let tap = EventTap::new(slow.clone());
        let report = link_with_tap(LIMITS, if holds { tap.holding() } else { tap }, async |client, mut upstream, _| {
            let mut client = client.without_pongs();
            upstream.send(done("resp_1")).await;
            upstream.send(Frame::text("behind")).await;
            if !holds {
                client.expect(done("resp_1")).await;
            }
            if !holds {
                // It would overtake what is held.
                assert_eq!(client.next().await.opcode, PING);
            }
            client.expect_event("ledger_unavailable", "server_error").await;
            client.expect_age(LIMITS.write_timeout);
            client.expect_close(1011).await;
        })
        .await;
        assert_eq!(report.ending.name(), "ledger_unavailable");
    }
}

#[tokio::test(start_paused = true)]
async fn without_holding_the_message_goes_on_and_only_the_next_ones_wait() {
    let slow = Slow::default();
    link_with_tap(LIMITS, EventTap::new(slow.clone()), async |mut client, mut upstream, _| {
        upstream.send(done("resp_1")).await;
        upstream.send(Frame::text("behind")).await;
        client.expect(done("resp_1")).await;
        hears_nothing(&mut client).await;
        // The other direction goes on.
        client.send(Frame::text("up")).await;
        upstream.expect(Frame::text("up")).await;
        slow.allow();
        client.expect(Frame::text("behind")).await;
        leave(&mut client, &mut upstream).await;
    })
    .await;
}
