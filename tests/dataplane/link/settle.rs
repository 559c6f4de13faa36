//! A response that is under way when the link ends: it is cancelled, and read to its end.

use std::time::Duration;

use realtime_relay::relay::ending::Decision;
use realtime_relay::relay::tap::EventTap;

use super::{End, LIMITS, cancel, created, done, link, link_by};
use crate::pump::Forwarder;
use crate::wire::{BINARY, CLOSE, Frame, TEXT};

const GRACE: Duration = Duration::from_secs(1);

/// Begins a response that the client did not ask for in words.
async fn begin(client: &mut End, upstream: &mut End, id: &str) {
    upstream.create(id).await;
    client.expect(created(id)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_is_answered_at_once_and_the_upstream_closed_when_all_is_known() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, "resp_1").await;
        client.send(Frame::close(4321, "bye")).await;
        client.expect(Frame::close(4321, "")).await;
        client.expect_end().await;
        upstream.expect(cancel("resp_1")).await;
        upstream.send(Frame::text("one more delta")).await;
        upstream.expect_silence(Duration::from_secs(4)).await;
        upstream.finish("resp_1").await;
        upstream.expect(Frame::close(4321, "bye")).await;
        upstream.send(Frame::close(4322, "")).await;
        upstream.expect_end().await;
    })
    .await;
    assert_eq!((report.ending.name(), report.unsettled), ("client_close", false));
    assert_eq!((report.client_close, report.upstream_close), (Some(4321), Some(4322)));
}

/// The relay hears of both at once, and long after the client's last words.
#[tokio::test(start_paused = true)]
async fn a_response_that_begins_when_the_client_closes_is_settled_too() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        upstream.create("resp_1").await;
        client.send(Frame::close(1000, "bye")).await;
        client.expect(created("resp_1")).await;
        client.expect(Frame::close(1000, "")).await;
        upstream.expect(cancel("resp_1")).await;
        upstream.finish("resp_1").await;
        upstream.expect(Frame::close(1000, "bye")).await;
    })
    .await;
    assert_eq!((report.ending.name(), report.unsettled), ("client_close", false));
}

#[tokio::test(start_paused = true)]
async fn a_close_without_a_code_is_answered_without_one() {
    link(LIMITS, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, "resp_1").await;
        client.send(Frame::new(CLOSE, b"")).await;
        client.expect(Frame::new(CLOSE, b"")).await;
        upstream.expect(cancel("resp_1")).await;
        upstream.finish("resp_1").await;
        upstream.expect(Frame::new(CLOSE, b"")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn when_nothing_is_under_way_the_close_goes_on_at_once() {
    link(LIMITS, async |mut client, mut upstream, _| {
        client.send(Frame::text("long ago")).await;
        upstream.expect(Frame::text("long ago")).await;
        begin(&mut client, &mut upstream, "resp_1").await;
        upstream.finish("resp_1").await;
        client.expect(done("resp_1")).await;
        tokio::time::sleep(GRACE).await;
        client.send(Frame::close(1000, "bye")).await;
        upstream.expect(Frame::close(1000, "bye")).await;
        upstream.expect_age(GRACE);
        upstream.send(Frame::close(1000, "you too")).await;
        client.expect(Frame::close(1000, "you too")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn for_a_second_after_the_clients_last_words_a_response_may_still_begin() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        client.send(Frame::new(BINARY, "any data frame")).await;
        client.send(Frame::close(1000, "")).await;
        client.expect(Frame::close(1000, "")).await;
        upstream.expect(Frame::new(BINARY, "any data frame")).await;
        upstream.expect_silence(GRACE / 2).await;
        upstream.create("resp_late").await;
        upstream.expect(cancel("resp_late")).await;
        upstream.finish("resp_late").await;
        upstream.expect(Frame::close(1000, "")).await;
        upstream.expect_age(GRACE);
    })
    .await;
    assert!(!report.unsettled);
}

#[tokio::test(start_paused = true)]
async fn each_response_is_cancelled_once_and_all_are_awaited() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        for id in ["resp_1", "resp_2", "resp_3"] {
            begin(&mut client, &mut upstream, id).await;
        }
        upstream.finish("resp_2").await;
        client.expect(done("resp_2")).await;
        drop(client);
        upstream.expect(cancel("resp_1")).await;
        upstream.expect(cancel("resp_3")).await;
        upstream.finish("resp_3").await;
        upstream.create("resp_4").await;
        upstream.expect(cancel("resp_4")).await;
        upstream.finish("resp_4").await;
        upstream.expect_silence(Duration::from_secs(3)).await;
        upstream.finish("resp_1").await;
        upstream.expect_close(1001).await;
    })
    .await;
    assert_eq!((report.ending.name(), report.unsettled), ("client_lost", false));
}

#[tokio::test(start_paused = true)]
async fn a_response_that_does_not_end_leaves_the_link_unsettled() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, "resp_1").await;
        drop(client);
        upstream.expect(cancel("resp_1")).await;
        upstream.expect_close(1001).await;
        upstream.expect_age(LIMITS.settle_timeout);
        upstream.expect_end().await;
        upstream.expect_age(LIMITS.settle_timeout + LIMITS.close_timeout);
    })
    .await;
    assert!(report.unsettled);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_closes_or_goes_meanwhile_ends_it() {
    for closes in [true, false] {
        let report = link(LIMITS, async |mut client, mut upstream, _| {
            begin(&mut client, &mut upstream, "resp_1").await;
            drop(client);
            upstream.expect(cancel("resp_1")).await;
            if closes {
                upstream.send(Frame::close(1000, "")).await;
                upstream.expect_close(1001).await;
                upstream.expect_end().await;
            }
            upstream.expect_age(Duration::ZERO);
        })
        .await;
        assert!(report.unsettled);
        assert_eq!(report.upstream_close, closes.then_some(1000));
    }
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_ends_the_link_itself_leaves_it_unsettled() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, "resp_1").await;
        upstream.send(Frame::close(1000, "")).await;
        client.expect_close(1000).await;
        client.send(Frame::close(1000, "")).await;
    })
    .await;
    assert_eq!((report.ending.name(), report.unsettled), ("upstream_close", true));
}

