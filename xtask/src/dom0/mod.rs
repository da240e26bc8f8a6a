// SPDX-License-Identifier: GPL-2.0-only
//! `cargo xtask dom0`: a stock Linux dom0 and stock xl on the hypervisor.

mod facts;
mod image;
mod rig;
mod scenarios;
mod session;

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

pub(crate) use {rig::Challenge, scenarios::Scenario};

use crate::{
    build,
    dom0::{
        facts::{Check, Device},
        image::Image,
        rig::Rig,
        scenarios::{Machine, SCENARIOS},
        session::{Dom0, Setup},
    },
    paths::{self, Kind, Paths},
    progress::{Step, elapsed},
    report::{Case, Report},
    rows::matches_pattern,
    run,
    series::Series,
    table,
};

/// What unmodified Xen 4.20 fails at, as it is seen there: scenario, device, what.
/// Everything else is to go as it does with the crate.
const UPSTREAM: &[(&str, &str, &str)] = &[
    ("assign", "e1000e", NO_MSIX),
    ("assign", "nvme", NO_RESET),
    ("pirq", "e1000e", NO_MSIX),
    ("pirq", "nvme", NO_RESET),
    ("return", "e1000e", NO_MSIX),
    ("return", "nvme", NO_RESET),
    ("hotplug", "e1000e", NO_MSIX),
    ("hotplug", "nvme", NO_RESET),
    ("rounds", "nvme", NO_RESET),
    ("shared", "nvme", NO_RESET),
    ("kill", "e1000e", NO_MACHINE),
    ("kill", "nvme", NO_RESET),
    ("kill-smp", "e1000e", NO_MACHINE),
    ("kill-smp", "nvme", NO_RESET),
];

/// Xen is not told where the table is, since it does not let pciback say so.
const NO_MSIX: &str = "e1000e msix.first 0 instead of 1; *";

/// The guest that got no MSI-X leaves the card so that QEMU 7.2 ends by a failed
/// check of its own when dom0's driver takes it: seen each time.
const NO_MACHINE: &str = "*QEMU ended*";

/// The reset takes the device's vPCI away, and pciback gives up.
const NO_RESET: &str = "*pci-assignable-add status 1: *File exists instead of 0*";

/// QEMU's own check that failed: 7.2's e1000e has one that it seldom meets when
/// its driver changes from INTx to MSI-X.
const EMULATOR_DIED: &str = "qemu-system-x86_64: ../../hw/";

/// How often such a boot is tried.
const ATTEMPTS: u32 = 3;

/// What became of one scenario with one device.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    scenario: &'static Scenario,
    device: Device,
    kind: Kind,
    checks: Vec<Check>,
    /// Why it could not be done to the end.
    broken: Option<String>,
    time: Duration,
}

impl Outcome {
    fn name(&self) -> String {
        format!(
            "{}-{}/{}",
            self.scenario.number, self.scenario.name, self.device.name
        )
    }

    /// All that is not as it should be.
    fn wrong(&self) -> Option<String> {
        let wrong: Vec<String> = self
            .checks
            .iter()
            .filter(|check| check.wrong.is_some())
            .map(Check::text)
            .chain(self.broken.clone())
            .collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }

    /// As it stands in the table.
    fn text(&self) -> String {
        let Some(wrong) = self.wrong() else {
            return format!("as it should be ({} facts)", self.checks.len());
        };
        let mut parts = wrong.split("; ");
        let first = parts.next().unwrap_or_default();
        match parts.count() {
            0 => first.to_owned(),
            more => format!("{first} (and {more} more)"),
        }
    }

    /// How unmodified Xen is known to fail here.
    fn upstream(&self) -> Option<&'static str> {
        UPSTREAM
            .iter()
            .find(|(scenario, device, _)| {
                *scenario == self.scenario.name && *device == self.device.name
            })
            .map(|(_, _, what)| *what)
    }

    /// What should have been seen instead, if anything.
    fn unexpected(&self) -> Option<String> {
        let known = match self.kind {
            Kind::Xpt | Kind::Debug => None,
            Kind::Vanilla => self.upstream(),
        };
        match (known, self.wrong()) {
            (None, None) => None,
            (None, Some(_)) => Some("everything as it should be".to_owned()),
            (Some(known), None) => Some(known.to_owned()),
            (Some(known), Some(seen)) => (!matches_pattern(known, &seen)).then(|| known.to_owned()),
        }
    }

    fn case(&self) -> Case {
        let seconds = elapsed(self.time);
        match self.unexpected() {
            None => Case::new(self.name(), true, format!("{} ({seconds})", self.text())),
            Some(want) => Case::failed(
                self.name(),
                format!(
                    "{}; expected: {want} ({seconds})",
                    self.wrong().unwrap_or_default()
                ),
            ),
        }
    }
}

/// What a run needs that was made before.
pub(crate) struct Ready {
    image: Image,
    guest: PathBuf,
    gsi: PathBuf,
}

