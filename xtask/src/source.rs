// SPDX-License-Identifier: GPL-2.0-only
//! Xen's source from Debian's archive: fetched once, kept outside the checkout.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    apt,
    paths::{self, Paths},
    progress::{Step, say},
    run,
    series::Series,
};

/// The source of one Xen release, as Debian ships it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tarball {
    /// The file in the cache.
    pub(crate) file: PathBuf,
    /// The upstream version in its name.
    pub(crate) version: String,
}

/// Gives the tarball of `series`, from the cache where it is there.
pub(crate) fn fetch(paths: &Paths, series: Series) -> Result<Tarball> {
    let keep = paths.cache.join("src");
    if let Some(tarball) = cached(&keep, series) {
        return Ok(tarball);
    }
    let step = Step::start(format!("Xen {}: fetch the source", series.name()));
    paths::make_dir(&keep)?;
    let _lock = lock(&paths.cache.join("fetch.lock"))?;
    if let Some(tarball) = cached(&keep, series) {
        step.done("another run fetched it");
        return Ok(tarball);
    }
    let tarball = download(paths, series, &keep, &step).map_err(|error| {
        anyhow!(
            "cannot fetch Xen {}: {error:#}; run the command again, or put xen_{}.orig.tar.xz into {}",
            series.name(),
            upstream(series.known()),
            keep.display()
        )
    })?;
    if tarball.version != upstream(series.known()) {
        say(&format!(
            "note: Debian {} has moved to Xen {}; the patches were made against {}",
            series.suite(),
            tarball.version,
            upstream(series.known())
        ));
    }
    step.done(&tarball.version);
    Ok(tarball)
}

/// Unpacks `tarball` as `dir`; nothing is left half done.
pub(crate) fn unpack(tarball: &Tarball, dir: &Path, log: &Path, step: &Step) -> Result<()> {
    let part = dir.with_extension("part");
    paths::remove_dir(&part)?;
    paths::remove_dir(dir)?;
    paths::make_dir(&part)?;
    let mut tar = run::command("tar", ["--strip-components=1", "-xf"]);
    tar.arg(&tarball.file).arg("-C").arg(&part);
    let what = format!("unpacking {}", tarball.file.display());
    run::must(&mut tar, log, step, &what)
        .with_context(|| format!("remove {} if it is damaged", tarball.file.display()))?;
    fs::rename(&part, dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// The best tarball of `series` in `dir`: the known one, else the newest file.
fn cached(dir: &Path, series: Series) -> Option<Tarball> {
    let mut found: Vec<(bool, Option<std::time::SystemTime>, Tarball)> = fs::read_dir(dir)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let version = tarball_version(entry.file_name().to_str()?)?.to_owned();
            (Series::of_version(&version)? == series).then(|| {
                let time = entry.metadata().and_then(|data| data.modified()).ok();
                let known = version == upstream(series.known());
                let file = entry.path();
                (known, time, Tarball { file, version })
            })
        })
        .collect();
    found.sort_by_key(|(known, time, _)| (*known, *time));
    found.pop().map(|(_, _, tarball)| tarball)
}

/// Asks each archive of the machine for the versions it has, and takes the first that comes.
fn download(paths: &Paths, series: Series, keep: &Path, step: &Step) -> Result<Tarball> {
    for tool in ["apt-get", "apt-cache"] {
        if run::find_program(tool).is_none() {
            bail!("there is no {tool} on this machine");
        }
    }
    let mut last = None;
    for (number, archive) in apt::archives(Path::new("/etc/apt"))?.iter().enumerate() {
        let dir = paths
            .cache
            .join("apt")
            .join(format!("{}-{number}", series.suite()));
        match from_archive(paths, series, archive, &dir, keep, step) {
            Ok(tarball) => return Ok(tarball),
            Err(error) => last = last.or(Some(error)),
        }
        run::check_stop()?;
    }
    Err(last.unwrap_or_else(|| anyhow!("no archive to ask")))
}

fn from_archive(
    paths: &Paths,
    series: Series,
    archive: &apt::Archive,
    dir: &Path,
    keep: &Path,
    step: &Step,
) -> Result<Tarball> {
    let config = archive.configure(dir, series.suite())?;
    let log = paths.log(&format!("fetch-{}", series.name()))?;
    let apt = |program: &str, args: &[&str]| {
        let mut command = run::command(program, args);
        command.env("APT_CONFIG", &config);
        command
    };
    let update = &mut apt("apt-get", &["-q", "update"]);
    run::must(update, &log, step, "apt-get update").map_err(|error| {
        anyhow!(
            "the Debian archive {} does not answer for {} ({error:#}); check the network",
            archive.uris,
            series.suite()
        )
    })?;
    let (_, text, stderr) = run::output(&mut apt(
        "apt-cache",
        &["-q", "showsrc", "--only-source", "xen"],
    ))?;
    let versions = candidates(&text, series);
    if versions.is_empty() {
        let others = source_versions(&text).join(", ");
        if others.is_empty() {
            bail!(
                "the suite {} of {} has no source package xen ({})",
                series.suite(),
                archive.uris,
                stderr.trim()
            );
        }
        bail!(
            "the suite {} has Xen {others} now, which is not {}; supported are Xen {}",
            series.suite(),
            series.name(),
            crate::series::supported()
        );
    }
    let mut last = None;
    for version in versions {
        let part = dir.join("download");
        paths::remove_dir(&part)?;
        paths::make_dir(&part)?;
        let package = format!("xen={version}");
        let mut get = apt(
            "apt-get",
            &["-q", "source", "--download-only", "--tar-only", &package],
        );
        get.current_dir(&part);
        match run::must(&mut get, &log, step, &format!("apt-get source {package}")) {
            Ok(()) => return take(&part, keep, series),
            Err(error) => last = Some(error),
        }
        run::check_stop()?;
    }
    Err(last.unwrap_or_else(|| anyhow!("no version to try")))
}

