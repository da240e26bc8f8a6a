// SPDX-License-Identifier: GPL-2.0-only
//! Where things are: the checkout, its build output and the cache.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};

use crate::series::Series;

/// Which of the two hypervisors that are built from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Debian's source as it is.
    Vanilla,
    /// The same source with the glue applied and the crate linked in.
    Xpt,
    /// The same with Xen's CONFIG_DEBUG.
    Debug,
}

impl Kind {
    /// The folder name below `target/xpt/<series>`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Vanilla => "vanilla",
            Self::Xpt => "xpt",
            Self::Debug => "debug",
        }
    }

    /// How it is called in messages.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Vanilla => "unmodified",
            Self::Xpt => "with xen-passthrough",
            Self::Debug => "with xen-passthrough and CONFIG_DEBUG",
        }
    }
}

/// The folders that the commands work in.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// Top of the checkout.
    pub(crate) root: PathBuf,
    /// `target/xpt`: all that is built.
    pub(crate) out: PathBuf,
    /// Downloads; outside the checkout, so that they outlive it.
    pub(crate) cache: PathBuf,
}

impl Paths {
    /// Finds the checkout and the cache.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .map(Path::to_path_buf)
            .ok_or_else(|| anyhow!("cannot tell where the checkout is; use `cargo xtask`"))?;
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let cache = set("XPT_CACHE")
            .map(PathBuf::from)
            .or_else(|| set("XDG_CACHE_HOME").map(|dir| Path::new(&dir).join("xen-passthrough")))
            .or_else(|| set("HOME").map(|dir| Path::new(&dir).join(".cache/xen-passthrough")))
            .ok_or_else(|| anyhow!("no folder for downloads; set XPT_CACHE to one"))?;
        let cache = std::path::absolute(cache)?;
        let out = root.join("target/xpt");
        Ok(Self { root, out, cache })
    }

    /// `xen-glue`, the C side and its patches.
    pub(crate) fn glue(&self) -> PathBuf {
        self.root.join("xen-glue")
    }

    /// The Rust object for Xen.
    pub(crate) fn archive(&self) -> PathBuf {
        self.out.join("lib/libxen_passthrough.a")
    }

    /// The generated header.
    pub(crate) fn header(&self) -> PathBuf {
        self.glue().join("include/xpt.h")
    }

    /// The folder of one hypervisor: `src`, `xen`, `xen-syms`, `stamp`.
    pub(crate) fn hypervisor(&self, series: Series, kind: Kind) -> PathBuf {
        self.out.join(series.name()).join(kind.name())
    }

    /// The log file called `name`, its folder made.
    pub(crate) fn log(&self, name: &str) -> Result<PathBuf> {
        let file = self.out.join("logs").join(format!("{name}.log"));
        make_parent(&file)?;
        Ok(file)
    }
}

/// Makes the folder `dir` and those above it.
pub(crate) fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
}

/// Makes the folder that `file` is in.
pub(crate) fn make_parent(file: &Path) -> Result<()> {
    file.parent().map_or(Ok(()), make_dir)
}

/// Reads a text file.
pub(crate) fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Removes a folder that may not be there.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file so that no reader, and no interrupted run, sees half of it.
pub(crate) fn write_atomic(file: &Path, content: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let dir = file.parent().unwrap_or_else(|| Path::new("."));
        let temporary = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(dir)?;
        fs::write(temporary.path(), content)?;
        temporary.persist(file)?;
        Ok(())
    };
    make_parent(file)?;
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Copies a file, with its mode, so that no reader sees half of it.
pub(crate) fn copy_atomic(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        let dir = to.parent().unwrap_or_else(|| Path::new("."));
        let temporary = tempfile::NamedTempFile::new_in(dir)?;
        fs::copy(from, temporary.path())?;
        temporary.persist(to)?;
        Ok(())
    };
    make_parent(to)?;
    copy().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
