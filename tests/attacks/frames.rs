//! What scan rejects, over real sockets: each offence of each peer, cut at each of its bytes.

use super::{good, serves};
use crate::support::frame::{BINARY, CLOSE, Frame, MASK, TEXT};
use crate::support::offence::offences;
use crate::support::relay::Relay;
use crate::support::upstream::Upstream;

/// No test of these waits for an answer that nobody gives; and a machine that is busy elsewhere is no offence.
const LIMITS: &str = "settle_timeout = \"10ms\"\nclose_timeout = \"1s\"\ndial_timeout = \"8s\"";

async fn relay() -> (Relay, Upstream) {
    let upstream = Upstream::start().await;
    (Relay::to(&upstream).limits(LIMITS).start(), upstream)
}

/// Sends `bytes` behind a legal ping on a link of its own, for each place where they can be cut. The ping comes with the front, so
/// that has been read when the ping is there. How many links that takes.
async fn cut_by_a_client(
    relay: &Relay,
    upstream: &Upstream,
    what: &str,
    bytes: &[u8],
    (told, other): (u16, u16),
) -> usize {
    for at in 1..=bytes.len() {
        println!("{what}, cut at {at}");
        let (front, back) = bytes.split_at(at);
        let (mut client, mut theirs) = relay.link(upstream).await;
        let legal = client.encoded(&[Frame::ping("legal")]);
        client.raw(&[&legal, front].concat()).await;
        theirs.expect(Frame::ping("legal")).await;
        client.raw(back).await;
        theirs.expect_close_code(other).await;
        client.expect_close_code(told).await;
    }
    bytes.len()
}

/// The same from the other side.
async fn cut_by_an_upstream(
    relay: &Relay,
    upstream: &Upstream,
    what: &str,
    bytes: &[u8],
    (event, told): (&str, u16),
) -> usize {
    for at in 1..=bytes.len() {
        println!("{what}, cut at {at}");
        let (front, back) = bytes.split_at(at);
        let (mut client, mut theirs) = relay.link(upstream).await;
        let legal = theirs.encoded(&[Frame::ping("legal")]);
        theirs.raw(&[&legal, front].concat()).await;
        client.expect(Frame::ping("legal")).await;
        theirs.raw(back).await;
        client.expect_event(event).await;
        client.expect_close_code(1011).await;
        theirs.expect_close_code(told).await;
    }
    bytes.len()
}

#[tokio::test]
async fn every_offence_of_a_client_is_found_wherever_it_is_cut_and_nothing_of_it_goes_on() {
    let (relay, upstream) = relay().await;
    let (offences, mut cases) = (offences(true), 0);
    for (what, bytes) in &offences {
        cases += cut_by_a_client(&relay, &upstream, what, bytes, (1002, 1001)).await;
    }
    serves(&relay, &upstream).await;
    println!("{} offences, {cases} cases", offences.len());
}

#[tokio::test]
async fn every_offence_of_an_upstream_is_found_wherever_it_is_cut_and_nothing_of_it_goes_on() {
    let (relay, upstream) = relay().await;
    let (offences, mut cases) = (offences(false), 0);
    for (what, bytes) in &offences {
        cases += cut_by_an_upstream(&relay, &upstream, what, bytes, ("upstream_protocol_error", 1002)).await;
    }
    serves(&relay, &upstream).await;
    println!("{} offences, {cases} cases", offences.len());
}

/// A header that claims this length, and no byte of what it claims.
fn claims(length: u64, mask: bool) -> Vec<u8> {
    let flag = u8::from(mask) << 7;
    let key = if mask { &MASK[..] } else { &[] };
    [&[0x80 | BINARY, flag | 127][..], &length.to_be_bytes(), key].concat()
}

