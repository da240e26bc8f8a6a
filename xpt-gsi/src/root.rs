// SPDX-License-Identifier: GPL-2.0-only
//! The files of a kernel: those of this machine, or a captured copy of them.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::error::{Error, Kind, Result};

/// No file that is read here comes near it: the largest DSDTs have some 500 KiB.
const LARGEST: u64 = 8 << 20;

pub(crate) const TABLES: &str = "sys/firmware/acpi/tables";

/// Where `proc` and `sys` are.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    dir: PathBuf,
}

impl Root {
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let dir = fs::canonicalize(dir).map_err(|error| Error::io(dir, &error))?;
        Ok(Self { dir })
    }

    /// Whether this is the running kernel, which can also be asked.
    pub(crate) fn is_live(&self) -> bool {
        self.dir == Path::new("/")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The real place of `path`, which a symbolic link must not lead out of the root.
    pub(crate) fn real(&self, path: &str) -> Result<PathBuf> {
        let full = self.dir.join(path);
        let real = fs::canonicalize(&full).map_err(|error| Error::io(&full, &error))?;
        if !real.starts_with(&self.dir) {
            return Err(Error::new(
                Kind::Malformed,
                format!("{} leads out of {}", full.display(), self.dir.display()),
            ));
        }
        Ok(real)
    }

    /// A whole file.
    pub(crate) fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let real = self.real(path)?;
        let mut bytes = Vec::new();
        let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
            let file = File::open(&real)?;
            // A pipe or a device in a captured folder would be waited on for ever.
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("not a file"));
            }
            file.take(LARGEST + 1).read_to_end(bytes)
        };
        read(&mut bytes).map_err(|error| Error::io(&real, &error))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > LARGEST) {
            return Err(Error::new(
                Kind::Malformed,
                format!("{} is larger than {LARGEST} bytes", real.display()),
            ));
        }
        Ok(bytes)
    }

    /// An ACPI table.
    pub(crate) fn table(&self, name: &str) -> Result<Vec<u8>> {
        self.bytes(&format!("{TABLES}/{name}")).map_err(|error| {
            if error.kind == Kind::NotFound {
                let message = format!("the kernel shows no ACPI table {name} (is ACPI off?)");
                Error::new(Kind::NotKnowable, message)
            } else {
                error
            }
        })
    }

    /// A file of text, without the white space around it.
    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let bytes = self.bytes(path)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::new(Kind::Malformed, format!("{path} is not text")))?;
        Ok(text.trim().to_owned())
    }

    /// As `text`, or nothing where the file is absent.
    pub(crate) fn text_if_present(&self, path: &str) -> Result<Option<String>> {
        absent_is_none(self.text(path))
    }

    /// The names in a folder, sorted; none where the folder is absent.
    pub(crate) fn names(&self, path: &str) -> Result<Vec<String>> {
        let Some(dir) = absent_is_none(self.real(path))? else {
            return Ok(Vec::new());
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|error| Error::io(&dir, &error))? {
            let entry = entry.map_err(|error| Error::io(&dir, &error))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }
}

pub(crate) fn absent_is_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_out_of_the_root_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("link")).unwrap();
        let root = Root::new(dir.path()).unwrap();
        assert_eq!(root.bytes("link").unwrap_err().kind, Kind::Malformed);
        assert_eq!(root.text_if_present("none"), Ok(None));
        assert!(!root.is_live());
        assert!(Root::new(Path::new("/")).unwrap().is_live());
    }

    #[test]
    fn too_large_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("big")).unwrap();
        file.set_len(LARGEST + 1).unwrap();
        let root = Root::new(dir.path()).unwrap();
        assert_eq!(root.bytes("big").unwrap_err().kind, Kind::Malformed);
        file.set_len(LARGEST).unwrap();
        assert_eq!(root.bytes("big").unwrap().len() as u64, LARGEST);
    }
}
