//! Peers that claim much and send nothing: what is claimed costs nothing.

use tokio::io::AsyncWriteExt;

use super::{KIB, costs_less};
use crate::process::Relay;
use crate::support::frame::{BINARY, MASK, header};

/// The longest message that may be, by default.
const LONGEST: u64 = 24 << 20;
/// So many links claim at once.
const LINKS: i64 = 400;
/// A claim may cost so much: far less than the least that would hold a message, far more than it should.
const EACH: i64 = 8 * KIB;

/// When the peers of so many links have sent this, and it was read, none of them costs more than before.
async fn costs_nothing(of_client: bool, claim: &[u8]) {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let relay = Relay::start().await;
    let mut links = Vec::new();
    for _ in 0..LINKS {
        let mut link = relay.link().await;
        link.speaks().await;
        links.push(link);
    }
    let before = relay.pss();
    for link in &mut links {
        let peer = if of_client { &mut link.client } else { &mut link.upstream };
        peer.write_all(claim).await.unwrap();
    }
    let mut honest = relay.link().await;
    // The worker turns to everybody before it turns to the same one again.
    for _ in 0..3 {
        honest.speaks().await;
    }
    let each = costs_less(EACH, LINKS, &relay, before).await;
    println!("a claim costs {each} bytes; of a client: {of_client}");
    honest.speaks().await;
}

#[tokio::test]
async fn a_header_of_24_mib_without_a_byte_behind_it_costs_nothing() {
    let of_client = [header(true, BINARY, true, LONGEST), MASK.to_vec()].concat();
    let of_upstream = header(true, BINARY, false, LONGEST);
    for (is_client, claim) in [(true, of_client), (false, of_upstream)] {
        costs_nothing(is_client, &claim).await;
    }
}

#[tokio::test]
async fn half_a_header_and_half_a_control_frame_cost_nothing() {
    let half_header = header(true, BINARY, true, LONGEST)[..5].to_vec();
    // A ping of 125 bytes, all but the last of them.
    let half_ping = [&[0x89, 0xfd][..], &MASK, &[b'x'; 124]].concat();
    for claim in [half_header, half_ping] {
        costs_nothing(true, &claim).await;
    }
}
