//! Every metric that an alert or the dashboard asks for is one that the relay exports.

use std::collections::BTreeSet;

use crate::process::Setup;
use crate::shipped::text;
use crate::support::client::client;
use crate::support::operator::operator;
use crate::support::upstream::Upstream;
use crate::support::within;

/// A response that has used something.
const DONE: &str = include_str!("../wire/response_done_ga.json");

/// Metrics that come into being with what they count, which does not happen here, by where they are made.
const RARE: [&str; 2] = ["realtime_relay_upstream_failures_total", "realtime_relay_quota_used_ratio"];

#[tokio::test]
async fn what_alerts_and_dashboard_ask_for_is_there() {
    let upstream = Upstream::start().await;
    let relay = Setup::to(&upstream).start().await;
    let mut links = Vec::new();
    for model in ["without-a-price", "gpt-realtime"] {
        let asking = client(&relay).model(model).ask().await;
        let (mut theirs, mut ours) = (upstream.leg().await, asking.opened().await);
        theirs.text(DONE).await;
        ours.expect_text(DONE).await;
        links.push((ours, theirs));
    }
    client(&relay).refused().await;

    let counted = async {
        loop {
            let text = operator(&relay, "/metrics").ask().await.text;
            // The ledger's thread counts what was used once it is recorded.
            let counted = ["usage_unpriced_total{", "cost_dollars_total{"];
            if counted.iter().all(|family| text.contains(&format!("realtime_relay_{family}"))) {
                break text;
            }
        }
    };
    let exported = within("what was used to be counted", counted).await;
    let mut asked = BTreeSet::new();
    for file in ["prometheus/rules.yml", "grafana/dashboard.json"] {
        let of_file = names(&text(file));
        assert!(of_file.len() > 10, "deploy/{file}: {of_file:?}");
        asked.extend(of_file);
    }
    let there = |name: &str| exported.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")));
    let family = |name: &str| name.strip_suffix("_bucket").unwrap_or(name).to_owned();
    let missing: Vec<_> = asked.iter().filter(|name| !there(&family(name)) && !RARE.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?} of {exported}");
}

/// The words of a text that are names of the relay's metrics, or of its process's.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .filter(|word| word.starts_with("realtime_relay_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}
