//! What must be true of every link, whatever happened to it.
//!
//! It refuses to know what the relay thinks: only what went over the connections counts, and the report.

use std::time::Duration;

use realtime_relay::relay::Peer;
use realtime_relay::relay::ending::{Ending, Farewell};

use crate::delivery::{Delivery, Stops, deliver};
use crate::responses;
use crate::script::Recording;
use crate::wire::{End, Goodbye};
use crate::world::{Heard, Outcome};

/// The clock's grain, and what the network delays between two deadlines.
const SLACK: Duration = Duration::from_millis(200);

/// Checks a link. The error says which claim is not true.
pub fn check(link: &Outcome) -> Result<(Delivery, Delivery), String> {
    let report = link.report.as_ref().ok_or("it never ends")?;
    let ending = &report.ending;
    let [to_client, to_upstream] = [Peer::Client, Peer::Upstream].map(|to| deliver(link, to));
    let (to_client, to_upstream) = (to_client?, to_upstream?);
    for (to, delivery) in [(Peer::Client, &to_client), (Peer::Upstream, &to_upstream)] {
        let about = |claim: Result<(), String>| claim.map_err(|why| format!("to the {}: {why}", to.name()));
        about(left_alone(link.of(to)))?;
        if !matches!(ending, Ending::Panic) {
            about(told(link, to, delivery))?;
            about(whole(link, to, delivery))?;
            about(counted(link, to, delivery))?;
        }
    }
    responses::check(link, &to_client, &to_upstream)?;
    ends_in_time(link)?;
    if matches!(ending, Ending::Panic) && link.script.recorder != Recording::Panics {
        return Err("a panic that the script does not have".to_owned());
    }
    Ok((to_client, to_upstream))
}

/// A connection is closed, and then left alone.
fn left_alone(leg: &Heard) -> Result<(), String> {
    let wire = leg.far.wire();
    if let Some(misuse) = wire.misuse {
        return Err(format!("the stream is {misuse}"));
    }
    if !wire.dropped || !matches!(wire.goodbye, Some(Goodbye::HungUp | Goodbye::Aborted)) {
        return Err(format!("the connection is left open ({:?}, dropped: {})", wire.goodbye, wire.dropped));
    }
    Ok(())
}

/// A leg that is alive is told the end exactly once, in the words of the table, and not cut.
fn told(link: &Outcome, to: Peer, delivery: &Delivery) -> Result<(), String> {
    let (leg, ending) = (link.of(to), &link.report().ending);
    let wire = leg.far.wire();
    let farewell = ending.farewell(to, false);
    if let (Some(close), Farewell::Ours { event, close: code }) = (&delivery.close, farewell) {
        if close.closing().map(|(code, _)| code) != Some(code) {
            return Err(format!("it is told {close}, not {code}"));
        }
        let event = event.map(|event| event.code().to_owned());
        // Inside a message there is no place for an event.
        if delivery.event != event && !(delivery.event.is_none() && delivery.stops == Stops::BetweenFragments) {
            return Err(format!("it is sent the event {:?}, not {event:?}", delivery.event));
        }
    }
    let tells = !matches!(farewell, Farewell::Nothing | Farewell::Abort);
    // A client's close may wait behind what is not recorded.
    let waits = to == Peer::Client && link.script.recorder != Recording::AtOnce;
    if !tells || link.is_hasty() || waits || !leg.part.takes_all() || wire.end == End::Reset {
        return Ok(());
    }
    let cut = wire.goodbye == Some(Goodbye::Aborted);
    if wire.lost() > 0 && !cut {
        return Err(format!("{} bytes are written, and never flushed", wire.lost()));
    }
    match (&delivery.close, cut) {
        (Some(_), false) => Ok(()),
        (Some(_), true) => Err("it is told the end, and cut".to_owned()),
        (None, false) => Err("it is not told the end".to_owned()),
        // Half a frame must not look like the end, and a response that cannot be cancelled is left behind.
        (None, true) if delivery.stops == Stops::InsideFrame => Ok(()),
        (None, true) if to == Peer::Upstream && delivery.stops == Stops::BetweenFragments => Ok(()),
        (None, true) => Err("it is cut where it could have been told".to_owned()),
    }
}

/// Where the sender is what ended the link, in order, all has gone on before that is told.
fn whole(link: &Outcome, to: Peer, delivery: &Delivery) -> Result<(), String> {
    let by_sender = match &link.report().ending {
        Ending::Close(who, _) | Ending::Violation(who, _) | Ending::Lost(who, None) => *who != to,
        _ => false,
    };
    let held = to == Peer::Client && link.script.before_delivery && delivery.missing_is_unfinished;
    if by_sender && delivery.close.is_some() && delivery.missing > 0 && !held {
        return Err(format!("{} frames are missing before the end", delivery.missing));
    }
    Ok(())
}

/// What is counted is what went on.
fn counted(link: &Outcome, to: Peer, delivery: &Delivery) -> Result<(), String> {
    let (flow, leg) = (link.flow(to), link.of(to));
    let counted = (flow.frames.get(), flow.bytes.get());
    let went_on = (delivery.frames, delivery.bytes);
    let most = (went_on.0 + delivery.close_frames(), went_on.1 + delivery.close_bytes());
    let wire = leg.far.wire();
    let all_arrived = leg.part.takes_all() && wire.lost() == 0 && wire.goodbye == Some(Goodbye::HungUp);
    let held = to == Peer::Client && (link.script.before_delivery || link.script.recorder != Recording::AtOnce);
    // Of a frame whose first bytes alone have arrived it is not sure whose it is.
    let unsure = if delivery.stops == Stops::InsideFrame { (1, 14) } else { (0, 0) };
    if counted.0 + unsure.0 < went_on.0 || counted.1 + unsure.1 < went_on.1 {
        return Err(format!("{counted:?} frames and bytes are counted, and {went_on:?} have gone on"));
    }
    if all_arrived && !held && wire.end != End::Reset && counted != went_on && counted != most {
        return Err(format!("{counted:?} frames and bytes are counted, but {went_on:?} or {most:?} have gone on"));
    }
    Ok(())
}

/// A link is gone soon after the first reason to go, and in any case when it has reached its age.
fn ends_in_time(link: &Outcome) -> Result<(), String> {
    let limits = &link.script.limits;
    // The client's message may be finished; then what is under way is settled; then both are told. Before that a record, or
    // what the sink has not taken, may be waited for.
    let parting = limits.close_timeout * 2 + limits.settle_timeout + SLACK;
    let age = link.ended - link.begins;
    if age > limits.max_link + parting {
        return Err(format!("it ends after {age:?}"));
    }
    if let Some(ordered) = link.ordered
        && link.ended > ordered + parting
    {
        return Err(format!("it ends {:?} after the order", link.ended - ordered));
    }
    let learnt = [&link.client, &link.upstream].into_iter().filter_map(|leg| leg.far.wire().end_seen).min();
    if let Some(learnt) = learnt
        && link.ended > learnt + parting
    {
        return Err(format!("it ends {:?} after a connection has", link.ended - learnt));
    }
    Ok(())
}
