//! Many links at once on one thread, by a clock that stands still while nobody waits: what a seed says happens, in the same
//! order each time.
//!
//! It refuses to judge what comes of it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use realtime_relay::relay::Peer;
use realtime_relay::relay::link::{Leg, Limits, LinkReport, Traffic};
use realtime_relay::relay::pump::Flow;
use realtime_relay::relay::table::{Orders, Table};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use crate::fault::{Fault, Injected};
use crate::forwarder::{self, Forwarder};
use crate::player::Player;
use crate::recorder::{Kept, Recorder};
use crate::script::{Act, Order, Part, Place, Recording, Script};
use crate::trace::{Happened, Trace, What};
use crate::wire::{Far, Near, wire};

/// No link lives longer.
const FOR_EVER: Duration = Duration::from_mins(10);
/// Peers that answer late are gone by then.
const LATER: Duration = Duration::from_secs(10);

/// What became of one link.
pub struct Outcome {
    pub link: usize,
    pub forwarder: Forwarder,
    pub begins: Instant,
    pub ended: Instant,
    pub script: Told,
    pub client: Heard,
    pub upstream: Heard,
    /// `None`: it has not ended.
    pub report: Option<LinkReport>,
    pub traffic: Traffic,
    pub kept: Kept,
    pub ordered: Option<Instant>,
    pub happened: Vec<Happened>,
}

/// What was to happen.
pub struct Told {
    pub plot: String,
    pub limits: Limits,
    pub recorder: Recording,
    pub before_delivery: bool,
    pub order: Option<Order>,
}

/// A peer's side of the story.
pub struct Heard {
    pub far: Far,
    pub part: Rc<Part>,
    /// So many bytes of what it sent may have gone on.
    pub legal: usize,
    /// Where its stream stood when the link had ended.
    pub place: Place,
}

/// What became of all the links of a seed.
pub struct World {
    pub outcomes: Vec<Outcome>,
    /// Tasks that are left.
    pub left: usize,
}

impl Outcome {
    /// What a peer's side of it is.
    pub fn of(&self, peer: Peer) -> &Heard {
        if peer == Peer::Client { &self.client } else { &self.upstream }
    }

    /// What was counted of what went to this peer.
    pub fn flow(&self, to: Peer) -> &Flow {
        if to == Peer::Client { &self.traffic.down } else { &self.traffic.up }
    }

    /// Whether it was ordered to be gone at once.
    pub fn is_hasty(&self) -> bool {
        self.ordered.is_some() && self.script.order.is_some_and(|order| order.hasty)
    }

    /// So many bytes the relay had read of what this peer sent, before this moment.
    pub fn read_before(&self, peer: Peer, at: u128) -> usize {
        let reads = self.reads(peer).take_while(|(when, _)| *when < at);
        self.of(peer).part.early + reads.map(|(_, count)| count).sum::<usize>()
    }

    /// When the relay had read so many; `None`: it never has.
    pub fn read_at(&self, peer: Peer, count: usize) -> Option<u128> {
        let mut read = self.of(peer).part.early;
        let mut reads = self.reads(peer);
        reads.find_map(|(when, more)| {
            read += more;
            (read >= count).then_some(when)
        })
    }

    /// When the relay learnt that this peer's stream had ended.
    pub fn end_read_at(&self, peer: Peer) -> Option<u128> {
        let mut happened = self.happened.iter();
        happened.find(|Happened(_, of, what)| *of == peer && *what == What::ReadEnd).map(|Happened(when, ..)| *when)
    }

    fn reads(&self, peer: Peer) -> impl Iterator<Item = (u128, usize)> {
        self.happened.iter().filter_map(move |Happened(when, of, what)| match what {
            What::Read(count) if *of == peer => Some((*when, *count)),
            _ => None,
        })
    }

    /// That of a link that has ended.
    pub fn report(&self) -> &LinkReport {
        self.report.as_ref().expect("it has ended")
    }
}