#[tokio::test(start_paused = true)]
async fn the_relays_own_decisions_settle_too_but_the_client_is_not_kept_waiting() {
    link(LIMITS, async |mut client, mut upstream, orders| {
        begin(&mut client, &mut upstream, "resp_1").await;
        orders.end(Decision::QuotaUsedUp);
        client.expect_event("insufficient_quota", "insufficient_quota").await;
        client.expect_close(1008).await;
        client.send(Frame::close(1008, "")).await;
        client.expect_end().await;
        client.expect_age(Duration::ZERO);
        upstream.expect(cancel("resp_1")).await;
        upstream.finish("resp_1").await;
        upstream.expect_close(1000).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_clients_message_may_finish_before_a_response_is_cancelled() {
    link(LIMITS, async |mut client, mut upstream, orders| {
        begin(&mut client, &mut upstream, "resp_1").await;
        let (here, message) = (Frame::pong("here").masked(), Frame::text("in two parts").masked().bytes());
        client.raw(&[&here.bytes(), &message[..9]].concat()).await;
        upstream.expect(Frame::pong("here")).await;
        orders.end(Decision::SessionExpired);
        client.expect_event("session_expired", "invalid_request_error").await;
        client.expect_close(1001).await;
        client.raw(&message[9..]).await;
        upstream.expect(Frame::text("in two parts")).await;
        upstream.expect(cancel("resp_1")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_client_finishes_late_may_still_begin_a_response() {
    let report = link(LIMITS, async |mut client, mut upstream, orders| {
        let (here, message) = (Frame::pong("here").masked(), Frame::text("in two parts").masked().bytes());
        client.raw(&[&here.bytes(), &message[..9]].concat()).await;
        upstream.expect(Frame::pong("here")).await;
        // Long enough for the first part to be forgotten.
        tokio::time::sleep(GRACE * 2).await;
        orders.end(Decision::SessionExpired);
        client.expect_event("session_expired", "invalid_request_error").await;
        client.expect_close(1001).await;
        tokio::time::sleep(GRACE * 3).await;
        client.raw(&message[9..]).await;
        upstream.expect(Frame::text("in two parts")).await;
        upstream.create("resp_1").await;
        upstream.expect(cancel("resp_1")).await;
        upstream.finish("resp_1").await;
        upstream.expect_close(1001).await;
    })
    .await;
    assert!(!report.unsettled);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_takes_nothing_more_is_still_heard() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, "resp_1").await;
        // All at once: the relay learns of the end when it writes, and has not read yet.
        upstream.finish("resp_1").await;
        upstream.send(Frame::close(4000, "over")).await;
        client.send(Frame::text("into the void")).await;
        drop(upstream);
        client.expect(done("resp_1")).await;
        client.expect_close(4000).await;
    })
    .await;
    assert_eq!((report.ending.name(), report.unsettled), ("upstream_close", false));
}

#[tokio::test(start_paused = true)]
async fn where_the_client_was_cut_inside_a_message_nothing_is_injected_but_all_is_read() {
    let parts = [Frame::text("half a fra").masked().bytes()[..10].to_vec(), {
        let fragment = Frame { fin: false, ..Frame::new(TEXT, "a fragment") };
        fragment.masked().bytes()
    }];
    for part in parts {
        let tap = EventTap::new(|_| ());
        let report = link_by(Forwarder::Verbatim, LIMITS, tap, async |mut client, mut upstream, _| {
            begin(&mut client, &mut upstream, "resp_1").await;
            client.raw(&part).await;
            drop(client);
            tokio::time::sleep(GRACE * 3).await;
            upstream.finish("resp_1").await;
            let mut rest = Vec::new();
            while upstream.read().await > 0 {}
            rest.append(&mut upstream.unread);
            assert_eq!(rest, part, "what the client sent, and no more");
            upstream.expect_age(GRACE * 3);
        })
        .await;
        assert!(!report.unsettled, "its end was seen");
    }
}

#[tokio::test(start_paused = true)]
async fn where_half_a_frame_never_goes_on_the_response_of_a_client_cut_inside_one_is_cancelled() {
    let tap = EventTap::new(|_| ());
    let report = link_by(Forwarder::Framed, LIMITS, tap, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, "resp_1").await;
        client.raw(&Frame::text("half a fra").masked().bytes()[..10]).await;
        drop(client);
        upstream.expect(cancel("resp_1")).await;
        upstream.finish("resp_1").await;
        upstream.expect_close(1001).await;
    })
    .await;
    assert!(!report.unsettled, "its end was seen");
}

#[tokio::test(start_paused = true)]
async fn a_response_that_ends_without_its_id_is_the_one_there_is() {
    let report = link(LIMITS, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, "resp_1").await;
        upstream.send(Frame::text(r#"{"type":"response.done","response":{"status":"completed"}}"#)).await;
        client.next().await;
        client.send(Frame::close(1000, "")).await;
        upstream.expect_close(1000).await;
        upstream.expect_age(Duration::ZERO);
    })
    .await;
    assert!(!report.unsettled);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_escaped_in_the_cancel() {
    link(LIMITS, async |mut client, mut upstream, _| {
        begin(&mut client, &mut upstream, r#"a\"b"#).await;
        drop(client);
        upstream.expect(cancel(r#"a\"b"#)).await;
    })
    .await;
}
