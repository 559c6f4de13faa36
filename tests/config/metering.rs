//! `[metering]`, and what other tables say about usage: quotas and prices.

use std::time::Duration;

use realtime_relay::control::config::{Allowance, Durability, OnFailure, Period, Quota, built_in_prices, ledger_of};
use realtime_relay::control::config::{Sources, load};
use realtime_relay::control::prices::NanoUsd;

use crate::setup::{KEY, Setup, UPSTREAM, assert_told};

#[test]
fn usage_is_kept_for_ever_beside_the_configuration_where_nothing_is_said() {
    let setup = Setup::file(&format!("{UPSTREAM}{KEY}"));
    let metering = setup.config().metering;
    assert_eq!(metering.ledger, setup.path().with_file_name("usage.db"));
    assert_eq!((metering.durability, metering.on_failure), (Durability::Async, OnFailure::Stall));
    assert_eq!((metering.retention, metering.transcription), (None, false));
    assert_eq!((metering.prices, metering.prices_file), (built_in_prices(), None));
    assert_eq!(setup.config().keys[0].quota, None);
    assert!(!setup.config().upstreams[0].bill_calls);
}

#[test]
fn metering_is_what_it_is_told_to_be() {
    let metering = "[metering]\nledger = \"/var/lib/relay/l.db\"\ndurability = \"before_delivery\"\non_failure = \"log\"\n\
                    retention = \"90d\"\ntranscription = true\nprices = \"own.toml\"\n";
    let setup =
        Setup::file(&format!("{UPSTREAM}{KEY}{metering}")).with("own.toml", "[models.mine]\ntext = [1, 2, 3]\n");
    let metering = setup.config().metering;
    assert_eq!(metering.ledger.to_str(), Some("/var/lib/relay/l.db"));
    assert_eq!((metering.durability, metering.on_failure), (Durability::BeforeDelivery, OnFailure::Log));
    assert_eq!((metering.retention, metering.transcription), (Some(Duration::from_hours(90 * 24)), true));
    assert!(metering.prices.of_model("mine").is_some() && metering.prices.of_model("gpt-realtime").is_some());
    assert_eq!(metering.prices_file, Some(setup.path().with_file_name("own.toml")));
    let forever = Setup::file(&format!("{UPSTREAM}{KEY}[metering]\nretention = \"0\"\n"));
    assert_eq!(forever.config().metering.retention, None);
}

#[test]
fn metering_that_cannot_be_is_told() {
    let metering = "[metering]\nledger = \"\"\ndurability = \"sync\"\non_failure = \"drop\"\nretention = \"30m\"\n\
                    transcription = 1\nprices = \"nowhere.toml\"\nkeep = true\n";
    assert_told(
        &Setup::file(&format!("{UPSTREAM}{KEY}{metering}")).told(),
        &[
            "metering.ledger: empty; write the path",
            "metering.durability: unknown value `sync`; did you mean `async`?",
            "metering.on_failure: unknown value `drop`; one of stall, log",
            "metering.retention: shorter than an hour",
            "metering.transcription: expected true or false, found an integer",
            "metering.prices: cannot read",
            "metering.keep: unknown key",
        ],
    );
}

#[test]
fn a_mistake_among_the_prices_is_told_with_the_others_at_its_own_place() {
    let metering = "[metering]\nprices = \"own.toml\"\nretention = 1\n";
    let setup = |prices| Setup::file(&format!("{UPSTREAM}{KEY}{metering}")).with("own.toml", prices).told();
    let own = ["own.toml:3:12: models.\"mine\".text[1]: `-1`", "relay.toml:12:13: metering.retention: expected"];
    assert_told(&setup("# of last year\n[models.mine]\ntext = [1, -1, 1]\n"), &own);
    let broken = format!("{}text = [\n[models.mine]\ntxt = 1\n", "\n".repeat(11));
    let told = setup(&broken);
    assert!(
        told.contains("own.toml:12:") && told.contains(own[1]),
        "one file's broken line is not the other's: {told}"
    );
}

#[test]
fn a_quota_is_money_or_tokens_in_a_time() {
    let quota = |line: &str| Setup::file(&format!("{UPSTREAM}{KEY}quota = {line}\n")).config().keys[0].quota.unwrap();
    let usd = |nano| Allowance::Usd(NanoUsd::new(nano));
    assert_eq!(
        quota("{ usd = 100.0, per = \"month\" }"),
        Quota { allowance: usd(100_000_000_000), per: Period::Month }
    );
    assert_eq!(quota("{ usd = 0.1, per = \"day\" }"), Quota { allowance: usd(100_000_000), per: Period::Day });
    let tokens = Quota { allowance: Allowance::Tokens(5_000_000), per: Period::Total };
    assert_eq!(quota("{ tokens = 5_000_000, per = \"total\" }"), tokens);
}

