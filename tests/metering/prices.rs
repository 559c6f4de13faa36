//! What the upstream's own words cost, worked out here by hand; and what a table of prices may say.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use realtime_relay::control::config::{built_in_prices, prices_of};
use realtime_relay::control::prices::{NanoUsd, Prices, Rates, TokenPrices};
use realtime_relay::relay::events::{Event, Name, Tokens, Usage, read};

#[test]
fn every_sample_costs_what_its_tokens_cost() {
    let costs = |model: &str, sample: &str| built_in_prices().of_model(model).unwrap().cost(&usage_of(sample));
    // 12 text at 4 USD a million, 128 cached at 0.40, 40 out at 16; 56 audio at 32, 64 cached at 0.40, 112 out at 64.
    let weather = 48_000 + 51_200 + 640_000 + 1_792_000 + 25_600 + 7_168_000;
    for sample in ["ga", "spaced", "type_last"] {
        assert_eq!(costs("gpt-realtime", sample), Some(NanoUsd::new(weather)), "{sample}");
    }
    // The same at 0.60, 0.06, 2.40 and 10, 0.30, 20.
    let on_mini = 7_200 + 7_680 + 96_000 + 560_000 + 19_200 + 2_240_000;
    assert_eq!(costs("gpt-realtime-mini", "ga"), Some(NanoUsd::new(on_mini)));
    // All 110 text and 10 audio were cached; 30 text and 150 audio came out. At 2.50 cached, 20 and 80 out.
    let beta = 275_000 + 25_000 + 600_000 + 12_000_000;
    assert_eq!(costs("gpt-4o-realtime-preview", "beta_cached_over_input"), Some(NanoUsd::new(beta)));
    for sample in ["cancelled_null_usage", "failed_no_usage"] {
        assert_eq!(costs("gpt-realtime", sample), Some(NanoUsd::new(0)), "{sample}: it used nothing");
    }
}

#[test]
fn a_transcription_costs_its_seconds_or_its_tokens() {
    let prices = built_in_prices();
    let duration = wire("transcription_duration")["usage"]["seconds"].as_f64().map(Duration::from_secs_f64).unwrap();
    let cost = |model: &str| prices.of_transcription(model).unwrap().cost_of_time(duration);
    // 4.5 s at 0.017 and at 0.006 USD a minute.
    assert_eq!(cost("gpt-realtime-whisper"), Some(NanoUsd::new(1_275_000)));
    assert_eq!(cost("whisper-1"), Some(NanoUsd::new(450_000)));

    let sample = wire("transcription_tokens");
    let input = Tokens { audio: sample["usage"]["input_tokens"].as_u64().unwrap(), ..Tokens::default() };
    let output = Tokens { text: sample["usage"]["output_tokens"].as_u64().unwrap(), ..Tokens::default() };
    let usage = Usage { input, output, ..Usage::default() };
    let whisper = prices.of_transcription("whisper-1").unwrap();
    assert_eq!(whisper.tokens.cost(&usage), None, "its price is one of minutes");
    let own = "[transcription.\"by-token\"]\ntext = [1.25, 0, 5]\naudio = [6.00, 0, 0]\nsecond = 0.0001\n";
    let own = prices_of("own", own).unwrap();
    let own = own.of_transcription("by-token").unwrap();
    assert_eq!(own.tokens.cost(&usage), Some(NanoUsd::new(21 * 6_000 + 10 * 5_000)));
    assert_eq!(own.cost_of_time(duration), Some(NanoUsd::new(450_000)));
}

#[test]
fn a_name_is_its_own_entry_or_that_without_a_date_and_never_a_prefix() {
    let prices = built_in_prices();
    let of = |name: &str| prices.of_model(name);
    assert_ne!(of("gpt-realtime"), of("gpt-realtime-2"));
    assert_eq!(of("gpt-realtime-2025-08-28"), of("gpt-realtime"));
    assert_eq!(of("gpt-realtime-2-2026-01-15"), of("gpt-realtime-2"));
    for unknown in ["gpt-realtime-3", "gpt-realtime-2025-08", "gpt-realtime-2025-08-2x", "gpt-realtime-", "gpt", ""] {
        assert_eq!(of(unknown), None, "{unknown}");
    }
    assert_eq!(of("gpt-realtime-2025-08-28-2025-08-28"), None, "one date");
    assert_eq!(of("-2025-08-28"), None);
    assert_eq!(of("é2025-08-28"), None, "a cut inside a character is none");
    let dated = prices_of("own", "[models.\"gpt-realtime-2025-08-28\"]\ntext = [1, 1, 1]\n").unwrap();
    let prices = prices.overridden_by(dated);
    assert_ne!(prices.of_model("gpt-realtime-2025-08-28"), prices.of_model("gpt-realtime"), "its own entry goes first");
}

