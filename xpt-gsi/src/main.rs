// SPDX-License-Identifier: GPL-2.0-only
//! `xpt-gsi`: the GSI of a PCI device or of a Linux irq.
//!
//! A toolstack that gives a device to a guest needs its GSI, and kernels differ in
//! what they tell. Each source here answers by itself: the kernel's privcmd, the
//! firmware's routing tables, and the irq that the device has. Where two answer
//! and differ, that is the answer; nothing is guessed.

mod aml;
mod device;
mod error;
mod find;
mod interrupts;
mod madt;
mod privcmd;
mod root;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgGroup, Parser};
use serde_json::json;

use crate::{
    device::Sbdf,
    error::Result,
    find::{Finder, Source},
    root::Root,
};

/// Prints the GSI of a PCI device or of a Linux irq.
///
/// Exit codes: 0 answered, 2 wrong usage, 3 no such device or irq, 4 it has no GSI
/// (no INTx pin, an MSI, an event channel), 5 not knowable from what is exposed,
/// 6 sources disagree, 7 no permission, 8 a malformed table or file.
#[derive(Debug, Parser)]
#[command(name = "xpt-gsi", version, group = ArgGroup::new("what").required(true).args(["device", "irq", "run_aml"]))]
struct Cli {
    /// The device, such as 0000:00:06.0 or 00:06.0.
    device: Option<Sbdf>,
    /// The Linux irq, as in /proc/interrupts.
    #[arg(long, value_name = "IRQ")]
    irq: Option<u32>,
    /// Read DIR/proc and DIR/sys instead of this machine's.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Ask only this source (may be given several times).
    #[arg(long, value_enum, value_name = "SOURCE")]
    source: Vec<Source>,
    /// Say below the answer from which source each fact came.
    #[arg(long)]
    explain: bool,
    /// Print the answer, or why there is none, with its facts as JSON.
    #[arg(long)]
    json: bool,
    #[arg(long, hide = true)]
    run_aml: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.run_aml {
        return match Root::new(&cli.root).map(|root| aml::worker(&root)) {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(error)) => worker_failed(&error.to_string()),
            Err(error) => worker_failed(&error.message),
        };
    }
    let mut finder = Finder::new(&cli.source);
    let answer = Root::new(&cli.root).and_then(|root| match (cli.device, cli.irq) {
        (Some(sbdf), _) => finder.of_device(&root, sbdf),
        (None, irq) => finder.of_irq(&root, irq.unwrap_or_default()),
    });
    let code = answer
        .as_ref()
        .map_or_else(|error| error.kind.exit_code(), |_| 0);
    if let Err(error) = print(&cli, &finder, &answer, code)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("xpt-gsi: cannot write the answer: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::from(code)
}

fn worker_failed(what: &str) -> ExitCode {
    eprintln!("{what}");
    ExitCode::FAILURE
}

fn print(cli: &Cli, finder: &Finder, answer: &Result<u32>, code: u8) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if cli.json {
        let mut object = json!({
            "gsi": answer.as_ref().ok(),
            "error": answer.as_ref().err(),
            "exit": code,
            "facts": finder.facts,
        });
        let asked = match (cli.device, cli.irq) {
            (Some(sbdf), _) => ("device", json!(sbdf.to_string())),
            (None, irq) => ("irq", json!(irq)),
        };
        if let Some(object) = object.as_object_mut() {
            object.insert(asked.0.to_owned(), asked.1);
        }
        writeln!(out, "{object}")?;
    } else {
        if let Ok(gsi) = answer {
            writeln!(out, "{gsi}")?;
        }
        if cli.explain {
            for fact in &finder.facts {
                writeln!(out, "  {}: {}", fact.source, fact.says)?;
            }
        }
    }
    out.flush()?;
    if let Err(error) = answer {
        eprintln!("xpt-gsi: {error}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
        for line in [
            vec!["xpt-gsi"],
            vec!["xpt-gsi", "06.0"],
            vec!["xpt-gsi", "00:06.0", "--irq", "3"],
            vec!["xpt-gsi", "--irq", "-1"],
            vec!["xpt-gsi", "00:06.0", "--source", "x"],
        ] {
            assert!(Cli::try_parse_from(&line).is_err(), "{line:?}");
        }
        assert!(Cli::try_parse_from(["xpt-gsi", "00:06.0", "--source", "acpi"]).is_ok());
    }
}
