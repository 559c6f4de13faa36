//! A scraper: what `GET /metrics` says, read as strictly as the text format 0.0.4 is written, and a little more strictly.

use std::collections::BTreeMap;

use super::operator::operator;
use super::relay::Reached;
use super::within;

/// What every metric of the relay's own begins with.
const PREFIX: &str = "realtime_relay_";

/// Labels, sorted by name.
type Labels = Vec<(String, String)>;

/// One scrape.
pub struct Metrics {
    families: BTreeMap<String, Family>,
    text: String,
}

/// What belongs to one name.
#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub help: String,
    /// By name and labels.
    samples: BTreeMap<(String, Labels), f64>,
}

/// What the relay measures at this moment.
pub async fn scrape(relay: &dyn Reached) -> Metrics {
    let answer = operator(relay, "/metrics").ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.expect_header("content-type", "text/plain; version=0.0.4; charset=utf-8");
    Metrics::read(&answer.text)
}

/// Waits until a series has this value. Each look is a scrape of its own.
pub async fn until(relay: &dyn Reached, name: &str, labels: &[(&str, &str)], value: f64) -> Metrics {
    let mut seen = None;
    let settled = async {
        loop {
            let metrics = scrape(relay).await;
            seen = metrics.find(name, labels);
            if seen == Some(value) {
                return metrics;
            }
        }
    };
    within(&format!("{name}{labels:?} to become {value}"), settled).await
}

impl Metrics {
    /// The value of a series, by its name without what all begin with.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name}{labels:?} in:\n{}", self.text))
    }

    /// The value of a series; `None`: there is none.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let name = full(name);
        let mut labels: Labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        labels.sort();
        let families = self.families.values();
        families
            .flat_map(|family| &family.samples)
            .find(|(key, _)| **key == (name.clone(), labels.clone()))
            .map(|it| *it.1)
    }

    /// The sum of all series of a name.
    pub fn sum(&self, name: &str) -> f64 {
        let name = full(name);
        let samples = self.families.values().flat_map(|family| &family.samples);
        samples.filter(|((of, _), _)| *of == name).map(|(_, value)| value).sum()
    }

    /// The values of a label that a name comes with, each once.
    pub fn values_of(&self, name: &str, label: &str) -> Vec<String> {
        let name = full(name);
        let labels = self.families.values().flat_map(|family| family.samples.keys()).filter(|(of, _)| *of == name);
        let mut values: Vec<_> = labels.flat_map(|(_, labels)| labels).filter(|(of, _)| of == label).collect();
        values.sort();
        values.dedup();
        values.into_iter().map(|(_, value)| value.clone()).collect()
    }

    /// By name, all of it.
    pub fn families(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.families.iter().map(|(name, family)| (name.as_str(), family))
    }

    #[track_caller]
    pub fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line ends: {text}");
        let mut families = BTreeMap::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = described("# HELP ", line);
            let (typed, kind) = described("# TYPE ", lines.next().expect("a type"));
            assert_eq!(typed, name, "the type of what was described");
            let mut family = Family { kind: kind.to_owned(), help: help.to_owned(), samples: BTreeMap::new() };
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                family.add(name, line);
            }
            family.check(name);
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
        }
        Self { families, text: text.to_owned() }
    }
}

impl Family {
    #[track_caller]
    fn add(&mut self, family: &str, line: &str) {
        let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("a value: {line}"));
        let (name, rest) = line.split_at(end);
        assert!(is_name(name), "{line}");
        let (labels, rest) = rest.strip_prefix('{').map_or_else(|| (Labels::new(), rest), labels);
        let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("one space before the value: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("one number and no time: {line}"));
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("a sample of {family}: {line}"));
        let is_allowed = match self.kind.as_str() {
            "histogram" => matches!(suffix, "_bucket" | "_sum" | "_count"),
            _ => suffix.is_empty(),
        };
        assert!(is_allowed, "a sample of the {} {family}: {line}", self.kind);
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "it comes twice: {line}");
    }

    #[track_caller]
    fn check(&self, name: &str) {
        assert!(is_name(name) && !self.help.is_empty(), "{name}: {}", self.help);
        assert!(!self.samples.is_empty(), "{name} has no sample");
        match self.kind.as_str() {
            "counter" => {
                assert!(name.ends_with("_total"), "the counter {name}");
                assert!(self.samples.values().all(|value| *value >= 0.0), "{self:?}");
            }
            "gauge" => assert!(!name.ends_with("_total"), "the gauge {name}"),
            "histogram" => self.check_histogram(name),
            kind => panic!("{name} is a {kind}"),
        }
    }

    /// Buckets grow up to `+Inf`, which is the count.
    #[allow(clippy::float_cmp)] // both are the same whole number
    #[track_caller]
    fn check_histogram(&self, name: &str) {
        let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for ((sample, labels), value) in &self.samples {
            if sample.ends_with("_bucket") {
                let (bound, labels): (Labels, Labels) = labels.iter().cloned().partition(|(name, _)| name == "le");
                let bound = bound[0].1.parse().expect("a bound");
                series.entry(labels).or_default().push((bound, *value));
            }
        }
        assert!(!series.is_empty(), "{name} has no bucket");
        for (labels, mut buckets) in series {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{name}: {buckets:?}");
            let (bound, all) = *buckets.last().unwrap();
            assert_eq!(bound, f64::INFINITY, "{name}: {buckets:?}");
            assert_eq!(self.samples.get(&(format!("{name}_count"), labels.clone())), Some(&all), "{name}");
            assert!(self.samples.contains_key(&(format!("{name}_sum"), labels)), "{name}");
        }
    }
}

fn full(name: &str) -> String {
    if name.starts_with("process_") { name.to_owned() } else { format!("{PREFIX}{name}") }
}

/// What a line says of a name.
#[track_caller]
fn described<'l>(what: &str, line: &'l str) -> (&'l str, &'l str) {
    let said = line.strip_prefix(what).and_then(|rest| rest.split_once(' '));
    said.unwrap_or_else(|| panic!("a line that begins with {what:?}, not {line:?}"))
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// The labels up to the closing brace, and what comes behind it.
#[track_caller]
fn labels(mut rest: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    loop {
        let (name, quoted) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name) && !name.starts_with("__"), "the label {name}");
        let (value, behind) = unquoted(quoted);
        assert!(!value.is_empty(), "the label {name} says something");
        labels.push((name.to_owned(), value));
        match behind.split_at(1) {
            (",", more) => rest = more,
            ("}", behind) => {
                labels.sort();
                assert!(labels.windows(2).all(|two| two[0].0 != two[1].0), "each label once: {labels:?}");
                return (labels, behind);
            }
            _ => panic!("a comma or the end of the labels, not {behind:?}"),
        }
    }
}

/// A value up to its closing quote, and what comes behind that.
#[track_caller]
fn unquoted(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.chars());
    loop {
        match chars.next().expect("a closing quote") {
            '"' => return (value, chars.as_str()),
            '\\' => value.push(match chars.next().expect("what is escaped") {
                'n' => '\n',
                other @ ('"' | '\\') => other,
                other => panic!("\\{other} is no escape"),
            }),
            other => value.push(other),
        }
    }
}
