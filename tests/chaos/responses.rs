//! What must be true of the responses of a link and their records.
//!
//! It refuses to use the relay's own way to find them: a message is put together, parsed, and looked at.

use realtime_relay::relay::Peer;
use realtime_relay::relay::ending::Ending;
use serde_json::Value;

use crate::delivery::{Delivery, frames};
use crate::frame::{CLOSE, CONTINUATION, Frame};
use crate::script::{Answer, Place, Recording};
use crate::wire::Goodbye;
use crate::world::Outcome;

/// An event about a response, and the number of the frame that ends it.
struct Turn {
    event: Value,
    first: usize,
}

/// Checks the records of a link.
pub fn check(link: &Outcome, to_client: &Delivery, to_upstream: &Delivery) -> Result<(), String> {
    let wire = link.upstream.far.wire();
    // Also what the relay has read but not let go on any more.
    let came = turns(&frames(&wire.sent[..wire.read.min(link.upstream.legal)]).0);
    let done: Vec<_> = came.iter().filter(|turn| turn.event["type"] == "response.done").collect();
    let expected: Vec<String> = done.iter().map(|turn| words(&turn.event["response"])).collect();
    let recorded: Vec<String> = link
        .kept
        .seen
        .iter()
        .map(|done| {
            let (input, output) = (done.usage.input.text, done.usage.output.text);
            format!("{} {} {input} {output}", done.id.as_deref().unwrap_or_default(), done.status)
        })
        .collect();
    // Behind a record that waits nothing is looked at.
    let all = link.script.recorder == Recording::AtOnce && !matches!(link.report().ending, Ending::Panic);
    if if all { recorded != expected } else { !expected.starts_with(&recorded) } {
        return Err(format!("recorded is {recorded:#?}\nand the upstream sent {expected:#?}"));
    }
    if link.script.before_delivery && !matches!(link.report().ending, Ending::Panic) {
        let delivered = turns(&frames(&wire.sent[..link.upstream.legal]).0).into_iter();
        let delivered = delivered.filter(|turn| turn.event["type"] == "response.done" && turn.first < to_client.next);
        let delivered = delivered.count();
        if delivered > link.kept.taken {
            return Err(format!("{delivered} are delivered, and {} recorded", link.kept.taken));
        }
    }
    if all { settled(link, &came, to_upstream) } else { Ok(()) }
}

/// The report tells whether a response is left open, and where its upstream does as it is told, none is of which was known
/// when the link began to end.
fn settled(link: &Outcome, came: &[Turn], to_upstream: &Delivery) -> Result<(), String> {
    let open = open(came);
    let unsettled = link.report().unsettled;
    if unsettled == open.is_empty() {
        return Err(format!("unsettled: {unsettled}, and open are {open:?}"));
    }
    let upstream = &link.upstream;
    // Inside a message it cannot obey.
    let can = upstream.place == Place::BetweenMessages;
    let obeys = can && matches!(upstream.part.manners.cancel, Answer::AtOnce | Answer::Twice);
    let is_cut = upstream.far.wire().goodbye == Some(Goodbye::Aborted);
    if !obeys || !upstream.part.takes_all() || !upstream.part.is_plain() || link.is_hasty() || is_cut {
        return Ok(());
    }
    if let Some(open) = open.iter().find(|open| to_upstream.cancelled.iter().any(|id| id == *open)) {
        return Err(format!("{open} was cancelled, and could have been settled"));
    }
    let Some(ends) = begins_to_end(link) else { return Ok(()) };
    let read = link.read_before(Peer::Upstream, ends).min(upstream.legal);
    let known = turns(&frames(&upstream.far.wire().sent[..read]).0);
    let known = self::open(&known);
    match open.iter().find(|open| known.contains(open)) {
        Some(open) => Err(format!("{open} could have been settled")),
        None => Ok(()),
    }
}

/// When a link begins to end for which a response is settled; `None`: it is not, or nobody knows when.
fn begins_to_end(link: &Outcome) -> Option<u128> {
    match &link.report().ending {
        Ending::Close(Peer::Client, _) => link.read_at(Peer::Client, link.client.legal),
        Ending::Violation(Peer::Client, _) => link.read_at(Peer::Client, link.client.legal + 1),
        Ending::Lost(Peer::Client, None) => link.end_read_at(Peer::Client),
        Ending::Decided(decision) if link.script.order.is_some_and(|order| order.decision == *decision) => {
            link.ordered.map(|at| (at - link.begins).as_millis())
        }
        _ => None,
    }
}

/// The responses that have begun and not ended.
fn open(turns: &[Turn]) -> Vec<String> {
    let mut open = Vec::new();
    for turn in turns {
        let id = turn.event["response"]["id"].as_str().unwrap_or_default();
        match turn.event["type"].as_str() {
            Some("response.created") => open.push(id.to_owned()),
            _ => open.retain(|open| open != id),
        }
    }
    open
}

/// Events about responses in these frames.
fn turns(frames: &[(usize, Frame)]) -> Vec<Turn> {
    let (mut turns, mut message, mut first) = (Vec::new(), Vec::new(), 0);
    for (n, (_, frame)) in frames.iter().enumerate().filter(|(_, (_, frame))| frame.opcode < CLOSE) {
        if frame.opcode != CONTINUATION {
            message.clear();
            first = n;
        }
        message.extend_from_slice(&frame.payload);
        if !frame.fin {
            continue;
        }
        if let Ok(event @ Value::Object(_)) = serde_json::from_slice(&message)
            && event["response"].is_object()
        {
            turns.push(Turn { event, first });
        }
    }
    turns
}

fn words(response: &Value) -> String {
    let text = |name: &str| response[name].as_str().unwrap_or_default().to_owned();
    let usage = &response["usage"];
    format!("{} {} {} {}", text("id"), text("status"), usage["input_tokens"], usage["output_tokens"])
}
