// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask`: from a fresh machine to a PVH dom0 on a Xen that runs this crate.
//!
//! `boot` is the main job, `dom0` the same with a real Linux, `test` is everything
//! that passes judgement, `xen` serves a user's own tree, `audit` looks at the
//! object alone, `verify` proves and searches. What is fetched
//! stays in `$XPT_CACHE` (`~/.cache/xen-passthrough`), what is built in
//! `target/xpt`; either may be removed at any time. Every failure is one line
//! that says what to do, and a second run goes on where the first stopped.

mod apt;
mod build;
mod dom0;
mod ehci;
mod glue;
mod guest;
mod machine;
mod parts;
mod paths;
mod prereq;
mod progress;
mod qemu;
mod report;
mod rows;
mod run;
mod series;
mod source;
mod table;
mod user;
mod verify;

use std::{io, path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{paths::Paths, series::Series, verify::Level};

/// Builds xen-passthrough into Xen, boots it and tests it.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build Xen with and without the crate, boot both, and print what each answers.
    Boot {
        /// Only this Xen.
        #[arg(long, value_name = "VERSION")]
        xen: Option<Series>,
    },
    /// Boot a stock Linux dom0 on Xen 4.20, with and without the crate, and give
    /// devices to guests with stock xl.
    Dom0 {
        /// Only this scenario: its name or number.
        #[arg(long, value_name = "NAME")]
        scenario: Option<String>,
        /// Only on the unmodified Xen.
        #[arg(long)]
        without_xpt: bool,
    },
    /// Run everything that passes judgement; reports go to target/xpt/reports.
    Test {
        /// Only this part.
        #[arg(long, value_name = "PART")]
        only: Option<String>,
    },
    /// Apply the glue to your own Xen tree and build it.
    Xen {
        /// The tree: the folder that holds `xen` and `Config.mk`.
        #[arg(long, value_name = "DIR")]
        source: PathBuf,
        /// Where to put `xen` and `xen-syms` (default: DIR/xen).
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Build the object for Xen and audit it.
    Audit,
    /// Prove and search what tests cannot; reports go to target/xpt/reports/verify-*.json.
    Verify {
        /// Only this check.
        #[arg(long, value_name = "CHECK")]
        only: Option<String>,
        /// What is done in a few minutes.
        #[arg(long, conflicts_with = "long")]
        quick: bool,
        /// All that there is, which takes hours.
        #[arg(long)]
        long: bool,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    run::catch_signals()?;
    let paths = Paths::find()?;
    paths::make_dir(&paths.out)?;
    let _lock = source::lock(&paths.out.join("lock"))?;
    match &cli.command {
        Task::Boot { xen } => {
            let all = xen.map_or_else(|| Series::ALL.to_vec(), |series| vec![series]);
            parts::boot(&paths, &all)
        }
        Task::Dom0 {
            scenario,
            without_xpt,
        } => parts::dom0(&paths, scenario.as_deref(), *without_xpt),
        Task::Test { only } => parts::test(&paths, only.as_deref()),
        Task::Xen { source, out } => {
            user::apply_and_build(&paths, source, out.as_deref()).map(|()| true)
        }
        Task::Audit => parts::audit(&paths),
        Task::Verify { only, quick, long } => {
            verify::verify(&paths, only.as_deref(), Level::of_flags(*quick, *long))
        }
    }
}

/// The chain of an error in one line, with what to do about the usual causes.
fn one_line(error: &anyhow::Error) -> String {
    let mut text = format!("{error:#}").replace('\n', " ");
    let kind = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    let advice = match kind {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            "; free some disk space and run the command again"
        }
        Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied) => {
            "; make that place writable and run the command again"
        }
        _ => "",
    };
    text.push_str(advice);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["xtask", "boot", "--xen", "4.20"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "boot", "--xen", "4.19"]).is_err());
        assert!(Cli::try_parse_from(["xtask", "xen"]).is_err());
        assert!(Cli::try_parse_from(["xtask", "verify", "--only", "stack", "--long"]).is_ok());
        assert!(Cli::try_parse_from(["xtask", "verify", "--quick", "--long"]).is_err());
    }

    #[test]
    fn full_disk_says_what_to_do() {
        let error = Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull))
            .context("cannot write x")
            .unwrap_err();
        let text = one_line(&error);
        assert!(
            text.starts_with("cannot write x: ") && text.ends_with("run the command again"),
            "{text}"
        );
    }
}
