//! What is measured: the loads, each with and without TLS, by name.

use std::fmt;

use anyhow::Context;

use crate::frames::Sender;
use crate::load::paced::{self, Record};
use crate::load::{Figures, Span, idle, saturated, set_ups};
use crate::proxy::{Kind, Proxy, Setting, Tls, Tuning};
use crate::rig::{Legs, Rig};

/// Links of a saturated run.
const SATURATED: usize = 20;

/// Links of each proxy where they take turns.
const TURNS: usize = 200;

/// Links that say nothing, where memory is judged: so many that what is allocated once does not count.
const IDLE: usize = 5000;

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// As many frames as go, with this payload.
    Saturated(Direction, usize),
    /// Links with 20 frames a second each way, beside idle ones.
    Paced {
        /// Those.
        busy: usize,
        /// And these.
        idle: usize,
    },
    /// Such links, of which all proxies have as many at once, and take turns.
    Turns(usize),
    /// Links over which nothing is said.
    Idle(usize),
    /// Links that are opened and closed.
    SetUps,
}

/// Where frames go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the clients.
    Down,
    /// To the upstream.
    Up,
    /// Both ways.
    Both,
}

/// A load, and where TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// What is done.
    pub load: Load,
    /// Where.
    pub tls: Tls,
}

/// All there are.
pub fn all() -> Vec<Scenario> {
    let sizes = [200, 4096, 32768];
    let directions = [Direction::Down, Direction::Up, Direction::Both];
    let saturated = sizes.into_iter().flat_map(|size| directions.map(|direction| Load::Saturated(direction, size)));
    let paced = [(100, 0), (200, 0), (500, 0), (1000, 0), (2000, 0), (200, 2000), (200, 8000)];
    let paced = paced.map(|(busy, idle)| Load::Paced { busy, idle });
    let loads = saturated.chain(paced).chain([Load::Turns(TURNS), Load::Idle(200), Load::Idle(IDLE), Load::SetUps]);
    let loads: Vec<_> = loads.collect();
    let legs = [Tls::Plain, Tls::Upstream, Tls::Both];
    legs.into_iter().flat_map(|tls| loads.iter().map(move |&load| Scenario { load, tls })).collect()
}

impl Scenario {
    /// Whether frames go at fixed times, so that the proxy sleeps between them.
    pub fn is_paced(&self) -> bool {
        matches!(self.load, Load::Paced { .. } | Load::Turns(_))
    }

    /// Whether all proxies are up at once and take turns.
    pub fn is_in_turns(self) -> bool {
        matches!(self.load, Load::Turns(_))
    }

    /// Whether it tells something about this proxy.
    pub fn is_for(self, kind: Kind) -> bool {
        let tuned = matches!(kind, Kind::Nginx(Tuning::Tuned) | Kind::Haproxy(Tuning::Tuned));
        match (kind, self.load) {
            (Kind::Direct, _) => self.is_paced(),
            // They speak no TLS.
            (Kind::Copy(_) | Kind::Hyper | Kind::Node, _) if self.tls != Tls::Plain => false,
            // It would be late for most frames.
            (Kind::Node, Load::Paced { busy, idle }) => busy + idle <= 200,
            (Kind::Node, Load::Turns(_) | Load::Idle(_) | Load::SetUps) => false,
            // Behind the 101 it is a copy.
            (Kind::Hyper, load) => load == Load::SetUps,
            // Frames do not come into it. A copy makes its buffers for each link: the small ones.
            (Kind::Copy(kib), Load::SetUps) => kib == 8,
            (_, Load::SetUps) => !tuned,
            _ => true,
        }
    }

    /// Runs it once.
    pub fn run(self, rig: &mut Rig, proxy: &Proxy, span: Span) -> anyhow::Result<Figures> {
        let (address, account) = (proxy.address, &proxy.account);
        match self.load {
            Load::Saturated(direction, payload) => {
                rig.open(address, SATURATED)?;
                saturated::run(rig, account, direction.senders(), payload, span)
            }
            Load::Paced { .. } | Load::Turns(_) => {
                let mut record = Record::new()?;
                self.open(rig, proxy)?;
                paced::run(rig, account, span, &mut record)?;
                record.figures()
            }
            Load::Idle(links) => idle::run(rig, address, account, links, span),
            Load::SetUps => set_ups::run(rig, address, account, span),
        }
    }

