//! Every ending, over plain TCP and over TLS, with each peer between two messages, inside a message, and inside a frame.
//!
//! Where a peer stands in what it sends decides what the *other* one can still be told: between messages the event and
//! the close, inside a message the close alone, inside a frame nothing, unless only whole frames go on: then the other is
//! where it was before the frame.

use tokio::task::JoinSet;

use super::relays_from;
use crate::support::frame::{CONTINUATION, Frame, MASK, TEXT, header};
use crate::support::leg::Leg;
use crate::support::operator::operator;
use crate::support::relay::Relay;

/// Whoever is asked to finish does not, and is not waited for.
const DEADLINES: &str = "close_timeout = \"250ms\"\nsettle_timeout = \"100ms\"";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BetweenMessages,
    InsideMessage,
    InsideFrame,
}

use Place::{BetweenMessages, InsideFrame, InsideMessage};

const PLACES: [Place; 3] = [BetweenMessages, InsideMessage, InsideFrame];

/// What a leg is told.
#[derive(Debug, Clone, Copy)]
enum Told {
    Event(&'static str, &'static str, u16),
    Close(u16),
    /// It is gone, or does not matter.
    Nothing,
}

/// What ends a link, and what each peer is told.
#[derive(Debug, Clone, Copy)]
struct Ending {
    by: By,
    client: Told,
    upstream: Told,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    ClientEnd,
    ClientReset,
    UpstreamEnd,
    UpstreamReset,
    ClientOffence,
    UpstreamOffence,
    ClientTooBig,
    UpstreamTooBig,
    Operator,
    /// Whatever the limits of the relay bring about.
    Time,
}

const LOST: Told = Told::Event("upstream_error", "upstream_connection_lost", 1011);
const GOING_AWAY: Told = Told::Close(1001);

#[tokio::test]
async fn a_lost_client_is_told_to_the_upstream() {
    for by in [By::ClientEnd, By::ClientReset] {
        Ending { by, client: Told::Nothing, upstream: GOING_AWAY }.everywhere("").await;
    }
}

#[tokio::test]
async fn a_lost_upstream_is_told_to_the_client() {
    for by in [By::UpstreamEnd, By::UpstreamReset] {
        Ending { by, client: LOST, upstream: Told::Nothing }.everywhere("").await;
    }
}

#[tokio::test]
async fn an_offence_of_the_client_is_told_to_both() {
    Ending { by: By::ClientOffence, client: Told::Close(1002), upstream: GOING_AWAY }.everywhere("").await;
}

#[tokio::test]
async fn an_offence_of_the_upstream_is_told_to_both() {
    let client = Told::Event("upstream_error", "upstream_protocol_error", 1011);
    Ending { by: By::UpstreamOffence, client, upstream: Told::Close(1002) }.everywhere("").await;
}

#[tokio::test]
async fn a_message_of_the_client_over_the_limit_is_told_to_both() {
    let ending = Ending { by: By::ClientTooBig, client: Told::Close(1009), upstream: GOING_AWAY };
    ending.everywhere("max_message_bytes = \"64KiB\"").await;
}

#[tokio::test]
async fn a_message_of_the_upstream_over_the_limit_is_told_to_both() {
    let client = Told::Event("upstream_error", "upstream_message_too_big", 1011);
    let ending = Ending { by: By::UpstreamTooBig, client, upstream: Told::Close(1009) };
    ending.everywhere("max_message_bytes = \"64KiB\"").await;
}

#[tokio::test]
async fn an_end_by_the_operator_is_told_to_both() {
    let client = Told::Event("permission_error", "ended_by_operator", 1008);
    Ending { by: By::Operator, client, upstream: Told::Close(1000) }.everywhere("").await;
}

#[tokio::test]
async fn a_link_on_which_nothing_is_said_is_ended() {
    let client = Told::Event("invalid_request_error", "idle_timeout", 1001);
    Ending { by: By::Time, client, upstream: GOING_AWAY }.everywhere("idle_timeout = \"400ms\"").await;
}

#[tokio::test]
async fn a_link_of_the_greatest_age_is_ended() {
    let client = Told::Event("invalid_request_error", "session_expired", 1001);
    Ending { by: By::Time, client, upstream: GOING_AWAY }.everywhere("max_link = \"400ms\"").await;
}

impl Ending {
    /// Over both transports and both forwarders, with both peers at each place.
    async fn everywhere(self, limits: &str) {
        tokio::join!(self.anywhere(limits, "verbatim"), self.anywhere(limits, "framed"));
    }

