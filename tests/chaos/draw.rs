//! Draws a script from a seed: what goes wrong, how badly, and how much at once.
//!
//! It refuses to know what the words of a script mean to whoever plays it.

use std::time::Duration;

use fastrand::Rng;
use realtime_relay::relay::Peer;
use realtime_relay::relay::ending::Decision;
use realtime_relay::relay::link::Limits;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::frames::{MAX_MESSAGE, Speaker, moment};
use crate::script::{Act, Answer, Manners, Order, Part, Place, Recording, Script, Step, Weather, wire};

/// Links begin within this time.
const BEGIN: Duration = Duration::from_secs(2);
/// Whoever takes long to answer takes up to this long.
const LATE: Duration = Duration::from_secs(5);

impl Script {
    pub fn draw(rng: &mut Rng, link: usize) -> Self {
        let recorder = match rng.u8(..20) {
            0..=2 => Recording::After(moment(rng, Duration::from_secs(2))),
            3 => Recording::Never,
            4 if rng.bool() => Recording::Panics,
            _ => Recording::AtOnce,
        };
        let order = (rng.u8(..4) == 0).then(|| Order {
            after: moment(rng, Duration::from_secs(8)),
            decision: DECISIONS[rng.usize(..DECISIONS.len())],
            hasty: rng.u8(..4) == 0,
        });
        Self {
            begins: moment(rng, BEGIN),
            limits: limits(rng),
            client: Part::draw(rng, Peer::Client, link),
            upstream: Part::draw(rng, Peer::Upstream, link),
            recorder,
            before_delivery: rng.u8(..3) == 0,
            order,
        }
    }
}

/// Those that come from outside.
const DECISIONS: [Decision; 5] = [
    Decision::QuotaUsedUp,
    Decision::KeyRevoked,
    Decision::EndedByOperator,
    Decision::RelayRestarting,
    Decision::SessionExpired,
];

/// Short, so that every deadline comes.
fn limits(rng: &mut Rng) -> Limits {
    Limits {
        max_message_bytes: MAX_MESSAGE,
        write_timeout: Duration::from_secs(4),
        close_timeout: Duration::from_secs(2),
        settle_timeout: Duration::from_secs(3),
        ping_interval: Duration::from_secs(3),
        idle_timeout: (rng.u8(..3) > 0).then_some(Duration::from_secs(11)),
        max_link: Duration::from_secs(25),
    }
}

impl Part {
    fn draw(rng: &mut Rng, peer: Peer, link: usize) -> Self {
        let mut speaker = Speaker::new(peer, link);
        let mut steps = Vec::new();
        let pace = Duration::from_millis([0, 5, 300, 1500][rng.usize(..4)]);
        for _ in 0..rng.usize(..12) {
            let message = speaker.message(rng);
            say(rng, &mut steps, peer, pace, &message);
            if rng.u8(..60) == 0 {
                steps.push(Step { after: Duration::ZERO, act: Act::Pause(moment(rng, LATE)) });
            }
        }
        if rng.u8(..14) == 0 {
            steps.insert(rng.usize(..=steps.len()), Step { after: Duration::ZERO, act: Act::GoDeaf });
        }
        last_act(rng, &mut steps, peer, &mut speaker, pace);
        let first = match steps.first() {
            Some(Step { act: Act::Say(bytes, _), .. }) if rng.u8(..5) == 0 => rng.usize(..=bytes.len()),
            _ => 0,
        };
        let weather = Weather::draw(rng, steps.iter().any(|step| matches!(step.act, Act::GoDeaf)));
        Self { early: first, steps, manners: Manners::draw(rng), weather }
    }
}

/// Adds these frames, cut anywhere, to what a peer does.
fn say(rng: &mut Rng, steps: &mut Vec<Step>, peer: Peer, pace: Duration, frames: &[Frame]) {
    let in_pieces = rng.u8(..4) == 0;
    let mut in_message = false;
    for frame in frames {
        in_message = if frame.opcode < 8 { !frame.fin } else { in_message };
        let bytes = wire(peer, frame);
        let mut at = 0;
        if in_pieces {
            for _ in 0..rng.usize(..3) {
                let cut = rng.usize(at..bytes.len());
                if cut > at {
                    steps.push(Step {
                        after: moment(rng, pace),
                        act: Act::Say(bytes[at..cut].into(), place(&bytes, cut)),
                    });
                    at = cut;
                }
            }
        }
        let behind = if in_message { Place::BetweenFragments } else { Place::BetweenMessages };
        steps.push(Step { after: moment(rng, pace), act: Act::Say(bytes[at..].into(), behind) });
    }
}

