//! Holds the import rule of the planes: the data plane knows nothing of ours, control knows only it, the edge knows
//! both, and the simulated upstream knows none of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each plane may name of the crate, besides itself.
const MAY_KNOW: [(&str, &[&str]); 8] = [
    ("relay", &[]),
    ("simulate", &[]),
    ("memory", &[]),
    ("control", &["memory", "relay"]),
    ("edge", &["control", "relay"]),
    ("worker", &["control", "edge", "memory", "relay"]),
    ("app", &["control", "edge", "relay", "worker"]),
    ("commands", &["app", "control", "edge", "simulate"]),
];

/// What the data plane may use of other crates.
const RELAY_CRATES: [&str; 11] =
    ["bytes", "core", "fastwebsockets", "memchr", "self", "serde", "serde_json", "std", "super", "thiserror", "tokio"];

#[test]
fn each_plane_knows_only_those_below_it() {
    let mut wrong = Vec::new();
    for (plane, allowed) in MAY_KNOW {
        for file in sources(plane) {
            for known in crate_modules(&code(&file)) {
                if known != plane && !allowed.contains(&known.as_str()) {
                    wrong.push(format!("{} names crate::{known}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_crate_has_a_place_in_the_rule() {
    let modules: BTreeSet<_> = fs::read_dir(root()).unwrap().map(|entry| stem(&entry.unwrap().path())).collect();
    let ruled: BTreeSet<_> = MAY_KNOW.iter().map(|(plane, _)| (*plane).to_owned()).collect();
    let unruled: Vec<_> = modules.difference(&ruled).filter(|name| !["lib", "main"].contains(&name.as_str())).collect();
    assert!(unruled.is_empty(), "not in the rule: {unruled:?}");
}

#[test]
fn the_data_plane_uses_only_what_it_was_given() {
    let mut wrong = Vec::new();
    for file in sources("relay") {
        for line in code(&file).lines() {
            let Some(path) = line.trim().strip_prefix("use ") else { continue };
            let name = path.split([':', ';', ' ']).next().unwrap_or_default();
            if !RELAY_CRATES.contains(&name) {
                wrong.push(format!("{}: use {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_opens_with_its_job() {
    let files = MAY_KNOW.iter().flat_map(|(plane, _)| sources(plane));
    let silent: Vec<_> = files.filter(|file| !fs::read_to_string(file).unwrap().starts_with("//! ")).collect();
    assert!(silent.is_empty(), "{silent:?}");
}

/// What `unsafe_code = "forbid"` would hold, but for two calls of the allocator that it would not let be.
#[test]
fn two_blocks_escape_the_compilers_proofs_and_have_their_own() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "benches", "tests", "loadtest", "fuzz/src", "fuzz/targets"];
    let files: Vec<_> = folders.iter().flat_map(|folder| rust_files(&repository.join(folder))).collect();
    assert!(files.len() > 100, "{} files", files.len());
    let proof_mark = ["// SAF", "ETY: "].concat();
    let keyword = ["un", "safe"].concat();
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut before = "";
        for line in text.lines().map(str::trim) {
            let code = line.split("//").next().unwrap_or_default();
            // A text that speaks of it is none.
            if code.contains(&format!("{keyword} {{")) || code.contains(&format!("{keyword} fn")) {
                found.push((file.clone(), line.to_owned(), before.starts_with("// ")));
            }
            before = line;
        }
        let proofs = text.matches(&proof_mark).count();
        assert_eq!(found.iter().filter(|(there, ..)| *there == file).count(), proofs, "{}", file.display());
    }
    let in_main = |(file, _, proof): &(PathBuf, String, bool)| *file == root().join("main.rs") && *proof;
    assert!(found.len() == 2 && found.iter().all(in_main), "{found:#?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The files of a top-level module, which must exist.
fn sources(module: &str) -> Vec<PathBuf> {
    let file = root().join(format!("{module}.rs"));
    let mut files: Vec<_> = file.is_file().then_some(file).into_iter().collect();
    files.extend(rust_files(&root().join(module)));
    assert!(!files.is_empty(), "there is no module {module}");
    files
}

/// The Rust files in a folder and below it.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// A file without its comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The top-level modules that code names after `crate::`, also in a list in braces.
fn crate_modules(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for after in code.split("crate::").skip(1) {
        let list = match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![after],
        };
        for path in list {
            let name: String = path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            modules.insert(name);
        }
    }
    modules.remove("");
    modules
}
