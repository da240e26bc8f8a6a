// SPDX-License-Identifier: GPL-2.0-only
//! Whether the host tests notice a change: cargo-mutants over `src/` but its C
//! border, which is ffi-tests' and Miri's.
//!
//! The tests beside the code run first, which is quick; what they let live meets all
//! others. What outlives those too is in `tests/mutants`, each with its reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use super::{Level, tools};
use crate::{
    parts::Prepared,
    paths::{self, Paths},
    progress::Step,
    report::Case,
    run,
};

const CARGO_MUTANTS: &str = "27.1.0";

/// Of a hundred mutants that can be built at least so many are caught.
const LEAST: usize = 95;

/// Below full depth, every so manieth mutant is tried.
const SAMPLE: usize = 60;

/// What goes on where the tests beside the code let a mutant live.
const OTHERS: [&str; 6] = [
    "policy",
    "gsi_states",
    "gsi_search",
    "ffi_hostile",
    "vpci_states",
    "vpci_search",
];

/// What became of the mutants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    caught: BTreeSet<String>,
    missed: BTreeSet<String>,
}

pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    let paths = prepared.paths;
    let all = level == Level::Long;
    let survivors = survivors(&paths::read(&paths.root.join("tests/mutants"))?)?;
    let program = tools::tool(paths, "cargo-mutants", CARGO_MUTANTS)?;
    let out = paths
        .out
        .join(if all { "mutants" } else { "mutants-sample" });
    keep_if_same(paths, &out)?;

    let sample = format!("0/{SAMPLE}");
    let mut first: Vec<&str> = Vec::new();
    if !all {
        first.extend(["--sharding", "round-robin", "--shard", &sample]);
    }
    let outcome = mutate(paths, &program, &out.join("1"), &first, &["--lib"])?;
    let mut missed = outcome.missed.clone();
    if !missed.is_empty() {
        let names: Vec<String> = missed.iter().map(|name| quoted(name)).collect();
        let only = format!("^({})$", names.join("|"));
        let mut tests = vec!["--lib"];
        for test in OTHERS {
            tests.extend(["--test", test]);
        }
        missed = mutate(paths, &program, &out.join("2"), &["--re", &only], &tests)?.missed;
    }
    let total = outcome.caught.len().saturating_add(outcome.missed.len());
    Ok(judge(&survivors, &missed, total, all))
}

/// Compares what has outlived the tests with the list.
fn judge(
    survivors: &BTreeMap<String, String>,
    missed: &BTreeSet<String>,
    total: usize,
    all: bool,
) -> Vec<Case> {
    let mut cases: Vec<Case> = missed
        .iter()
        .map(|mutant| {
            let reason = survivors.get(&without_place(mutant));
            Case::new(
                mutant.as_str(),
                reason.is_some(),
                reason.map_or("lives, and tests/mutants has no reason for it", |reason| {
                    reason
                }),
            )
        })
        .collect();
    if all {
        let found: BTreeSet<String> = missed.iter().map(|name| without_place(name)).collect();
        cases.extend(
            survivors
                .keys()
                .filter(|name| !found.contains(*name))
                .map(|name| Case::failed(name.as_str(), "is caught: take it out of tests/mutants")),
        );
    }
    let caught = total.saturating_sub(missed.len());
    let enough = total > 0 && caught.saturating_mul(100) >= total.saturating_mul(LEAST);
    cases.push(Case::new(
        "caught",
        // Of a small sample a percentage says little.
        enough || !all && total > 0,
        format!("{caught} of {total}"),
    ));
    cases
}

