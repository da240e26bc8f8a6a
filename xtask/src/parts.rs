// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask boot`, `test` and `audit`: what each judges, and in which order.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use console::style;

use crate::{
    build::{self, Guest},
    dom0,
    guest::End,
    paths::{Kind, Paths},
    prereq::{self, Need},
    progress::{Step, elapsed, say},
    qemu::{self, Boot, Job},
    report::{Case, Report},
    rows::{ROWS, Row},
    run,
    series::Series,
    source, table,
    verify::{self, Level},
};

/// A part of `cargo xtask test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Fmt,
    Clippy,
    Host,
    Ffi,
    Audit,
    Twin,
    Verify,
    Guest(Series),
    Dom0,
}

impl Part {
    /// In the order in which they run: the quick ones first.
    const ALL: [Self; 10] = [
        Self::Fmt,
        Self::Clippy,
        Self::Host,
        Self::Ffi,
        Self::Audit,
        Self::Twin,
        Self::Verify,
        Self::Guest(Series::V4_17),
        Self::Guest(Series::V4_20),
        Self::Dom0,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Host => "host",
            Self::Ffi => "ffi",
            Self::Audit => "audit",
            Self::Twin => "twin",
            Self::Verify => "verify",
            Self::Guest(Series::V4_17) => "guest-4.17",
            Self::Guest(Series::V4_20) => "guest-4.20",
            Self::Dom0 => "dom0",
        }
    }

    fn find(name: &str) -> Result<Self> {
        // The header check is one of the host tests.
        let name = if name == "header" { "host" } else { name };
        match Self::ALL.into_iter().find(|part| part.name() == name) {
            Some(part) => Ok(part),
            None => {
                let names = Self::ALL.map(Self::name).join(", ");
                bail!("there is no part {name}; the parts are {names}")
            }
        }
    }
}

/// One run of a command: what was made ready is made ready once.
pub(crate) struct Prepared<'a> {
    pub(crate) paths: &'a Paths,
    ready: Vec<Need>,
    object: Option<std::result::Result<(), String>>,
    guests: Option<Vec<Guest>>,
    hypervisors: BTreeMap<(Series, Kind), ()>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(paths: &'a Paths) -> Self {
        Self {
            paths,
            ready: Vec::new(),
            object: None,
            guests: None,
            hypervisors: BTreeMap::new(),
        }
    }

    /// Checks what `needs` asks for, once.
    pub(crate) fn ensure(&mut self, needs: &[Need]) -> Result<()> {
        let new: Vec<Need> = needs
            .iter()
            .copied()
            .filter(|need| !self.ready.contains(need))
            .collect();
        if !new.is_empty() {
            prereq::ensure(self.paths, &new)?;
            self.ready.extend(new);
        }
        Ok(())
    }

    /// Builds the object for Xen; a failure is remembered, not repeated.
    pub(crate) fn object(&mut self) -> Result<()> {
        self.ensure(&[Need::Rust, Need::Build])?;
        let paths = self.paths;
        let result = self.object.get_or_insert_with(|| {
            build::check_checkout(paths)
                .and_then(|()| build::object(paths))
                .map_err(|error| format!("{error:#}"))
        });
        result.clone().map_err(anyhow::Error::msg)
    }

    pub(crate) fn guests(&mut self) -> Result<Vec<Guest>> {
        if let Some(guests) = &self.guests {
            return Ok(guests.clone());
        }
        self.ensure(&[Need::Build])?;
        let guests = build::guests(self.paths)?;
        self.guests = Some(guests.clone());
        Ok(guests)
    }

    pub(crate) fn hypervisor(&mut self, series: Series, kind: Kind) -> Result<()> {
        if self.hypervisors.contains_key(&(series, kind)) {
            return Ok(());
        }
        self.ensure(&[Need::Fetch, Need::Build])?;
        if kind != Kind::Vanilla {
            self.object()?;
        }
        build::hypervisor(self.paths, series, kind)?;
        self.hypervisors.insert((series, kind), ());
        Ok(())
    }

    /// Runs `scenarios` of the Linux dom0 on the `kinds` of Xen 4.20.
    fn dom0(
        &mut self,
        kinds: &[Kind],
        scenarios: &[&'static dom0::Scenario],
    ) -> Result<Vec<dom0::Outcome>> {
        self.ensure(&[
            Need::Rust,
            Need::Build,
            Need::Fetch,
            Need::Qemu,
            Need::Image,
        ])?;
        let ready = dom0::prepare(self.paths)?;
        for &kind in kinds {
            self.hypervisor(Series::V4_20, kind)?;
        }
        dom0::run_all(self.paths, &ready, kinds, scenarios)
    }

    /// Boots the guest tests on both hypervisors of each of `series`: those that
    /// the rows ask, and with `every` the others too, on the ones with the crate.
    fn boot(&mut self, all: &[Series], every: bool) -> Result<Vec<Boot>> {
        self.ensure(&[Need::Rust, Need::Build, Need::Fetch, Need::Qemu])?;
        // What fails soon is done first: the network, then the small builds.
        for &series in all {
            source::fetch(self.paths, series)?;
        }
        self.object()?;
        let guests = self.guests()?;
        let mut jobs = Vec::new();
        for &series in all {
            for kind in [Kind::Vanilla, Kind::Xpt] {
                self.hypervisor(series, kind)?;
                let asked = guests.iter().filter(|guest| {
                    (every && kind == Kind::Xpt) || ROWS.iter().any(|row| row.test() == guest.name)
                });
                jobs.extend(asked.cloned().map(|guest| Job {
                    series,
                    kind,
                    guest,
                }));
            }
        }
        let names: Vec<&str> = all.iter().map(|series| series.name()).collect();
        let step = Step::start(format!(
            "boot {} times on Xen {}",
            jobs.len(),
            names.join(" and ")
        ));
        qemu::prepare(self.paths)?;
        let boots = qemu::boot_all(self.paths, jobs, &step)?;
        step.done("");
        Ok(boots)
    }
}