/// Makes the image and the guest.
pub(crate) fn prepare(paths: &Paths) -> Result<Ready> {
    Ok(Ready {
        image: image::image(paths)?,
        guest: build::dom0_guest(paths)?,
        gsi: build::xpt_gsi(paths)?,
    })
}

/// The scenarios that `name` (a name or a number) means; all without one.
pub(crate) fn choose(name: Option<&str>) -> Result<Vec<&'static Scenario>> {
    let Some(name) = name else {
        return Ok(SCENARIOS.iter().collect());
    };
    let found: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|scenario| {
            scenario.name == name
                || scenario.number == name
                || scenario.number.trim_end_matches(char::is_alphabetic) == name
        })
        .collect();
    if found.is_empty() {
        let names: Vec<String> = SCENARIOS
            .iter()
            .map(|scenario| format!("{} {}", scenario.number, scenario.name))
            .collect();
        bail!(
            "there is no scenario {name}; there are {}",
            names.join(", ")
        );
    }
    Ok(found)
}

/// Those that `cargo xtask test` runs.
pub(crate) fn quick() -> Vec<&'static Scenario> {
    SCENARIOS.iter().filter(|scenario| scenario.quick).collect()
}

/// Runs `scenarios` on each of `kinds`, and writes the reports; outcomes in order.
pub(crate) fn run_all(
    paths: &Paths,
    ready: &Ready,
    kinds: &[Kind],
    scenarios: &[&'static Scenario],
) -> Result<Vec<Outcome>> {
    let mut jobs: VecDeque<Job> = VecDeque::new();
    for &scenario in scenarios {
        for &kind in kinds {
            let same = |job: &&mut Job| {
                job.kind == kind
                    && job
                        .scenarios
                        .first()
                        .is_some_and(|first| first.machine == scenario.machine)
            };
            match jobs.iter_mut().find(same) {
                Some(job) => job.scenarios.push(scenario),
                None => jobs.push_back(Job {
                    kind,
                    scenarios: vec![scenario],
                }),
            }
        }
    }
    let step = Step::start(format!("boot the Linux dom0 {} times", jobs.len()));
    let dir = paths.out.join("dom0");
    paths::make_dir(&paths.out.join("logs/dom0"))?;
    let initrd = initrd(paths, ready, &dir, &step)?;
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .clamp(1, 4)
        .min(jobs.len());
    let queue = Mutex::new(jobs);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(job) = next else { break };
                    let outcomes = job.run(paths, ready, &initrd, &step);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend(outcomes);
                }
            });
        }
    });
    run::check_stop()?;
    let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome: &Outcome| {
        (
            outcome.kind,
            outcome.scenario.number,
            Device::ALL
                .iter()
                .position(|device| *device == outcome.device),
        )
    });
    step.done("");
    for &kind in kinds {
        report(&outcomes, kind).write(paths)?;
    }
    Ok(outcomes)
}

/// The report of one hypervisor.
fn report(outcomes: &[Outcome], kind: Kind) -> Report {
    let name = match kind {
        Kind::Xpt => "dom0",
        Kind::Debug => "dom0-debug",
        Kind::Vanilla => "dom0-vanilla",
    };
    Report::new(name, cases(outcomes, kind))
}

/// The cases of one hypervisor.
pub(crate) fn cases(outcomes: &[Outcome], kind: Kind) -> Vec<Case> {
    outcomes
        .iter()
        .filter(|outcome| outcome.kind == kind)
        .map(Outcome::case)
        .collect()
}

/// The image with what is our own added: `init`, the guest and `xpt-gsi`.
fn initrd(paths: &Paths, ready: &Ready, dir: &Path, step: &Step) -> Result<PathBuf> {
    let own = dir.join("own");
    paths::remove_dir(&own)?;
    paths::make_dir(&own.join("xpt"))?;
    paths::copy_atomic(&paths.root.join("guests/dom0/init"), &own.join("init"))?;
    paths::copy_atomic(&ready.guest, &own.join("xpt/xpt-guest"))?;
    paths::copy_atomic(&ready.gsi, &own.join("xpt/xpt-gsi"))?;
    let archive = dir.join("own.cpio");
    image::pack(&own, &archive, &paths.log("dom0-own")?, step)?;
    let initrd = dir.join("initrd");
    session::join(&[&ready.image.root, &archive], &initrd)?;
    Ok(initrd)
}

/// One boot, and what is done in it.
struct Job {
    kind: Kind,
    scenarios: Vec<&'static Scenario>,
}

impl Job {
    /// As its files are called.
    fn name(&self) -> String {
        let numbers: Vec<&str> = self
            .scenarios
            .iter()
            .map(|scenario| scenario.number)
            .collect();
        format!("{}-{}", self.kind.name(), numbers.join("+"))
    }

    fn log(&self, paths: &Paths) -> Result<PathBuf> {
        paths.log(&format!("dom0/{}", self.name()))
    }

