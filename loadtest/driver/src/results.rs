//! What all runs have given, and how it is compared: round by round, because the machine is not the same from one minute
//! to the next, and then the median of the rounds.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::load::Figures;

/// All runs, and what they were made with.
#[derive(Debug, Serialize, Deserialize)]
pub struct Results {
    /// Name and value: machine, kernel, commit, versions.
    pub made_with: Vec<(String, String)>,
    /// In the order in which they were made.
    pub runs: Vec<Run>,
}

/// One proxy under one load, once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    /// From 0.
    pub round: usize,
    /// Its name.
    pub scenario: String,
    /// Its name.
    pub proxy: String,
    /// What was measured.
    pub figures: Figures,
}

/// The middle of several rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// As many lie above as below.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
    /// How many there are.
    pub rounds: usize,
}

impl Results {
    /// Reads them from a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} holds no results", path.display()))
    }

    /// Writes them to a file.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The scenarios that were run, in order.
    pub fn scenarios(&self) -> Vec<&str> {
        distinct(self.runs.iter().map(|run| run.scenario.as_str()))
    }

    /// The proxies that were run in a scenario, in an order that is the same for all.
    pub fn proxies(&self, scenario: &str) -> Vec<&str> {
        let names: Vec<_> = crate::proxy::ALL.iter().map(ToString::to_string).collect();
        let runs = self.runs.iter().filter(|run| run.scenario == scenario);
        let mut proxies = distinct(runs.map(|run| run.proxy.as_str()));
        proxies.sort_by_key(|proxy| names.iter().position(|name| name == proxy));
        proxies
    }

    /// A figure over all rounds.
    pub fn spread(&self, scenario: &str, proxy: &str, figure: &str) -> Option<Spread> {
        Spread::of(self.rounds().filter_map(|round| self.figure(round, scenario, proxy, figure)))
    }

    /// A figure of the relay, divided by the least of these proxies in the same round.
    pub fn ratio(&self, scenario: &str, figure: &str, proxies: &[&str]) -> Option<Spread> {
        self.ratio_of("relay", scenario, figure, proxies)
    }

    /// A figure of a proxy, divided by the better of two others in the same round: the mean over all pairs of others. It is 1 for
    /// one of several that are equal only if rounds are, too; the more those differ, the luckier is the better of two.
    pub fn ratio_to_pairs(&self, proxy: &str, scenario: &str, figure: &str) -> Option<f64> {
        let proxies = self.proxies(scenario).into_iter();
        let others: Vec<_> =
            proxies.filter(|other| *other != proxy && self.spread(scenario, other, figure).is_some()).collect();
        let pairs =
            others.iter().enumerate().flat_map(|(at, one)| others[..at].iter().map(move |other| [*one, *other]));
        let ratios: Vec<_> =
            pairs.filter_map(|pair| Some(self.ratio_of(proxy, scenario, figure, &pair)?.median)).collect();
        #[allow(clippy::cast_precision_loss)]
        (!ratios.is_empty()).then(|| ratios.iter().sum::<f64>() / ratios.len() as f64)
    }

    fn ratio_of(&self, proxy: &str, scenario: &str, figure: &str, others: &[&str]) -> Option<Spread> {
        Spread::of(self.rounds().filter_map(|round| {
            let others = others.iter().map(|other| self.figure(round, scenario, other, figure));
            // Without one of them it is not known which is the better.
            let least = others.collect::<Option<Vec<_>>>()?.into_iter().reduce(f64::min)?;
            // What is added may be less than nothing where a run without a proxy was disturbed: no ratio tells that.
            (least > 0.0).then_some(())?;
            Some(self.figure(round, scenario, proxy, figure)? / least)
        }))
    }

    /// A figure of the relay in a scenario, divided by the same in another one.
    pub fn own_ratio(&self, scenario: &str, other: &str, figure: &str) -> Option<Spread> {
        Spread::of(self.rounds().filter_map(|round| {
            Some(self.figure(round, scenario, "relay", figure)? / self.figure(round, other, "relay", figure)?)
        }))
    }

    /// Adds to the latencies of each proxy what it has added to those without a proxy in the same round.
    pub fn add_latencies(&mut self, round: usize) {
        for percentile in ["p50_us", "p99_us"] {
            let direct: Vec<_> =
                self.runs.iter().map(|run| self.figure(round, &run.scenario, "direct", percentile)).collect();
            let runs = self.runs.iter_mut().zip(direct).filter(|(run, _)| run.round == round && run.proxy != "direct");
            for (run, direct) in runs {
                if let (Some(with), Some(without)) = (run.figures.get(percentile), direct) {
                    let added = with - without;
                    run.figures.insert(format!("added_{percentile}"), added);
                }
            }
        }
    }

    fn rounds(&self) -> impl Iterator<Item = usize> + use<> {
        0..self.runs.iter().map(|run| run.round + 1).max().unwrap_or(0)
    }

    fn figure(&self, round: usize, scenario: &str, proxy: &str, figure: &str) -> Option<f64> {
        let mut runs = self.runs.iter();
        let run = runs.find(|run| run.round == round && run.scenario == scenario && run.proxy == proxy)?;
        run.figures.get(figure).copied()
    }
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, least, most, rounds: values.len() })
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(figures: &[(usize, &str, f64)]) -> Results {
        let run = |&(round, proxy, value): &(usize, &str, f64)| Run {
            round,
            scenario: "s".to_owned(),
            proxy: proxy.to_owned(),
            figures: Figures::from([("f".to_owned(), value)]),
        };
        Results { made_with: Vec::new(), runs: figures.iter().map(run).collect() }
    }

    #[test]
    fn a_ratio_is_taken_in_each_round_to_the_better_of_that_round() {
        let slow_second = [(0, "relay", 1.0), (0, "nginx", 2.0), (0, "haproxy", 4.0), (1, "relay", 3.0)];
        let results = results(&[&slow_second[..], &[(1, "nginx", 9.0), (1, "haproxy", 6.0)]].concat());
        let ratio = results.ratio("s", "f", &["nginx", "haproxy"]).unwrap();
        assert_eq!((ratio.median, ratio.least, ratio.most, ratio.rounds), (0.5, 0.5, 0.5, 2));
    }

    #[test]
    fn without_one_of_the_peers_there_is_no_better_one() {
        let results = results(&[(0, "relay", 1.0), (0, "nginx", 2.0)]);
        assert_eq!(results.ratio("s", "f", &["nginx", "haproxy"]), None);
    }

    #[test]
    fn each_proxy_is_held_against_the_better_of_two_others() {
        let results = results(&[(0, "relay", 3.0), (0, "nginx", 2.0), (0, "haproxy", 6.0), (0, "copy-63k", 1.0)]);
        // 3/2, 3/1, 3/1.
        assert_eq!(results.ratio_to_pairs("relay", "s", "f"), Some(2.5));
        assert_eq!(results.ratio_to_pairs("direct", "s", "f"), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let results = results(&[(0, "relay", 1.0), (1, "relay", 9.0), (2, "relay", 2.0), (3, "relay", 4.0)]);
        assert_eq!(results.spread("s", "relay", "f").map(|spread| spread.median), Some(3.0));
    }
}