/// What a boot has to say about one case.
pub(crate) enum Seen<'a> {
    /// The guest's answer, and whether the guest took it.
    Answer { text: &'a str, ok: bool },
    /// None came.
    Nothing { why: String, died: bool },
}

impl Seen<'_> {
    /// As it stands in the table.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Answer { text, .. } => (*text).to_owned(),
            Self::Nothing { why, died: true } => format!("no answer (Xen died: {why})"),
            Self::Nothing { why, died: false } => format!("no answer ({why})"),
        }
    }
}

/// Looks up a row's case among the boots of one hypervisor.
pub(crate) fn look<'a>(boots: &'a [Boot], series: Series, kind: Kind, row: &Row) -> Seen<'a> {
    let boot = boots.iter().find(|boot| {
        boot.job.series == series && boot.job.kind == kind && boot.job.guest.name == row.test()
    });
    let Some(boot) = boot else {
        return Seen::Nothing {
            why: format!("there is no guest test {}", row.test()),
            died: false,
        };
    };
    let answer = boot
        .console
        .answers
        .iter()
        .find(|answer| answer.id == row.case);
    match (answer, &boot.end) {
        (Some(answer), _) => Seen::Answer {
            text: &answer.answer,
            ok: answer.ok,
        },
        (None, End::Died(why)) => Seen::Nothing {
            why: why.clone(),
            died: true,
        },
        (None, End::TimedOut) => Seen::Nothing {
            why: format!("it hung; last lines: {}", boot.console.tail(3)),
            died: false,
        },
        (None, End::Result(result)) => Seen::Nothing {
            why: format!("the guest never asked; its result was {result}"),
            died: false,
        },
    }
}

/// What is wrong with what was seen for a row, if anything.
pub(crate) fn judge_row(row: &Row, series: Series, kind: Kind, seen: &Seen<'_>) -> Option<String> {
    // The unmodified hypervisor is to show the problem, so its guest may complain.
    let taken = match seen {
        Seen::Answer { ok, .. } => *ok || kind == Kind::Vanilla,
        Seen::Nothing { .. } => kind == Kind::Vanilla,
    };
    let good = taken && row.is_expected(series, kind, &seen.text());
    (!good).then(|| format!("expected {}", row.expected(series, kind)))
}

