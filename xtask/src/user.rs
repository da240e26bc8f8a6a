// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask xen`: the glue in a user's own tree.
//!
//! Everything that can fail happens on a copy; the user's tree is written only
//! once the copy has built, and put back should even that fail.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::unistd::{AccessFlags, access};

use crate::{
    build,
    glue::{self, Plan},
    paths::{self, Paths},
    prereq::{self, Need},
    progress::{Step, say},
    run,
    series::Series,
};

/// What the hypervisor's build reads; the tools and stubdom stay where they are.
const COPIED: [&str; 7] = [
    "xen",
    "config",
    "Config.mk",
    ".config",
    "version.sh",
    "tools/flask",
    "docs/misra",
];

/// Applies the glue to `tree` and builds it.
pub(crate) fn apply_and_build(paths: &Paths, tree: &Path, out: Option<&Path>) -> Result<()> {
    let tree = fs::canonicalize(tree).with_context(|| {
        format!(
            "there is no folder {}; give a Xen source tree",
            tree.display()
        )
    })?;
    let series = Series::of_tree(&tree)?;
    if tree.join(glue::FOLDER).exists() {
        bail!(
            "{} has the glue already ({}); build it with `make -C {}/xen`, or restore the tree first to apply it anew",
            tree.display(),
            glue::FOLDER,
            tree.display()
        );
    }
    for dir in [tree.clone(), tree.join("xen"), tree.join("xen/drivers")] {
        access(&dir, AccessFlags::W_OK).with_context(|| {
            format!(
                "cannot write to {}; make it writable, or use a copy",
                dir.display()
            )
        })?;
    }
    if let Some(out) = out {
        paths::make_dir(out)?;
    }
    prereq::ensure(paths, &[Need::Rust, Need::Build])?;
    build::check_checkout(paths)?;
    build::object(paths)?;
    let step = Step::start(format!("Xen {}: apply the glue", series.name()));
    let plan = Plan::new(paths, series, &tree)?;
    step.done(&format!("{} files", plan.files().count()));

    let staging = Staging::new(paths, &tree, &plan)?;
    let what = format!("Xen {} {}: build", series.name(), tree.display());
    let step = Step::start(&what);
    let config = if staging.0.join("xen/.config").exists() {
        "olddefconfig"
    } else {
        "defconfig"
    };
    let log = paths.log("xen-user")?;
    build::make_xen(&staging.0, config, &log, &step, &what)
        .map_err(|error| anyhow!("{error:#}; {} is as it was", tree.display()))?;
    step.done(config);

    let products = out.map_or_else(|| tree.join("xen"), Path::to_path_buf);
    if out.is_some() {
        build::products(&staging.0.join("xen"), &products)?;
    }
    plan.install(&tree)?;
    if out.is_none() {
        build::products(&staging.0.join("xen"), &products)
            .context("the glue is applied, but the hypervisor could not be put beside it")?;
    }
    paths::copy_atomic(&staging.0.join("xen/.config"), &tree.join("xen/.config"))
        .context("the glue is applied, but xen/.config could not be written")?;
    say(&format!("{}/xen", products.display()));
    Ok(())
}

/// A copy of the tree with the glue in it; gone with this value.
struct Staging(PathBuf);

impl Staging {
    fn new(paths: &Paths, tree: &Path, plan: &Plan) -> Result<Self> {
        let step = Step::start(format!("copy {}", tree.display()));
        let staging = Self(paths.out.join("user/src"));
        paths::remove_dir(&staging.0)?;
        paths::make_dir(&staging.0)?;
        let log = paths.log("copy-user")?;
        let mut copy = run::command("cp", ["-a", "--parents", "--reflink=auto", "-t"]);
        copy.arg(&staging.0).current_dir(tree);
        copy.args(COPIED.iter().filter(|name| tree.join(name).exists()));
        run::must(
            &mut copy,
            &log,
            &step,
            &format!("copying {}", tree.display()),
        )?;
        // The copy has no history, so the build could not name the changeset.
        let mut version = run::command(tree.join("xen/tools/scmversion"), [tree]);
        if let Ok((status, text, _)) = run::output(&mut version)
            && status.success()
            && !text.trim().is_empty()
        {
            paths::write_atomic(&staging.0.join(".scmversion"), text.as_bytes())?;
        }
        plan.install(&staging.0)?;
        step.done("");
        Ok(staging)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The next run removes what stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}
