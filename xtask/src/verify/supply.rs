// SPDX-License-Identifier: GPL-2.0-only
//! What is shipped is made from pinned versions under licences that go with
//! GPL-2.0-only, by programs that are known, and nothing of the machine that it is
//! built on gets into it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Level, tools};
use crate::{
    parts::Prepared,
    paths::{self, Paths},
    progress::Step,
    report::Case,
    run,
};

const CARGO_DENY: &str = "0.20.2";

/// The package that is shipped.
const SHIPPED: &str = "xen-passthrough";

/// Programs of others that run when it is built, each with why it may.
const RUNS: [(&str, &str); 4] = [
    (
        "proc-macro2 custom-build",
        "looks at the compiler, for zerocopy-derive",
    ),
    (
        "quote custom-build",
        "looks at the compiler, for zerocopy-derive",
    ),
    ("zerocopy custom-build", "looks at the compiler"),
    (
        "zerocopy-derive proc-macro",
        "derives that the arguments of hypercalls are any bytes",
    ),
];

/// What a checkout needs of itself to build the object.
const SOURCES: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "src",
    "xen-glue",
    "xtask",
];

pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    let paths = prepared.paths;
    prepared.object()?;
    let mut cases = runs(&metadata(paths)?);
    cases.push(pinned(&paths::read(&paths.root.join("Cargo.lock"))?));
    cases.push(nothing_of_the_machine(paths)?);
    if level > Level::Quick {
        cases.extend(deny(paths)?);
        cases.push(reproducible(paths)?);
    }
    Ok(cases)
}

/// What cargo knows of the shipped build, as the lock file has it.
fn metadata(paths: &Paths) -> Result<Value> {
    let mut cargo = run::command("cargo", ["metadata", "--locked", "--format-version=1"]);
    let (status, text, error) = run::output(cargo.current_dir(&paths.root))?;
    if !status.success() {
        bail!(
            "cargo metadata --locked failed: {}",
            run::first_error(&error).unwrap_or_default()
        );
    }
    Ok(serde_json::from_str(&text)?)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The packages that the shipped one needs, tests left out.
fn needed(metadata: &Value) -> BTreeSet<&str> {
    let resolve = metadata.get("resolve").unwrap_or(&Value::Null);
    let nodes: BTreeMap<&str, &Value> = list(resolve, "nodes")
        .map(|node| (text(node, "id"), node))
        .collect();
    let mut open: Vec<&str> = list(metadata, "packages")
        .filter(|package| text(package, "name") == SHIPPED)
        .map(|package| text(package, "id"))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).iter().flat_map(|node| list(node, "deps")) {
            let is_used = list(dependency, "dep_kinds").any(|kind| {
                // For loom's own build, and not otherwise.
                text(kind, "kind") != "dev" && !text(kind, "target").contains("loom")
            });
            if is_used {
                open.push(text(dependency, "pkg"));
            }
        }
    }
    found
}

/// Build scripts and procedural macros: just those that are named above.
fn runs(metadata: &Value) -> Vec<Case> {
    let needed = needed(metadata);
    let mut found = BTreeSet::new();
    for package in list(metadata, "packages").filter(|package| needed.contains(text(package, "id")))
    {
        for target in list(package, "targets") {
            for kind in list(target, "kind").filter_map(Value::as_str) {
                if matches!(kind, "custom-build" | "proc-macro") {
                    found.insert(format!("{} {kind}", text(package, "name")));
                }
            }
        }
    }
    let mut cases: Vec<Case> = RUNS
        .iter()
        .map(|(name, why)| Case::new(format!("runs {name}"), found.remove(*name), *why))
        .collect();
    cases.push(Case::new(
        "runs nothing else",
        found.is_empty() && !needed.is_empty(),
        found.into_iter().collect::<Vec<_>>().join(", "),
    ));
    cases
}

/// Every package of the lock file is ours or has a checksum.
fn pinned(lock: &str) -> Case {
    let mut loose = Vec::new();
    let mut packages = 0_usize;
    for package in lock.split("[[package]]").skip(1) {
        packages = packages.saturating_add(1);
        let value = |key: &str| {
            package.lines().find_map(|line| {
                let (name, value) = line.split_once(" = ")?;
                (name == key).then(|| value.trim_matches('"'))
            })
        };
        let name = value("name").unwrap_or("?");
        let ours = value("source").is_none() && matches!(name, SHIPPED | "xtask" | "xpt-gsi");
        let held = value("source").is_some_and(|source| source.starts_with("registry+"))
            && value("checksum").is_some_and(|sum| sum.len() == 64);
        if !(ours || held) {
            loose.push(name);
        }
    }
    Case::new(
        "every version is pinned by its checksum",
        packages > 1 && loose.is_empty(),
        format!("{packages} packages; {}", loose.join(" ")),
    )
}