/// Moves what apt downloaded, and checked against its index, to its place.
fn take(part: &Path, keep: &Path, series: Series) -> Result<Tarball> {
    for entry in fs::read_dir(part)?.flatten() {
        let name = entry.file_name();
        let Some(version) = name.to_str().and_then(tarball_version) else {
            continue;
        };
        if Series::of_version(version) != Some(series) {
            continue;
        }
        let file = keep.join(&name);
        fs::rename(entry.path(), &file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        return Ok(Tarball {
            file,
            version: version.to_owned(),
        });
    }
    bail!("apt-get source brought no xen_*.orig.tar.*");
}

/// Waits for other runs that hold `file`.
pub(crate) fn lock(file: &Path) -> Result<File> {
    paths::make_parent(file)?;
    let handle = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
    let mut told = false;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(handle),
            Err(fs::TryLockError::WouldBlock) => {
                if !told {
                    say("waiting for another cargo xtask to end");
                    told = true;
                }
                run::check_stop()?;
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", file.display()));
            }
        }
    }
}

/// The version in the name of an orig tarball.
fn tarball_version(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("xen_")?;
    let (version, compression) = rest.split_once(".orig.tar.")?;
    matches!(compression, "xz" | "gz" | "bz2").then_some(version)
}

/// `4.17.5+72-g01140da4e8` of `4.17.5+72-g01140da4e8-1`: no epoch, no Debian revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(rest, _)| rest)
}

/// Every `Version:` of `apt-cache showsrc`, without repeats.
fn source_versions(text: &str) -> Vec<String> {
    let mut versions: Vec<String> = Vec::new();
    for version in text
        .lines()
        .filter_map(|line| line.strip_prefix("Version:"))
    {
        let version = version.trim().to_owned();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
}

/// The versions of `series` to try, in order: the known one first, it is what the patches fit.
fn candidates(text: &str, series: Series) -> Vec<String> {
    let mut versions = source_versions(text);
    versions.retain(|version| Series::of_version(upstream(version)) == Some(series));
    versions.sort_by_key(|version| version != series.known());
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_version_has_no_revision() {
        assert_eq!(upstream("4.17.5+72-g01140da4e8-1"), "4.17.5+72-g01140da4e8");
        assert_eq!(
            upstream("4.20.3+127-gc42374a105-0+deb13u1"),
            "4.20.3+127-gc42374a105"
        );
        assert_eq!(upstream("1:4.20.0"), "4.20.0");
    }

    #[test]
    fn tarball_name_gives_its_version() {
        assert_eq!(
            tarball_version("xen_4.17.5+72-g01140da4e8.orig.tar.xz"),
            Some("4.17.5+72-g01140da4e8")
        );
        assert_eq!(tarball_version("xen_4.17.5-1.debian.tar.xz"), None);
        assert_eq!(tarball_version("xen_4.17.5.orig.tar.xz.asc"), None);
    }

    #[test]
    fn candidates_are_of_the_series_with_the_known_one_first() {
        let text = "Package: xen\nVersion: 4.20.9-1\n\nPackage: xen\n\
                    Version: 4.20.3+127-gc42374a105-0+deb13u1\n\nVersion: 4.21.0-1\nVersion: 4.20.9-1\n";
        assert_eq!(
            candidates(text, Series::V4_20),
            ["4.20.3+127-gc42374a105-0+deb13u1", "4.20.9-1"]
        );
        assert!(candidates(text, Series::V4_17).is_empty());
    }

    #[test]
    fn cache_prefers_the_known_version() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cached(dir.path(), Series::V4_17), None);
        fs::write(dir.path().join("xen_4.17.9.orig.tar.xz"), "x").unwrap();
        assert_eq!(cached(dir.path(), Series::V4_17).unwrap().version, "4.17.9");
        fs::write(
            dir.path().join("xen_4.17.5+72-g01140da4e8.orig.tar.xz"),
            "x",
        )
        .unwrap();
        let best = cached(dir.path(), Series::V4_17).unwrap();
        assert_eq!(best.version, "4.17.5+72-g01140da4e8");
        assert_eq!(cached(dir.path(), Series::V4_20), None);
    }
}
