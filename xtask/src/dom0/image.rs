// SPDX-License-Identifier: GPL-2.0-only
//! The image of the Linux dom0: Debian's kernel and packages, as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use crate::{
    apt,
    paths::{self, Paths},
    prereq::DEPMOD,
    progress::{Step, say},
    run,
    series::Series,
    source,
};

/// Raised when the way of making the image changes.
const RECIPE: &str = "1";

/// What the image's files are called in the cache.
const KERNEL: &str = "vmlinuz";
const ROOT: &str = "root.cpio.zst";
const PACKAGES: &str = "packages";
const STAMP: &str = "stamp";

/// How many packages that moved are named.
const SHOWN: usize = 6;

/// Shell lines that pack the folder they run in; the same tree gives the same file.
const PACK: &str = "set -o pipefail; find . -exec touch -h -d @0 {} + && \
    find . -print0 | LC_ALL=C sort -z | \
    cpio --null --create --format=newc --reproducible --owner=0:0 --quiet";

/// An image that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// All but `init`, as a compressed cpio archive.
    pub(crate) root: PathBuf,
    /// The packages that it was made of, by name.
    pub(crate) packages: BTreeMap<String, String>,
}

impl Image {
    /// The size of both files, in MiB.
    fn size(&self) -> u64 {
        let length = |file: &Path| fs::metadata(file).map_or(0, |data| data.len());
        length(&self.kernel)
            .saturating_add(length(&self.root))
            .div_ceil(1 << 20)
    }

    /// What is in it, in a few words.
    fn summary(&self) -> String {
        let version = |start: &str| {
            self.packages
                .iter()
                .filter(|(name, _)| name.starts_with(start))
                .map(|(_, version)| version.as_str())
                .next()
                .unwrap_or("none")
        };
        format!(
            "{} MiB of {} packages, Linux {}, xen-utils {}, QEMU {}",
            self.size(),
            self.packages.len(),
            version("linux-image-"),
            version("xen-utils-4"),
            version("qemu-system-xen"),
        )
    }
}

/// Gives the image, from the cache where the same recipe made it before.
pub(crate) fn image(paths: &Paths) -> Result<Image> {
    let step = Step::start("the Linux dom0: image");
    let source = paths.root.join("guests/dom0");
    let recipe = Recipe::read(&source)?;
    let dir = paths.cache.join("dom0").join(recipe.name());
    let made = match load(&dir) {
        Some(image) => image,
        None => {
            let _lock = source::lock(&paths.cache.join("dom0.lock"))?;
            match load(&dir) {
                Some(image) => image,
                None => {
                    make(paths, &recipe, &dir, &step)?;
                    load(&dir).ok_or_else(|| {
                        anyhow!("{} was damaged; run the command again", dir.display())
                    })?
                }
            }
        }
    };
    step.done(&made.summary());
    let known = paths::read(&source.join("versions"))?;
    if let Some(line) = differences(&parse_versions(&known), &made.packages) {
        say(&format!("note: {line}"));
    }
    Ok(made)
}

/// Packs the folder `dir` as a cpio archive; it may follow another one.
pub(crate) fn pack(dir: &Path, file: &Path, log: &Path, step: &Step) -> Result<()> {
    let mut pack = run::command("bash", ["-c", &format!("{PACK} > \"$0\"")]);
    pack.arg(file).current_dir(dir);
    run::must(&mut pack, log, step, "packing what dom0 runs")
}

/// What decides what the image is.
struct Recipe {
    packages: Vec<String>,
    modules: Vec<String>,
    exclude: PathBuf,
    hash: String,
}

impl Recipe {
    fn read(source: &Path) -> Result<Self> {
        let mut hash = Sha256::new();
        hash.update(RECIPE);
        let mut read = |name: &str| -> Result<Vec<String>> {
            let items = items(&paths::read(&source.join(name))?);
            if items.is_empty() {
                bail!("guests/dom0/{name} is empty; restore it");
            }
            hash.update(format!("{name} {}\n", items.join(" ")));
            Ok(items)
        };
        let (packages, modules) = (read("packages")?, read("modules")?);
        read("exclude")?;
        Ok(Self {
            packages,
            modules,
            exclude: source.join("exclude"),
            hash: hex(hash),
        })
    }

