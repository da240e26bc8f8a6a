// SPDX-License-Identifier: GPL-2.0-only
//! The glue's C: compiled with Xen's own flags and `-Wextra`, and gone through by
//! two static analysers, gcc's and clang's, in both versions' trees.
//!
//! cppcheck 2.10 of Debian 12 stops at Xen's headers, so it is not among them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use super::Level;
use crate::{
    build, glue,
    parts::Prepared,
    paths::{Kind, Paths},
    prereq::Need,
    progress::Step,
    report::Case,
    run,
    series::Series,
};

/// Warnings that the glue may have: file, flag, how many, and why.
const EXCEPTIONS: [(&str, &str, usize, &str); 4] = [
    (
        "xpt-gsi.c",
        "-Wold-style-declaration",
        1,
        "Xen's __initcall() puts static where it likes",
    ),
    (
        "xpt-gsi.c",
        "-Wsign-compare",
        2,
        "an interrupt that was found, and so is not negative, beside a GSI",
    ),
    (
        "xpt-map.c",
        "-Wsign-compare",
        3,
        "Xen's `rc ?: bits`, as xpt_device_worked() takes either",
    ),
    (
        "*",
        "-Wunused-parameter",
        usize::MAX,
        "handlers have the parameters that Xen's callers pass",
    ),
];

/// Options of gcc's that clang has for the same, or that do not change the meaning.
const CLANG_KEEPS: [&str; 8] = [
    "-D",
    "-I",
    "-std=",
    "-m64",
    "-nostdinc",
    "-fno-builtin",
    "-include",
    "./include/",
];

pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    prepared.ensure(&[Need::Rust, Need::Build, Need::Fetch])?;
    let analyse = level > Level::Quick;
    if analyse {
        prepared.ensure(&[Need::Clang])?;
    }
    let mut cases = Vec::new();
    for series in Series::ALL {
        // What Xen's build has called its compiler with.
        prepared.hypervisor(series, Kind::Xpt)?;
        let tree = build::patched_tree(prepared.paths, series)?.join("xen");
        cases.extend(warnings(prepared.paths, series, &tree, analyse)?);
        if analyse {
            cases.extend(clang(prepared.paths, series, &tree)?);
        }
    }
    Ok(cases)
}

/// The glue's files in a tree, with the arguments that gcc was given for each.
fn compiled(tree: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let folder = Path::new(glue::FOLDER).strip_prefix("xen")?;
    let mut found = Vec::new();
    for file in glue::files_below(&tree.join(folder))? {
        let Some(name) = file
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.strip_suffix(".c"))
        else {
            continue;
        };
        let record = tree.join(folder).join(format!(".{name}.o.cmd"));
        let text = fs::read_to_string(&record)
            .with_context(|| format!("cannot read {}", record.display()))?;
        found.push((format!("{name}.c"), arguments(&text)?));
    }
    if found.is_empty() {
        bail!("{} holds no C", tree.join(folder).display());
    }
    found.sort();
    Ok(found)
}

/// From the first line of Xen's record, `cmd_x.o := gcc <arguments>`: those that say
/// how, and not where to.
fn arguments(record: &str) -> Result<Vec<String>> {
    let line = record.lines().next().unwrap_or("");
    let (_, command) = line
        .split_once(":= ")
        .context("Xen's record of a command is not understood")?;
    let mut words = command.split_whitespace().skip(1);
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "-MF" | "-MQ" | "-o" => drop(words.next()),
            "-MMD" | "-MP" | "-c" | "-Werror" => {}
            _ => kept.push(word.trim_matches('\'').to_owned()),
        }
    }
    Ok(kept)
}

/// What a compiler says of the glue's own lines, by its flag.
fn own_warnings(name: &str, text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let folder = "drivers/xpt/";
    for line in text.lines() {
        let Some((place, what)) = line
            .split_once(": warning: ")
            .or_else(|| line.split_once(": error: "))
        else {
            continue;
        };
        // Xen's headers are Xen's.
        if !place.contains(folder) {
            continue;
        }
        let flag = what
            .rsplit_once('[')
            .map_or(what, |(_, flag)| flag.trim_end_matches(']'));
        let place = place.rsplit('/').next().unwrap_or(name);
        found
            .entry(flag.to_owned())
            .or_default()
            .push(format!("{place}: {what}"));
    }
    found
}