/// How a peer's part ends: in most cases badly.
fn last_act(rng: &mut Rng, steps: &mut Vec<Step>, peer: Peer, speaker: &mut Speaker, pace: Duration) {
    let after = moment(rng, pace);
    let act = match rng.u8(..20) {
        0..=4 => Act::Close(speaker.close(rng)),
        5 => Act::Offend(speaker.too_big(rng), Fault::TooBig),
        6 => Act::Offend(speaker.illegal(rng, false), Fault::IllegalFrame),
        7..=13 => {
            // In the middle of a message, anywhere.
            let message = speaker.message(rng);
            let mut cut = Vec::new();
            say(rng, &mut cut, peer, pace, &message);
            cut.truncate(rng.usize(..=cut.len()));
            let act = match rng.u8(..14) {
                0..=7 => {
                    cut_inside(rng, &mut cut, peer);
                    Act::End
                }
                8 => Act::Reset,
                9 => Act::Refuse,
                10 => Act::Hesitate,
                11 if is_between_fragments(&cut) => Act::Offend(speaker.illegal(rng, true), Fault::IllegalFrame),
                _ => Act::End,
            };
            steps.append(&mut cut);
            act
        }
        _ => return,
    };
    steps.push(Step { after, act });
}

/// The last that a peer says is cut.
fn cut_inside(rng: &mut Rng, steps: &mut [Step], peer: Peer) {
    if let Some(Step { act: Act::Say(bytes, place), .. }) = steps.last_mut()
        && bytes.len() > 1
        && matches!(place, Place::BetweenMessages | Place::BetweenFragments)
        && is_whole(bytes, peer)
    {
        let most = if rng.bool() { bytes.len() } else { bytes.len().min(8) };
        let cut = rng.usize(1..most);
        *place = self::place(bytes, cut);
        bytes.truncate(cut);
    }
}

fn is_between_fragments(steps: &[Step]) -> bool {
    matches!(steps.last(), Some(Step { act: Act::Say(_, Place::BetweenFragments), .. }))
}

/// Whether these bytes are a frame.
fn is_whole(bytes: &[u8], peer: Peer) -> bool {
    let looks_so =
        bytes[0] & 0x70 == 0 && bytes.get(1).is_some_and(|second| (second & 0x80 != 0) == (peer == Peer::Client));
    looks_so && crate::frame::decode(bytes).is_some_and(|(length, _)| length == bytes.len())
}

/// Where one stands behind so many bytes of a frame.
fn place(frame: &[u8], at: usize) -> Place {
    let extended = match frame[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let header = 2 + extended + if frame[1] & 0x80 == 0 { 0 } else { 4 };
    if at < header { Place::InHeader } else { Place::InPayload }
}

impl Manners {
    fn draw(rng: &mut Rng) -> Self {
        let mut answer = || match rng.u8(..10) {
            0 => Answer::After(moment(rng, LATE)),
            1 => Answer::Never,
            2 => Answer::Twice,
            _ => Answer::AtOnce,
        };
        let (close, cancel) = (answer(), answer());
        Self { pongs: rng.u8(..12) > 0, close, cancel, leaves: rng.u8(..3) == 0 }
    }
}

impl Weather {
    fn draw(rng: &mut Rng, deaf: bool) -> Self {
        let mut sometimes = |most: u16| if rng.u8(..3) == 0 { rng.u16(..most) } else { 0 };
        let (short_reads, slow_reads) = (sometimes(1000), sometimes(300));
        let (partial_writes, slow_writes, slow_flushes) = (sometimes(1000), sometimes(300), sometimes(300));
        let window = if deaf || rng.u8(..4) == 0 { rng.usize(16..4000) } else { 1 << 20 };
        Self { short_reads, slow_reads, partial_writes, slow_writes, slow_flushes, buffered: rng.bool(), window }
    }
}
