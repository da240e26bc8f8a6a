// SPDX-License-Identifier: GPL-2.0-only
//! Fuzzing of the C functions: the targets of `fuzz/`, guided by coverage.
//!
//! The committed corpus is replayed first. What is found on top of it stays in
//! `target/xpt/fuzz/corpus`, so that the next run goes on from there; an input that
//! fails is kept in `target/xpt/fuzz/artifacts`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{Level, tools};
use crate::{
    parts::Prepared,
    paths::{self, Paths},
    prereq::Need,
    progress::Step,
    report::Case,
    run,
};

const CARGO_FUZZ: &str = "0.13.2";

const TARGETS: [&str; 5] = ["vpci_search", "vpci_device", "msix", "access", "physdev"];

const HOST: &str = "x86_64-unknown-linux-gnu";

/// Of the lines of `src/` outside ffi and its tests, the fuzzers get to so many in a
/// hundred, with what they find in a minute each.
const LEAST: u64 = 85;

impl Level {
    /// For which each target looks for more than is known: 35 minutes in all at most.
    fn fuzz_seconds(self) -> u32 {
        match self {
            Self::Quick => 5,
            Self::Normal => 60,
            Self::Long => 420,
        }
    }
}

pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    prepared.ensure(&[Need::Rust])?;
    let paths = prepared.paths;
    let fuzz = Fuzz {
        paths,
        nightly: tools::nightly(paths)?,
        program: tools::tool(paths, "cargo-fuzz", CARGO_FUZZ)?,
    };
    fuzz.build()?;
    let mut cases = Vec::new();
    for target in TARGETS {
        cases.push(fuzz.run(target, level)?);
    }
    if level > Level::Quick && cases.iter().all(|case| case.ok) {
        cases.push(fuzz.coverage()?);
    }
    Ok(cases)
}

struct Fuzz<'a> {
    paths: &'a Paths,
    nightly: &'static str,
    program: PathBuf,
}

impl Fuzz<'_> {
    fn out(&self) -> PathBuf {
        self.paths.out.join("fuzz")
    }

    /// The corpus that is grown, and the committed one.
    fn corpora(&self, target: &str) -> [PathBuf; 2] {
        [
            self.out().join("corpus").join(target),
            self.paths.root.join("fuzz/corpus").join(target),
        ]
    }

    fn cargo_fuzz(&self, args: &[&str]) -> Result<std::process::Command> {
        let program = self.program.to_str().context("a path that is no text")?;
        let mut command = tools::with(self.nightly, program, args);
        command
            .env("CARGO_TARGET_DIR", self.out().join("target"))
            .current_dir(self.paths.root.join("fuzz"));
        Ok(command)
    }

    fn build(&self) -> Result<()> {
        let step = Step::start("fuzz targets: build");
        let log = self.paths.log("fuzz-build")?;
        let _ = fs::remove_file(&log);
        run::must(
            &mut self.cargo_fuzz(&["build"])?,
            &log,
            &step,
            "cargo fuzz build",
        )?;
        step.done("");
        Ok(())
    }

    /// Replays the corpora of one target, and looks further for a while.
    fn run(&self, target: &str, level: Level) -> Result<Case> {
        let seconds = level.fuzz_seconds();
        let step = Step::start(format!("fuzz {target} for {seconds} s"));
        let log = self.paths.log(&format!("fuzz-{target}"))?;
        let _ = fs::remove_file(&log);
        let [grown, committed] = self.corpora(target);
        paths::make_dir(&grown)?;
        if !fs::read_dir(&committed).is_ok_and(|mut files| files.next().is_some()) {
            bail!("{} is empty; restore it from git", committed.display());
        }
        let artifacts = self.out().join("artifacts").join(target);
        paths::make_dir(&artifacts)?;
        let binary = self.out().join("target").join(HOST).join("release");
        let mut command = run::command(binary.join(target), [&grown, &committed]);
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-timeout=10", "-print_final_stats=1"]);
        let status = run::to_log(&mut command, &log, &step)?;
        step.end(status.success());
        let text = run::text_from(&log, 0);
        Ok(judge(target, status.success(), &text, &log))
    }

    /// Which lines of the core the corpora get to.
    fn coverage(&self) -> Result<Case> {
        let step = Step::start("fuzz targets: coverage");
        let log = self.paths.log("fuzz-coverage")?;
        let _ = fs::remove_file(&log);
        let mut profiles = Vec::new();
        for target in TARGETS {
            let [grown, committed] = self.corpora(target).map(|dir| dir.display().to_string());
            let mut command = self.cargo_fuzz(&["coverage", target, &grown, &committed])?;
            run::must(&mut command, &log, &step, "cargo fuzz coverage")?;
            let dir = self.paths.root.join("fuzz/coverage").join(target);
            profiles.push(dir.join("coverage.profdata"));
        }
        let (_, sysroot, _) = run::output(&mut tools::with(
            self.nightly,
            "rustc",
            &["--print", "sysroot"],
        ))?;
        let bin = Path::new(sysroot.trim()).join(format!("lib/rustlib/{HOST}/bin"));
        let merged = self.out().join("coverage.profdata");
        let mut merge = run::command(bin.join("llvm-profdata"), ["merge", "-sparse", "-o"]);
        merge.arg(&merged).args(&profiles);
        run::must(&mut merge, &log, &step, "llvm-profdata")?;
        let mut export = run::command(bin.join("llvm-cov"), ["export", "-summary-only"]);
        export.arg(format!("-instr-profile={}", merged.display()));
        let binaries = self.out().join("target").join(HOST).join("coverage");
        for (number, target) in TARGETS.into_iter().enumerate() {
            if number > 0 {
                export.arg("-object");
            }
            export.arg(binaries.join(HOST).join("release").join(target));
        }
        let (status, text, errors) = run::output(&mut export)?;
        if !status.success() {
            let why = run::first_error(&errors).unwrap_or_else(|| status.to_string());
            bail!("llvm-cov: {why}");
        }
        step.done("");
        covered(&self.paths.root.join("src"), &text)
    }
}

