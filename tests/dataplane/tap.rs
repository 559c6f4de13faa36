//! What the tap finds in a stream, however it is cut.

use std::cell::RefCell;

use proptest::prelude::*;
use realtime_relay::relay::Peer;
use realtime_relay::relay::events::{Event, ResponseDone, SessionSettings, Tokens, UNREADABLE, Usage};
use realtime_relay::relay::scan::Scan;
use realtime_relay::relay::tap::{EventTap, MAX_KEPT};

use crate::pieces;
use crate::wire::{self, BINARY, Frame, TEXT};

/// The events found in these frames, cut at these sizes.
fn events(frames: &[Frame], sizes: &[usize]) -> Vec<Event> {
    let found = RefCell::new(Vec::new());
    let mut tap = EventTap::new(|event| found.borrow_mut().push(event));
    let bytes = wire::encode(frames, false);
    let seen = pieces::scan(Scan::new(Peer::Upstream, 64 << 20), &wire::split(&bytes, sizes), &mut tap);
    assert_eq!(seen.violation, None);
    drop(tap);
    found.into_inner()
}

fn event(text: &str) -> Vec<Event> {
    events(&[Frame::text(text)], &[usize::MAX])
}

fn sample(name: &str) -> String {
    let path = format!("{}/tests/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn done(id: &str, status: &str, usage: Usage) -> Event {
    Event::ResponseDone(ResponseDone { id: Some(id.to_owned()), status: status.to_owned(), usage })
}

/// The usage of the samples that carry all of it.
fn full_usage() -> Usage {
    Usage {
        input: Tokens { text: 140, audio: 120, image: 0 },
        cached: Tokens { text: 128, audio: 64, image: 0 },
        output: Tokens { text: 40, audio: 112, image: 0 },
    }
}

/// Each sample with the events it must give.
fn samples() -> Vec<(&'static str, Vec<Event>)> {
    let full = || vec![done("resp_A1", "completed", full_usage())];
    let over = Usage {
        input: Tokens { text: 110, audio: 10, image: 0 },
        cached: Tokens { text: 110, audio: 10, image: 0 },
        output: Tokens { text: 30, audio: 150, image: 0 },
    };
    let pcm = Some("pcm16".to_owned());
    vec![
        ("response_done_ga", full()),
        ("response_done_spaced", full()),
        ("response_done_type_last", full()),
        ("response_done_beta_cached_over_input", vec![done("resp_B1", "completed", over)]),
        ("response_done_cancelled_null_usage", vec![done("resp_D1", "cancelled", Usage::default())]),
        ("response_done_failed_no_usage", vec![done("resp_E1", "failed", Usage::default())]),
        ("decoy_created_with_metadata", vec![Event::ResponseCreated { id: Some("resp_F1".to_owned()) }]),
        ("decoy_quoted_in_delta", vec![]),
        (
            "session_created",
            vec![Event::Session(SessionSettings {
                model: Some("gpt-realtime".to_owned()),
                input: pcm.clone(),
                output: pcm,
                transcription: None,
            })],
        ),
        ("error", vec![]),
        ("rate_limits", vec![]),
        ("transcription_duration", vec![]),
        ("transcription_tokens", vec![]),
    ]
}

#[test]
fn reads_every_sample_at_every_split() {
    for (name, expected) in samples() {
        let frames = [Frame::text(sample(name))];
        for split in 1..wire::encode(&frames, false).len() {
            assert_eq!(events(&frames, &[split, usize::MAX]), expected, "{name} split at {split}");
        }
        assert_eq!(events(&frames, &[1]), expected, "{name} in single bytes");
    }
}

proptest! {
    #[test]
    fn finds_the_same_events_however_the_stream_is_cut_and_fragmented(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6), sizes in wire::splits(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
    ) {
        let samples = samples();
        let picked: Vec<_> = picks.iter().map(|pick| pick.get(&samples)).collect();
        let expected: Vec<_> = picked.iter().flat_map(|(_, events)| events.clone()).collect();
        let mut frames = Vec::new();
        for ((name, _), cut) in picked.iter().zip(cuts.iter().cycle()) {
            let text = sample(name).into_bytes();
            let (front, back) = text.split_at(cut.index(text.len()));
            frames.extend([wire::frame(false, TEXT, front), wire::frame(true, wire::PING, "{"), wire::frame(true, 0, back)]);
        }
        prop_assert_eq!(events(&frames, &sizes), expected);
    }

    #[test]
    fn agrees_with_a_whole_parse_on_any_json_object(
        pairs in prop::collection::vec((prop_oneof!["type", "event_id", "[a-z\"\\\\]{0,6}"], prop_oneof!["response\\.done", "response\\.d", "response\\.done2", "[a-z\"\\\\ ]{0,12}"]), 0..5),
        spaced in any::<bool>(), split in 1..80_usize,
    ) {
        // The first key wins here, so that a repeated one cannot blur what is compared.
        let mut seen = std::collections::HashSet::new();
        let pairs: Vec<_> = pairs.into_iter().filter(|(key, _)| seen.insert(key.clone())).collect();
        let quoted = |text: &String| serde_json::to_string(text).unwrap();
        let (colon, comma) = if spaced { (" : ", " ,\n") } else { (":", ",") };
        let body: Vec<_> = pairs.iter().map(|(key, value)| format!("{}{colon}{}", quoted(key), quoted(value))).collect();
        let text = format!("{{{}}}", body.join(comma));
        let is_done = pairs.iter().any(|(key, value)| key == "type" && value == "response.done");
        prop_assert_eq!(events(&[Frame::text(text)], &[split]).len(), usize::from(is_done));
    }
}

#[test]
fn an_escaped_name_is_still_that_name() {
    for text in [
        r#"{"type":"response\u002edone","response":{"id":"r","status":"completed"}}"#,
        r#"{"\u0074ype":"response.done","response":{"id":"r","status":"completed"}}"#,
        r#"{"event_id":"a\"b","type":"response.done","response":{"id":"r","status":"completed"}}"#,
    ] {
        assert_eq!(event(text), [done("r", "completed", Usage::default())], "{text}");
    }
}

#[test]
fn only_the_top_level_type_counts() {
    assert_eq!(event(r#"{"item":{"type":"response.done"},"type":"conversation.item.added"}"#), []);
    assert_eq!(event(r#"{"item":{"type":"response.done"}}"#), []);
    assert_eq!(event(r#"["type","response.done"]"#), []);
}

/// Found by fuzzing: the array was recorded as a response that cannot be read.
#[test]
fn an_array_is_no_event() {
    for text in [r#"["response.done"]"#, r#"[ "response.done" ]"#, r#"[["response.done"]]"#] {
        assert_eq!(event(text), [], "{text}");
    }
}

/// Found by fuzzing: it was missed where the type did not stand in front.
#[test]
fn of_a_type_that_is_repeated_the_first_decides_wherever_it_stands() {
    let response = r#""response":{"id":"r","status":"completed"}"#;
    for text in [
        format!(r#"{{"type":"response.done","type":"error",{response}}}"#),
        format!(r#"{{{response},"type":"response.done","type":"error"}}"#),
        format!(r#"{{"type":"response\u002edone",{response},"type":1}}"#),
    ] {
        assert_eq!(event(&text), [done("r", "completed", Usage::default())], "{text}");
    }
    for text in [
        format!(r#"{{"type":"error","type":"response.done",{response}}}"#),
        format!(r#"{{{response},"type":"error","type":"response.done"}}"#),
        format!(r#"{{"type":1,"type":"response.done",{response}}}"#),
    ] {
        assert_eq!(event(&text), [], "{text}");
    }
}

#[test]
fn a_binary_message_is_no_event() {
    assert_eq!(events(&[wire::frame(true, BINARY, sample("response_done_ga"))], &[usize::MAX]), []);
}

#[test]
fn a_total_beyond_its_details_counts_as_text() {
    let text = r#"{"type":"response.done","response":{"id":"r","status":"completed","usage":{"input_tokens":100,
        "output_tokens":50,"input_token_details":{"audio_tokens":30,"cached_tokens":20},"output_token_details":null}}}"#;
    let usage = Usage {
        input: Tokens { text: 70, audio: 30, image: 0 },
        cached: Tokens { text: 20, audio: 0, image: 0 },
        output: Tokens { text: 50, audio: 0, image: 0 },
    };
    assert_eq!(event(text), [done("r", "completed", usage)]);
}

#[test]
fn a_response_done_that_cannot_be_read_is_recorded_as_unreadable() {
    for text in [r#"{"type":"response.done","response":"#, r#"{"type":"response.done"}"#] {
        assert_eq!(event(text), [Event::ResponseDone(ResponseDone::unreadable())], "{text}");
    }
}

#[test]
fn a_response_done_larger_than_the_tap_keeps_is_recorded_as_unreadable_wherever_its_type_stands() {
    let filler = "x".repeat(MAX_KEPT);
    for text in [
        format!(r#"{{"type":"response.done","response":{{"id":"r"}},"filler":"{filler}"}}"#),
        format!(r#"{{"response":{{"id":"r"}},"filler":"{filler}","type":"response.done"}}"#),
    ] {
        let frames = [Frame::text(text), Frame::text(sample("response_done_ga"))];
        let expected = [Event::ResponseDone(ResponseDone::unreadable()), done("resp_A1", "completed", full_usage())];
        assert_eq!(events(&frames, &[64 << 10]), expected);
        assert_eq!(UNREADABLE, "unreadable");
    }
}

#[test]
fn both_shapes_of_a_session_tell_its_audio_formats() {
    let formats = |input: &str, output: Option<&str>| {
        vec![Event::Session(SessionSettings {
            model: None,
            input: Some(input.to_owned()),
            output: output.map(str::to_owned),
            transcription: None,
        })]
    };
    let nested = r#"{"type":"session.updated","event_id":"e","session":{"audio":{"input":{"format":{"type":"audio/pcmu"}},"output":{"format":{"type":"audio/pcma"}}}}}"#;
    assert_eq!(event(nested), formats("g711_ulaw", Some("g711_alaw")));
    let flat = r#"{"event_id":"e","type":"session.created","session":{"input_audio_format":"g711_alaw"}}"#;
    assert_eq!(event(flat), formats("g711_alaw", None));
}
