// SPDX-License-Identifier: GPL-2.0-only
//! Xen's source from Debian's archive: fetched once, kept outside the checkout.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use crate::{
    apt,
    paths::{self, Paths},
    progress::{Step, say},
    run,
    series::Series,
};

/// Not in `PATH`, but of the same package as `apt-get`.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// The source of one Xen release, as Debian ships it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tarball {
    /// The file in the cache.
    pub(crate) file: PathBuf,
    /// The upstream version in its name.
    pub(crate) version: String,
}

/// One way to get a tarball from an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attempt {
    /// A Debian version that the archive's index lists.
    Index(String),
    /// The known tarball's address; the pool keeps files that the index no longer lists.
    Pool(String),
}

/// Gives the tarball of `series`, from the cache where it is there.
pub(crate) fn fetch(paths: &Paths, series: Series) -> Result<Tarball> {
    let keep = paths.cache.join("src");
    if let Some(tarball) = cached(&keep, series)? {
        return Ok(tarball);
    }
    let step = Step::start(format!("Xen {}: fetch the source", series.name()));
    paths::make_dir(&keep)?;
    let _lock = lock(&paths.cache.join("fetch.lock"))?;
    if let Some(tarball) = cached(&keep, series)? {
        step.done("another run fetched it");
        return Ok(tarball);
    }
    let tarball = download(paths, series, &keep, &step).map_err(|error| {
        anyhow!(
            "cannot fetch Xen {}: {error:#}; run the command again, or put {} into {}",
            series.name(),
            known_tarball(series),
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
fn cached(dir: &Path, series: Series) -> Result<Option<Tarball>> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(None);
    };
    let mut found: Vec<(bool, Option<std::time::SystemTime>, Tarball)> = entries
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
    let Some((_, _, tarball)) = found.pop() else {
        return Ok(None);
    };
    check(&tarball, series).with_context(|| {
        format!(
            "remove {} and run the command again",
            tarball.file.display()
        )
    })?;
    Ok(Some(tarball))
}

/// An error where `tarball` has the known version but is another file.
fn check(tarball: &Tarball, series: Series) -> Result<()> {
    if tarball.version != upstream(series.known()) {
        return Ok(());
    }
    let bytes = fs::read(&tarball.file)
        .with_context(|| format!("cannot read {}", tarball.file.display()))?;
    let sha256: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if sha256 != series.known_sha256() {
        bail!(
            "it is not Debian's {}: its SHA-256 is {sha256}, not {}",
            known_tarball(series),
            series.known_sha256()
        );
    }
    Ok(())
}

/// Asks each archive of the machine in turn, and takes the first tarball that comes.
fn download(paths: &Paths, series: Series, keep: &Path, step: &Step) -> Result<Tarball> {
    for tool in ["apt-get", "apt-cache"] {
        if run::find_program(tool).is_none() {
            bail!("there is no {tool} on this machine");
        }
    }
    // Archives come most likely first, so the first error tells most.
    let mut first = None;
    for (number, archive) in apt::archives(Path::new("/etc/apt"))?.iter().enumerate() {
        let dir = paths
            .cache
            .join("apt")
            .join(format!("{}-{number}", series.suite()));
        match from_archive(paths, series, archive, &dir, keep, step) {
            Ok(tarball) => return Ok(tarball),
            Err(error) => first = first.or(Some(error)),
        }
        run::check_stop()?;
    }
    Err(first.unwrap_or_else(|| anyhow!("no archive to ask")))
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
    // Without an index the pool may still have the known tarball.
    let (versions, mut first) = match listed(series, archive, &apt, &log, step) {
        Ok(versions) => (versions, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    run::check_stop()?;
    // The first error is the one to show: it is about the index or the known version.
    for attempt in attempts(versions, &archive.uris, series) {
        let part = dir.join("download");
        paths::remove_dir(&part)?;
        paths::make_dir(&part)?;
        let (mut get, what) = match &attempt {
            Attempt::Index(version) => {
                let package = format!("xen={version}");
                let options = ["-q", "source", "--download-only", "--tar-only", &package];
                let what = format!("apt-get source {package}");
                (apt("apt-get", &options), what)
            }
            Attempt::Pool(url) => {
                let file = known_tarball(series);
                let hash = format!("SHA256:{}", series.known_sha256());
                let options = ["-q", "download-file", url, &file, &hash];
                (apt(APT_HELPER, &options), format!("download of {file}"))
            }
        };
        get.current_dir(&part);
        let taken =
            run::must(&mut get, &log, step, &what).and_then(|()| take(&part, keep, series, &what));
        match taken {
            Ok(tarball) => return Ok(tarball),
            Err(error) => first = first.or(Some(error)),
        }
        run::check_stop()?;
    }
    Err(first.unwrap_or_else(|| anyhow!("an archive of apt's sources has no address")))
}

/// The Debian versions of `series` that the archive's index lists.
fn listed(
    series: Series,
    archive: &apt::Archive,
    apt: &impl Fn(&str, &[&str]) -> Command,
    log: &Path,
    step: &Step,
) -> Result<Vec<String>> {
    let update = &mut apt("apt-get", &["-q", "update"]);
    run::must(update, log, step, "apt-get update").map_err(|error| {
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
    Ok(versions)
}

/// Moves what was downloaded to its place.
fn take(part: &Path, keep: &Path, series: Series, what: &str) -> Result<Tarball> {
    for entry in fs::read_dir(part)?.flatten() {
        let name = entry.file_name();
        let Some(version) = name.to_str().and_then(tarball_version) else {
            continue;
        };
        if Series::of_version(version) != Some(series) {
            continue;
        }
        let mut tarball = Tarball {
            file: entry.path(),
            version: version.to_owned(),
        };
        check(&tarball, series).with_context(|| format!("{what} brought a wrong file"))?;
        let file = keep.join(&name);
        fs::rename(&tarball.file, &file)
            .with_context(|| format!("cannot write {}", file.display()))?;
        tarball.file = file;
        return Ok(tarball);
    }
    bail!("{what} brought no xen_*.orig.tar.*");
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

/// The versions of `series` among those of `apt-cache showsrc`.
fn candidates(text: &str, series: Series) -> Vec<String> {
    let mut versions = source_versions(text);
    versions.retain(|version| Series::of_version(upstream(version)) == Some(series));
    versions
}

/// The file name of the tarball that the patches were made against.
fn known_tarball(series: Series) -> String {
    format!("xen_{}.orig.tar.xz", upstream(series.known()))
}

/// Where the pool of the archive at `uri` has the known tarball.
fn pool_url(uri: &str, series: Series) -> String {
    // A bare `+` may be read as a space.
    let file = known_tarball(series).replace('+', "%2b");
    format!("{}/pool/main/x/xen/{file}", uri.trim_end_matches('/'))
}

/// What to try, in order: the known version, which the patches fit, by the index
/// where that lists it and at each of `uris`, then the other `versions`.
fn attempts(versions: Vec<String>, uris: &str, series: Series) -> Vec<Attempt> {
    let pool = uris
        .split_whitespace()
        .map(|uri| Attempt::Pool(pool_url(uri, series)));
    let (known, others): (Vec<_>, Vec<_>) = versions
        .into_iter()
        .partition(|version| version == series.known());
    known
        .into_iter()
        .map(Attempt::Index)
        .chain(pool)
        .chain(others.into_iter().map(Attempt::Index))
        .collect()
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
    fn candidates_are_of_the_series_without_repeats() {
        let text = "Package: xen\nVersion: 4.20.9-1\n\nPackage: xen\n\
                    Version: 4.20.3+127-gc42374a105-0+deb13u1\n\nVersion: 4.21.0-1\nVersion: 4.20.9-1\n";
        assert_eq!(
            candidates(text, Series::V4_20),
            ["4.20.9-1", "4.20.3+127-gc42374a105-0+deb13u1"]
        );
        assert!(candidates(text, Series::V4_17).is_empty());
    }

    #[test]
    fn pool_url_escapes_plus_and_doubles_no_slash() {
        let url =
            "http://a.example/debian/pool/main/x/xen/xen_4.20.3%2b127-gc42374a105.orig.tar.xz";
        assert_eq!(pool_url("http://a.example/debian", Series::V4_20), url);
        assert_eq!(pool_url("http://a.example/debian/", Series::V4_20), url);
    }

    #[test]
    fn attempts_go_from_the_known_version_to_the_others() {
        let index = |version: &str| Attempt::Index(version.to_owned());
        let pool = |uri| Attempt::Pool(pool_url(uri, Series::V4_20));
        let known = Series::V4_20.known();
        let of = |versions: &[&str], uris| {
            let versions = versions.iter().map(|&version| version.to_owned());
            attempts(versions.collect(), uris, Series::V4_20)
        };
        assert_eq!(
            of(&["4.20.9-1", known, "4.20.8-1"], "http://a\n http://b/"),
            [
                index(known),
                pool("http://a"),
                pool("http://b"),
                index("4.20.9-1"),
                index("4.20.8-1")
            ]
        );
        assert_eq!(
            of(&["4.20.9-1"], "http://a"),
            [pool("http://a"), index("4.20.9-1")]
        );
        assert_eq!(of(&[], "http://a"), [pool("http://a")]);
    }

    #[test]
    fn cache_prefers_the_known_version_and_checks_it() {
        let dir = tempfile::tempdir().unwrap();
        let cached = |series| cached(dir.path(), series);
        assert_eq!(cached(Series::V4_17).unwrap(), None);
        fs::write(dir.path().join("xen_4.17.9.orig.tar.xz"), "x").unwrap();
        let other = cached(Series::V4_17).unwrap().unwrap();
        assert_eq!(other.version, "4.17.9");
        let known = dir.path().join(known_tarball(Series::V4_17));
        fs::write(&known, "x").unwrap();
        let error = format!("{:#}", cached(Series::V4_17).unwrap_err());
        let start = format!("remove {} and run the command again: ", known.display());
        assert!(error.starts_with(&start), "{error}");
        assert_eq!(error.lines().count(), 1);
        assert_eq!(cached(Series::V4_20).unwrap(), None);
    }

    #[test]
    fn known_version_with_other_content_is_not_taken() {
        let (part, keep) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let take = || take(part.path(), keep.path(), Series::V4_20, "the test");
        assert!(take().is_err());
        let known = known_tarball(Series::V4_20);
        fs::write(part.path().join(&known), "x").unwrap();
        assert!(take().is_err());
        assert!(!keep.path().join(&known).exists());
        fs::remove_file(part.path().join(&known)).unwrap();
        fs::write(part.path().join("xen_4.20.9.orig.tar.xz"), "x").unwrap();
        assert_eq!(take().unwrap().version, "4.20.9");
        assert!(keep.path().join("xen_4.20.9.orig.tar.xz").exists());
    }
}
