// SPDX-License-Identifier: GPL-2.0-only
//! Tools that only `verify` needs: pinned, and kept in the cache.
//!
//! None is needed on the machine beforehand, and none is put where other projects
//! would find it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    paths::{self, Paths},
    progress::Step,
    run,
};

/// The nightly compiler with Miri and sanitizers; what is shipped is never built
/// with it.
const NIGHTLY: &str = "nightly-2026-05-20";

/// Its components beside the compiler.
const COMPONENTS: [&str; 3] = ["miri", "rust-src", "llvm-tools"];

/// A program from crates.io: `tool(paths, "cargo-deny", "0.20.2")` is built once
/// with its own lock file.
pub(crate) fn tool(paths: &Paths, name: &str, version: &str) -> Result<PathBuf> {
    let root = paths.cache.join("tools").join(format!("{name}-{version}"));
    let program = root.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    let step = Step::start(format!("{name} {version}: build"));
    let log = paths.log(&format!("install-{name}"))?;
    let build = paths.cache.join("tools/build");
    let mut install = run::command("cargo", ["install", "--locked", "--version", version]);
    install
        .arg("--root")
        .arg(&root)
        .arg(name)
        .env("CARGO_TARGET_DIR", &build)
        .env_remove("RUSTFLAGS")
        .current_dir(&paths.root);
    run::must(&mut install, &log, &step, &format!("cargo install {name}"))
        .context("cannot install a tool (check the network)")?;
    paths::remove_dir(&build)?;
    if !program.is_file() {
        bail!("cargo install left no {}", program.display());
    }
    step.done("");
    Ok(program)
}

/// Makes the nightly compiler ready and gives its name: the pinned one, or, where
/// rustup cannot get that, the machine's own if it has all the components.
pub(crate) fn nightly(paths: &Paths) -> Result<&'static str> {
    if has_components(NIGHTLY) {
        return Ok(NIGHTLY);
    }
    let step = Step::start(format!("{NIGHTLY}: install"));
    let log = paths.log("rustup")?;
    let mut install = run::command("rustup", ["toolchain", "install", NIGHTLY]);
    install.args(["--no-self-update", "--profile", "minimal"]);
    for component in COMPONENTS {
        install.args(["--component", component]);
    }
    let installed = run::must(
        &mut install,
        &log,
        &step,
        &format!("rustup toolchain install {NIGHTLY}"),
    );
    match installed {
        Ok(()) => {
            step.done("");
            Ok(NIGHTLY)
        }
        Err(_) if has_components("nightly") => {
            step.done("cannot be had; the machine's own nightly is used");
            Ok("nightly")
        }
        Err(error) => Err(error).context("no nightly compiler (check the network)"),
    }
}

/// Whether a toolchain is there with all of [`COMPONENTS`].
fn has_components(toolchain: &str) -> bool {
    let sysroot = run::output(&mut with(toolchain, "rustc", &["--print", "sysroot"]));
    let Ok((status, sysroot, _)) = sysroot else {
        return false;
    };
    let sysroot = Path::new(sysroot.trim());
    let llvm = "lib/rustlib/x86_64-unknown-linux-gnu/bin/llvm-profdata";
    let parts = ["bin/miri", "lib/rustlib/src/rust/library/core", llvm];
    status.success() && parts.iter().all(|part| sysroot.join(part).exists())
}

/// `program` of a toolchain.
pub(crate) fn with(toolchain: &str, program: &str, args: &[&str]) -> Command {
    let mut command = run::command("rustup", ["run", toolchain, program]);
    command.args(args).env_remove("RUSTFLAGS");
    command
}
