// SPDX-License-Identifier: GPL-2.0-only
//! Building: the object for Xen, the hypervisors, the guests.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{
    glue::{self, Plan},
    machine::Machine,
    paths::{self, Kind, Paths},
    progress::Step,
    report::Case,
    run,
    series::Series,
    source::{self, Tarball},
};

/// Raised when the way of building changes, so that old results are not taken for new.
const RECIPE: &str = "1";

/// Builds the crate for Xen, with its audit (`xen-glue/build.sh`).
pub(crate) fn object(paths: &Paths) -> Result<()> {
    let step = Step::start("the crate for Xen: build and audit");
    let log = paths.log("object")?;
    let archive = paths.archive();
    paths::make_parent(&archive)?;
    let mut build = run::command(
        paths.glue().join("build.sh"),
        [archive.parent().unwrap_or(&paths.out)],
    );
    build.current_dir(&paths.root);
    run::must(&mut build, &log, &step, "building the crate for Xen")?;
    if !archive.is_file() {
        bail!(
            "xen-glue/build.sh left no {}; see {}",
            archive.display(),
            log.display()
        );
    }
    step.done("");
    Ok(())
}

/// What the object audit says: one case per line.
pub(crate) fn audit(paths: &Paths) -> Result<Vec<Case>> {
    let mut check = run::command(
        paths.glue().join("check-object.sh"),
        [paths.archive(), paths.header()],
    );
    let (status, stdout, stderr) = run::output(check.current_dir(&paths.root))?;
    let mut cases: Vec<Case> = stdout.lines().filter_map(Case::of_line).collect();
    if !status.success() && cases.iter().all(|case| case.ok) {
        let reason = run::first_error(&stderr).unwrap_or_else(|| status.to_string());
        cases.push(Case::failed("check-object.sh", reason));
    }
    if cases.is_empty() {
        cases.push(Case::failed("check-object.sh", "printed no check"));
    }
    Ok(cases)
}

/// The unmodified source of `series`, fetched and unpacked.
pub(crate) fn source_tree(paths: &Paths, series: Series) -> Result<(PathBuf, Tarball)> {
    unpacked(paths, series, Kind::Vanilla)
}

fn unpacked(paths: &Paths, series: Series, kind: Kind) -> Result<(PathBuf, Tarball)> {
    let tarball = source::fetch(paths, series)?;
    let dir = paths.hypervisor(series, kind);
    let (tree, stamp) = (dir.join("src"), dir.join("src.stamp"));
    let current = fs::read_to_string(&stamp).is_ok_and(|text| text == tarball.version);
    if !(current && tree.is_dir()) {
        let what = format!("Xen {} {}: unpack", series.name(), kind.title());
        let step = Step::start(what);
        // The record of glue files speaks of the old tree.
        let _ = fs::remove_file(&stamp);
        let _ = fs::remove_file(dir.join("glue.files"));
        let log = paths.log(&format!("unpack-{}-{}", series.name(), kind.name()))?;
        source::unpack(&tarball, &tree, &log, &step)?;
        paths::write_atomic(&stamp, tarball.version.as_bytes())?;
        step.done("");
    }
    Ok((tree, tarball))
}

/// The source of `series` with the glue applied; the object is in place.
pub(crate) fn patched_tree(paths: &Paths, series: Series) -> Result<PathBuf> {
    let (pristine, _) = source_tree(paths, series)?;
    patched(
        paths,
        series,
        Kind::Xpt,
        &Plan::new(paths, series, &pristine)?,
        &pristine,
    )
}

fn patched(
    paths: &Paths,
    series: Series,
    kind: Kind,
    plan: &Plan,
    pristine: &Path,
) -> Result<PathBuf> {
    let (tree, _) = unpacked(paths, series, kind)?;
    let record = paths.hypervisor(series, kind).join("glue.files");
    plan.sync(&tree, pristine, &record)?;
    Ok(tree)
}

