// SPDX-License-Identifier: GPL-2.0-only
//! The glue: which files of a Xen tree it adds or changes, and to what.
//!
//! A [`Plan`] is made on copies of the files that the patches name, so a patch
//! that does not apply changes nothing anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::{
    paths::{self, Paths},
    run,
    series::Series,
};

/// Where the glue lives in a Xen tree; a tree that has it is patched.
pub(crate) const FOLDER: &str = "xen/drivers/xpt";

/// A file as it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    content: Vec<u8>,
    mode: u32,
}

impl Entry {
    fn read(file: &Path) -> Result<Self> {
        let read = || -> std::io::Result<Self> {
            Ok(Self {
                content: fs::read(file)?,
                mode: fs::metadata(file)?.permissions().mode() & 0o777,
            })
        };
        read().with_context(|| format!("cannot read {}", file.display()))
    }

    fn read_if_there(file: &Path) -> Result<Option<Self>> {
        file.exists().then(|| Self::read(file)).transpose()
    }

    fn write(&self, file: &Path) -> Result<()> {
        paths::write_atomic(file, &self.content)?;
        fs::set_permissions(file, fs::Permissions::from_mode(self.mode))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Every file that the glue touches, relative to the tree's top; `None` means removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan(BTreeMap<PathBuf, Option<Entry>>);

impl Plan {
    /// Works out what applying the glue of `series` to `tree` means.
    pub(crate) fn new(paths: &Paths, series: Series, tree: &Path) -> Result<Self> {
        let mut plan = Self(patched(&paths.glue(), series, tree)?);
        let folder = Path::new(FOLDER);
        for (from, to) in [("src", folder), ("include", Path::new("xen/include/xen"))] {
            let from = paths.glue().join(from);
            for file in files_below(&from)? {
                plan.0
                    .insert(to.join(&file), Some(Entry::read(&from.join(&file))?));
            }
        }
        for file in [paths.archive(), paths.glue().join("check-object.sh")] {
            let name = file.file_name().map(PathBuf::from).unwrap_or_default();
            plan.0.insert(folder.join(name), Some(Entry::read(&file)?));
        }
        Ok(plan)
    }

    /// The files' names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// A hash over all names and contents.
    pub(crate) fn digest(&self, into: &mut Sha256) {
        for (name, entry) in &self.0 {
            let name = name.to_string_lossy();
            into.update(format!("{} {name}\n", name.len()));
            if let Some(entry) = entry {
                into.update(format!("{} {:o}\n", entry.content.len(), entry.mode));
                into.update(&entry.content);
            }
        }
    }

    /// Makes `tree` be `pristine` with this plan; unchanged files keep their times.
    ///
    /// `record` names the files that the last plan touched.
    pub(crate) fn sync(&self, tree: &Path, pristine: &Path, record: &Path) -> Result<()> {
        let before: BTreeSet<PathBuf> = if record.exists() {
            paths::read(record)?.lines().map(PathBuf::from).collect()
        } else {
            BTreeSet::new()
        };
        let union = before.iter().map(PathBuf::as_path).chain(self.files());
        let names: String = union.map(|name| format!("{}\n", name.display())).collect();
        paths::write_atomic(record, names.as_bytes())?;
        for name in before.iter().filter(|name| !self.0.contains_key(*name)) {
            put(
                &tree.join(name),
                Entry::read_if_there(&pristine.join(name))?.as_ref(),
            )?;
        }
        for (name, entry) in &self.0 {
            put(&tree.join(name), entry.as_ref())?;
        }
        let names: String = self
            .files()
            .map(|name| format!("{}\n", name.display()))
            .collect();
        paths::write_atomic(record, names.as_bytes())
    }

    /// Puts the plan into a user's tree; on any failure the tree is as it was.
    pub(crate) fn install(&self, tree: &Path) -> Result<()> {
        let mut undo = Undo::default();
        let mut all = || -> Result<()> {
            for (name, entry) in &self.0 {
                run::check_stop()?;
                undo.remember(&tree.join(name))?;
                put(&tree.join(name), entry.as_ref())?;
            }
            Ok(())
        };
        match all() {
            Ok(()) => Ok(()),
            Err(error) => match undo.restore() {
                Ok(()) => Err(error.context("the tree is as it was")),
                Err(again) => {
                    Err(error.context(format!("putting the tree back failed too: {again}")))
                }
            },
        }
    }
}

/// What a tree was before files were put into it.
#[derive(Default)]
struct Undo {
    files: Vec<(PathBuf, Option<Entry>)>,
    made: Vec<PathBuf>,
}

impl Undo {
    fn remember(&mut self, file: &Path) -> Result<()> {
        let missing = file.ancestors().skip(1).take_while(|dir| !dir.exists());
        self.made.extend(missing.map(Path::to_path_buf));
        self.files
            .push((file.to_path_buf(), Entry::read_if_there(file)?));
        Ok(())
    }

    fn restore(mut self) -> Result<()> {
        for (file, entry) in self.files.iter().rev() {
            put(file, entry.as_ref())?;
        }
        // The deepest first.
        self.made
            .sort_by_key(|dir| std::cmp::Reverse(dir.components().count()));
        for dir in &self.made {
            if dir.exists() {
                fs::remove_dir(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
            }
        }
        Ok(())
    }
}

/// Makes `file` be `entry`, unless it is already.
fn put(file: &Path, entry: Option<&Entry>) -> Result<()> {
    match entry {
        Some(entry) if Entry::read_if_there(file)?.as_ref() == Some(entry) => Ok(()),
        Some(entry) => entry.write(file),
        None if file.exists() => {
            fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))
        }
        None => Ok(()),
    }
}

/// The outcome of the patch series on copies of the files it names.
fn patched(glue: &Path, series: Series, tree: &Path) -> Result<BTreeMap<PathBuf, Option<Entry>>> {
    let patches = patch_files(glue, series)?;
    let mut touched = BTreeSet::new();
    for patch in &patches {
        touched.extend(touched_files(&paths::read(patch)?)?);
    }
    let staging = tempfile::tempdir().context("cannot make a temporary folder")?;
    for name in &touched {
        let to = staging.path().join(name);
        paths::make_parent(&to)?;
        if let Some(entry) = Entry::read_if_there(&tree.join(name))? {
            entry.write(&to)?;
        }
    }
    for patch in &patches {
        let options = [
            "-p1",
            "--batch",
            "--forward",
            "--fuzz=0",
            "--no-backup-if-mismatch",
            "--reject-file=-",
        ];
        let mut command = run::command("patch", options);
        command.arg("-d").arg(staging.path()).arg("-i").arg(patch);
        let (status, stdout, stderr) = run::output(&mut command)?;
        if !status.success() {
            let name = patch.file_name().unwrap_or_default().to_string_lossy();
            bail!(
                "the patch {name} does not apply to {}: {}; the patches are made against Xen {}, port that hunk or use that version",
                tree.display(),
                patch_complaint(&format!("{stdout}\n{stderr}")),
                series.known()
            );
        }
    }
    touched
        .into_iter()
        .map(|name| {
            let entry = Entry::read_if_there(&staging.path().join(&name))?;
            Ok((name, entry))
        })
        .collect()
}

/// The patches of a series file, in order.
fn patch_files(glue: &Path, series: Series) -> Result<Vec<PathBuf>> {
    let dir = glue.join(series.name());
    let names = series_names(&paths::read(&dir.join("series"))?);
    if names.is_empty() {
        bail!("{}/series names no patch; restore it", dir.display());
    }
    Ok(names.iter().map(|name| dir.join(name)).collect())
}

fn series_names(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The files that a patch touches, `-p1`.
fn touched_files(patch: &str) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut lines = patch.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(old) = line.strip_prefix("--- ") else {
            continue;
        };
        let Some(new) = lines.peek().and_then(|next| next.strip_prefix("+++ ")) else {
            continue;
        };
        for side in [old, new] {
            let name = side.split('\t').next().unwrap_or(side).trim();
            if name == "/dev/null" {
                continue;
            }
            let (_, name) = name
                .split_once('/')
                .ok_or_else(|| anyhow!("a patch names {name} without a leading folder"))?;
            let name = PathBuf::from(name);
            if !name
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
            {
                bail!("a patch names {}, outside of the tree", name.display());
            }
            files.insert(name);
        }
    }
    Ok(files)
}

