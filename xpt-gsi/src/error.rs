// SPDX-License-Identifier: GPL-2.0-only
//! Why there is no answer: one line, and an exit code for each kind.

use std::{fmt, io, path::Path};

use serde::{Deserialize, Serialize};

/// The kinds of "no answer"; `exit_code` is part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// No such device, or no such irq.
    NotFound,
    /// The device has no INTx pin, or the irq is no IO-APIC's.
    NoGsi,
    /// There may be a GSI, but what is exposed does not tell which.
    NotKnowable,
    /// Two sources answer, and not the same.
    Disagree,
    /// The kernel keeps a needed file from this user.
    Permission,
    /// A table or a file cannot be read as what it should be.
    Malformed,
}

impl Kind {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::NotFound => 3,
            Self::NoGsi => 4,
            Self::NotKnowable => 5,
            Self::Disagree => 6,
            Self::Permission => 7,
            Self::Malformed => 8,
        }
    }
}

/// No answer, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Error {
    pub(crate) kind: Kind,
    pub(crate) message: String,
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        // A table may put any character into a name; the error stays one line.
        let message = message
            .as_ref()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Self { kind, message }
    }

    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(Kind::NotFound, format!("there is no {path}")),
            io::ErrorKind::PermissionDenied => Self::new(
                Kind::Permission,
                format!("{path} may not be read by this user; run as root"),
            ),
            _ => Self::new(Kind::Malformed, format!("cannot read {path}: {error}")),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_and_permission_is_its_own_kind() {
        let error = Error::new(Kind::Malformed, "a\nname\u{7}of a table");
        assert_eq!(error.to_string(), "a name of a table");
        let path = Path::new("/sys/firmware/acpi/tables/DSDT");
        let error = Error::io(path, &io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!((error.kind, error.kind.exit_code()), (Kind::Permission, 7));
    }
}
