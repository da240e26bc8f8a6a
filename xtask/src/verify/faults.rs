// SPDX-License-Identifier: GPL-2.0-only
//! Whether the checks check: each fault of `tests/faults`, planted in a copy of the
//! checkout, must turn what is named for it red, and without it that is green.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use super::Level;
use crate::{
    parts::{self, Prepared},
    paths::{self, Paths},
    progress::Step,
    report::Case,
    run,
};

/// What a copy of the checkout has of it.
const COPIED: [&str; 15] = [
    ".cargo",
    "Cargo.toml",
    "Cargo.lock",
    "cbindgen.toml",
    "clippy.toml",
    "deny.toml",
    "rust-toolchain.toml",
    "docs",
    "ffi-tests",
    "fuzz",
    "guests",
    "src",
    "tests",
    "xen-glue",
    "xtask",
];

/// The least number of faults: fewer would be a list that was lost.
const LEAST: usize = 20;

/// A line of `tests/faults/list`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    name: String,
    judge: Judge,
    /// What the line of a failed case has in it; `*` for anything.
    sign: String,
}

/// What is to turn red.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Judge {
    /// A target of `cargo test`, or `lib`.
    Test(String),
    /// A check of `cargo xtask verify`.
    Verify(String),
    /// A part of `cargo xtask test`.
    Part(String),
}

impl Judge {
    fn parse(word: &str) -> Result<Self> {
        let (kind, name) = word.split_once(':').unwrap_or((word, ""));
        let name = name.to_owned();
        match kind {
            "test" => Ok(Self::Test(name)),
            "verify" => Ok(Self::Verify(name)),
            "part" => Ok(Self::Part(name)),
            _ => bail!("`{word}` begins with none of test:, verify: and part:"),
        }
    }

    /// Whether a hypervisor is built or booted for it.
    fn is_long(&self) -> bool {
        match self {
            Self::Test(_) => false,
            Self::Verify(name) => name == "c",
            Self::Part(name) => name.starts_with("guest"),
        }
    }

    /// What it says of the copy.
    fn cases(&self, copy: &Paths) -> Result<Vec<Case>> {
        let mut prepared = Prepared::new(copy);
        match self {
            Self::Test(target) => {
                let mut cargo = run::command(
                    "cargo",
                    ["test", "--locked", "--package", "xen-passthrough"],
                );
                if target == "lib" {
                    cargo.arg("--lib");
                } else {
                    cargo.args(["--test", target]);
                }
                parts::cargo_test(copy, "fault", cargo)
            }
            Self::Verify(name) => {
                // Miri's quick part calls all of the unsafe code, and the rest is slow.
                let quick = name == "miri";
                let level = if quick { Level::Quick } else { Level::Normal };
                super::check(&mut prepared, name, level)
            }
            Self::Part(name) => parts::judge_named(&mut prepared, name),
        }
    }
}

pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    let from = &prepared.paths.root;
    let folder = from.join("tests/faults");
    let faults = list(&paths::read(&folder.join("list"))?)?;
    let mut cases = vec![every_patch_is_listed(&folder, &faults)?];
    let root = prepared.paths.out.join("faults");
    let copy = Paths {
        out: root.join("target/xpt"),
        cache: prepared.paths.cache.clone(),
        root,
    };
    let mut green: BTreeMap<Judge, Option<String>> = BTreeMap::new();
    for fault in faults {
        if fault.judge.is_long() && level < Level::Long {
            continue;
        }
        run::check_stop()?;
        // Without the fault first: what is red by itself tells nothing.
        if !green.contains_key(&fault.judge) {
            sync(from, &copy.root)?;
            let red = failed(fault.judge.cases(&copy));
            green.insert(fault.judge.clone(), red.into_iter().next());
        }
        let name = format!("{} turns {:?} red", fault.name, fault.judge);
        if let Some(Some(line)) = green.get(&fault.judge) {
            cases.push(Case::failed(name, format!("red without it: {line}")));
            continue;
        }
        sync(from, &copy.root)?;
        let patch = folder.join(format!("{}.patch", fault.name));
        if let Err(error) = plant(&patch, &copy) {
            cases.push(Case::failed(name, format!("{error:#}")));
            continue;
        }
        let step = Step::start(format!("fault {}", fault.name));
        let red = failed(fault.judge.cases(&copy));
        let told = red
            .iter()
            .find(|line| fault.sign == "*" || line.contains(&fault.sign));
        step.end(told.is_some());
        cases.push(match told {
            Some(line) => Case::new(name, true, line.chars().take(200).collect::<String>()),
            None => Case::failed(name, format!("nobody saw it; red is: {}", red.join("; "))),
        });
    }
    sync(from, &copy.root)?;
    Ok(cases)
}