/// `cargo xtask boot`: whether every row is as it should be.
pub(crate) fn boot(paths: &Paths, all: &[Series]) -> Result<bool> {
    let start = Instant::now();
    let boots = Prepared::new(paths).boot(all, false)?;
    let mut wrong = 0_usize;
    for &series in all {
        let (text, bad) = table::render(&boots, series);
        say(&text);
        wrong = wrong.saturating_add(bad);
    }
    say(&format!(
        "The hypervisors are target/xpt/<version>/<vanilla|xpt>/xen, what they printed is in {}.",
        paths.out.join("logs/guest").display()
    ));
    let rows = ROWS.len().saturating_mul(all.len());
    let time = elapsed(start.elapsed());
    if wrong == 0 {
        say(&format!("All {rows} rows are as they should be ({time})."));
    } else {
        say(&format!(
            "{wrong} of {rows} rows are not as they should be, marked with <- ({time})."
        ));
    }
    Ok(wrong == 0)
}

/// `cargo xtask dom0`: whether every scenario went as it should.
pub(crate) fn dom0(paths: &Paths, scenario: Option<&str>, without: bool) -> Result<bool> {
    let start = Instant::now();
    let scenarios = dom0::choose(scenario)?;
    let kinds: &[Kind] = if without {
        &[Kind::Vanilla]
    } else {
        &[Kind::Vanilla, Kind::Xpt]
    };
    let outcomes = Prepared::new(paths).dom0(kinds, &scenarios)?;
    let (text, bad) = dom0::render(&outcomes, kinds);
    say(&text);
    say(&format!(
        "What was printed is in {}, the reports in {}.",
        paths.out.join("logs/dom0").display(),
        paths.out.join("reports").display()
    ));
    let time = elapsed(start.elapsed());
    let all = outcomes.len();
    if bad == 0 {
        say(&format!("All {all} are as they should be ({time})."));
    } else {
        say(&format!(
            "{bad} of {all} are not as they should be, marked with <- ({time})."
        ));
    }
    Ok(bad == 0)
}

/// `cargo xtask test`: whether everything passed.
pub(crate) fn test(paths: &Paths, only: Option<&str>) -> Result<bool> {
    let start = Instant::now();
    let parts = match only {
        Some(name) => vec![Part::find(name)?],
        None => Part::ALL.to_vec(),
    };
    let mut prepared = Prepared::new(paths);
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for part in parts {
        let cases = judge(&mut prepared, part).unwrap_or_else(|error| {
            vec![Case::failed("run", format!("{error:#}").replace('\n', " "))]
        });
        run::check_stop()?;
        let report = Report::new(part.name(), cases);
        report.write(paths)?;
        for case in report.cases.iter().filter(|case| !case.ok) {
            say(&case.line());
        }
        let line = format!(
            "{}: {} passed, {} failed",
            part.name(),
            report.passed,
            report.failed
        );
        say(&style(line).bold().to_string());
        passed = passed.saturating_add(report.passed);
        failed = failed.saturating_add(report.failed);
    }
    say(&format!("total time {}", elapsed(start.elapsed())));
    say(&format!("{passed} passed, {failed} failed"));
    Ok(failed == 0)
}

/// `cargo xtask audit`: whether the object may be linked.
pub(crate) fn audit(paths: &Paths) -> Result<bool> {
    let mut prepared = Prepared::new(paths);
    let built = prepared.object();
    if built.is_err() && !paths.archive().is_file() {
        return built.map(|()| false);
    }
    let cases = build::audit(paths)?;
    for case in &cases {
        say(&case.line());
    }
    say(&build::sizes(paths)?);
    built?;
    Ok(cases.iter().all(|case| case.ok))
}

/// The cases of the part called `name`.
pub(crate) fn judge_named(prepared: &mut Prepared<'_>, name: &str) -> Result<Vec<Case>> {
    judge(prepared, Part::find(name)?)
}