    fn run(&self, paths: &Paths, ready: &Ready, initrd: &Path, step: &Step) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut result = Ok(());
        for _ in 0..ATTEMPTS {
            outcomes.clear();
            result = self.try_run(paths, ready, initrd, step, &mut outcomes);
            // Then the machine is at fault, and nothing that is judged here.
            let again = self.kind == Kind::Xpt
                && result.is_err()
                && self
                    .log(paths)
                    .and_then(|log| paths::read(&log))
                    .is_ok_and(|text| text.contains(EMULATOR_DIED));
            if !again {
                break;
            }
        }
        if let Err(error) = result {
            let why = format!("{error:#}").replace('\n', " ");
            for &scenario in &self.scenarios {
                for &device in scenario.devices {
                    let done = outcomes.iter().any(|outcome: &Outcome| {
                        outcome.scenario.number == scenario.number && outcome.device == device
                    });
                    if !done {
                        outcomes.push(Outcome {
                            scenario,
                            device,
                            kind: self.kind,
                            checks: Vec::new(),
                            broken: Some(why.clone()),
                            time: Duration::ZERO,
                        });
                    }
                }
            }
        }
        outcomes
    }

    fn try_run(
        &self,
        paths: &Paths,
        ready: &Ready,
        initrd: &Path,
        step: &Step,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        let first = self
            .scenarios
            .first()
            .ok_or_else(|| anyhow!("nothing to do"))?;
        let Machine { vcpus, qemu, .. } = first.machine;
        let name = self.name();
        let log = self.log(paths)?;
        let challenge = Challenge::new()?;
        let disk = paths.out.join("dom0").join(format!("disk-{name}"));
        paths::write_atomic(&disk, &challenge.disk)?;
        let setup = Setup {
            xen: paths.hypervisor(Series::V4_20, self.kind).join("xen"),
            kernel: ready.image.kernel.clone(),
            initrd: initrd.to_path_buf(),
            disk: disk.clone(),
            vcpus,
            qemu: qemu.iter().map(|&word| word.to_owned()).collect(),
            options: Vec::new(),
            log: log.clone(),
            talk: log.with_extension("talk.log"),
        };
        step.note(&format!("{name}: boot"));
        let mut rig = Rig {
            dom0: Dom0::boot(&setup)
                .with_context(|| format!("the dom0 did not start (see {})", log.display()))?,
            challenge,
            disk,
        };
        rig.drivers()?;
        let result = self.scenarios(&mut rig, &name, step, outcomes);
        if result.is_ok() {
            rig.keep_consoles(&log)?;
        }
        fs::remove_file(&rig.disk)?;
        result.with_context(|| format!("see {}", log.display()))
    }

    fn scenarios(
        &self,
        rig: &mut Rig,
        name: &str,
        step: &Step,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        for &scenario in &self.scenarios {
            for &device in scenario.devices {
                step.note(&format!("{name}: {} with {}", scenario.name, device.name));
                let start = Instant::now();
                let checks = (scenario.run)(rig, &device)?;
                outcomes.push(Outcome {
                    scenario,
                    device,
                    kind: self.kind,
                    checks,
                    broken: None,
                    time: start.elapsed(),
                });
            }
        }
        Ok(())
    }
}

/// The table of `cargo xtask dom0`, and how many outcomes are not as expected.
pub(crate) fn render(outcomes: &[Outcome], kinds: &[Kind]) -> (String, usize) {
    let mut table = Table::new();
    let mut header = vec!["scenario".to_owned(), "device".to_owned()];
    header.extend(kinds.iter().map(|kind| match kind {
        Kind::Vanilla => "unmodified Xen 4.20".to_owned(),
        Kind::Xpt | Kind::Debug => kind.title().to_owned(),
    }));
    table
        .load_preset(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(table::width())
        .set_header(header);
    for scenario in SCENARIOS {
        for device in scenario.devices {
            let of = |kind: &Kind| {
                outcomes.iter().find(|outcome| {
                    outcome.kind == *kind
                        && outcome.scenario.number == scenario.number
                        && outcome.device == *device
                })
            };
            if kinds.iter().all(|kind| of(kind).is_none()) {
                continue;
            }
            let mut row = vec![
                format!("{}. {}", scenario.number, scenario.title),
                device.name.to_owned(),
            ];
            row.extend(kinds.iter().map(|kind| match of(kind) {
                None => String::new(),
                Some(outcome) => match outcome.unexpected() {
                    None => format!("{} ({})", outcome.text(), elapsed(outcome.time)),
                    Some(want) => format!("{}\n<- expected {want}", outcome.text()),
                },
            }));
            table.add_row(row);
        }
    }
    let bad = outcomes
        .iter()
        .filter(|outcome| outcome.unexpected().is_some())
        .count();
    (table.to_string(), bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_by_name_and_number() {
        assert_eq!(choose(None).unwrap().len(), SCENARIOS.len());
        for name in ["assign", "1"] {
            let found = choose(Some(name)).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].name, "assign");
        }
        let error = choose(Some("nonsense")).unwrap_err().to_string();
        assert!(
            error.contains("1 assign, 2 pirq, 3 return, 4 hotplug"),
            "{error}"
        );
    }
}
