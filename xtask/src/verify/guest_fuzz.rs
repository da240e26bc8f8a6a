// SPDX-License-Identifier: GPL-2.0-only
//! The guest test `vpci-fuzz` with many seeds, on Xen with the crate: as shipped,
//! and at full depth with CONFIG_DEBUG, whose assertions find most. The same seeds
//! on unmodified Xen 4.20 show what that makes of them, and are not judged.

use anyhow::{Context, Result};

use super::Level;
use crate::{
    build::{self, Guest},
    guest::End,
    parts::Prepared,
    paths::Kind,
    prereq::Need,
    progress::Step,
    qemu::{self, Boot, Job},
    report::Case,
    series::Series,
};

const TEST: &str = "vpci-fuzz";

/// The first seed; `cargo xtask test` has 1.
const FIRST: u32 = 2;

/// What unmodified Xen is shown with.
const VANILLA: u32 = 3;

/// What Xen must not print, whatever it is asked to do: warnings and complaints of
/// its own, and a domain's instruction that cannot be emulated.
const NOT_PRINTED: [&str; 7] = [
    "Xen WARN at",
    "Xen BUG at",
    "Assertion '",
    "emulation failed",
    "removed with vPCI still set up",
    "has lost its access to IRQ",
    "cannot tell what to",
];

impl Level {
    /// Seeds, and steps of each of the two vCPUs.
    fn guest_seeds(self) -> (u32, u32) {
        match self {
            Self::Quick => (1, 2000),
            Self::Normal => (3, 2000),
            Self::Long => (40, 3000),
        }
    }
}

pub(crate) fn cases(prepared: &mut Prepared<'_>, level: Level) -> Result<Vec<Case>> {
    prepared.ensure(&[Need::Rust, Need::Build, Need::Fetch, Need::Qemu])?;
    let paths = prepared.paths;
    let guest = prepared
        .guests()?
        .into_iter()
        .find(|guest| guest.name == TEST)
        .with_context(|| format!("there is no guest test {TEST}"))?;
    let kinds: &[Kind] = if level == Level::Long {
        &[Kind::Xpt, Kind::Debug]
    } else {
        &[Kind::Xpt]
    };
    let (seeds, steps) = level.guest_seeds();
    let mut jobs = Vec::new();
    for series in Series::ALL {
        for &kind in kinds {
            prepared.hypervisor(series, kind)?;
            jobs.extend((FIRST..FIRST.saturating_add(seeds)).map(|seed| Job {
                series,
                kind,
                guest: seeded(&guest, seed, steps),
            }));
        }
    }
    if level > Level::Quick {
        prepared.hypervisor(Series::V4_20, Kind::Vanilla)?;
        jobs.extend((FIRST..FIRST.saturating_add(VANILLA)).map(|seed| Job {
            series: Series::V4_20,
            kind: Kind::Vanilla,
            guest: seeded(&guest, seed, steps),
        }));
    }
    let step = Step::start(format!("boot {} times with {TEST}", jobs.len()));
    build::check_checkout(paths)?;
    qemu::prepare(paths)?;
    let boots = qemu::boot_all(paths, jobs, &step)?;
    step.done("");
    Ok(boots.iter().map(judge).collect())
}

/// The test with what picks its steps; how Xen's command line says so is in its
/// `main.c`.
fn seeded(guest: &Guest, seed: u32, steps: u32) -> Guest {
    let mut guest = guest.clone();
    guest.name = format!("{TEST}-{seed}");
    guest
        .machine
        .xen
        .push(format!("xpt-fuzz=seed:{seed},steps:{steps}"));
    guest
}

fn judge(boot: &Boot) -> Case {
    let Job {
        series,
        kind,
        guest,
    } = &boot.job;
    let name = format!("{} {}: {}", series.name(), kind.name(), guest.name);
    let wrong = wrong(boot);
    if *kind == Kind::Vanilla {
        let seen = wrong.unwrap_or_else(|| "nothing is wrong".to_owned());
        return Case::new(name, true, format!("not judged: {seen}"));
    }
    match wrong {
        None => Case::new(name, true, ""),
        Some(why) => Case::failed(name, format!("{why} (see {})", boot.log.display())),
    }
}

/// The first thing that is not as it should be.
fn wrong(boot: &Boot) -> Option<String> {
    let said = boot
        .console
        .lines()
        .find(|line| NOT_PRINTED.iter().any(|mark| line.contains(mark)));
    if let Some(line) = said {
        return Some(format!("Xen says: {line}"));
    }
    if let Some(answer) = boot.console.answers.iter().find(|answer| !answer.ok) {
        let want = answer.want.as_deref().unwrap_or("");
        return Some(format!(
            "{}: {} instead of {want}",
            answer.id, answer.answer
        ));
    }
    match &boot.end {
        End::Result(result) if result.starts_with("SUCCESS") => None,
        End::Result(result) => Some(format!("its result was {result}")),
        End::Died(why) => Some(format!("died: {why}")),
        End::TimedOut => Some(format!("hung; last lines: {}", boot.console.tail(3))),
    }
}
