// SPDX-License-Identifier: GPL-2.0-only
//! The proof harnesses for Kani, compiled and tried with random values.
//!
//! That proves nothing: it keeps them from going stale where there is no Kani.

use anyhow::Result;

use crate::{
    parts::{Prepared, cargo_test},
    report::Case,
    run,
};

pub(crate) fn cases(prepared: &mut Prepared<'_>) -> Result<Vec<Case>> {
    let paths = prepared.paths;
    let mut cargo = run::command("cargo", ["test", "--locked", "--release"]);
    cargo
        .args(["--package", "xen-passthrough", "--lib", "proofs"])
        .env("RUSTFLAGS", "--cfg kani_stub")
        // Other flags rebuild everything, so this one has a folder of its own.
        .env("CARGO_TARGET_DIR", paths.out.join("proofs"))
        .current_dir(&paths.root);
    let cases = cargo_test(paths, "proofs", cargo)?;
    Ok(cases
        .into_iter()
        .map(|case| Case {
            detail: format!("{} tried, not proved", case.detail)
                .trim()
                .to_owned(),
            ..case
        })
        .collect())
}
