// SPDX-License-Identifier: GPL-2.0-only
//! The Xen versions that the glue is made for.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;

use crate::paths;

/// A Xen release that has a patch series of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Series {
    /// Debian 12's.
    #[value(name = "4.17")]
    V4_17,
    /// Debian 13's.
    #[value(name = "4.20")]
    V4_20,
}

impl Series {
    /// Every one, oldest first.
    pub(crate) const ALL: [Self; 2] = [Self::V4_17, Self::V4_20];

    /// As it is written everywhere: `4.17`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4_17 => "4.17",
            Self::V4_20 => "4.20",
        }
    }

    /// The Debian suite that ships it.
    pub(crate) fn suite(self) -> &'static str {
        match self {
            Self::V4_17 => "bookworm",
            Self::V4_20 => "trixie",
        }
    }

    /// The Debian version that the patches were made against.
    pub(crate) fn known(self) -> &'static str {
        match self {
            Self::V4_17 => "4.17.5+72-g01140da4e8-1",
            Self::V4_20 => "4.20.3+127-gc42374a105-0+deb13u1",
        }
    }

    /// The SHA-256 of that version's `.orig.tar.xz`.
    pub(crate) fn known_sha256(self) -> &'static str {
        match self {
            Self::V4_17 => "53922f4d0a02c577f2ea9d63f65989cd88715779eebeed879ca1d314103ee06e",
            Self::V4_20 => "df0831854a55a8f31cb3cb85036f2edc928e2ef098d77f815f5714bfafac68f3",
        }
    }

    /// The series that a version such as `4.17.5+72-g01140da4e8` belongs to.
    pub(crate) fn of_version(version: &str) -> Option<Self> {
        let mut parts = version.split(|c: char| !c.is_ascii_digit());
        let (major, minor) = (parts.next()?, parts.next()?);
        Self::ALL
            .into_iter()
            .find(|series| series.name().split_once('.') == Some((major, minor)))
    }

    /// The series of a source tree, by its `xen/Makefile`.
    pub(crate) fn of_tree(tree: &Path) -> Result<Self> {
        let file = tree.join("xen/Makefile");
        if !file.is_file() {
            bail!(
                "{} is no Xen source tree (it has no xen/Makefile); give the folder that holds `xen` and `Config.mk`",
                tree.display()
            );
        }
        let version = makefile_version(&paths::read(&file)?).ok_or_else(|| {
            anyhow!(
                "{} names no XEN_VERSION and XEN_SUBVERSION; give a Xen {} tree",
                file.display(),
                supported()
            )
        })?;
        Self::of_version(&version).ok_or_else(|| {
            anyhow!(
                "{} is Xen {version}, which has no patch series; supported are Xen {}",
                tree.display(),
                supported()
            )
        })
    }
}

/// The supported versions for messages: `4.17 and 4.20`.
pub(crate) fn supported() -> String {
    Series::ALL.map(Series::name).join(" and ")
}

/// `4.17` from the text of `xen/Makefile`.
fn makefile_version(text: &str) -> Option<String> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let (variable, value) = line.split_once('=')?;
            let variable = variable.trim_end_matches(['?', ':']).trim();
            let value = value.trim();
            let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            (variable == name && number).then(|| value.to_owned())
        })
    };
    Some(format!(
        "{}.{}",
        value("XEN_VERSION")?,
        value("XEN_SUBVERSION")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_makefile_is_read_past_other_lines() {
        let text = "# XEN_VERSION = 3\nlastword = $(word $(words $(1)),$(1))\n\
                    export XEN_VERSION       = 4\nexport XEN_SUBVERSION    = 17\n\
                    export XEN_EXTRAVERSION ?= .5$(XEN_VENDORVERSION)\n\
                    export XEN_FULLVERSION   = $(XEN_VERSION).$(XEN_SUBVERSION)$(XEN_EXTRAVERSION)\n";
        assert_eq!(makefile_version(text).as_deref(), Some("4.17"));
        assert_eq!(makefile_version("XEN_VERSION = 4\n"), None);
        assert_eq!(makefile_version("").as_deref(), None);
    }

    #[test]
    fn version_string_gives_its_series() {
        let of = Series::of_version;
        assert_eq!(of("4.17.5+72-g01140da4e8-1"), Some(Series::V4_17));
        assert_eq!(of("4.20"), Some(Series::V4_20));
        assert_eq!(of("4.20.3+127-gc42374a105-0+deb13u1"), Some(Series::V4_20));
        for other in ["4.2", "4.170", "4.19.1", "14.17", "4", "", "x"] {
            assert_eq!(of(other), None, "{other}");
        }
        for series in Series::ALL {
            assert_eq!(of(series.known()), Some(series));
        }
    }
}