    async fn anywhere(self, limits: &str, forwarding: &'static str) {
        let limits = format!("{DEADLINES}\n{limits}");
        for (relay, listener) in relays_from(|setup| setup.limits(&limits).forwarding(forwarding)).await {
            let mut ended = JoinSet::new();
            for client_at in PLACES {
                for upstream_at in PLACES {
                    if self.is_possible(client_at, upstream_at) {
                        let (mut client, mut upstream) = relay.link(&listener).await;
                        let client_is_seen_at = stand(&mut client, &mut upstream, client_at, forwarding).await;
                        let upstream_is_seen_at = stand(&mut upstream, &mut client, upstream_at, forwarding).await;
                        let legs = self.happen(&relay, (client, client_at), (upstream, upstream_at)).await;
                        ended.spawn(self.check(legs, client_is_seen_at, upstream_is_seen_at));
                    }
                }
            }
            while let Some(checked) = ended.join_next().await {
                checked.unwrap();
            }
        }
    }

    /// Inside a frame every byte is payload: nothing there is an offence.
    fn is_possible(self, client: Place, upstream: Place) -> bool {
        match self.by {
            By::ClientOffence | By::ClientTooBig => client != InsideFrame,
            By::UpstreamOffence | By::UpstreamTooBig => upstream != InsideFrame,
            _ => true,
        }
    }

    /// Makes it happen. Who is lost is gone then.
    async fn happen(
        self,
        relay: &Relay,
        (mut client, client_at): (Leg, Place),
        (mut upstream, upstream_at): (Leg, Place),
    ) -> (Option<Leg>, Option<Leg>) {
        match self.by {
            By::ClientEnd => client.hang_up().await,
            By::UpstreamEnd => upstream.hang_up().await,
            By::ClientReset => {
                client.reset();
                return (None, Some(upstream));
            }
            By::UpstreamReset => {
                upstream.reset();
                return (Some(client), None);
            }
            By::ClientOffence => client.raw(&[0xff, 0xff]).await,
            By::UpstreamOffence => upstream.raw(&[0xff, 0xff]).await,
            By::ClientTooBig => client.raw(&too_big(client_at, true)).await,
            By::UpstreamTooBig => upstream.raw(&too_big(upstream_at, false)).await,
            By::Operator => {
                let links = operator(relay, "/links").ask().await.json;
                for link in links.as_array().unwrap() {
                    let path = format!("/links/{}", link["id"].as_str().unwrap());
                    assert!([202, 404].contains(&operator(relay, &path).method("DELETE").ask().await.status));
                }
            }
            By::Time => {}
        }
        (Some(client), Some(upstream))
    }

    async fn check(self, (client, upstream): (Option<Leg>, Option<Leg>), client_at: Place, upstream_at: Place) {
        println!("{:?}, client {client_at:?}, upstream {upstream_at:?}", self.by);
        tokio::join!(hear(client, self.client, upstream_at), hear(upstream, self.upstream, client_at));
    }
}

/// Brings a peer to a place in what it sends; the other has read all that goes on, and is brought to the place that is
/// returned.
async fn stand(sender: &mut Leg, reader: &mut Leg, place: Place, forwarding: &str) -> Place {
    let frame = match place {
        BetweenMessages | InsideFrame => Frame::text("0123456789"),
        InsideMessage => Frame::text("begun").more(),
    };
    let all = sender.encoded(std::slice::from_ref(&frame));
    if place != InsideFrame {
        sender.raw(&all).await;
        reader.expect(frame).await;
        return place;
    }
    let half = &all[..all.len() - 5];
    if forwarding == "verbatim" {
        sender.raw(half).await;
        reader.expect_bytes(half).await;
        return InsideFrame;
    }
    // When the ping has gone on, half the frame has come.
    let ping = Frame::ping("is it read?");
    sender.raw(&[&sender.encoded(std::slice::from_ref(&ping)), half].concat()).await;
    reader.expect(ping).await;
    BetweenMessages
}

/// The header of a frame that makes its message larger than the limit.
fn too_big(at: Place, masked: bool) -> Vec<u8> {
    let opcode = if at == InsideMessage { CONTINUATION } else { TEXT };
    [header(true, opcode, masked, 1 << 20), if masked { MASK.to_vec() } else { Vec::new() }].concat()
}

/// A leg is told this, where the other peer stands here.
async fn hear(leg: Option<Leg>, told: Told, other: Place) {
    let Some(mut leg) = leg else { return };
    match (told, other) {
        (Told::Nothing, _) => {
            leg.expect_gone().await;
        }
        (_, InsideFrame) => assert_eq!(leg.expect_reset().await, b""),
        (Told::Event(error_type, code, close), BetweenMessages) => {
            leg.expect_error(error_type, code).await;
            leg.expect_close_code(close).await;
        }
        (Told::Event(_, _, close) | Told::Close(close), _) => leg.expect_close_code(close).await,
    }
}
