//! The operator's page says of every alert what it means, and names only files that there are; the page on security names
//! only tests that there are.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shipped::text;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap()
}

/// What follows this word in each line that begins with it.
fn after<'t>(text: &'t str, word: &'t str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.trim().strip_prefix(word)).collect()
}

#[test]
fn every_alert_has_its_place_there_and_nothing_else_has() {
    let (rules, page) = (text("prometheus/rules.yml"), page());
    let alerts = after(&rules, "- alert: ");
    assert_eq!(alerts, after(&page, "### "), "in the same order");
    let runbooks: Vec<_> = alerts.iter().map(|alert| format!("docs/operations.md#{}", alert.to_lowercase())).collect();
    assert_eq!(runbooks, after(&rules, "runbook: "));
}

#[test]
fn an_alert_wakes_whom_the_page_says() {
    let (rules, page) = (text("prometheus/rules.yml"), page());
    let severities = after(&rules, "labels: {severity: ");
    let told = page.lines().filter_map(|line| line.strip_prefix('*')?.split_once(".* "));
    let told: Vec<_> = told.map(|(severity, _)| format!("{severity}}}")).collect();
    assert_eq!(severities, told);
}

#[test]
fn every_file_that_the_page_names_is_there() {
    let page = page();
    let words = page.split(|letter: char| letter.is_whitespace() || "`()[]{},;:'\"".contains(letter));
    let files: Vec<_> =
        words.filter(|word| word.starts_with("deploy/")).map(|word| word.trim_end_matches('.')).collect();
    assert!(files.len() > 10, "{files:?}");
    for file in files {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{file}");
    }
}

#[test]
fn every_test_that_holds_a_promise_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let promises = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    // No setting has a name of so many words.
    let named = promises.split('`').skip(1).step_by(2).filter(|code| code.matches('_').count() > 2);
    let named: Vec<_> = named.filter(|code| !code.contains([' ', '/', '='])).collect();
    assert!(named.len() > 40, "{named:?}");
    let code = rust_in(root.join("src")) + &rust_in(root.join("tests"));
    let missing: Vec<_> = named.into_iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// All the Rust in a folder and below it.
fn rust_in(folder: PathBuf) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| match path.extension() {
            None if path.is_dir() => rust_in(path),
            Some(extension) if extension == "rs" => fs::read_to_string(path).unwrap(),
            _ => String::new(),
        })
        .collect()
}
