//! What a link's usage costs, and what becomes of usage that has no price.

use super::{COLUMNS, DONE, close, link};
use crate::support::ledger::Ledger;
use crate::support::relay::{Relay, Setup};
use crate::support::upstream::Upstream;

const TRANSCRIBED_SECONDS: &str = include_str!("../../wire/transcription_duration.json");
const TRANSCRIBED_TOKENS: &str = include_str!("../../wire/transcription_tokens.json");
const OWN_PRICES: &str = "[models.mine]\ntext = [1, 2, 3]\naudio = [4, 5, 6]\n\
                          [transcription.scribe]\ntext = [2.5, 2.5, 10]\naudio = [6, 6, 0]\n";

/// What is recorded of a link on this query whose upstream says this.
async fn recorded(setup: Setup, upstream: &Upstream, query: &str, messages: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.toml");
    std::fs::write(&prices, OWN_PRICES).unwrap();
    let relay = setup.metering(&format!("prices = \"{}\"", prices.display())).start();
    let (mut ours, mut theirs) = link(&relay, upstream, query).await;
    for message in messages {
        theirs.text(message).await;
        ours.expect_text(message).await;
    }
    close(&mut ours, &mut theirs).await;
    relay.ledger().until_count("link", 1).await;
    rows(&relay.ledger())
}

fn rows(ledger: &Ledger) -> Vec<String> {
    ledger.ask(&format!("SELECT model, {COLUMNS} FROM usage ORDER BY rowid"))
}

/// The session says that it transcribes with this model.
fn session(model: &str) -> String {
    let session = include_str!("../../wire/session_created.json");
    session.replace(r#""transcription":null"#, &format!(r#""transcription":{{"model":"{model}"}}"#))
}

#[tokio::test]
async fn a_response_costs_what_the_model_of_the_route_costs_whatever_the_session_says() {
    for (models, asked, model, cost) in [
        ("\"*\" = \"*\"", "gpt-realtime", "gpt-realtime", "9724800"),
        ("\"*\" = \"*\"", "gpt-realtime-2", "gpt-realtime-2", "10044800"),
        ("\"*\" = \"*\"", "mystery", "mystery", ""),
        ("voice = \"gpt-realtime-2\"", "voice", "gpt-realtime-2", "10044800"),
        ("voice = { to = \"deployed\", price = \"gpt-realtime\" }", "voice", "deployed", "9724800"),
        ("voice = { to = \"gpt-realtime\", price = \"mine\" }", "voice", "gpt-realtime", "1604000"),
        (
            "voice = { to = \"gpt-realtime\", price = \"mine\" }, \"gpt-realtime\" = \"gpt-realtime\"",
            "gpt-realtime",
            "gpt-realtime",
            "9724800",
        ),
    ] {
        let upstream = Upstream::start().await;
        let setup = Relay::to(&upstream).upstream(&format!("models = {{ {models} }}"));
        let rows = recorded(setup, &upstream, &format!("model={asked}"), &[&session("whisper-1"), DONE]).await;
        assert_eq!(rows, [format!("{model}|response|resp_A1|completed|140|120|0|128|64|0|40|112||{cost}")]);
    }
}

#[tokio::test]
async fn usage_without_a_price_counts_in_every_report_but_not_as_dollars() {
    let upstream = Upstream::start().await;
    let relay = Relay::to(&upstream).start();
    for model in ["mystery", "gpt-realtime"] {
        let (mut ours, mut theirs) = link(&relay, &upstream, &format!("model={model}")).await;
        theirs.text(DONE).await;
        ours.expect_text(DONE).await;
        close(&mut ours, &mut theirs).await;
    }
    relay.ledger().until_count("link", 2).await;
    let usage = crate::support::operator::operator(&relay, "/usage").ask().await.json;
    let told = ["links", "responses", "input_audio", "cost_usd", "unpriced"].map(|name| usage[0][name].to_string());
    assert_eq!(told, ["2", "2", "240", "0.0097248", "1"]);
}

#[tokio::test]
async fn a_call_costs_nothing_here_unless_it_is_to_be_billed() {
    for (more, cost) in [("", ""), ("bill_calls = true", "9724800")] {
        let upstream = Upstream::start().await;
        let setup = Relay::to(&upstream).upstream(&format!("calls = true\n{more}")).key("allow = [\"calls\"]");
        let rows = recorded(setup, &upstream, "call_id=rtc_1", &[&session("whisper-1"), DONE]).await;
        assert_eq!(rows, [format!("|response|resp_A1|completed|140|120|0|128|64|0|40|112||{cost}")]);
    }
}

#[tokio::test]
async fn a_link_of_transcription_is_metered_by_the_model_of_its_upstream() {
    for (model, seconds, tokens) in [
        ("whisper-1", "450000", ""),
        ("gpt-realtime-whisper", "1275000", ""),
        ("scribe", "", "226000"),
        ("mystery", "", ""),
    ] {
        let upstream = Upstream::start().await;
        let setup = Relay::to(&upstream).upstream(&format!("transcription = {model:?}"));
        let messages = [&*session("another"), TRANSCRIBED_SECONDS, TRANSCRIBED_TOKENS, TRANSCRIBED_TOKENS];
        let rows = recorded(setup, &upstream, "intent=transcription", &messages).await;
        assert_eq!(
            rows,
            [
                format!("{model}|transcription|item_I1:0|completed|0|0|0|0|0|0|0|0|4.5|{seconds}"),
                format!("{model}|transcription|item_H1:0|completed|0|21|0|0|0|0|10|0||{tokens}"),
            ]
        );
    }
}

#[tokio::test]
async fn on_other_links_transcription_is_metered_where_it_is_asked_for_by_the_model_of_the_session() {
    let messages = |model| [session(model), TRANSCRIBED_SECONDS.to_owned(), TRANSCRIBED_TOKENS.to_owned()];
    for (model, seconds, tokens) in [("whisper-1", "450000", ""), ("scribe", "", "226000"), ("mystery", "", "")] {
        let upstream = Upstream::start().await;
        let setup = Relay::to(&upstream).metering("transcription = true");
        let messages = messages(model);
        let messages = [&*messages[0], &messages[1], &messages[2], DONE];
        let rows = recorded(setup, &upstream, "model=gpt-realtime", &messages).await;
        assert_eq!(
            rows,
            [
                format!("{model}|transcription|item_I1:0|completed|0|0|0|0|0|0|0|0|4.5|{seconds}"),
                format!("{model}|transcription|item_H1:0|completed|0|21|0|0|0|0|10|0||{tokens}"),
                "gpt-realtime|response|resp_A1|completed|140|120|0|128|64|0|40|112||9724800".to_owned(),
            ]
        );
    }
    let upstream = Upstream::start().await;
    let messages = messages("whisper-1");
    let messages = messages.each_ref().map(String::as_str);
    let rows = recorded(Relay::to(&upstream), &upstream, "model=gpt-realtime", &messages).await;
    assert_eq!(rows, [] as [&str; 0]);
}
