// SPDX-License-Identifier: GPL-2.0-only
//! The host tests in Miri, which judges every use of memory.

use std::{fs, process::Command};

use anyhow::Result;

use super::{Level, tools};
use crate::{parts::Prepared, parts::cargo_test, paths::Paths, progress::Step, report::Case, run};

/// What calls the C functions, and what is soon done.
const QUICK: [&str; 3] = ["ffi_hostile", "policy", "vpci_states"];

/// The rest. Left out are the two searches, which would take days and go through
/// code without `unsafe` that these go through too; `header`, which tests what
/// cbindgen makes; and `loom_gsi`, which is loom's.
const REST: [&str; 1] = ["gsi_states"];

/// The tests read documents.
const FLAGS: &str = "-Zmiri-disable-isolation";

pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    let paths = prepared.paths;
    let nightly = tools::nightly(paths)?;
    // Built once, and seen by no other use of Miri.
    let step = Step::start("Miri's standard library");
    let log = paths.log("miri-setup")?;
    let _ = fs::remove_file(&log);
    run::must(
        &mut miri(paths, nightly, &["setup"]),
        &log,
        &step,
        "cargo miri setup",
    )?;
    step.done("");

    let mut all = miri(
        paths,
        nightly,
        &["test", "--package", "xen-passthrough", "--no-fail-fast"],
    );
    for test in QUICK {
        all.args(["--test", test]);
    }
    if level > Level::Quick {
        all.arg("--lib");
        for test in REST {
            all.args(["--test", test]);
        }
    }
    let mut cases = cargo_test(paths, "miri", all)?;
    let seeds = if level > Level::Quick { 64 } else { 8 };
    cases.push(orders(paths, nightly, seeds)?);
    Ok(cases)
}

/// What two threads do at once, in `seeds` orders: all threads print at once, so it
/// is one case.
fn orders(paths: &Paths, nightly: &str, seeds: u32) -> Result<Case> {
    let step = Step::start(format!("Miri: two threads in {seeds} orders"));
    let log = paths.log("miri-threads")?;
    let _ = fs::remove_file(&log);
    let mut test = miri(
        paths,
        nightly,
        &[
            "test",
            "--package",
            "xen-passthrough",
            "--test",
            "ffi_hostile",
        ],
    );
    test.args(["--", "two_threads"]).env(
        "MIRIFLAGS",
        format!("{FLAGS} -Zmiri-many-seeds=0..{seeds} -Zmiri-preemption-rate=0.2"),
    );
    let result = run::must(&mut test, &log, &step, "two threads in Miri");
    let passed = run::text_from(&log, 0)
        .matches("test result: ok. 1 passed")
        .count();
    let name = format!("two_threads_on_one_pin_take_turns in {seeds} orders");
    Ok(match result {
        Ok(()) => {
            step.done("");
            Case::new(name, passed != 0, format!("{passed} passed"))
        }
        Err(error) => Case::failed(name, format!("{error:#}")),
    })
}

fn miri(paths: &Paths, nightly: &str, args: &[&str]) -> Command {
    let mut command = tools::with(nightly, "cargo", &["miri"]);
    command
        .args(args)
        .env("MIRIFLAGS", FLAGS)
        .env(
            "XDG_CACHE_HOME",
            paths.cache.join(format!("tools/miri-{nightly}")),
        )
        .env("CARGO_TARGET_DIR", paths.out.join("miri"))
        .current_dir(&paths.root);
    command
}