/// gcc with all warnings, and with its analyser.
fn warnings(paths: &Paths, series: Series, tree: &Path, analyse: bool) -> Result<Vec<Case>> {
    let step = Step::start(format!("the glue's C, Xen {}: gcc", series.name()));
    let log = paths.log(&format!("glue-gcc-{}", series.name()))?;
    let _ = fs::remove_file(&log);
    let mut cases = Vec::new();
    for (name, arguments) in compiled(tree)? {
        let mut gcc = run::command("gcc", &arguments);
        gcc.args(["-Wextra", "-c", "-o", "/dev/null"])
            .current_dir(tree);
        if analyse {
            gcc.arg("-fanalyzer");
        }
        let text = said(&mut gcc, &log, &step)?;
        let found = own_warnings(&name, &text);
        let mut bad: Vec<String> = Vec::new();
        for (flag, lines) in &found {
            let allowed = allowed(&name, flag);
            if lines.len() > allowed {
                bad.extend(lines.iter().cloned());
            }
        }
        for (file, flag, count, _) in EXCEPTIONS {
            let there = found.get(flag).map_or(0, Vec::len);
            if file == name && there != count {
                bad.push(format!("{there} of {flag}, where {count} are excepted"));
            }
        }
        cases.push(Case::new(
            format!("{}/gcc/{name}", series.name()),
            bad.is_empty(),
            bad.join("; "),
        ));
    }
    step.end(cases.iter().all(|case| case.ok));
    Ok(cases)
}

/// How many warnings of a kind a file may have.
fn allowed(name: &str, flag: &str) -> usize {
    EXCEPTIONS
        .iter()
        .find(|(file, kind, ..)| (*file == name || *file == "*") && *kind == flag)
        .map_or(0, |(_, _, count, _)| *count)
}

/// clang's analyser.
fn clang(paths: &Paths, series: Series, tree: &Path) -> Result<Vec<Case>> {
    let step = Step::start(format!(
        "the glue's C, Xen {}: clang's analyser",
        series.name()
    ));
    let log = paths.log(&format!("glue-clang-{}", series.name()))?;
    let _ = fs::remove_file(&log);
    let mut cases = Vec::new();
    for (name, arguments) in compiled(tree)? {
        let kept = arguments
            .iter()
            .filter(|word| CLANG_KEEPS.iter().any(|start| word.starts_with(start)))
            .chain(arguments.iter().filter(|word| word.ends_with(".c")));
        let mut clang = run::command("clang", ["--analyze", "-w"]);
        clang
            .args(["-mno-mmx", "-mno-sse", "-msoft-float"])
            .args(["-Xclang", "-analyzer-output=text"])
            .args(kept)
            .current_dir(tree);
        let text = said(&mut clang, &log, &step)?;
        let lines: Vec<String> = own_warnings(&name, &text).into_values().flatten().collect();
        cases.push(Case::new(
            format!("{}/clang/{name}", series.name()),
            lines.is_empty(),
            lines.join("; "),
        ));
    }
    step.end(cases.iter().all(|case| case.ok));
    Ok(cases)
}

/// What a compiler prints; that it fails for another reason than a warning is an
/// error.
fn said(command: &mut Command, log: &Path, step: &Step) -> Result<String> {
    let start = fs::metadata(log).map_or(0, |data| data.len());
    run::must(command, log, step, "compiling the glue")?;
    Ok(run::text_from(log, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_those_that_say_how() {
        let record = "cmd_drivers/xpt/a.o := gcc -MMD -MP -MF drivers/xpt/.a.o.d -m64 -Werror \
            '-D__OBJECT_LABEL__=a.o' -c drivers/xpt/a.c -o drivers/xpt/.a.o.tmp -MQ drivers/xpt/a.o\n\nsource := x\n";
        assert_eq!(
            arguments(record).unwrap(),
            ["-m64", "-D__OBJECT_LABEL__=a.o", "drivers/xpt/a.c"]
        );
        assert!(arguments("odd").is_err());
    }

    #[test]
    fn warnings_of_the_glue_count_and_those_of_headers_do_not() {
        let text = "./arch/x86/include/asm/current.h:95:12: warning: x [-Wanalyzer-y]\n\
            drivers/xpt/xpt-map.c:194:12: warning: a of b [-Wsign-compare]\n\
            drivers/xpt/xpt-map.c:1:1: error: c\n";
        let found = own_warnings("xpt-map.c", text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found.get("-Wsign-compare").unwrap(),
            &["xpt-map.c:194:12: a of b [-Wsign-compare]"]
        );
        assert_eq!(allowed("xpt-map.c", "-Wsign-compare"), 3);
        assert_eq!(allowed("xpt-msix.c", "-Wsign-compare"), 0);
    }
}