/// Plays so many links of a seed.
pub fn play(seed: u64, links: usize, injected: &Injected) -> World {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let outcomes = LocalSet::new().block_on(&runtime, async {
        let play = |link| tokio::task::spawn_local(play_link(seed, link, injected.clone()));
        let playing: Vec<_> = (0..links).map(play).collect();
        let mut outcomes = Vec::new();
        for link in playing {
            outcomes.push(link.await.expect("whoever plays a link does not fail"));
        }
        sleep(LATER).await;
        outcomes
    });
    World { outcomes, left: runtime.metrics().num_alive_tasks() }
}

async fn play_link(seed: u64, link: usize, injected: Injected) -> Outcome {
    let mut rng = Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (link as u64).rotate_left(32));
    let forwarder = Forwarder::draw(&mut rng);
    let script = Script::draw(&mut rng, link);
    let plot = format!("{script:#?}");
    let Script { begins, limits, client, upstream, recorder, before_delivery, order } = script;
    sleep(begins).await;
    let (begins, trace) = (Instant::now(), Trace::begin());
    let mut leg = |peer, part| open(peer, part, &injected, &trace, &mut rng);
    let (client_leg, client, client_player) = leg(Peer::Client, client);
    let (upstream_leg, upstream, upstream_player) = leg(Peer::Upstream, upstream);
    let players = [client_player, upstream_player];
    let (observer, kept) = Recorder::new(recorder, injected.clone());
    let traffic = Traffic::default();
    let table = Rc::<Table<usize, ()>>::default();
    let registered = table.register(link, Rc::new(()));
    let ordered = Rc::<RefCell<Option<Instant>>>::default();
    let orders = order.map(|order| give(order, registered.orders.clone(), ordered.clone(), injected.clone()));
    let tap = forwarder::tap(observer, before_delivery);
    let running =
        forwarder::run(forwarder, (client_leg, upstream_leg), tap, limits, &traffic, &registered.orders, link);
    let report = timeout(FOR_EVER, running).await.ok();
    drop(registered);
    assert!(table.is_empty(), "the link has left the table");
    let playing = players.into_iter().chain(orders);
    playing.for_each(|task| task.abort());
    Outcome {
        link,
        forwarder,
        begins,
        ended: Instant::now(),
        script: Told { plot, limits, recorder, before_delivery, order },
        client: client.heard(),
        upstream: upstream.heard(),
        report,
        traffic,
        kept: kept.take(),
        ordered: ordered.take(),
        happened: trace.take(),
    }
}

/// A leg, and whoever plays its peer.
fn open(
    peer: Peer,
    part: Part,
    injected: &Injected,
    trace: &Trace,
    rng: &mut Rng,
) -> (Leg<Near>, Side, tokio::task::JoinHandle<()>) {
    let (near, far) = wire(peer, rng.fork(), part.weather, injected, trace);
    let part = Rc::new(part);
    let player = Player::new(peer, far.clone(), &part, injected.clone(), rng.fork());
    let mut early = Bytes::new();
    if let (1.., Some(Act::Say(bytes, place))) = (part.early, part.steps.first().map(|step| &step.act)) {
        injected.count(Fault::Early);
        early = far.send_early(bytes, part.early).into();
        player.began(*place);
    }
    let task = tokio::task::spawn_local(player.clone().play(part.clone(), !early.is_empty()));
    (Leg { stream: near, early }, Side { far, part, player }, task)
}

struct Side {
    far: Far,
    part: Rc<Part>,
    player: Rc<Player>,
}

impl Side {
    fn heard(self) -> Heard {
        Heard { legal: self.player.legal(), place: self.player.place(), far: self.far, part: self.part }
    }
}

/// Has the link ordered to end.
fn give(
    order: Order,
    orders: Rc<Orders>,
    ordered: Rc<RefCell<Option<Instant>>>,
    injected: Injected,
) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_local(async move {
        sleep(order.after).await;
        *ordered.borrow_mut() = Some(Instant::now());
        if order.hasty {
            injected.count(Fault::Haste);
            orders.end_at_once(order.decision);
        } else {
            injected.count(Fault::Order);
            orders.end(order.decision);
        }
    })
}
