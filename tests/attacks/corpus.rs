//! Holds `tests/attacks/README.md` to the sources: each attack has a test, each test that is named is there, and each test of this
//! folder is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A test: its file, from the root of the project, and its name.
type Test = (String, String);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the tables: an attack, and the tests that stand for it, written as `` `folder/file.rs::name` ``.
fn rows() -> Vec<(String, Vec<Test>)> {
    let text = fs::read_to_string(root().join("tests/attacks/README.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack "));
    rows.map(|row| {
        let (attack, tests) = row[2..].split_once(" | ").unwrap_or_else(|| panic!("two columns: {row}"));
        (attack.to_owned(), tests.split('`').filter_map(named).collect())
    })
    .collect()
}

/// A name in backticks is a path below `tests`, unless it begins with `src`.
fn named(text: &str) -> Option<Test> {
    let (file, name) = text.split_once("::")?;
    let file = if file.starts_with("src/") { file.to_owned() } else { format!("tests/{file}") };
    Some((file, name.to_owned()))
}

/// The tests of a file: functions behind an attribute that makes them one, other attributes and `proptest!` allowed for.
fn tests_of(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (mut tests, mut is_test) = (BTreeSet::new(), false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else {
            let name = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
            if let Some((name, _)) = name.filter(|_| is_test).and_then(|line| line.split_once('(')) {
                tests.insert(name.to_owned());
            }
            is_test = false;
        }
    }
    tests
}

#[test]
fn every_attack_has_a_test_and_every_test_that_is_named_is_there() {
    let rows = rows();
    let mut named = BTreeSet::new();
    for (attack, tests) in &rows {
        assert!(!tests.is_empty(), "no test stands for {attack}");
        for (file, name) in tests {
            assert!(tests_of(file).contains(name), "{attack}: there is no test {name} in {file}");
            named.insert((file.clone(), name.clone()));
        }
    }
    assert!(rows.len() >= 50, "the tables are read: {} rows", rows.len());
    println!("{} attacks, {} tests", rows.len(), named.len());
}

#[test]
fn every_test_of_this_folder_stands_for_an_attack() {
    let named: BTreeSet<Test> = rows().into_iter().flat_map(|(_, tests)| tests).collect();
    let files = fs::read_dir(root().join("tests/attacks")).unwrap().map(|entry| entry.unwrap().path());
    let is_source = |file: &PathBuf| file.extension().is_some_and(|it| it == "rs") && !file.ends_with("corpus.rs");
    for file in files.filter(is_source) {
        let file = format!("tests/attacks/{}", file.file_name().unwrap().to_string_lossy());
        for name in tests_of(&file) {
            assert!(named.contains(&(file.clone(), name.clone())), "{file}::{name} stands for no attack in the README");
        }
    }
}