fn judge(prepared: &mut Prepared<'_>, part: Part) -> Result<Vec<Case>> {
    match part {
        Part::Fmt => cargo_check(prepared, "fmt", &["fmt", "--all", "--check"]),
        Part::Clippy => cargo_check(
            prepared,
            "clippy",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
        ),
        Part::Host => host(prepared),
        Part::Ffi => ffi(prepared),
        Part::Audit => audit_cases(prepared),
        Part::Twin => twin(prepared),
        Part::Verify => verify::cases(prepared, Level::Quick),
        Part::Guest(series) => guest(prepared, series),
        Part::Dom0 => linux(prepared),
    }
}

/// A cargo command that only succeeds or fails.
fn cargo_check(prepared: &mut Prepared<'_>, name: &str, args: &[&str]) -> Result<Vec<Case>> {
    prepared.ensure(&[Need::Rust])?;
    let step = Step::start(format!("cargo {name}"));
    let log = prepared.paths.log(name)?;
    let _ = fs::remove_file(&log);
    let mut cargo = run::command("cargo", args);
    cargo.current_dir(&prepared.paths.root);
    let result = run::must(
        &mut cargo,
        &log,
        &step,
        &format!("cargo {}", args.join(" ")),
    );
    Ok(vec![match result {
        Ok(()) => {
            step.done("");
            Case::new(name, true, "")
        }
        Err(error) => {
            drop(step);
            Case::failed(name, format!("{error:#}"))
        }
    }])
}

/// The tests of the workspace, one case each.
fn host(prepared: &mut Prepared<'_>) -> Result<Vec<Case>> {
    prepared.ensure(&[Need::Rust])?;
    let mut cases = cargo_test(
        prepared.paths,
        "host",
        run::command("cargo", ["test", "--workspace", "--no-fail-fast"]),
    )?;
    // Other flags rebuild everything, so this one has a folder of its own.
    let mut loom = run::command(
        "cargo",
        [
            "test",
            "--release",
            "--package",
            "xen-passthrough",
            "--test",
            "loom_gsi",
        ],
    );
    loom.env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", prepared.paths.out.join("loom"));
    cases.extend(cargo_test(prepared.paths, "loom", loom)?);
    Ok(cases)
}

/// Runs the tests of one cargo command, a case each.
pub(crate) fn cargo_test(
    paths: &Paths,
    name: &str,
    mut cargo: std::process::Command,
) -> Result<Vec<Case>> {
    let step = Step::start(format!("cargo test: {name}"));
    let log = paths.log(name)?;
    let _ = fs::remove_file(&log);
    cargo.current_dir(&paths.root);
    let status = run::to_log(&mut cargo, &log, &step)?;
    step.end(status.success());
    let mut cases = test_cases(&run::text_from(&log, 0));
    if !status.success() && cases.iter().all(|case| case.ok) {
        let error = run::failure("cargo test", status, &log, 0);
        cases.push(Case::failed("cargo test", format!("{error:#}")));
    } else if cases.is_empty() {
        cases.push(Case::failed("cargo test", "ran no test"));
    }
    Ok(cases)
}

/// The cases in what `cargo test` prints, each named with its target.
fn test_cases(text: &str) -> Vec<Case> {
    let mut target = String::new();
    let mut cases = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("Running ") {
            // "unittests src/lib.rs (target/debug/deps/name-0123)"
            let binary = rest.rsplit(['/', '(']).next().unwrap_or(rest);
            let name = binary.trim_end_matches(')');
            target = name
                .rsplit_once('-')
                .map_or(name, |(name, _)| name)
                .to_owned();
        } else if let Some(rest) = line.strip_prefix("Doc-tests ") {
            target = format!("doc {rest}");
        } else if let Some(rest) = line.strip_prefix("test ") {
            let Some((name, verdict)) = rest.rsplit_once(" ... ") else {
                continue;
            };
            let ok = match verdict {
                "ok" => true,
                _ if verdict.starts_with("FAILED") => false,
                _ => continue,
            };
            let detail = if ok { "" } else { "see target/xpt/logs" };
            cases.push(Case::new(format!("{target}: {name}"), ok, detail));
        }
    }
    cases
}

