// SPDX-License-Identifier: GPL-2.0-only
//! Every test that `docs/threat-model.md` names is there.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test fails the test by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The text of all Rust files below `dir`.
fn sources(dir: &Path) -> String {
    let mut text = String::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    text
}

/// Whether the function of this name is a test.
fn is_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    text.match_indices(&head).any(|(at, _)| {
        let before = text.split_at(at).0;
        before
            .trim_end()
            .lines()
            .rev()
            .take_while(|line| line.trim_start().starts_with("#["))
            .any(|line| line.trim() == "#[test]")
    })
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let top = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(top.join("docs/threat-model.md")).unwrap();
    let host = sources(&top.join("src")) + &sources(&top.join("tests"));
    let checks = fs::read_to_string(top.join("xtask/src/verify/mod.rs")).unwrap();
    let mut named = 0;
    let mut missing = Vec::new();
    for word in document.split(|c: char| c.is_whitespace() || "()`,;".contains(c)) {
        let Some((kind, name)) = word.split_once(':') else {
            continue;
        };
        let name = name.trim_end_matches('.');
        if name.is_empty() {
            continue;
        }
        let there = match kind {
            "host" => is_test(&host, name),
            "guest" => top
                .join("guests/xtf/tests")
                .join(name)
                .join("main.c")
                .is_file(),
            "verify" => checks.contains(&format!("name: \"{name}\",")),
            _ => continue,
        };
        named += 1;
        if !there {
            missing.push(word);
        }
    }
    assert!(missing.is_empty(), "these are not there: {missing:?}");
    assert!(named > 60, "just {named} are named");
}

#[test]
fn function_without_the_attribute_is_no_test() {
    let text = "#[test]\n#[cfg(x)]\nfn one() {}\n\nfn two() {}\n";
    assert!(is_test(text, "one") && !is_test(text, "two") && !is_test(text, "on"));
}