/// What `patch` did not like, in one line.
fn patch_complaint(text: &str) -> String {
    let mut file = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("patching file ") {
            file = name;
        }
        if line.contains("FAILED")
            || line.contains("can't find file")
            || line.contains("previously applied")
        {
            return format!("{file}: {}", line.trim())
                .trim_start_matches(": ")
                .to_owned();
        }
    }
    run::first_error(text).unwrap_or_else(|| "patch gave no reason".to_owned())
}

/// All files below `dir`, relative to it, in order.
pub(crate) fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read {}", dir.display()))?;
        if !entry.file_type().is_dir() {
            files.push(entry.path().strip_prefix(dir)?.to_path_buf());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "From: x\nSubject: y\n---\n a | 2 +-\n\ndiff --git a/xen/Makefile b/xen/Makefile\n\
        --- a/xen/Makefile\n+++ b/xen/Makefile\n@@ -1,2 +1,3 @@\n one\n two\n+three\n\
        diff --git a/xen/new.h b/xen/new.h\nnew file mode 100644\n--- /dev/null\n+++ b/xen/new.h\n@@ -0,0 +1 @@\n+hello\n";

    /// A glue folder with one patch, and a tree that it fits.
    fn lab() -> (tempfile::TempDir, Paths, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths {
            root: dir.path().join("repo"),
            out: dir.path().join("repo/target/xpt"),
            cache: dir.path().join("cache"),
        };
        let put = |file: PathBuf, text: &str| {
            paths::make_parent(&file).unwrap();
            fs::write(file, text).unwrap();
        };
        put(
            paths.glue().join("4.17/series"),
            "# order matters\n0001.patch # first\n",
        );
        put(paths.glue().join("4.17/0001.patch"), PATCH);
        put(paths.glue().join("src/Makefile"), "obj-y += glue.o\n");
        put(paths.glue().join("src/sub/glue.c"), "int x;\n");
        put(paths.glue().join("check-object.sh"), "#!/bin/sh\n");
        put(paths.header(), "#pragma once\n");
        put(paths.archive(), "!<arch>\n");
        let tree = dir.path().join("xen-tree");
        put(tree.join("xen/Makefile"), "one\ntwo\n");
        (dir, paths, tree)
    }

    #[test]
    fn touched_files_come_from_both_sides_of_headers_only() {
        let files = touched_files(PATCH).unwrap();
        let names: Vec<_> = files.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["xen/Makefile", "xen/new.h"]);
        assert!(touched_files("--- a/../x\n+++ b/../x\n").is_err());
        assert!(touched_files("--- x\n+++ x\n").is_err());
    }

    #[test]
    fn plan_installs_and_failure_leaves_the_tree_as_it_was() {
        let (_dir, paths, tree) = lab();
        let plan = Plan::new(&paths, Series::V4_17, &tree).unwrap();
        // A file where a folder is needed makes the last writes fail.
        fs::write(tree.join("xen/include"), "in the way").unwrap();
        let error = format!("{:#}", plan.install(&tree).unwrap_err());
        assert!(error.contains("the tree is as it was"), "{error}");
        let names = files_below(&tree).unwrap();
        assert_eq!(names, [Path::new("xen/Makefile"), Path::new("xen/include")]);
        assert_eq!(
            paths::read(&tree.join("xen/Makefile")).unwrap(),
            "one\ntwo\n"
        );
        assert!(!tree.join("xen/drivers").exists());

        fs::remove_file(tree.join("xen/include")).unwrap();
        plan.install(&tree).unwrap();
        assert_eq!(
            paths::read(&tree.join("xen/Makefile")).unwrap(),
            "one\ntwo\nthree\n"
        );
        assert_eq!(paths::read(&tree.join("xen/new.h")).unwrap(), "hello\n");
        assert!(tree.join("xen/drivers/xpt/sub/glue.c").exists());
        assert!(tree.join("xen/drivers/xpt/libxen_passthrough.a").exists());
    }

    #[test]
    fn patch_that_does_not_apply_names_file_and_hunk() {
        let (_dir, paths, tree) = lab();
        fs::write(tree.join("xen/Makefile"), "other\nlines\n").unwrap();
        let error = format!("{:#}", Plan::new(&paths, Series::V4_17, &tree).unwrap_err());
        assert!(error.contains("0001.patch does not apply"), "{error}");
        assert!(error.contains("xen/Makefile: Hunk #1 FAILED"), "{error}");
        assert_eq!(
            paths::read(&tree.join("xen/Makefile")).unwrap(),
            "other\nlines\n"
        );
    }

    #[test]
    fn sync_takes_back_what_a_new_plan_no_longer_touches() {
        let (dir, paths, pristine) = lab();
        let tree = dir.path().join("work");
        paths::make_parent(&tree.join("xen/Makefile")).unwrap();
        fs::copy(pristine.join("xen/Makefile"), tree.join("xen/Makefile")).unwrap();
        let record = dir.path().join("record");
        let plan = Plan::new(&paths, Series::V4_17, &pristine).unwrap();
        plan.sync(&tree, &pristine, &record).unwrap();
        assert!(tree.join("xen/new.h").exists());

        let second = "--- /dev/null\n+++ b/xen/other.h\n@@ -0,0 +1 @@\n+hi\n";
        fs::write(paths.glue().join("4.17/0001.patch"), second).unwrap();
        let plan = Plan::new(&paths, Series::V4_17, &pristine).unwrap();
        plan.sync(&tree, &pristine, &record).unwrap();
        assert!(!tree.join("xen/new.h").exists());
        assert!(tree.join("xen/other.h").exists());
        assert_eq!(
            paths::read(&tree.join("xen/Makefile")).unwrap(),
            "one\ntwo\n"
        );
    }
}
