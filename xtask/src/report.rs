// SPDX-License-Identifier: GPL-2.0-only
//! The verdict of one part of `cargo xtask test`.

use anyhow::Result;
use serde::Serialize;

use crate::paths::{self, Paths};

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Case {
    /// Unique within its part.
    pub(crate) name: String,
    /// Whether it is as it should be.
    pub(crate) ok: bool,
    /// What was seen.
    pub(crate) detail: String,
}

impl Case {
    /// A case with its verdict.
    pub(crate) fn new(name: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ok,
            detail: detail.into(),
        }
    }

    /// A case that is not as it should be.
    pub(crate) fn failed(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, false, detail)
    }

    /// From `ok <name> <detail>` or `FAIL <name> <detail>`.
    pub(crate) fn of_line(line: &str) -> Option<Self> {
        let (verdict, rest) = line.trim().split_once(' ')?;
        let ok = match verdict {
            "ok" => true,
            "FAIL" => false,
            _ => return None,
        };
        let (name, detail) = rest.split_once(' ').unwrap_or((rest, ""));
        Some(Self::new(name, ok, detail.trim()))
    }

    /// The case as one line of text.
    pub(crate) fn line(&self) -> String {
        let verdict = if self.ok { "ok  " } else { "FAIL" };
        format!("  {verdict} {} {}", self.name, self.detail)
            .trim_end()
            .to_owned()
    }
}

/// A part with its cases, as it is written to `target/xpt/reports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    name: String,
    /// How many cases are as they should be.
    pub(crate) passed: usize,
    /// How many are not.
    pub(crate) failed: usize,
    /// All of them.
    pub(crate) cases: Vec<Case>,
}

impl Report {
    /// Counts `cases`; a part that judged nothing has failed.
    pub(crate) fn new(name: &str, mut cases: Vec<Case>) -> Self {
        if cases.is_empty() {
            cases.push(Case::failed("cases", "nothing was judged"));
        }
        let passed = cases.iter().filter(|case| case.ok).count();
        Self {
            name: name.to_owned(),
            passed,
            failed: cases.len().saturating_sub(passed),
            cases,
        }
    }

    /// Writes the report where other tools look for it.
    pub(crate) fn write(&self, paths: &Paths) -> Result<()> {
        let file = paths
            .out
            .join("reports")
            .join(format!("{}.json", self.name));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        paths::write_atomic(&file, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_checks_become_cases() {
        assert_eq!(
            Case::of_line("ok undefined-symbols memcpy memset"),
            Some(Case::new("undefined-symbols", true, "memcpy memset"))
        );
        assert_eq!(
            Case::of_line("FAIL frames 600 of 512"),
            Some(Case::failed("frames", "600 of 512"))
        );
        assert_eq!(Case::of_line("ok x"), Some(Case::new("x", true, "")));
        assert_eq!(Case::of_line("gcc -c x.c"), None);
    }

    #[test]
    fn report_has_the_documented_form() {
        let report = Report::new(
            "host",
            vec![Case::new("a", true, ""), Case::failed("b", "why")],
        );
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"name":"host","passed":1,"failed":1,"cases":[{"name":"a","ok":true,"detail":""},{"name":"b","ok":false,"detail":"why"}]}"#
        );
        assert_eq!(Report::new("x", Vec::new()).failed, 1);
    }
}