/// The lines of the cases that are red.
fn failed(cases: Result<Vec<Case>>) -> Vec<String> {
    match cases {
        Ok(cases) => cases
            .iter()
            .filter(|case| !case.ok)
            .map(|case| case.line().trim().to_owned())
            .collect(),
        Err(error) => vec![format!("{error:#}").replace('\n', " ")],
    }
}

/// Understands the list.
fn list(text: &str) -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(name), Some(judge)) = (words.next(), words.next()) else {
            bail!("`{line}` in tests/faults/list names nothing to turn red");
        };
        let sign = words.collect::<Vec<_>>().join(" ");
        if sign.is_empty() {
            bail!("`{line}` in tests/faults/list has no sign to look for");
        }
        faults.push(Fault {
            name: name.to_owned(),
            judge: Judge::parse(judge)?,
            sign,
        });
    }
    Ok(faults)
}

fn every_patch_is_listed(folder: &Path, faults: &[Fault]) -> Result<Case> {
    let mut patches = BTreeSet::new();
    for entry in fs::read_dir(folder).context("cannot read tests/faults")? {
        if let Some(name) = entry?.file_name().to_string_lossy().strip_suffix(".patch") {
            patches.insert(name.to_owned());
        }
    }
    let listed: BTreeSet<String> = faults.iter().map(|fault| fault.name.clone()).collect();
    let odd: Vec<_> = patches.symmetric_difference(&listed).cloned().collect();
    let enough = faults.len() >= LEAST;
    Ok(Case::new(
        "every patch is listed",
        odd.is_empty() && enough,
        format!("{} faults; {}", faults.len(), odd.join(" ")),
    ))
}

/// Makes the copy what the checkout is, with unchanged files left alone, so that
/// only what differs is built anew.
fn sync(from: &Path, to: &Path) -> Result<()> {
    let mut wanted = BTreeSet::new();
    for name in COPIED {
        for entry in WalkDir::new(from.join(name)) {
            let entry = entry?;
            if !entry.file_type().is_file() {
                continue;
            }
            let inner = entry.path().strip_prefix(from)?.to_path_buf();
            let target = to.join(&inner);
            let content = fs::read(entry.path())
                .with_context(|| format!("cannot read {}", entry.path().display()))?;
            if !fs::read(&target).is_ok_and(|there| there == content) {
                paths::copy_atomic(entry.path(), &target)?;
            }
            wanted.insert(inner);
        }
    }
    for file in others(to, &wanted)? {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}

/// Files of the copy that the checkout has not.
fn others(to: &Path, wanted: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let walk = WalkDir::new(to)
        .into_iter()
        .filter_entry(|entry| entry.path() != to.join("target"));
    for entry in walk {
        let entry = entry?;
        let inner = entry.path().strip_prefix(to)?;
        if entry.file_type().is_file() && !wanted.contains(inner) {
            found.push(entry.path().to_path_buf());
        }
    }
    Ok(found)
}

/// Applies a patch to the copy.
fn plant(patch: &Path, copy: &Paths) -> Result<()> {
    let mut command = run::command("patch", ["-p1", "-s", "-f", "-F0", "-i"]);
    let (status, out, _) = run::output(command.arg(patch).current_dir(&copy.root))?;
    if !status.success() {
        bail!("the patch does not apply, make it anew: {}", out.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_names_what_turns_red() {
        let text = "# head\n\na-fault  test:lib  a case\nb verify:miri *\n";
        let faults = list(text).unwrap();
        assert_eq!(faults[0].judge, Judge::Test("lib".to_owned()));
        assert_eq!(faults[0].sign, "a case");
        assert_eq!(faults[1].judge, Judge::Verify("miri".to_owned()));
        assert!(list("a test:lib").is_err() && list("a").is_err() && list("a odd:x y").is_err());
    }

    #[test]
    fn copy_follows_the_checkout_and_loses_what_was_planted() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for name in COPIED {
            paths::write_atomic(&from.join(name).join("file"), b"a").unwrap();
        }
        sync(&from, &to).unwrap();
        fs::write(to.join("src/file"), "b").unwrap();
        fs::write(to.join("build.rs"), "c").unwrap();
        paths::write_atomic(&to.join("target/kept"), b"d").unwrap();
        sync(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("src/file")).unwrap(), b"a");
        assert!(!to.join("build.rs").exists() && to.join("target/kept").exists());
    }
}