/// Runs cargo-mutants with these tests, going on where it was stopped.
fn mutate(
    paths: &Paths,
    program: &Path,
    out: &Path,
    which: &[&str],
    tests: &[&str],
) -> Result<Outcome> {
    let step = Step::start(format!("mutants, by {}", tests.join(" ")));
    let log = paths.log("mutants")?;
    paths::make_dir(out)?;
    let mut command = run::command("nice", ["-n", "10"]);
    command
        .arg(program)
        .args(["mutants", "--package", "xen-passthrough"])
        .args(["--file", "src/**", "--exclude", "src/ffi/**"])
        .args(["--timeout", "300", "--iterate", "--no-shuffle", "--output"])
        .arg(out)
        .args(which)
        .arg("--")
        .args(tests)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_TEST_DEBUG", "0")
        .current_dir(&paths.root);
    // Of a run that was interrupted: --iterate moves its files away.
    collect(out)?;
    let start = fs::metadata(&log).map_or(0, |data| data.len());
    let status = run::to_log(&mut command, &log, &step)?;
    // 2: some are missed, 3: some do not end.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(run::failure("cargo mutants", status, &log, start));
    }
    let outcome = collect(out)?;
    step.done(&format!(
        "{} caught, {} not",
        outcome.caught.len(),
        outcome.missed.len()
    ));
    Ok(outcome)
}

/// What the last run in `out` and those before it have come to.
fn collect(out: &Path) -> Result<Outcome> {
    let names = |file: &Path| -> BTreeSet<String> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    };
    let last = out.join("mutants.out");
    let kept = out.join("caught");
    let mut caught = names(&kept);
    caught.extend(names(&last.join("caught.txt")));
    caught.extend(names(&last.join("timeout.txt")));
    let text: String = caught.iter().map(|name| format!("{name}\n")).collect();
    paths::write_atomic(&kept, text.as_bytes())?;
    Ok(Outcome {
        caught,
        missed: names(&last.join("missed.txt")),
    })
}

/// Empties `out` unless it is of the same source and tests.
fn keep_if_same(paths: &Paths, out: &Path) -> Result<()> {
    let mut hash = Sha256::new();
    for folder in ["src", "tests"] {
        for entry in WalkDir::new(paths.root.join(folder)).sort_by_file_name() {
            let entry = entry?;
            if entry.path().extension().is_some_and(|kind| kind == "rs") {
                hash.update(fs::read(entry.path()).context("cannot read a source file")?);
            }
        }
    }
    let digest: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let stamp = out.join("stamp");
    if !fs::read_to_string(&stamp).is_ok_and(|text| text == digest) {
        paths::remove_dir(out)?;
        paths::write_atomic(&stamp, digest.as_bytes())?;
    }
    Ok(())
}

/// The list: a mutant without its place, ` -- `, the reason.
fn survivors(text: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(" -- ") {
            Some((mutant, reason)) if !reason.trim().is_empty() => {
                found.insert(mutant.trim().to_owned(), reason.trim().to_owned());
            }
            _ => bail!("`{line}` in tests/mutants has no reason"),
        }
    }
    Ok(found)
}

/// `src/gsi.rs: replace …` of `src/gsi.rs:352:10: replace …`, as lines move.
fn without_place(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(what)) => format!("{file}:{what}"),
        _ => mutant.to_owned(),
    }
}

/// As a regular expression.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if !c.is_alphanumeric() && c != ' ' && c != '_' {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUTANT: &str = "src/gsi.rs:352:10: replace | with ^ in encode";

    #[test]
    fn survivor_is_known_wherever_it_is() {
        let list = survivors("# x\nsrc/gsi.rs: replace | with ^ in encode -- the same\n").unwrap();
        let missed = BTreeSet::from([MUTANT.to_owned()]);
        assert!(judge(&list, &missed, 100, true).iter().all(|case| case.ok));
        assert!(survivors("src/gsi.rs: replace").is_err());
        // Without a reason, too many, or one that is caught by now.
        let none = BTreeMap::new();
        assert!(judge(&none, &missed, 100, true).iter().any(|case| !case.ok));
        assert!(judge(&list, &missed, 19, true).iter().any(|case| !case.ok));
        assert!(
            judge(&list, &BTreeSet::new(), 100, true)
                .iter()
                .any(|case| !case.ok)
        );
        assert!(
            judge(&none, &BTreeSet::new(), 0, false)
                .iter()
                .any(|case| !case.ok)
        );
    }

    #[test]
    fn names_are_taken_as_they_are() {
        assert_eq!(quoted("a.rs:1: | x"), "a\\.rs\\:1\\: \\| x");
    }
}