#[test]
fn what_has_no_price_costs_nothing_known_and_not_nothing() {
    let preview = *built_in_prices().of_model("gpt-4o-realtime-preview").unwrap();
    let image = Tokens { image: 1, ..Tokens::default() };
    assert_eq!(preview.cost(&Usage { input: image, ..Usage::default() }), None);
    assert_eq!(preview.cost(&Usage { output: image, ..Usage::default() }), None);
    assert_eq!(preview.cost(&Usage { cached: image, ..Usage::default() }), Some(NanoUsd::new(0)), "cached is of input");
    assert_eq!(TokenPrices::default().cost(&Usage::default()), Some(NanoUsd::new(0)));
}

#[test]
fn an_override_replaces_an_entry_as_a_whole_and_adds_others() {
    let own = "[models.\"gpt-realtime\"]\ntext = [1.000001, 0, 0]\n[models.mine]\naudio = [0.5, 0, 1_000]\n";
    let prices = built_in_prices().overridden_by(prices_of("own", own).unwrap());
    let text = Some(Rates { input: 1_000_001, cached: 0, output: 0 });
    assert_eq!(prices.of_model("gpt-realtime"), Some(&TokenPrices { text, ..TokenPrices::default() }));
    let audio = Some(Rates { input: 500_000, cached: 0, output: 1_000_000_000 });
    assert_eq!(prices.of_model("mine"), Some(&TokenPrices { audio, ..TokenPrices::default() }));
    assert_eq!(prices.of_model("gpt-realtime-2"), built_in_prices().of_model("gpt-realtime-2"));
}

#[test]
fn every_mistake_in_a_table_of_prices_is_named_with_its_place() {
    let text = "[model.a]\ntext = [1, 2, 3]\n[models.b]\ntext = [1, 2]\naudio = [1, -2, \"3\"]\nvideo = 1\n\
                [models.c]\n[models]\nd = 4\ne = { image = [1.0000001, 1e3, 99999999999999] }\n\
                [transcription.f]\nminute = 0.1\nsecond = 0.1\n[transcription.g]\nhour = inf\n";
    let told = prices_of("own.toml", text).unwrap_err().to_string();
    for mistake in [
        "own.toml:1:2: model: unknown key; did you mean `models`?",
        "own.toml:4:8: models.\"b\".text: expected three prices, [input, cached input, output], in USD per million tokens, found 2",
        "own.toml:5:13: models.\"b\".audio[1]: `-2` is not a plain number",
        "own.toml:5:17: models.\"b\".audio[2]: expected a number, found a string",
        "own.toml:6:1: models.\"b\".video: unknown key; known here: text, audio, image",
        "own.toml:7:9: models.\"c\".text: missing; write text = [",
        "own.toml:9:1: models.\"d\": expected a table of prices, found an integer",
        "own.toml:10:16: models.\"e\".image[0]: `1.0000001` has more than 6 decimals",
        "own.toml:10:27: models.\"e\".image[1]: `1e3` is not a plain number",
        "own.toml:10:32: models.\"e\".image[2]: `99999999999999` is too large",
        "own.toml:13:10: transcription.\"f\".second: stands beside `minute`",
        "own.toml:14:16: transcription.\"g\".minute: missing; write minute = 0.006",
        "own.toml:15:1: transcription.\"g\".hour: unknown key",
        "13 mistakes",
    ] {
        assert!(told.contains(mistake), "missing {mistake:?} in:\n{told}");
    }
}

