//! What the upstream says that it used is in the ledger, however it comes.

use super::{COLUMNS, DONE, DONE_ROW, close, done, link, request_id};
use crate::support::frame::{CLOSE, Frame, TEXT, header};
use crate::support::leg::Leg;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

/// Every sample, and the row that it makes; none where it uses nothing.
const SAMPLES: [(&str, &str); 13] = [
    (DONE, DONE_ROW),
    (include_str!("../../wire/response_done_spaced.json"), DONE_ROW),
    (include_str!("../../wire/response_done_type_last.json"), DONE_ROW),
    // More is said to be cached than went in: it is all that went in.
    (
        include_str!("../../wire/response_done_beta_cached_over_input.json"),
        "response|resp_B1|completed|110|10|0|110|10|0|30|150||10128000",
    ),
    (
        include_str!("../../wire/response_done_cancelled_null_usage.json"),
        "response|resp_D1|cancelled|0|0|0|0|0|0|0|0||0",
    ),
    (include_str!("../../wire/response_done_failed_no_usage.json"), "response|resp_E1|failed|0|0|0|0|0|0|0|0||0"),
    (include_str!("../../wire/decoy_created_with_metadata.json"), ""),
    (include_str!("../../wire/decoy_quoted_in_delta.json"), ""),
    (include_str!("../../wire/error.json"), ""),
    (include_str!("../../wire/rate_limits.json"), ""),
    (include_str!("../../wire/session_created.json"), ""),
    (include_str!("../../wire/transcription_duration.json"), ""),
    (include_str!("../../wire/transcription_tokens.json"), ""),
];

/// How a message is sent.
#[derive(Debug, Clone, Copy)]
enum Way {
    OneFrame,
    Fragments(usize),
    ByteByByte,
}

/// Sends a message, and has all of it arrive as it was sent.
async fn pass(way: Way, message: &str, ours: &mut Leg, theirs: &mut Leg) {
    match way {
        Way::OneFrame => {
            theirs.text(message).await;
            ours.expect_text(message).await;
        }
        Way::Fragments(size) => {
            let mut frames: Vec<_> =
                message.as_bytes().chunks(size).map(|part| Frame::continuation(part).more()).collect();
            frames[0].opcode = TEXT;
            frames.last_mut().unwrap().fin = true;
            // Control frames may stand between them, and are no part of the message.
            frames.insert(1, Frame::pong(r#"{"type":"response.done"}"#));
            theirs.send(&frames).await;
            for frame in frames {
                ours.expect(frame).await;
            }
        }
        Way::ByteByByte => {
            let head = header(true, TEXT, false, message.len() as u64);
            theirs.raw(&head).await;
            ours.expect_bytes(&head).await;
            for byte in message.as_bytes() {
                theirs.raw(&[*byte]).await;
                ours.expect_bytes(&[*byte]).await;
            }
        }
    }
}

#[tokio::test]
async fn every_sample_makes_its_row_however_it_is_cut() {
    let upstream = Upstream::start().await;
    let ways = [Way::OneFrame, Way::Fragments(100), Way::Fragments(1), Way::ByteByByte];
    are_recorded(&upstream, "verbatim", &ways).await;
    // Here a byte alone does not go on.
    are_recorded(&upstream, "framed", &ways[..3]).await;
}

async fn are_recorded(upstream: &Upstream, forwarding: &'static str, ways: &[Way]) {
    let relay = Relay::to(upstream).forwarding(forwarding).limits("settle_timeout = \"1ms\"").start();
    let mut expected = Vec::new();
    for way in ways.iter().copied() {
        for (sample, row) in SAMPLES {
            let (mut ours, mut theirs) = relay.link(upstream).await;
            pass(way, sample, &mut ours, &mut theirs).await;
            if !row.is_empty() {
                expected.push(format!("{}|{row}", request_id(&ours)));
            }
            ours.hang_up().await;
            while theirs.next().await.opcode != CLOSE {}
            theirs.close(1001, "").await;
            theirs.hang_up().await;
        }
    }
    relay.ledger().until_count("link", ways.len() * SAMPLES.len()).await;
    let columns = format!("request_id, {COLUMNS}");
    let rows =
        relay.ledger().ask(&format!("SELECT {columns} FROM usage JOIN link USING (link_id) ORDER BY usage.rowid"));
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_row_says_when_and_whose_it_was() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).upstream("models = { voice = \"gpt-realtime-2025-08-28\" }").start();
    let (mut ours, mut theirs) = link(&relay, &upstream, "model=voice").await;
    pass(Way::OneFrame, DONE, &mut ours, &mut theirs).await;
    close(&mut ours, &mut theirs).await;
    relay.ledger().until_count("link", 1).await;
    let rows = relay.ledger().ask(
        "SELECT usage.key, usage.upstream, usage.model, cost_nano_usd, at_ms BETWEEN opened_ms AND ended_ms \
         FROM usage JOIN link USING (link_id)",
    );
    assert_eq!(rows, ["acme|primary|gpt-realtime-2025-08-28|9724800|1"]);
}

#[tokio::test]
async fn the_same_response_is_recorded_once_for_each_link() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let mut links = [relay.link(&upstream).await, relay.link(&upstream).await];
    for (ours, theirs) in &mut links {
        for message in [DONE, &done("resp_A2"), DONE, DONE, &done("resp_A2")] {
            pass(Way::OneFrame, message, ours, theirs).await;
        }
        close(ours, theirs).await;
    }
    relay.ledger().until_count("link", 2).await;
    let rows = relay.ledger().ask("SELECT response_id, count(*), count(DISTINCT link_id) FROM usage GROUP BY 1");
    assert_eq!(rows, ["resp_A1|2|2", "resp_A2|2|2"]);
}

#[tokio::test]
async fn a_response_without_an_id_is_always_a_record_of_its_own() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let message = DONE.replace(r#""id":"resp_A1","#, "");
    for _ in 0..3 {
        pass(Way::OneFrame, &message, &mut ours, &mut theirs).await;
    }
    close(&mut ours, &mut theirs).await;
    relay.ledger().until_count("link", 1).await;
    let rows = relay.ledger().ask(&format!("SELECT {COLUMNS} FROM usage"));
    assert_eq!(rows, vec![DONE_ROW.replace("resp_A1", ""); 3]);
}

#[tokio::test]
async fn one_that_cannot_be_read_is_delivered_and_recorded_as_such() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    let (mut ours, mut theirs) = relay.link(&upstream).await;
    let padding = "x".repeat(4 << 20);
    let too_large = DONE.replace("sunny", &padding);
    let broken = format!("{}]", DONE.strip_suffix('}').unwrap());
    for message in [&too_large, &broken] {
        pass(Way::OneFrame, message, &mut ours, &mut theirs).await;
    }
    close(&mut ours, &mut theirs).await;
    relay.ledger().until_count("link", 1).await;
    let rows = relay.ledger().ask(&format!("SELECT {COLUMNS} FROM usage"));
    assert_eq!(rows, ["response||unreadable|0|0|0|0|0|0|0|0||"; 2]);
}
