//! What a test over sockets cannot bring about, or only slowly.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::*;
use crate::control::config::parse;
use crate::control::drain::Phase;
use crate::control::ledger::{NewUsage, Observer, Record, Stored, UsageKind, UsageRow};
use crate::control::prices::NanoUsd;
use crate::relay::events::{UNREADABLE, Usage};

fn config(models: &str) -> Config {
    let text = format!(
        "[[upstreams]]\nname = \"u\"\nkind = \"compatible\"\nurl = \"ws://localhost/\"\nmodels = {models}\n\
         transcription = \"hears\"\n[[keys]]\nname = \"acme\"\nkey = \"secret\"\nmodels = [\"of-a-key\"]\n"
    );
    parse(&text).unwrap()
}

fn moment() -> Moment {
    Moment {
        ready: true,
        phase: Phase::Serving,
        workers: Vec::new(),
        upstreams: Vec::new(),
        ledger_is_well: true,
        ledger_queue: (0, 1),
        quotas: Vec::new(),
    }
}

/// The value of a series, as it is written.
fn value(metrics: &Metrics, series: &str) -> Option<f64> {
    let text = metrics.text(&moment()).unwrap();
    let mut values = text.lines().filter_map(|line| line.strip_prefix("realtime_relay_")?.strip_prefix(series));
    let value = values.next().map(|rest| rest.trim().parse().unwrap());
    assert_eq!(values.next(), None, "{series} is there twice");
    value
}

fn row(model: &str, status: &str, cost: Option<u64>, seconds: Option<f64>) -> Record {
    Record::Usage(UsageRow {
        at_ms: crate::control::ledger::unix_ms(SystemTime::now()),
        link_id: Uuid::new_v4(),
        key: "acme".into(),
        upstream: "u".into(),
        model: model.into(),
        kind: UsageKind::Response,
        response_id: None,
        status: status.into(),
        usage: Usage::default(),
        seconds,
        cost: cost.map(NanoUsd::new),
        billed: true,
    })
}

#[test]
fn workers_are_summed_and_what_was_published_counts_once() {
    let metrics = Metrics::new(&config("{ \"*\" = \"*\" }"));
    let workers = [Measures::new(&metrics, 0), Measures::new(&metrics, 1)];
    for (worker, bytes) in workers.iter().zip([5, 7]) {
        worker.refused("not_found");
        worker.took(Stage::Dial, Duration::from_millis(3));
        worker.tallies.up.bytes.set(bytes);
    }
    assert_eq!(value(&metrics, "bytes_total{direction=\"up\"}"), Some(0.0), "nothing is published");
    for _ in 0..3 {
        for worker in &workers {
            worker.publish(Duration::from_millis(500));
        }
    }
    assert_eq!(value(&metrics, "refusals_total{code=\"not_found\"}"), Some(2.0));
    assert_eq!(value(&metrics, "setup_seconds_count{stage=\"dial\"}"), Some(2.0));
    assert_eq!(value(&metrics, "setup_seconds_bucket{stage=\"dial\",le=\"0.0025\"}"), Some(0.0));
    assert_eq!(value(&metrics, "setup_seconds_bucket{stage=\"dial\",le=\"0.005\"}"), Some(2.0));
    assert_eq!(value(&metrics, "bytes_total{direction=\"up\"}"), Some(12.0));
    assert_eq!(value(&metrics, "bytes_total{direction=\"down\"}"), Some(0.0));
    for worker in ["0", "1"] {
        assert_eq!(value(&metrics, &format!("worker_busy_seconds_total{{worker=\"{worker}\"}}")), Some(0.5));
    }
}

#[test]
fn a_model_that_nobody_here_knows_is_one_of_the_others() {
    let metrics = Metrics::new(&config("{ voice = { to = \"sent\", price = \"gpt-realtime\" }, \"*\" = \"*\" }"));
    let label = |model: &str| metrics.models.label(model);
    for known in ["voice", "sent", "hears", "of-a-key", "gpt-realtime", "whisper-1"] {
        assert_eq!(*label(known), *known);
    }
    assert_eq!(*label("gpt-realtime-2025-08-28"), *"gpt-realtime", "a date is part of no label");
    for unknown in ["sent-2025-08-28", "Voice", "*", "", "gpt-realtime-of-mine", "made up\n"] {
        assert_eq!(*label(unknown), *"other", "{unknown:?}");
    }
    metrics.know(&config("{ later = \"later-sent\", \"*\" = \"*\" }"));
    assert_eq!((&*label("later-sent"), &*label("sent")), ("later-sent", "other"));
}

#[test]
fn a_record_counts_when_it_is_new_or_logged_and_never_makes_a_counter_shrink() {
    let metrics = Metrics::new(&config("{ \"*\" = \"*\" }"));
    let mut counted = Counted::new(&metrics, |_: &NewUsage| {});
    for stored in [Stored::New, Stored::Duplicate, Stored::Logged, Stored::Unwritten] {
        counted.is_stored(&row("gpt-realtime", "completed", Some(250_000_000), Some(1.5)), stored);
    }
    for seconds in [-1.0, f64::NAN, f64::INFINITY] {
        counted.is_stored(&row("gpt-realtime", "completed", None, Some(seconds)), Stored::New);
    }
    counted.is_stored(&row("gpt-realtime", UNREADABLE, None, None), Stored::New);
    assert_eq!(value(&metrics, "cost_dollars_total{key=\"acme\",model=\"gpt-realtime\"}"), Some(0.5));
    assert_eq!(value(&metrics, "transcription_seconds_total{model=\"gpt-realtime\"}"), Some(3.0));
    assert_eq!(value(&metrics, "usage_unpriced_total{model=\"gpt-realtime\"}"), Some(3.0));
    assert_eq!(value(&metrics, "usage_unreadable_total{kind=\"response\"}"), Some(1.0));
    let of = |outcome: &str| value(&metrics, &format!("ledger_records_total{{outcome=\"{outcome}\"}}"));
    assert_eq!([of("new"), of("duplicate"), of("logged")], [Some(5.0), Some(1.0), Some(1.0)]);
}

#[test]
fn what_is_new_is_handed_on() {
    let metrics = Metrics::new(&config("{ \"*\" = \"*\" }"));
    let heard = Rc::new(std::cell::Cell::new(0));
    let hear = heard.clone();
    let mut counted = Counted::new(&metrics, move |_: &NewUsage| hear.set(hear.get() + 1));
    counted.is_new(&NewUsage { key: "acme".into(), at_ms: 0, used: crate::control::ledger::Used::default() });
    assert_eq!(heard.get(), 1);
}