#[test]
fn a_quota_that_cannot_be_counted_is_told() {
    let told = |line: &str| Setup::file(&format!("{UPSTREAM}{KEY}quota = {line}\n")).told();
    assert_told(&told("{}"), &["keys[0].quota.usd: missing; write usd =", "keys[0].quota.per: missing; write per ="]);
    assert_told(&told("{ usd = 0, per = \"day\" }"), &["keys[0].quota.usd: lets nothing through"]);
    assert_told(&told("{ tokens = -1, per = \"day\" }"), &["keys[0].quota.tokens: lets nothing through"]);
    let both =
        ["keys[0].quota.usd: stands beside `tokens`", "keys[0].quota.per: unknown value `week`; one of day, month"];
    assert_told(&told("{ usd = 1, tokens = 1, per = \"week\" }"), &both);
    assert_told(
        &told("{ usd = 1e2, per = \"day\", every = 1 }"),
        &["quota.usd: `1e2` is not a", "quota.every: unknown"],
    );
    assert_told(&told("100"), &["keys[0].quota: expected a table, found an integer"]);
}

#[test]
fn records_live_as_long_as_a_quota_counts_them() {
    let setup = |per: &str, retention: &str| {
        let quota = format!("quota = {{ tokens = 1, per = \"{per}\" }}\n");
        Setup::file(&format!("{UPSTREAM}{KEY}{quota}[metering]\nretention = \"{retention}\"\n"))
    };
    for (per, enough) in [("day", "24h"), ("month", "31d"), ("total", "0")] {
        setup(per, enough).config();
    }
    for (per, too_short) in [("day", "23h"), ("month", "30d"), ("total", "100y")] {
        assert_told(
            &setup(per, too_short).told(),
            &["keys[0].quota.per: counted from records that metering.retention"],
        );
    }
}

#[test]
fn a_route_has_the_price_that_is_named_for_it_else_that_of_the_name_sent() {
    let models = "models = { voice = { to = \"my-deployment\", price = \"gpt-realtime\" }, plain = \"gpt-realtime-mini\", \
                  \"*\" = { to = \"*\", price = \"gpt-realtime-2-2026-01-15\" } }\nbill_calls = true\n";
    let upstream = Setup::file(&format!("{UPSTREAM}{models}{KEY}")).config().upstreams.remove(0);
    assert!(upstream.bill_calls);
    let priced = |asked| upstream.models.priced_as(asked).unwrap();
    assert_eq!(priced("voice"), "gpt-realtime");
    assert_eq!(priced("plain"), "gpt-realtime-mini");
    assert_eq!(priced("another"), "gpt-realtime-2-2026-01-15");
    assert_eq!(upstream.models.sent_as("another"), Some("another"));

    let models = "models = { a = { to = \"b\", price = \"gpt-realtim\" } }\n";
    let told = Setup::file(&format!("{UPSTREAM}{models}{KEY}")).told();
    assert_told(&told, &["models.\"a\".price: no price has the name `gpt-realtim`; did you mean `gpt-realtime`?"]);
    let own = "[metering]\nprices = \"own.toml\"\n";
    let setup = Setup::file(&format!("{UPSTREAM}{models}{KEY}{own}"))
        .with("own.toml", "[models.gpt-realtim]\ntext = [1, 1, 1]\n");
    assert_eq!(setup.config().upstreams[0].models.priced_as("a"), Some("gpt-realtim"));
}

#[test]
fn where_the_ledger_is_can_be_told_without_the_secrets() {
    let text = format!("{UPSTREAM}{KEY}[metering]\nledger = \"l.db\"\n").replace("sk-literal", "env:NOT_SET");
    let setup = Setup::file(&text);
    let sources = Sources { file: Some(setup.path()), ..Sources::default() };
    assert!(load(&sources).is_err());
    assert_eq!(ledger_of(&sources).unwrap(), setup.path().with_file_name("l.db"));
    let elsewhere = Sources { env: [("RELAY_METERING__LEDGER".to_owned(), "/e.db".to_owned())].into(), ..sources };
    assert_eq!(ledger_of(&elsewhere).unwrap().to_str(), Some("/e.db"));
    assert!(ledger_of(&Sources::default()).unwrap().ends_with("usage.db"), "built-in defaults");
}
