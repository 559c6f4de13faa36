//! What the relay may cost at most, and whether it does.

use crate::results::{Results, Spread};

/// The better of these, in each round.
const DEFAULTS: &[&str] = &["nginx", "haproxy"];
const TUNED: &[&str] = &["nginx-tuned", "haproxy-tuned"];
const COPY: &[&str] = &["copy-63k"];
const NGINX: &[&str] = &["nginx"];

const FRAME: &str = "cpu_us_per_frame";
const SET_UP: &str = "cpu_us_per_set_up";
const LINK: &str = "kib_per_link";

/// What a figure of the relay is held against.
#[derive(Debug, Clone, Copy)]
enum Against {
    /// The least of these proxies.
    Proxies(&'static [&'static str]),
    /// Its own, in this scenario.
    Own(&'static str),
    /// Nothing: the figure itself counts.
    Itself,
}

use Against::{Itself, Own, Proxies};

/// A scenario, a figure in it, what that is held against, and how much it may be at most.
#[derive(Debug)]
pub struct Bar(&'static str, &'static str, Against, f64);

/// Fewer rounds settle nothing: their verdict is put in brackets.
const ROUNDS: usize = 10;

/// All of them.
const BARS: &[Bar] = &[
    Bar("down-4k/plain", FRAME, Proxies(DEFAULTS), 0.5),
    Bar("down-4k/plain", FRAME, Proxies(TUNED), 1.0),
    Bar("down-4k/plain", FRAME, Proxies(COPY), 1.1),
    Bar("up-4k/plain", FRAME, Proxies(DEFAULTS), 0.5),
    Bar("up-4k/plain", FRAME, Proxies(TUNED), 1.0),
    Bar("up-4k/plain", FRAME, Proxies(COPY), 1.1),
    Bar("down-200/plain", FRAME, Proxies(DEFAULTS), 0.6),
    Bar("down-200/plain", FRAME, Proxies(TUNED), 1.3),
    Bar("up-200/plain", FRAME, Proxies(DEFAULTS), 0.6),
    Bar("up-200/plain", FRAME, Proxies(TUNED), 1.3),
    Bar("turns-200/plain", FRAME, Proxies(DEFAULTS), 0.9),
    Bar("turns-200/plain", FRAME, Proxies(TUNED), 1.05),
    Bar("turns-200/plain", "added_p50_us", Proxies(DEFAULTS), 1.0),
    Bar("turns-200/plain", "added_p50_us", Proxies(TUNED), 1.0),
    Bar("turns-200/plain", "added_p99_us", Proxies(DEFAULTS), 1.0),
    Bar("turns-200/plain", "added_p99_us", Proxies(TUNED), 1.0),
    Bar("paced-2000/plain", FRAME, Own("paced-200/plain"), 1.1),
    Bar("paced-200-idle-8000/plain", FRAME, Own("paced-200/plain"), 1.1),
    Bar("down-4k/tls-upstream", FRAME, Proxies(DEFAULTS), 0.55),
    Bar("down-4k/tls-upstream", FRAME, Proxies(TUNED), 0.8),
    Bar("up-4k/tls-upstream", FRAME, Proxies(DEFAULTS), 0.55),
    Bar("up-4k/tls-upstream", FRAME, Proxies(TUNED), 0.8),
    Bar("down-4k/tls-both", FRAME, Proxies(DEFAULTS), 0.45),
    Bar("down-4k/tls-both", FRAME, Proxies(TUNED), 0.6),
    Bar("up-4k/tls-both", FRAME, Proxies(DEFAULTS), 0.45),
    Bar("up-4k/tls-both", FRAME, Proxies(TUNED), 0.6),
    Bar("turns-200/tls-upstream", FRAME, Proxies(DEFAULTS), 0.9),
    Bar("turns-200/tls-upstream", FRAME, Proxies(TUNED), 0.85),
    Bar("turns-200/tls-both", FRAME, Proxies(DEFAULTS), 0.7),
    Bar("turns-200/tls-both", FRAME, Proxies(TUNED), 0.75),
    Bar("set-up/plain", SET_UP, Proxies(NGINX), 1.2),
    Bar("set-up/tls-upstream", SET_UP, Proxies(NGINX), 0.8),
    Bar("set-up/tls-both", SET_UP, Proxies(NGINX), 0.8),
    Bar("idle/plain", LINK, Itself, 3.0),
    Bar("idle/tls-upstream", LINK, Itself, 12.0),
    Bar("idle/tls-both", LINK, Itself, 20.0),
    Bar("idle/plain", "after_by_start", Itself, 1.5),
    Bar("idle/tls-upstream", "after_by_start", Itself, 1.5),
    Bar("idle/tls-both", "after_by_start", Itself, 1.5),
];

/// The scenarios that a bar needs.
pub fn scenarios() -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let own = |against: &Against| if let Own(other) = against { Some(*other) } else { None };
    for name in BARS.iter().flat_map(|Bar(scenario, _, against, _)| own(against).into_iter().chain([*scenario])) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// One line for each bar whose scenario was run: whether it holds, with its figures.
pub fn judge(results: &Results) -> Vec<String> {
    let run = results.scenarios();
    BARS.iter().filter(|Bar(scenario, ..)| run.contains(scenario)).map(|bar| bar.line(results)).collect()
}

impl Bar {
    fn line(&self, results: &Results) -> String {
        let Self(scenario, figure, against, limit) = self;
        let what = match against {
            Proxies(proxies) => format!("{figure} / {}", proxies.join("|")),
            Own(other) => format!("{figure} / own in {other}"),
            Itself => (*figure).to_owned(),
        };
        let spread = self.measured(results);
        let (verdict, figures) = match spread {
            None => ("unknown", String::new()),
            Some(Spread { median, least, most, rounds }) => {
                let verdict = match (median <= *limit, rounds >= ROUNDS) {
                    (true, true) => "holds",
                    (false, true) => "MISSED",
                    (true, false) => "(holds)",
                    (false, false) => "(missed)",
                };
                (verdict, format!("{median:.3} ({least:.3} .. {most:.3}, {rounds} rounds)"))
            }
        };
        format!("{verdict:<8} {scenario:<26} {what:<52} <= {limit:<5} {figures}")
    }

    fn measured(&self, results: &Results) -> Option<Spread> {
        let Self(scenario, figure, against, _) = self;
        match against {
            Proxies(proxies) => results.ratio(scenario, figure, proxies),
            Own(other) => results.own_ratio(scenario, other, figure),
            Itself => results.spread(scenario, "relay", figure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_has_a_scenario_that_exists() {
        for name in scenarios() {
            assert!(crate::scenario::matching(&[name]).is_ok());
        }
    }
}
