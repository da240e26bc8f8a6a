// SPDX-License-Identifier: GPL-2.0-only
//! What a guest test needs of its machine besides what every test has.

use std::{fs, io::ErrorKind, path::Path, time::Duration};

use anyhow::{Context, Result, bail};

/// Longer than most tests that work: they take seconds.
const LIMIT: Duration = Duration::from_secs(60);

/// A test's file `machine`: one item a line, `#` begins a comment line.
///
/// ```text
/// qemu <arguments>
/// xen <options>
/// ehci <slot>.<function>
/// seconds <time limit>
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Added to QEMU's arguments; of some the last one counts.
    pub(crate) qemu: Vec<String>,
    /// Added to Xen's command line.
    pub(crate) xen: Vec<String>,
    /// Where there is a USB controller with a debug port.
    pub(crate) ehci: Option<String>,
    /// When the test counts as hung.
    pub(crate) limit: Duration,
}

impl Machine {
    /// Reads the file; a test without one needs nothing.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("cannot read {}", file.display()))?,
        };
        Self::parse(&text).with_context(|| format!("in {}", file.display()))
    }

    /// Understands the file's text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut machine = Self {
            qemu: Vec::new(),
            xen: Vec::new(),
            ehci: None,
            limit: LIMIT,
        };
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let words = value.split_whitespace().map(str::to_owned);
            match key {
                "qemu" => machine.qemu.extend(words),
                "xen" => machine.xen.extend(words),
                "ehci" => machine.ehci = Some(value.trim().to_owned()),
                "seconds" => {
                    let seconds = value.trim().parse().with_context(|| format!("`{line}`"))?;
                    machine.limit = Duration::from_secs(seconds);
                }
                _ => bail!("`{line}` begins with none of qemu, xen, ehci and seconds"),
            }
        }
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_understood_and_no_other() {
        let text = "# more time\nseconds 300\n\nqemu -device edu,addr=8\nqemu -smp 1\nxen  a=1 b\nehci 0c.0\n";
        let machine = Machine::parse(text).unwrap();
        assert_eq!(machine.qemu, ["-device", "edu,addr=8", "-smp", "1"]);
        assert_eq!(machine.xen, ["a=1", "b"]);
        assert_eq!(machine.ehci.as_deref(), Some("0c.0"));
        assert_eq!(machine.limit, Duration::from_secs(300));
        for wrong in ["seconds", "seconds x", "device edu"] {
            let error = Machine::parse(wrong).unwrap_err();
            assert!(format!("{error:#}").contains(wrong), "{error:#}");
        }
    }

    #[test]
    fn test_without_the_file_has_the_usual_limit() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::read(&dir.path().join("machine")).unwrap();
        assert_eq!(machine, Machine::parse("").unwrap());
        assert_eq!(machine.limit, LIMIT);
    }
}