/// What one target came to.
fn judge(target: &str, good: bool, text: &str, log: &Path) -> Case {
    let stat = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|rest| rest.trim_start_matches(':').trim().to_owned())
    };
    let coverage = text
        .lines()
        .rev()
        .find_map(|line| line.split_once(" cov: ")?.1.split(' ').next());
    if good
        && let Some(runs) = stat("stat::number_of_executed_units")
        && let Some(coverage) = coverage
    {
        return Case::new(target, true, format!("{runs} runs, {coverage} edges"));
    }
    let why = text
        .lines()
        .skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR: "))
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    let input = text
        .lines()
        .find_map(|line| line.split_once("Test unit written to "))
        .map_or("", |(_, file)| file);
    Case::failed(
        target,
        format!("{why} input {input} (see {})", log.display()),
    )
}

/// The lines that were covered, out of what `llvm-cov export` prints.
fn covered(src: &Path, text: &str) -> Result<Case> {
    let report: serde_json::Value = serde_json::from_str(text).context("llvm-cov's output")?;
    let files = report
        .pointer("/data/0/files")
        .and_then(serde_json::Value::as_array);
    let (mut all, mut hit, mut least) = (0, 0, (101, String::new()));
    for file in files.into_iter().flatten() {
        let name = file.pointer("/filename").and_then(|name| name.as_str());
        let name = Path::new(name.unwrap_or(""));
        let Ok(inner) = name.strip_prefix(src) else {
            continue;
        };
        if inner.starts_with("ffi") || inner.starts_with("vpci/tests") {
            continue;
        }
        let lines = |what: &str| {
            let number = file.pointer(&format!("/summary/lines/{what}"));
            number.and_then(serde_json::Value::as_u64).unwrap_or(0)
        };
        let (count, covered) = (lines("count"), lines("covered"));
        all += count;
        hit += covered;
        let share = (covered * 100).checked_div(count).unwrap_or(100);
        if share < least.0 {
            least = (share, inner.display().to_string());
        }
    }
    let share = (hit * 100).checked_div(all).unwrap_or(0);
    Ok(Case::new(
        "coverage",
        share >= LEAST,
        format!(
            "{hit} of {all} lines of the core ({share} %), least of {} ({} %); {LEAST} % are due",
            least.1, least.0
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_of_a_target_is_read() {
        let log = Path::new("log");
        let text = "#5\tDONE   cov: 338 ft: 18 corp: 7/88b\nDone 5 runs\n\
                    stat::number_of_executed_units: 546581\n";
        assert_eq!(
            judge("msix", true, text, log),
            Case::new("msix", true, "546581 runs, 338 edges")
        );
        assert!(!judge("msix", true, "", log).ok);
        let text = "x\nthread '<unnamed>' (1) panicked at fuzz_targets/msix.rs:317:9:\nleft is 5\n\
                    artifact_prefix='a/'; Test unit written to a/crash-1\n";
        let case = judge("msix", false, text, log);
        assert!(
            !case.ok && case.detail.contains("317:9: left is 5"),
            "{case:?}"
        );
        assert!(case.detail.contains("input a/crash-1"), "{case:?}");
    }

    #[test]
    fn coverage_is_that_of_the_core() {
        let file = |name: &str, count: u64, covered: u64| {
            format!(
                r#"{{"filename":"{name}","summary":{{"lines":{{"count":{count},"covered":{covered}}}}}}}"#
            )
        };
        let text = format!(
            r#"{{"data":[{{"files":[{},{},{},{}]}}]}}"#,
            file("/a/src/gsi.rs", 100, 99),
            file("/a/src/vpci/bar.rs", 100, 71),
            file("/a/src/ffi/gsi.rs", 100, 0),
            file("/b/src/lib.rs", 100, 0),
        );
        let case = covered(Path::new("/a/src"), &text).unwrap();
        assert!(case.ok, "{case:?}");
        assert!(
            case.detail
                .starts_with("170 of 200 lines of the core (85 %)")
        );
        assert!(case.detail.contains("vpci/bar.rs (71 %)"));
        assert!(!covered(Path::new("/c"), &text).unwrap().ok);
    }
}
