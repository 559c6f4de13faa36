//! The results as tables: for each scenario its main figure by proxy, and how the relay's compares.

use crate::results::{Results, Spread};

/// What a scenario is about, in the order in which it is looked for: the figure, and what it is called.
pub const MAIN: [(&str, &str); 3] = [
    ("cpu_us_per_frame", "µs of CPU per frame"),
    ("cpu_us_per_set_up", "µs of CPU per set-up"),
    ("kib_per_link", "KiB per idle link"),
];

/// What stands beside it, where it was measured: the figure, the head of its column, and its decimals.
const BESIDE: [(&str, &str, usize); 13] = [
    ("frames_per_s", "frames/s", 0),
    ("set_ups_per_s", "set-ups/s", 0),
    ("p50_us", "p50 µs", 0),
    ("p99_us", "p99 µs", 0),
    ("added_p50_us", "added p50", 0),
    ("added_p99_us", "added p99", 0),
    ("resumed_share", "resumed", 2),
    ("lost_share", "lost", 3),
    ("sent_late_us", "sent late", 0),
    ("memory_mib", "MiB", 1),
    ("after_by_start", "after/start", 2),
    ("core", "core", 2),
    ("driver_core", "driver", 2),
];

/// Frames of which one in a hundred is sent later than this, in microseconds, are not evenly paced.
const LATE_US: f64 = 500.0;

/// The figure that a scenario is about.
pub fn main_figure(results: &Results, scenario: &str) -> Option<(&'static str, &'static str)> {
    let proxies = results.proxies(scenario);
    MAIN.into_iter().find(|(figure, _)| proxies.iter().any(|proxy| results.spread(scenario, proxy, figure).is_some()))
}

/// All tables.
pub fn print(results: &Results) {
    for scenario in results.scenarios() {
        if let Some((figure, name)) = main_figure(results, scenario) {
            println!("\n{scenario}: {name}; medians, in brackets the least and the most");
            print_one(results, scenario, figure);
            print_pairs(results, scenario);
            warn_of_lateness(results, scenario);
        }
    }
}

fn print_one(results: &Results, scenario: &str, figure: &str) {
    let proxies = results.proxies(scenario);
    let measured = |name: &str| proxies.iter().any(|proxy| results.spread(scenario, proxy, name).is_some());
    let beside: Vec<_> = BESIDE.into_iter().filter(|(name, ..)| measured(name)).collect();
    let heads: Vec<_> = beside.iter().map(|(_, head, _)| format!("{head:>11}")).collect();
    println!("  {:<14}{:>26}{:>26} {}", "proxy", "", "relay / it", heads.join(" "));
    for proxy in proxies {
        let main = bracketed(results.spread(scenario, proxy, figure));
        let ratio = if proxy == "relay" { None } else { results.ratio(scenario, figure, &[proxy]) };
        let columns = beside.iter().map(|(name, _, decimals)| {
            let spread = results.spread(scenario, proxy, name);
            format!("{:>11}", spread.map_or(String::new(), |spread| format!("{:.decimals$}", spread.median)))
        });
        println!("  {proxy:<14}{main:>26}{:>26} {}", bracketed(ratio), columns.collect::<Vec<_>>().join(" "));
    }
}

/// How far single rounds can tell latencies: a bar holds the relay against the better of two, and so is each proxy here.
fn print_pairs(results: &Results, scenario: &str) {
    for (figure, name) in [("added_p50_us", "p50"), ("added_p99_us", "p99")] {
        let ratio = |proxy| Some(format!("{proxy} {:.2}", results.ratio_to_pairs(proxy, scenario, figure)?));
        let ratios: Vec<_> = results.proxies(scenario).into_iter().filter_map(ratio).collect();
        if !ratios.is_empty() {
            println!("  added {name}, each against the better of two others: {}", ratios.join(", "));
        }
    }
}

/// A proxy that is given its frames in bursts can do several at a time, which is cheaper than the load that was meant.
fn warn_of_lateness(results: &Results, scenario: &str) {
    for proxy in results.proxies(scenario) {
        let late = results.spread(scenario, proxy, "sent_late_us").filter(|late| late.most > LATE_US);
        if let Some(Spread { most, .. }) = late {
            println!("  {proxy}: the driver itself was late, by {most:.0} µs (p99): did something else use its core?");
        }
    }
}

fn bracketed(spread: Option<Spread>) -> String {
    let Some(Spread { median, least, most, .. }) = spread else { return String::new() };
    // Three digits that matter, also of a tenth of a microsecond.
    let decimals = if most < 1.0 { 3 } else { 2 };
    format!("{median:.decimals$} ({least:.decimals$} .. {most:.decimals$})")
}
