//! The demo as its first user runs it: in some folder, without a terminal, a key or a configuration.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

#[test]
fn shows_a_session_and_keeps_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(&folder);
    let (shown, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((output.status.code(), errors.as_str()), (Some(0), ""), "{shown}");

    for step in ["connect", "session", "audio in", "audio out", "transcript"] {
        assert!(shown.contains(&format!("✓ {step}")), "no {step} in:\n{shown}");
    }
    for refusal in ["502 Bad Gateway", "\"upstream_unreachable\"", "401 Unauthorized", "\"invalid_api_key\""] {
        assert!(shown.contains(refusal), "no {refusal} in:\n{shown}");
    }
    assert!(shown.contains("OPENAI_API_KEY=sk-… realtime-relay serve"), "{shown}");
    assert!(!shown.contains('\x1b'), "a log is no terminal:\n{shown}");

    let ([text_in, _, text_out], [audio_in, _, audio_out]) = (tokens(&shown, "text"), tokens(&shown, "audio"));
    assert!([text_in, text_out, audio_in, audio_out].iter().all(|count| *count > 0), "{shown}");
    // Two seconds, a token for each 100 ms.
    assert_eq!(audio_in, 20, "{shown}");
    assert_audible(&folder.path().join("demo.wav"));
}

#[test]
fn fails_where_the_answer_cannot_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("demo.wav")).unwrap();
    let output = demo(&folder);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.starts_with("the demo failed: cannot write demo.wav here: "), "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(!text(&output.stdout).contains("What next"), "a demo that failed recommends nothing");
}

/// What would configure or break a relay must not reach the one in the demo.
fn demo(folder: &TempDir) -> Output {
    fs::write(folder.path().join("relay.toml"), "this is no configuration").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_realtime-relay"));
    command.arg("demo").current_dir(folder).env_remove("OPENAI_API_KEY").env("RELAY_SERVER__AUTH", "nobody");
    command.output().unwrap()
}

/// The row of the table of tokens: input, cached, output.
fn tokens(shown: &str, modality: &str) -> [u64; 3] {
    let row = shown.lines().find_map(|line| line.trim_start().strip_prefix(modality)).expect(modality);
    let numbers: Vec<u64> = row.split_whitespace().map(|number| number.parse().expect(row)).collect();
    numbers.try_into().expect(row)
}

fn assert_audible(file: &Path) {
    let mut wav = hound::WavReader::open(file).unwrap();
    let spec = wav.spec();
    assert_eq!((spec.sample_rate, spec.channels, spec.bits_per_sample), (24_000, 1, 16));
    assert!(wav.duration() > spec.sample_rate, "more than a second, not {} samples", wav.duration());
    let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>().unwrap();
    assert!(samples.iter().any(|sample| sample.unsigned_abs() > 4_000), "it is silent");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