/// Builds one hypervisor where its inputs changed, and gives its file.
pub(crate) fn hypervisor(paths: &Paths, series: Series, kind: Kind) -> Result<PathBuf> {
    let dir = paths.hypervisor(series, kind);
    let xen = dir.join("xen");
    let (pristine, tarball) = source_tree(paths, series)?;
    let plan = match kind {
        Kind::Vanilla => None,
        Kind::Xpt | Kind::Debug => Some(Plan::new(paths, series, &pristine)?),
    };
    let stamp = stamp(&tarball, plan.as_ref())?;
    let stamp_file = dir.join("stamp");
    let current = fs::read_to_string(&stamp_file).is_ok_and(|text| text == stamp);
    if current && xen.is_file() {
        return Ok(xen);
    }
    let _ = fs::remove_file(&stamp_file);
    // The unmodified one is the same for every checkout.
    let kept = paths.cache.join("hypervisors").join(format!(
        "{}-{}",
        tarball.version,
        stamp.get(..16).unwrap_or("")
    ));
    if kind == Kind::Vanilla && kept.is_dir() {
        products(&kept, &dir)?;
    } else {
        let what = format!("Xen {} {}: build", series.name(), kind.title());
        let tree = match &plan {
            None => pristine,
            Some(plan) => patched(paths, series, kind, plan, &pristine)?,
        };
        let step = Step::start(&what);
        let log = paths.log(&format!("xen-{}-{}", series.name(), kind.name()))?;
        if kind == Kind::Debug {
            configure_debug(&tree, &log, &step, &what)?;
            make_xen(&tree, "olddefconfig", &log, &step, &what)?;
        } else {
            make_xen(&tree, "defconfig", &log, &step, &what)?;
        }
        products(&tree.join("xen"), &dir)?;
        step.done("");
        if kind == Kind::Vanilla {
            keep(&dir, &kept)?;
        }
    }
    paths::write_atomic(&stamp_file, stamp.as_bytes())?;
    Ok(xen)
}

/// Turns assertions on. Xen's self tests stay off: QEMU's processor fails those of
/// 4.20.
fn configure_debug(tree: &Path, log: &Path, step: &Step, what: &str) -> Result<()> {
    let mut make = make(&tree.join("xen"));
    make.args(["XEN_TARGET_ARCH=x86_64", "defconfig"]);
    run::must(&mut make, log, step, what)?;
    let file = tree.join("xen/.config");
    let text: String = paths::read(&file)?
        .lines()
        .filter(|line| !line.contains("CONFIG_DEBUG ") && !line.contains("CONFIG_SELF_TESTS"))
        .map(|line| format!("{line}\n"))
        .collect();
    let text = format!("{text}CONFIG_DEBUG=y\n# CONFIG_SELF_TESTS is not set\n");
    paths::write_atomic(&file, text.as_bytes())
}

/// Configures with the make goal `config` and builds the hypervisor in `tree`.
pub(crate) fn make_xen(
    tree: &Path,
    config: &str,
    log: &Path,
    step: &Step,
    what: &str,
) -> Result<()> {
    let _ = fs::remove_file(log);
    for goal in [Some(config), None] {
        let mut make = make(&tree.join("xen"));
        make.arg("XEN_TARGET_ARCH=x86_64").args(goal);
        run::must(&mut make, log, step, what)?;
    }
    if !tree.join("xen/xen").is_file() {
        bail!("{what} ended without xen/xen; see {}", log.display());
    }
    Ok(())
}

/// Copies `xen` and `xen-syms`.
pub(crate) fn products(from: &Path, to: &Path) -> Result<()> {
    // The loadable image last: where it is, the other is too.
    for name in ["xen-syms", "xen"] {
        paths::copy_atomic(&from.join(name), &to.join(name))?;
    }
    Ok(())
}

/// Keeps a built hypervisor in the cache; that it cannot be kept is no failure.
fn keep(dir: &Path, kept: &Path) -> Result<()> {
    let part = kept.with_extension("part");
    paths::remove_dir(&part)?;
    if products(dir, &part).is_err() || fs::rename(&part, kept).is_err() {
        paths::remove_dir(&part)?;
    }
    Ok(())
}