/// The C programs that call the library, with both compilers.
fn ffi(prepared: &mut Prepared<'_>) -> Result<Vec<Case>> {
    prepared.ensure(&[Need::Rust, Need::Build, Need::Fetch])?;
    let paths = prepared.paths;
    let (v4_17, _) = build::source_tree(paths, Series::V4_17)?;
    let (v4_20, _) = build::source_tree(paths, Series::V4_20)?;
    let mut cases = Vec::new();
    for compiler in ["gcc", "clang"] {
        if compiler == "clang"
            && let Err(error) = prepared.ensure(&[Need::Clang])
        {
            cases.push(Case::failed("clang/run", format!("{error:#}")));
            continue;
        }
        let trees = [("XEN_417", v4_17.as_path()), ("XEN_420", &v4_20)];
        let found = c_cases(paths, "ffi", compiler, "check", &trees)?;
        let prefix = format!("{compiler}/");
        cases.extend(found.into_iter().map(|case| Case {
            name: format!("{prefix}{}", case.name.trim_start_matches(&prefix)),
            ..case
        }));
    }
    Ok(cases)
}

/// Xen's vPCI in user space: its own unit test, and unmodified Xen's C beside
/// the crate.
fn twin(prepared: &mut Prepared<'_>) -> Result<Vec<Case>> {
    prepared.ensure(&[Need::Rust, Need::Build, Need::Fetch, Need::Valgrind])?;
    prepared.object()?;
    let paths = prepared.paths;
    let (v4_17, _) = build::source_tree(paths, Series::V4_17)?;
    let (v4_20, _) = build::source_tree(paths, Series::V4_20)?;
    let xpt_4_17 = build::patched_tree(paths, Series::V4_17)?;
    let xpt_4_20 = build::patched_tree(paths, Series::V4_20)?;
    let trees = [
        ("XEN_417", v4_17.as_path()),
        ("XEN_420", &v4_20),
        ("XPT_417", &xpt_4_17),
        ("XPT_420", &xpt_4_20),
    ];
    c_cases(paths, "twin", "gcc", "twin", &trees)
}

/// Runs a goal of `ffi-tests/Makefile`: the cases that it prints, and one more
/// if it fails without one.
fn c_cases(
    paths: &Paths,
    name: &str,
    compiler: &str,
    goal: &str,
    trees: &[(&str, &Path)],
) -> Result<Vec<Case>> {
    let step = Step::start(format!("{name} tests with {compiler}"));
    let log = paths.log(&format!("{name}-{compiler}"))?;
    let _ = fs::remove_file(&log);
    let mut make = build::make(&paths.root.join("ffi-tests"));
    make.arg("-k")
        .arg(format!(
            "O={}",
            paths.out.join("ffi").join(compiler).display()
        ))
        .arg(format!("CC={compiler}"))
        .args(
            trees
                .iter()
                .map(|(name, tree)| format!("{name}={}", tree.display())),
        )
        .arg(goal);
    let status = run::to_log(&mut make, &log, &step)?;
    step.end(status.success());
    let text = run::text_from(&log, 0);
    let mut found: Vec<Case> = text.lines().filter_map(Case::of_line).collect();
    if !status.success() && found.iter().all(|case| case.ok) {
        let error = run::failure(&format!("make {goal}"), status, &log, 0);
        found.push(Case::failed("make", format!("{error:#}")));
    } else if found.is_empty() {
        found.push(Case::failed("make", "printed no case"));
    }
    Ok(found)
}

pub(crate) fn audit_cases(prepared: &mut Prepared<'_>) -> Result<Vec<Case>> {
    // The archive may be one that an earlier state of the source gave.
    let _ = fs::remove_file(prepared.paths.archive());
    prepared.object = None;
    let built = prepared.object();
    let mut cases = if prepared.paths.archive().is_file() {
        build::audit(prepared.paths)?
    } else {
        Vec::new()
    };
    let verdict = match built {
        Ok(()) => Case::new("build.sh", true, ""),
        Err(error) => {
            // An object that does not pass is not kept: what it failed is in the log.
            let text = run::text_from(&prepared.paths.log("object")?, 0);
            let last = text.rsplit("\n$ ").next().unwrap_or("");
            cases.extend(last.lines().filter_map(Case::of_line));
            Case::failed("build.sh", format!("{error:#}"))
        }
    };
    cases.push(verdict);
    Ok(cases)
}