/// Licences, versions and sources by cargo-deny (`deny.toml`).
fn deny(paths: &Paths) -> Result<Vec<Case>> {
    let program = tools::tool(paths, "cargo-deny", CARGO_DENY)?;
    let step = Step::start("cargo-deny: licences, versions, sources");
    let mut cases = Vec::new();
    for what in ["licenses", "bans", "sources"] {
        let log = paths.log(&format!("deny-{what}"))?;
        let _ = fs::remove_file(&log);
        let mut deny = run::command(&program, ["--locked", "check", what]);
        deny.current_dir(&paths.root);
        let result = run::must(&mut deny, &log, &step, &format!("cargo deny check {what}"));
        cases.push(match result {
            Ok(()) => Case::new(format!("deny {what}"), true, ""),
            Err(error) => Case::failed(format!("deny {what}"), format!("{error:#}")),
        });
    }
    step.end(cases.iter().all(|case| case.ok));
    Ok(cases)
}

/// No name of a folder of this machine is in the object.
fn nothing_of_the_machine(paths: &Paths) -> Result<Case> {
    let bytes = fs::read(paths.archive()).context("cannot read the archive")?;
    let home = std::env::var("HOME").unwrap_or_default();
    let names = [paths.root.display().to_string(), home, "/rustc/".to_owned()];
    let found: Vec<_> = names
        .iter()
        .filter(|name| name.len() > 1)
        .filter(|name| {
            bytes
                .windows(name.len())
                .any(|window| window == name.as_bytes())
        })
        .map(String::as_str)
        .collect();
    Ok(Case::new(
        "no folder's name is in the object",
        found.is_empty(),
        found.join(" "),
    ))
}

/// The object from a copy in another folder is the same to the byte.
fn reproducible(paths: &Paths) -> Result<Case> {
    let step = Step::start("the object from another folder: build and compare");
    let log = paths.log("reproducible")?;
    let _ = fs::remove_file(&log);
    let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
    let copy = dir.path().join("a/longer-path");
    paths::make_dir(&copy)?;
    for name in SOURCES {
        copy_all(&paths.root.join(name), &copy.join(name))?;
    }
    let out = copy.join("out");
    let mut build = run::command(copy.join("xen-glue/build.sh"), [&out]);
    build.current_dir(&copy).env_remove("CARGO_TARGET_DIR");
    run::must(&mut build, &log, &step, "building the object elsewhere")?;
    let here = fs::read(paths.archive())?;
    let there = fs::read(out.join("libxen_passthrough.a"))?;
    let same = here == there;
    step.end(same);
    let at = here
        .iter()
        .zip(&there)
        .position(|(one, other)| one != other);
    Ok(Case::new(
        "the object from another folder is the same",
        same,
        match at {
            None if same => format!("{} bytes", here.len()),
            None => format!("{} bytes and {}", here.len(), there.len()),
            Some(at) => format!("they differ at byte {at}"),
        },
    ))
}

/// Copies a file, or a folder with what is in it.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry?;
        let to = match entry.path().strip_prefix(from) {
            Ok(rest) if !rest.as_os_str().is_empty() => to.join(rest),
            _ => to.to_path_buf(),
        };
        if entry.file_type().is_dir() {
            paths::make_dir(&to)?;
        } else {
            fs::copy(entry.path(), &to)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(kinds: &str) -> Value {
        serde_json::from_str(&format!(
            r#"{{"packages":[
                {{"id":"a","name":"xen-passthrough","targets":[{{"kind":["lib"]}}]}},
                {{"id":"b","name":"helper","targets":[{{"kind":["lib"]}},{{"kind":["custom-build"]}}]}}],
            "resolve":{{"nodes":[{{"id":"a","deps":[{{"pkg":"b","dep_kinds":[{kinds}]}}]}},
                {{"id":"b","deps":[]}}]}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn build_script_that_nobody_named_is_found() {
        let last = |kinds: &str| runs(&meta(kinds)).pop().unwrap();
        let found = last(r#"{"kind":null,"target":null}"#);
        assert_eq!(
            (found.ok, found.detail.as_str()),
            (false, "helper custom-build")
        );
        assert!(!last(r#"{"kind":"build","target":null}"#).ok);
        assert!(last(r#"{"kind":"dev","target":null}"#).ok);
        assert!(last(r#"{"kind":null,"target":"cfg(loom)"}"#).ok);
    }

    #[test]
    fn named_one_that_is_there_no_more_is_told() {
        assert!(runs(&meta("")).iter().any(|case| !case.ok));
    }

    #[test]
    fn package_without_a_checksum_is_not_pinned() {
        let ours = "[[package]]\nname = \"xtask\"\nversion = \"1\"\n";
        let sum = "0".repeat(64);
        let other = |source: &str, sum: &str| {
            format!(
                "{ours}[[package]]\nname = \"x\"\nsource = \"{source}\"\nchecksum = \"{sum}\"\n"
            )
        };
        assert!(pinned(&other("registry+https://x", &sum)).ok);
        assert!(!pinned(&other("git+https://x", &sum)).ok);
        assert!(!pinned(&other("registry+https://x", "")).ok);
        assert!(!pinned(&format!("{ours}[[package]]\nname = \"y\"\n")).ok);
    }
}