/// A hash of all that a hypervisor is made from.
fn stamp(tarball: &Tarball, plan: Option<&Plan>) -> Result<String> {
    let (_, compiler, _) = run::output(&mut run::command("gcc", ["--version"]))?;
    let mut hash = Sha256::new();
    for part in [
        RECIPE,
        &tarball.version,
        compiler.lines().next().unwrap_or(""),
    ] {
        hash.update(format!("{} {part}\n", part.len()));
    }
    if let Some(plan) = plan {
        plan.digest(&mut hash);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// `make` in a folder, on all processors.
pub(crate) fn make(dir: &Path) -> Command {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut make = run::command("make", ["-C"]);
    make.arg(dir).arg(format!("-j{jobs}"));
    make
}

/// A guest test that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// The test's name, `vpci-reset`.
    pub(crate) name: String,
    /// The kernel to boot as dom0.
    pub(crate) image: PathBuf,
    /// What it needs besides what every test has.
    pub(crate) machine: Machine,
}

/// Builds every guest test.
pub(crate) fn guests(paths: &Paths) -> Result<Vec<Guest>> {
    let source = paths.root.join("guests/xtf");
    let names = guest_names(&source.join("tests"))?;
    let step = Step::start("guest tests: build");
    let out = paths.out.join("guests");
    paths::make_dir(&out)?;
    let log = paths.log("guests")?;
    let _ = fs::remove_file(&log);
    let mut command = make(&source);
    command.arg(format!("O={}", out.display()));
    run::must(&mut command, &log, &step, "building the guest tests")?;
    let mut guests = Vec::new();
    for name in names {
        let image = out.join(format!("test-hvm64-{name}"));
        if !image.is_file() {
            bail!(
                "guests/xtf left no {}; see {}",
                image.display(),
                log.display()
            );
        }
        let machine = Machine::read(&source.join("tests").join(&name).join("machine"))?;
        guests.push(Guest {
            name,
            image,
            machine,
        });
    }
    step.done(&format!("{} kernels", guests.len()));
    Ok(guests)
}

/// Builds the guest that drives what it is given, and gives its file.
pub(crate) fn dom0_guest(paths: &Paths) -> Result<PathBuf> {
    let step = Step::start("the guest with a device: build");
    let out = paths.out.join("dom0/guest");
    paths::make_dir(&out)?;
    let log = paths.log("dom0-guest")?;
    let _ = fs::remove_file(&log);
    let mut command = make(&paths.root.join("guests/dom0/guest"));
    command.arg(format!("O={}", out.display()));
    run::must(&mut command, &log, &step, "building guests/dom0/guest")?;
    let guest = out.join("xpt-guest");
    if !guest.is_file() {
        bail!(
            "guests/dom0/guest left no {}; see {}",
            guest.display(),
            log.display()
        );
    }
    step.done("");
    Ok(guest)
}

/// Builds `xpt-gsi` for the dom0, and gives its file.
pub(crate) fn xpt_gsi(paths: &Paths) -> Result<PathBuf> {
    let step = Step::start("xpt-gsi: build");
    let out = paths.out.join("dom0/xpt-gsi");
    let log = paths.log("dom0-xpt-gsi")?;
    let _ = fs::remove_file(&log);
    let mut cargo = run::command("cargo", ["build", "--release", "--package", "xpt-gsi"]);
    cargo.current_dir(&paths.root).env("CARGO_TARGET_DIR", &out);
    run::must(&mut cargo, &log, &step, "building xpt-gsi")?;
    step.done("");
    Ok(out.join("release/xpt-gsi"))
}

/// The tests that there are: folders with a `main.c`.
fn guest_names(tests: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(tests)
        .with_context(|| format!("cannot read {}", tests.display()))?
        .flatten()
        .filter(|entry| entry.path().join("main.c").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    if names.is_empty() {
        bail!("{} holds no guest test; restore it", tests.display());
    }
    Ok(names)
}

/// The sizes of the object, as binutils' `size` gives them.
pub(crate) fn sizes(paths: &Paths) -> Result<String> {
    let (_, text, _) = run::output(run::command("size", ["-t"]).arg(paths.archive()))?;
    Ok(text.trim_end().to_owned())
}

/// The glue's own files that must be there before anything is built.
pub(crate) fn check_checkout(paths: &Paths) -> Result<()> {
    let glue = paths.glue();
    for file in [
        glue.join("build.sh"),
        glue.join("check-object.sh"),
        paths.header(),
    ] {
        if !file.is_file() {
            bail!("{} is missing; restore it from git", file.display());
        }
    }
    glue::files_below(&glue.join("src")).map(drop)
}