    /// The folder in the cache.
    fn name(&self) -> String {
        let suite = Series::V4_20.suite();
        format!("{suite}-{}", self.hash.get(..16).unwrap_or(&self.hash))
    }
}

/// Lines that are neither empty nor comments.
fn items(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn hex(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A hash of the files of an image, which shows a damaged one.
fn stamp(dir: &Path) -> Option<String> {
    let mut hash = Sha256::new();
    for name in [KERNEL, ROOT, PACKAGES] {
        hash.update(fs::read(dir.join(name)).ok()?);
    }
    Some(hex(hash))
}

fn load(dir: &Path) -> Option<Image> {
    if fs::read_to_string(dir.join(STAMP)).ok()? != stamp(dir)? {
        return None;
    }
    Some(Image {
        kernel: dir.join(KERNEL),
        root: dir.join(ROOT),
        packages: parse_versions(&fs::read_to_string(dir.join(PACKAGES)).ok()?),
    })
}

/// `name version` lines.
fn parse_versions(text: &str) -> BTreeMap<String, String> {
    items(text)
        .iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, version)| (name.to_owned(), version.trim().to_owned()))
        .collect()
}

/// Name and version from `name_version_arch.deb`, as apt calls the file.
fn package_of(file: &str) -> Option<(String, String)> {
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    Some((name.to_owned(), version.replace("%3a", ":")))
}