    /// Opens the links over which frames go at fixed times, and the idle ones beside them.
    pub fn open(self, rig: &mut Rig, proxy: &Proxy) -> anyhow::Result<()> {
        let (busy, idle) = match self.load {
            Load::Paced { busy, idle } => (busy, idle),
            Load::Turns(busy) => (busy, 0),
            Load::Saturated(..) | Load::Idle(_) | Load::SetUps => anyhow::bail!("{self} has no paced frames"),
        };
        rig.open(proxy.address, idle)?;
        rig.quieten();
        rig.open(proxy.address, busy)
    }

    /// How the driver's ends speak, for this proxy.
    pub fn legs(self, kind: Kind, setting: &Setting) -> Legs {
        // Without a proxy there is only the upstream's leg.
        let client = if kind == Kind::Direct { self.tls != Tls::Plain } else { self.tls == Tls::Both };
        let identity = &setting.identity;
        Legs {
            client: client.then(|| identity.client.clone()),
            upstream: (self.tls != Tls::Plain).then(|| identity.upstream.clone()),
        }
    }
}

/// Those whose name one of the patterns matches: a name, or the beginning of one and `*`.
pub fn matching(patterns: &[String]) -> anyhow::Result<Vec<Scenario>> {
    let mut chosen = Vec::new();
    for pattern in patterns {
        let matches = |scenario: &Scenario| match pattern.strip_suffix('*') {
            Some(beginning) => scenario.to_string().starts_with(beginning),
            None => scenario.to_string() == *pattern,
        };
        let before = chosen.len();
        chosen.extend(all().into_iter().filter(matches));
        (chosen.len() > before).then_some(()).with_context(|| format!("there is no scenario {pattern}"))?;
    }
    let mut distinct: Vec<Scenario> = Vec::new();
    for scenario in chosen {
        if !distinct.contains(&scenario) {
            distinct.push(scenario);
        }
    }
    Ok(distinct)
}

impl Direction {
    fn senders(self) -> &'static [Sender] {
        match self {
            Self::Down => &[Sender::Upstream],
            Self::Up => &[Sender::Client],
            Self::Both => &[Sender::Client, Sender::Upstream],
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.load {
            Load::Saturated(direction, payload) => {
                f.write_str(match direction {
                    Direction::Down => "down-",
                    Direction::Up => "up-",
                    Direction::Both => "both-",
                })?;
                if payload < 1024 { write!(f, "{payload}") } else { write!(f, "{}k", payload / 1024) }?;
            }
            Load::Paced { busy, idle: 0 } => write!(f, "paced-{busy}")?,
            Load::Paced { busy, idle } => write!(f, "paced-{busy}-idle-{idle}")?,
            Load::Turns(links) => write!(f, "turns-{links}")?,
            Load::Idle(IDLE) => f.write_str("idle")?,
            Load::Idle(links) => write!(f, "idle-{links}")?,
            Load::SetUps => f.write_str("set-up")?,
        }
        f.write_str(match self.tls {
            Tls::Plain => "/plain",
            Tls::Upstream => "/tls-upstream",
            Tls::Both => "/tls-both",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_two_patterns_name_is_run_once() {
        let names = ["idle/plain", "set-up/plain", "idle/*"].map(str::to_owned);
        let chosen: Vec<_> = matching(&names).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(chosen, ["idle/plain", "set-up/plain", "idle/tls-upstream", "idle/tls-both"]);
    }

    #[test]
    fn a_name_that_nothing_has_is_an_error() {
        assert!(matching(&["down-5k/plain".to_owned()]).is_err());
        assert!(matching(&["sideways-*".to_owned()]).is_err());
    }
}
