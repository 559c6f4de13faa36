//! A hostile upstream that has switched: what it says before anybody listens is neither kept without bound nor answered for ever.

use super::good;
use super::upstream::asked;
use crate::support::frame::Frame;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;
use crate::support::within;

/// JSON so deep that whoever takes it apart by calling itself runs out of stack.
#[tokio::test]
async fn json_of_any_depth_is_read_or_not_but_survived() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().start();
    let deep = "[".repeat(60_000);
    let (asking, asked_first) = asked(&relay, &upstream).await;
    asked_first.answer("404 No", "", &deep).await;
    asking.refused().await.expect(404, "upstream_refused", "upstream_error");
    for text in [deep.clone(), format!("{{\"type\":\"error\",\"error\":{deep}"), "{\"error\":".repeat(6_000)] {
        let (asking, asked) = asked(&relay, &upstream).await;
        let mut theirs = asked.switch_with(&[Frame::text(&text)]).await;
        let mut client = asking.opened().await;
        client.expect_text(&text).await;
        // And when the link stands, in an event that is read for what it used.
        let done = format!("{{\"type\":\"response.done\",\"response\":{{\"id\":\"resp_1\",\"usage\":{deep}");
        theirs.text(&done).await;
        client.expect_text(&done).await;
    }
    let asking = good(&relay).ask().await;
    let _theirs = upstream.accept().await.switch_with(&[Frame::text("{}")]).await;
    asking.opened().await;
}

/// Pings are answered while an event is awaited; who does not read the answers is cut, and not waited for.
#[tokio::test]
async fn pings_whose_answers_nobody_reads_are_not_answered_for_ever() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).awaits_first_event().limits("admission_timeout = \"4s\"").start();
    let (asking, asked) = asked(&relay, &upstream).await;
    let mut leg = asked.switch().await;
    let pings = Frame::ping([b'x'; 125]).bytes().repeat(400);
    let pouring = async { while leg.try_raw(&pings).await {} };
    let waiting = within("the client to be answered", async {
        let mut asking = asking;
        asking.is_answered().await
    });
    tokio::select! {
        is_answered = waiting => assert!(is_answered),
        () = async { pouring.await; std::future::pending().await } => {}
    }
    let asking = good(&relay).ask().await;
    let _theirs = upstream.accept().await.switch_with(&[Frame::text("{}")]).await;
    asking.opened().await;
}
