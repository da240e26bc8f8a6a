// SPDX-License-Identifier: GPL-2.0-only
//! A private apt configuration that reaches another suite's sources.
//!
//! The machine's own entries say where its Debian archive is and which key
//! signs it; only the suite is exchanged. The system's apt stays untouched.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use crate::paths;

/// Suite names that Debian's main archive goes by.
const SUITES: [&str; 9] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// One archive: what is kept of an entry of the machine's apt sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    /// Its addresses, as written.
    pub(crate) uris: String,
    /// The key or key file that signs it; several lines for a key in place.
    signed_by: Option<String>,
    trusted: Option<String>,
}

impl Archive {
    /// The deb822 entry for `types` (`deb`, `deb-src`) of `suite`.
    pub(crate) fn entry(&self, types: &str, suite: &str) -> String {
        let mut text = format!(
            "Types: {types}\nURIs: {}\nSuites: {suite}\nComponents: main\n",
            self.uris
        );
        for (name, value) in [("Signed-By", &self.signed_by), ("Trusted", &self.trusted)] {
            if let Some(value) = value {
                text.push_str(&format!("{name}: {value}\n"));
            }
        }
        text
    }

    /// Writes an apt configuration for `suite` into `dir` and gives its path.
    pub(crate) fn configure(&self, dir: &Path, suite: &str) -> Result<PathBuf> {
        for sub in ["lists/partial", "archives/partial", "sources.d"] {
            paths::make_dir(&dir.join(sub))?;
        }
        paths::write_atomic(
            &dir.join("sources.d/archive.sources"),
            self.entry("deb-src", suite).as_bytes(),
        )?;
        let at = dir.display();
        let mut text = format!(
            "Dir::Etc::SourceList \"/dev/null\";\nDir::Etc::SourceParts \"{at}/sources.d\";\n\
             Dir::State::Lists \"{at}/lists\";\nDir::Cache \"{at}\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"2\";\n\
             APT::Update::Error-Mode \"any\";\n"
        );
        if Uid::effective().is_root() {
            // The private folders need not be open to apt's own user.
            text.push_str("APT::Sandbox::User \"root\";\n");
        }
        let file = dir.join("apt.conf");
        paths::write_atomic(&file, text.as_bytes())?;
        Ok(file)
    }
}

/// The machine's entries for Debian's main archive, most likely first.
pub(crate) fn archives(etc: &Path) -> Result<Vec<Archive>> {
    let mut found = Vec::new();
    let mut files = vec![etc.join("sources.list")];
    if let Ok(dir) = fs::read_dir(etc.join("sources.list.d")) {
        let mut parts: Vec<PathBuf> = dir.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        files.extend(parts);
    }
    for file in files.iter().filter(|file| file.is_file()) {
        let text = paths::read(file).context("cannot learn where the Debian archive is")?;
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.extend(one_line(&text)),
            Some("sources") => found.extend(deb822(&text)),
            _ => {}
        }
    }
    // A third party may use Debian's suite names; its address seldom ends so.
    found.sort_by_key(|archive| {
        !archive
            .uris
            .split_whitespace()
            .any(|uri| uri.trim_end_matches('/').ends_with("/debian"))
    });
    found.dedup();
    if found.is_empty() {
        bail!("apt's sources have no Debian archive (an entry with a Debian suite and `main`)");
    }
    Ok(found)
}

fn is_main_archive(suites: &str, components: &str) -> bool {
    suites
        .split_whitespace()
        .any(|suite| SUITES.contains(&suite))
        && components.split_whitespace().any(|name| name == "main")
}

/// Entries of a deb822 file (`*.sources`).
fn deb822(text: &str) -> Vec<Archive> {
    let mut archives = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    // One empty line more ends the last stanza.
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            archives.extend(stanza(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    archives
}

fn stanza(fields: &[(String, String)]) -> Option<Archive> {
    let field = |name: &str| {
        fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let off = field("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if off || !is_main_archive(&field("suites")?, &field("components")?) {
        return None;
    }
    Some(Archive {
        uris: field("uris")?,
        signed_by: field("signed-by"),
        trusted: field("trusted"),
    })
}

/// Entries of a one-line file (`sources.list`, `*.list`).
fn one_line(text: &str) -> Vec<Archive> {
    text.lines().filter_map(one_entry).collect()
}

fn one_entry(line: &str) -> Option<Archive> {
    let line = line.split('#').next()?.trim();
    let rest = line
        .strip_prefix("deb-src")
        .or_else(|| line.strip_prefix("deb"))?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let components: Vec<&str> = words.collect();
    if !is_main_archive(suite, &components.join(" ")) {
        return None;
    }
    let option = |name: &str| {
        options.split_whitespace().find_map(|option| {
            let (key, value) = option.split_once('=')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.replace(',', " "))
        })
    };
    Some(Archive {
        uris: uri.to_owned(),
        signed_by: option("signed-by"),
        trusted: option("trusted"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &str = "Types: deb\n# a comment\nURIs: http://mirror.example/debian\n\
        Suites: bookworm bookworm-updates\nComponents: main\n\
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
        Types: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n\n\
        Types: deb\nURIs: http://other.example/\nSuites: bookworm\nComponents: stable\n\n\
        Types: deb\nURIs: http://off.example/debian\nSuites: trixie\nComponents: main\nEnabled: no\n";

    #[test]
    fn deb822_suite_is_swapped_and_the_key_kept() {
        let found = deb822(SOURCES);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].entry("deb-src", "trixie"),
            "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        );
    }

    #[test]
    fn deb822_key_in_place_keeps_its_lines() {
        let text = "Types: deb\nURIs: http://a/debian\nSuites: stable\nComponents: main contrib\n\
                    Signed-By:\n -----BEGIN-----\n .\n mQ\n";
        let found = deb822(text);
        assert!(
            found[0]
                .entry("deb-src", "x")
                .ends_with("Signed-By: \n -----BEGIN-----\n .\n mQ\n")
        );
    }

    #[test]
    fn one_line_entries_keep_their_options() {
        let text = "# deb http://no/debian trixie main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ trixie main contrib # x\n\
                    deb http://sec.example/debian-security trixie-security main\n\
                    deb https://pkg.example/apt thing-bookworm main\n\
                    deb cdrom:[Debian 12]/ bookworm\n";
        let found = one_line(text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].entry("deb-src", "bookworm"),
            "Types: deb-src\nURIs: http://a.example/debian/\nSuites: bookworm\nComponents: main\nSigned-By: /k.gpg\n"
        );
    }

    #[test]
    fn archives_of_a_folder_come_with_debian_first() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sources.list.d")).unwrap();
        fs::write(
            dir.path().join("sources.list"),
            "deb http://third.example/apt bookworm main\n",
        )
        .unwrap();
        fs::write(dir.path().join("sources.list.d/debian.sources"), SOURCES).unwrap();
        let found = archives(dir.path()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].uris, "http://mirror.example/debian");
        assert!(archives(&dir.path().join("none")).is_err());
    }
}