#[tokio::test]
async fn a_length_that_no_message_may_have_is_refused_from_its_header_alone() {
    let (relay, upstream) = relay().await;
    let most = 24 << 20;
    let mut cases = 0;
    for length in [most + 1, 1 << 31, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1] {
        let what = format!("{length} bytes");
        let (up, down) = (claims(length, true), claims(length, false));
        cases += cut_by_a_client(&relay, &upstream, &what, &up, (1009, 1001)).await;
        cases += cut_by_an_upstream(&relay, &upstream, &what, &down, ("upstream_message_too_big", 1009)).await;
    }
    serves(&relay, &upstream).await;
    println!("{cases} cases");
}

/// What is claimed piece by piece is summed up, and no sum of lengths comes round to a small one.
#[tokio::test]
async fn lengths_of_fragments_are_summed_up_without_coming_round() {
    let (relay, upstream) = relay().await;
    for second in [24 << 20, (1 << 63) - 1] {
        let (mut client, mut theirs) = relay.link(&upstream).await;
        client.send(&[Frame::text("x").more()]).await;
        theirs.expect(Frame::text("x").more()).await;
        let [_, rest @ ..] = &claims(second, true)[..] else { unreachable!("a header has a first byte") };
        client.raw(&[&[0x80], rest].concat()).await;
        client.expect_close_code(1009).await;
    }
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn a_message_inside_a_message_is_found_wherever_it_is_cut() {
    let (relay, upstream) = relay().await;
    for opcode in [TEXT, BINARY] {
        let bytes = Frame::new(opcode, "two").masked().bytes();
        for at in 1..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            let (mut client, mut theirs) = relay.link(&upstream).await;
            let one = client.encoded(&[Frame::text("one").more()]);
            client.raw(&[&one, front].concat()).await;
            theirs.expect(Frame::text("one").more()).await;
            client.raw(back).await;
            client.expect_close_code(1002).await;
            theirs.expect_close_code(1001).await;
        }
    }
    serves(&relay, &upstream).await;
}

#[tokio::test]
async fn a_close_whose_reason_is_no_text_is_found_wherever_it_is_cut() {
    let (relay, upstream) = relay().await;
    let close = Frame::new(CLOSE, [&1000_u16.to_be_bytes()[..], b"caf\xc3"].concat());
    let (up, down) = (close.clone().masked().bytes(), close.bytes());
    let cases = cut_by_a_client(&relay, &upstream, "a reason", &up, (1007, 1001)).await
        + cut_by_an_upstream(&relay, &upstream, "a reason", &down, ("upstream_protocol_error", 1007)).await;
    serves(&relay, &upstream).await;
    println!("{cases} cases");
}

/// Whoever asks for compression gets none, and whoever compresses all the same has set a reserved bit: nothing is ever inflated.
#[tokio::test]
async fn compression_is_declined_and_what_is_compressed_is_an_offence() {
    let (relay, upstream) = relay().await;
    // 16 KiB of zeros, deflated: what a small frame may grow to.
    let bomb = [0xec, 0xc1, 0x31, 0x01, 0x00, 0x00, 0x00, 0xc2, 0xa0, 0xf5, 0x4f, 0x6d, 0x08];
    for offered in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits; server_no_context_takeover",
        "permessage-deflate, x-webkit-deflate-frame, permessage-bzip2",
        "x-any; x=\"permessage-deflate\"",
    ] {
        let asking = good(&relay).header("Sec-WebSocket-Extensions", offered).ask().await;
        let asked = upstream.accept().await;
        assert_eq!(asked.head.header("sec-websocket-extensions"), None, "nothing is asked for");
        let mut theirs = asked.switch().await;
        let mut client = asking.opened().await;
        assert_eq!(client.head.header("sec-websocket-extensions"), None, "nothing is granted");
        let mut frame = Frame::new(BINARY, bomb).masked().bytes();
        frame[0] |= 0x40;
        client.raw(&frame).await;
        client.expect_close_code(1002).await;
        theirs.expect_close_code(1001).await;
    }
    serves(&relay, &upstream).await;
}