/// What differs from the packages that the scenarios were last seen with.
fn differences(known: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Option<String> {
    let names: BTreeSet<&String> = known.keys().chain(now.keys()).collect();
    let moved: Vec<String> = names
        .into_iter()
        .filter(|name| known.get(*name) != now.get(*name))
        .map(|name| {
            let of = |map: &BTreeMap<String, String>| {
                map.get(name).map_or("none", String::as_str).to_owned()
            };
            format!("{name} {} instead of {}", of(now), of(known))
        })
        .collect();
    let more = moved.len().saturating_sub(SHOWN);
    let rest = match more {
        0 => String::new(),
        _ => format!(" and {more} more"),
    };
    let shown: Vec<&str> = moved.iter().take(SHOWN).map(String::as_str).collect();
    (!moved.is_empty()).then(|| {
        format!(
            "Debian {} has moved from guests/dom0/versions: {}{rest}",
            Series::V4_20.suite(),
            shown.join(", ")
        )
    })
}

/// Makes the image as `dir`; nothing is left half done.
fn make(paths: &Paths, recipe: &Recipe, dir: &Path, step: &Step) -> Result<()> {
    let log = paths.log("dom0-image")?;
    let _ = fs::remove_file(&log);
    let part = dir.with_extension("part");
    let tree = part.join("tree");
    paths::remove_dir(&tree)?;
    paths::remove_dir(dir)?;
    paths::make_dir(&part)?;
    let tar = part.join("root.tar");
    if !tar.is_file() {
        fetch(recipe, &tar, &part, &log, step)
            .context("cannot get dom0's packages (check the network)")?;
    }
    unpack(recipe, &tar, &tree, &log, step)?;
    let version = kernel(&tree, &part)?;
    modules(recipe, &tree, &version, &log, step)?;
    layout(&tree)?;
    let mut pack = run::command(
        "bash",
        ["-c", &format!("{PACK} | zstd -q -f -9 -T0 -o \"$0\"")],
    );
    pack.arg(part.join(ROOT)).current_dir(&tree);
    run::must(&mut pack, &log, step, "packing the image")?;
    paths::remove_dir(&tree)?;
    let stamp = stamp(&part).context("the image's files are gone")?;
    paths::write_atomic(&part.join(STAMP), stamp.as_bytes())?;
    fs::remove_file(&tar)?;
    fs::rename(&part, dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// Asks each archive of the machine in turn; the first error tells most.
fn fetch(recipe: &Recipe, tar: &Path, part: &Path, log: &Path, step: &Step) -> Result<()> {
    let mut first = None;
    for archive in apt::archives(Path::new("/etc/apt"))? {
        let sources = archive.entry("deb", Series::V4_20.suite());
        match debs(recipe, &sources, tar, part, log, step) {
            Ok(()) => return Ok(()),
            Err(error) => first = first.or(Some(error)),
        }
        run::check_stop()?;
    }
    Err(first.unwrap_or_else(|| anyhow!("no archive to ask")))
}

/// Fetches the packages and what they depend on, as one archive of their files.
fn debs(
    recipe: &Recipe,
    sources: &str,
    tar: &Path,
    part: &Path,
    log: &Path,
    step: &Step,
) -> Result<()> {
    let (list, new) = (part.join("debs"), tar.with_extension("new"));
    let from = part.join("archive.sources");
    paths::write_atomic(&from, sources.as_bytes())?;
    let mut command = run::command(
        "mmdebstrap",
        [
            "--variant=extract",
            // Nothing is run in the tree, so there is nothing to mount or to be root for.
            "--mode=chrootless",
            "--format=tar",
            "--aptopt=APT::Install-Recommends \"false\"",
            "--aptopt=Acquire::Languages \"none\"",
            "--aptopt=Acquire::Retries \"2\"",
            "--extract-hook=ls \"$1\"/var/cache/apt/archives > \"$XPT_LIST\"",
        ],
    );
    command
        .arg(format!("--include={}", recipe.packages.join(",")))
        .arg(Series::V4_20.suite())
        .arg(&new)
        .arg(&from)
        .env("XPT_LIST", &list);
    run::must(&mut command, log, step, "mmdebstrap")?;
    let packages: BTreeMap<String, String> =
        paths::read(&list)?.lines().filter_map(package_of).collect();
    if packages.is_empty() {
        bail!("mmdebstrap took no package; see {}", log.display());
    }
    let text: String = packages
        .iter()
        .map(|(name, version)| format!("{name} {version}\n"))
        .collect();
    paths::write_atomic(&part.join(PACKAGES), text.as_bytes())?;
    fs::rename(&new, tar).with_context(|| format!("cannot make {}", tar.display()))
}

fn unpack(recipe: &Recipe, tar: &Path, tree: &Path, log: &Path, step: &Step) -> Result<()> {
    paths::make_dir(tree)?;
    let mut command = run::command("tar", ["--no-same-owner", "--anchored", "--wildcards"]);
    command.arg("-xf").arg(tar).arg("-C").arg(tree).args(
        items(&paths::read(&recipe.exclude)?)
            .iter()
            .map(|path| format!("--exclude={path}")),
    );
    run::must(&mut command, log, step, "unpacking dom0's packages")
}

/// Takes the kernel out of `/boot`, and gives its version.
fn kernel(tree: &Path, part: &Path) -> Result<String> {
    let boot = tree.join("boot");
    let mut versions: Vec<String> = fs::read_dir(&boot)
        .with_context(|| format!("cannot read {}", boot.display()))?
        .flatten()
        .filter_map(|entry| {
            Some(
                entry
                    .file_name()
                    .to_str()?
                    .strip_prefix("vmlinuz-")?
                    .to_owned(),
            )
        })
        .collect();
    let (Some(version), None) = (versions.pop(), versions.pop()) else {
        bail!("there is not one kernel in {}", boot.display());
    };
    fs::rename(boot.join(format!("vmlinuz-{version}")), part.join(KERNEL))?;
    paths::remove_dir(&boot)?;
    Ok(version)
}

/// Keeps the modules of the recipe and what they depend on.
fn modules(recipe: &Recipe, tree: &Path, version: &str, log: &Path, step: &Step) -> Result<()> {
    // As on the installed system: depmod looks below /lib.
    for name in ["bin", "lib", "lib64", "sbin"] {
        let link = tree.join(name);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(format!("usr/{name}"), link)?;
        }
    }
    let dir = tree.join("usr/lib/modules").join(version);
    let depmod = || {
        let mut depmod = run::command(DEPMOD, ["-b"]);
        depmod.arg(tree).arg(version);
        run::must(&mut depmod, log, step, "depmod")
    };
    depmod()?;
    let keep = needed(
        &paths::read(&dir.join("modules.dep"))?,
        &paths::read(&dir.join("modules.builtin"))?,
        &recipe.modules,
    )?;
    for entry in walkdir::WalkDir::new(dir.join("kernel")) {
        let entry = entry?;
        let path = entry.path().strip_prefix(&dir)?.to_str().unwrap_or("");
        if entry.file_type().is_file() && !keep.contains(path) {
            fs::remove_file(entry.path())?;
        }
    }
    depmod()
}

/// The files of `wanted` modules and of those that they depend on.
fn needed(dep: &str, builtin: &str, wanted: &[String]) -> Result<BTreeSet<String>> {
    let name = |path: &str| {
        let file = path.rsplit('/').next().unwrap_or(path);
        file.split('.').next().unwrap_or(file).replace('_', "-")
    };
    let mut keep = BTreeSet::new();
    for module in wanted {
        let of = |path: &str| name(path) == module.replace('_', "-");
        let line = dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(path, _)| of(path));
        match line {
            Some((path, others)) => {
                keep.insert(path.to_owned());
                keep.extend(others.split_whitespace().map(str::to_owned));
            }
            None if builtin.lines().any(of) => {}
            None => bail!("Debian's kernel has no module {module}; change guests/dom0/modules"),
        }
    }
    Ok(keep)
}

/// What packages make only when they are installed.
fn layout(tree: &Path) -> Result<()> {
    for dir in [
        "dev",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "opt",
        "var/lib/xen",
        "var/log/xen",
    ] {
        paths::make_dir(&tree.join(dir))?;
    }
    // Packages bring the first as a folder; dom0 has its memory there.
    paths::remove_dir(&tree.join("var/run"))?;
    for (target, link) in [("../run", "var/run"), ("busybox", "usr/bin/sh")] {
        let link = tree.join(link);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink(target, link)?;
        }
    }
    fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(tree.join("etc/group"), "root:x:0:\n")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_file_names_give_name_and_version() {
        assert_eq!(
            package_of("busybox-static_1%3a1.37.0-6+b9_amd64.deb"),
            Some(("busybox-static".into(), "1:1.37.0-6+b9".into()))
        );
        assert_eq!(package_of("partial"), None);
        assert_eq!(package_of("lock_x"), None);
    }

    #[test]
    fn moved_packages_are_named_with_both_versions() {
        let known = parse_versions("# last seen\na 1\nb 1:2\nc 3\n");
        let now = parse_versions("a 1\nb 1:3\nd 4\n");
        assert_eq!(differences(&known, &known), None);
        let text = differences(&known, &now).unwrap();
        assert!(
            text.ends_with(": b 1:3 instead of 1:2, c none instead of 3, d 4 instead of none"),
            "{text}"
        );
    }

    #[test]
    fn modules_come_with_what_they_depend_on() {
        let dep = "kernel/a/nvme.ko.xz: kernel/a/nvme-core.ko.xz kernel/b/auth.ko.xz\n\
                   kernel/a/nvme-core.ko.xz: kernel/b/auth.ko.xz\nkernel/b/auth.ko.xz:\n\
                   kernel/x/xen_evtchn.ko.xz:\nkernel/y/other.ko.xz:\n";
        let wanted = ["nvme", "xen-evtchn", "xenfs"].map(str::to_owned);
        let keep = needed(dep, "kernel/fs/xenfs.ko\n", &wanted).unwrap();
        let keep: Vec<&str> = keep.iter().map(String::as_str).collect();
        assert_eq!(
            keep,
            [
                "kernel/a/nvme-core.ko.xz",
                "kernel/a/nvme.ko.xz",
                "kernel/b/auth.ko.xz",
                "kernel/x/xen_evtchn.ko.xz"
            ]
        );
        assert!(
            needed(dep, "", &wanted)
                .unwrap_err()
                .to_string()
                .contains("xenfs")
        );
    }

    #[test]
    fn changed_recipe_has_another_place() {
        let dir = tempfile::tempdir().unwrap();
        let name = |packages: &str| {
            for (file, text) in [
                ("packages", packages),
                ("modules", "m\n"),
                ("exclude", "./x\n"),
            ] {
                fs::write(dir.path().join(file), text).unwrap();
            }
            Recipe::read(dir.path()).map(|recipe| recipe.name())
        };
        let one = name("# c\na\nb\n").unwrap();
        assert_eq!(one, name("a\nb\n").unwrap());
        assert_ne!(one, name("a\n").unwrap());
        assert!(name("# none\n").is_err());
    }

    #[test]
    fn damaged_image_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        for name in [KERNEL, ROOT] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        fs::write(dir.path().join(PACKAGES), "a 1\n").unwrap();
        assert_eq!(load(dir.path()), None);
        fs::write(dir.path().join(STAMP), stamp(dir.path()).unwrap()).unwrap();
        assert_eq!(load(dir.path()).unwrap().packages.len(), 1);
        fs::write(dir.path().join(ROOT), "half").unwrap();
        assert_eq!(load(dir.path()), None);
    }
}