#[test]
fn an_amount_is_told_in_dollars_to_its_last_digit() {
    for (nano, text) in [(0, "0"), (1, "0.000000001"), (9_724_800, "0.0097248"), (12_000_000_000, "12")] {
        assert_eq!(NanoUsd::new(nano).to_string(), text);
    }
    assert_eq!(NanoUsd::new(u64::MAX), NanoUsd::MAX);
}

proptest! {
    /// Against the same sum in decimal digits: dollars per million tokens, with six decimals, as a price list has them.
    #[test]
    fn a_cost_is_the_exact_sum_rounded_once(usage in usage(0..1 << 40), rates in prop::array::uniform3(rates(0..1_000_000_000_000))) {
        let mut micro_dollars_per_million = 0_u128;
        let tokens = [(usage.input.text, usage.cached.text, usage.output.text), (usage.input.audio, usage.cached.audio, usage.output.audio), (usage.input.image, usage.cached.image, usage.output.image)];
        for ((input, cached, output), rates) in tokens.into_iter().zip(rates) {
            micro_dollars_per_million += u128::from(input) * u128::from(rates.input) + u128::from(output) * u128::from(rates.output);
            micro_dollars_per_million += u128::from(cached) * u128::from(rates.cached);
            micro_dollars_per_million -= u128::from(cached) * u128::from(rates.input);
        }
        // The millionth part of a micro-dollar is a thousandth of a nano-dollar.
        let nano = micro_dollars_per_million / 1_000 + u128::from(micro_dollars_per_million % 1_000 >= 500);
        let nano = u64::try_from(nano).unwrap_or(u64::MAX);
        prop_assert_eq!(priced(rates).cost(&usage), Some(NanoUsd::new(nano)));
    }

    #[test]
    fn no_usage_and_no_price_overflows(usage in usage(0..u64::MAX), rates in prop::array::uniform3(rates(0..u64::MAX))) {
        prop_assert!(priced(rates).cost(&usage) <= Some(NanoUsd::MAX));
    }

    #[test]
    fn what_is_cached_beyond_the_input_is_not_billed(input in 0..1000_u64, beyond in 0..1000_u64, rates in rates(0..1_000_000_000)) {
        let tokens = |text| Tokens { text, ..Tokens::default() };
        let prices = priced([rates; 3]);
        let told = Usage { input: tokens(input), cached: tokens(input + beyond), output: tokens(0) };
        prop_assert_eq!(prices.cost(&told), prices.cost(&Usage { cached: tokens(input), ..told }));
    }

    #[test]
    fn no_text_is_stumbled_over(text in "\\PC{0,24}", name in "\\PC{0,24}") {
        let quoted = toml::Value::String(name.clone());
        for text in [text.clone(), format!("models = {text}"), format!("[models.{quoted}]\ntext = [{text}, 1, 1]")] {
            let _ = prices_of("own", &text);
        }
        prop_assert!(Prices::default().of_model(&name).is_none());
    }
}

fn priced([text, audio, image]: [Rates; 3]) -> TokenPrices {
    TokenPrices { text: Some(text), audio: Some(audio), image: Some(image) }
}

fn rates(range: std::ops::Range<u64>) -> impl Strategy<Value = Rates> {
    prop::array::uniform3(range).prop_map(|[input, cached, output]| Rates { input, cached, output })
}

/// Usage of which no more was cached than went in.
fn usage(range: std::ops::Range<u64>) -> impl Strategy<Value = Usage> {
    let tokens = |range| prop::array::uniform3(range).prop_map(|[text, audio, image]| Tokens { text, audio, image });
    (tokens(range.clone()), tokens(range.clone()), tokens(range)).prop_map(|(input, cached, output)| {
        let [text, audio, image] =
            [(cached.text, input.text), (cached.audio, input.audio), (cached.image, input.image)]
                .map(|(a, b)| a.min(b));
        Usage { input, cached: Tokens { text, audio, image }, output }
    })
}

fn usage_of(sample: &str) -> Usage {
    match read(Name::ResponseDone, text(&format!("response_done_{sample}")).as_bytes()) {
        Some(Event::ResponseDone(done)) => done.usage,
        other => panic!("{sample}: {other:?}"),
    }
}

fn wire(sample: &str) -> serde_json::Value {
    serde_json::from_str(&text(sample)).unwrap()
}

fn text(sample: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/wire/{sample}.json"))).unwrap()
}