/// Every guest test on both hypervisors of one series.
fn guest(prepared: &mut Prepared<'_>, series: Series) -> Result<Vec<Case>> {
    let boots = prepared
        .boot(&[series], true)
        .context("the guests could not boot")?;
    let mut cases = Vec::new();
    for boot in boots.iter().filter(|boot| boot.job.kind == Kind::Xpt) {
        for answer in &boot.console.answers {
            let detail = match &answer.want {
                Some(want) => format!("{} instead of {want}", answer.answer),
                None => answer.answer.clone(),
            };
            cases.push(Case::new(answer.id.as_str(), answer.ok, detail));
        }
        let name = format!("{}/result", boot.job.guest.name);
        cases.push(match &boot.end {
            End::Result(result) => Case::new(name, result.starts_with("SUCCESS"), result.as_str()),
            End::Died(why) => {
                Case::failed(name, format!("died: {why} (see {})", boot.log.display()))
            }
            End::TimedOut => Case::failed(
                name,
                format!(
                    "hung; last lines: {} (see {})",
                    boot.console.tail(8),
                    boot.log.display()
                ),
            ),
        });
    }
    for row in ROWS {
        let seen = look(&boots, series, Kind::Xpt, row);
        if let Some(wrong) = judge_row(row, series, Kind::Xpt, &seen) {
            let detail = format!("{} ({wrong})", seen.text());
            cases.push(Case::failed(format!("row:{}", row.case), detail));
        }
        let seen = look(&boots, series, Kind::Vanilla, row);
        let wrong = judge_row(row, series, Kind::Vanilla, &seen);
        let detail = match &wrong {
            Some(wrong) => format!("{} ({wrong})", seen.text()),
            None => seen.text(),
        };
        cases.push(Case::new(
            format!("vanilla:{}", row.case),
            wrong.is_none(),
            detail,
        ));
    }
    Ok(cases)
}

/// The first scenarios of the Linux dom0. What unmodified Xen does there is for
/// `cargo xtask dom0`: a device that it has lost is missing in all that follows.
fn linux(prepared: &mut Prepared<'_>) -> Result<Vec<Case>> {
    let outcomes = prepared.dom0(&[Kind::Xpt], &dom0::quick())?;
    Ok(dom0::cases(&outcomes, Kind::Xpt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_by_name_and_listed_otherwise() {
        for part in Part::ALL {
            assert_eq!(Part::find(part.name()).unwrap(), part);
        }
        let error = Part::find("nonsense").unwrap_err().to_string();
        assert!(
            error.contains(
                "fmt, clippy, host, ffi, audit, twin, verify, guest-4.17, guest-4.20, dom0"
            ),
            "{error}"
        );
    }

    #[test]
    fn cargo_test_output_gives_cases_with_their_target() {
        let text = "   Compiling x\n     Running unittests src/lib.rs (target/debug/deps/xen_passthrough-0a1b)\n\n\
                    running 3 tests\ntest pirq::tests::a ... ok\ntest b ... FAILED\ntest c ... ignored\n\
                    test result: FAILED. 1 passed; 1 failed\n\
                    \x20    Running tests/header.rs (target/debug/deps/header-99)\ntest d - should panic ... ok\n\
                    \x20  Doc-tests xen_passthrough\ntest src/lib.rs - (line 3) ... ok\n";
        let cases = test_cases(text);
        let short: Vec<_> = cases
            .iter()
            .map(|case| (case.name.as_str(), case.ok))
            .collect();
        assert_eq!(
            short,
            [
                ("xen_passthrough: pirq::tests::a", true),
                ("xen_passthrough: b", false),
                ("header: d - should panic", true),
                ("doc xen_passthrough: src/lib.rs - (line 3)", true),
            ]
        );
    }
}
