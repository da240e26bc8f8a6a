// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask verify`: checks that prove or search where a test only tries.
//!
//! Each check gives cases like a part of `cargo xtask test`, written to
//! `target/xpt/reports/verify-<check>.json`. Three depths: quick is part of
//! `cargo xtask test`, long takes hours.

mod faults;
mod fuzz;
mod glue;
mod guest_fuzz;
mod miri;
mod mutants;
mod proofs;
mod stack;
mod supply;
mod tools;

use std::time::Instant;

use anyhow::{Result, bail};
use console::style;

use crate::{
    parts::{self, Prepared},
    paths::Paths,
    progress::{elapsed, say},
    report::{Case, Report},
    run,
};

/// How deep the checks go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// A few minutes in all.
    Quick,
    /// What one runs before a change goes in.
    Normal,
    /// All that there is.
    Long,
}

impl Level {
    /// Of the command line, where both at once are refused.
    pub(crate) fn of_flags(quick: bool, long: bool) -> Self {
        match (quick, long) {
            (true, _) => Self::Quick,
            (false, true) => Self::Long,
            (false, false) => Self::Normal,
        }
    }
}

/// One check. `--only` runs it at any depth.
struct Check {
    name: &'static str,
    /// The least depth at which it runs when all do.
    from: Level,
    run: fn(&mut Prepared<'_>, Level) -> Result<Vec<Case>>,
}

/// In the order in which they run.
const CHECKS: &[Check] = &[
    Check {
        name: "audit",
        from: Level::Normal,
        run: |prepared, _| parts::audit_cases(prepared),
    },
    Check {
        name: "stack",
        from: Level::Quick,
        run: |prepared, _| stack::cases(prepared),
    },
    Check {
        name: "miri",
        from: Level::Quick,
        run: miri::cases,
    },
    Check {
        name: "supply",
        from: Level::Quick,
        run: supply::cases,
    },
    Check {
        name: "c",
        from: Level::Quick,
        run: glue::cases,
    },
    Check {
        name: "proofs",
        from: Level::Normal,
        run: |prepared, _| proofs::cases(prepared),
    },
    Check {
        name: "fuzz",
        from: Level::Normal,
        run: fuzz::cases,
    },
    Check {
        name: "guest-fuzz",
        from: Level::Normal,
        run: guest_fuzz::cases,
    },
    Check {
        name: "mutants",
        from: Level::Normal,
        run: mutants::cases,
    },
    Check {
        name: "faults",
        from: Level::Long,
        run: faults::cases,
    },
];

fn find(name: &str) -> Result<&'static Check> {
    match CHECKS.iter().find(|check| check.name == name) {
        Some(check) => Ok(check),
        None => {
            let names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
            bail!(
                "there is no check {name}; the checks are {}",
                names.join(", ")
            )
        }
    }
}

/// The cases of one check.
fn check(prepared: &mut Prepared<'_>, name: &str, level: Level) -> Result<Vec<Case>> {
    (find(name)?.run)(prepared, level)
}

/// Runs one check and writes its report; a check that cannot run has failed.
fn judge(prepared: &mut Prepared<'_>, check: &Check, level: Level) -> Result<Report> {
    let cases = (check.run)(prepared, level)
        .unwrap_or_else(|error| vec![Case::failed("run", format!("{error:#}").replace('\n', " "))]);
    run::check_stop()?;
    let report = Report::new(&format!("verify-{}", check.name), cases);
    report.write(prepared.paths)?;
    Ok(report)
}

/// The cases of all checks of a depth, for the part `verify` of `cargo xtask test`.
pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for check in CHECKS.iter().filter(|check| check.from <= level) {
        let report = judge(prepared, check, level)?;
        cases.extend(report.cases.into_iter().map(|case| Case {
            name: format!("{}: {}", check.name, case.name),
            ..case
        }));
    }
    Ok(cases)
}

/// `cargo xtask verify`: whether everything passed.
pub(crate) fn verify(paths: &Paths, only: Option<&str>, level: Level) -> Result<bool> {
    let start = Instant::now();
    let checks: Vec<&Check> = match only {
        Some(name) => vec![find(name)?],
        None => CHECKS.iter().filter(|check| check.from <= level).collect(),
    };
    let mut prepared = Prepared::new(paths);
    let mut failed = 0_usize;
    for check in checks {
        let since = Instant::now();
        let report = judge(&mut prepared, check, level)?;
        for case in &report.cases {
            // Named alone, a check shows all that it has seen.
            if only.is_some() || !case.ok {
                say(&case.line());
            }
        }
        let line = format!(
            "{}: {} passed, {} failed ({})",
            check.name,
            report.passed,
            report.failed,
            elapsed(since.elapsed())
        );
        say(&style(line).bold().to_string());
        failed = failed.saturating_add(report.failed);
    }
    say(&format!("total time {}", elapsed(start.elapsed())));
    Ok(failed == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_found_by_name_and_listed_otherwise() {
        for check in CHECKS {
            assert_eq!(find(check.name).unwrap().name, check.name);
        }
        let error = find("nonsense").map(|check| check.name).unwrap_err();
        assert!(error.to_string().contains("audit, stack"), "{error}");
    }

    #[test]
    fn flags_give_the_depth() {
        assert_eq!(Level::of_flags(true, false), Level::Quick);
        assert_eq!(Level::of_flags(false, false), Level::Normal);
        assert_eq!(Level::of_flags(false, true), Level::Long);
        assert!(Level::Quick < Level::Normal && Level::Normal < Level::Long);
    }
}
