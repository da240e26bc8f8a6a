// SPDX-License-Identifier: GPL-2.0-only
//! One boot in QEMU: Xen, a guest test as its PVH dom0, a time limit.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::{
    build::Guest,
    ehci::Ehci,
    guest::{Console, End},
    machine::Machine,
    paths::{self, Kind, Paths},
    prereq::QEMU,
    progress::Step,
    run::{self, Guarded},
    series::Series,
};

/// How long the reason of a death may take to be printed.
const LAST_WORDS: Duration = Duration::from_millis(700);

/// Xen's command line for every test.
pub(crate) const XEN_OPTIONS: &str =
    "loglvl=all guest_loglvl=all console=com1 noreboot dom0=pvh iommu=verbose";

/// The machine, with nothing on it but what Xen and a PVH dom0 must have.
pub(crate) const MACHINE: [&str; 9] = [
    "-M",
    "q35,kernel-irqchip=split",
    "-cpu",
    "qemu64,+svm,+npt",
    "-display",
    "none",
    "-monitor",
    "none",
    "-no-reboot",
];

/// The machine's memory.
const MEMORY: &str = "1G";

/// Size of the disk behind the NVMe controller, bytes.
const DISK: u64 = 4 << 20;

/// A boot to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Which Xen.
    pub(crate) series: Series,
    /// Which of its two builds.
    pub(crate) kind: Kind,
    /// What runs as dom0.
    pub(crate) guest: Guest,
}

/// A boot that was done.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    /// What was booted.
    pub(crate) job: Job,
    /// What it printed.
    pub(crate) console: Console,
    /// How it ended.
    pub(crate) end: End,
    /// The console's log file.
    pub(crate) log: PathBuf,
}

/// Boots every job, as many at once as there are processors.
pub(crate) fn boot_all(paths: &Paths, jobs: Vec<Job>, step: &Step) -> Result<Vec<Boot>> {
    let count = jobs.len();
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .clamp(1, 8)
        .min(count);
    let queue: Mutex<VecDeque<(usize, Job)>> = Mutex::new(jobs.into_iter().enumerate().collect());
    let done = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some((number, job)) = next else { break };
                    step.note(&format!(
                        "Xen {} {}: {}",
                        job.series.name(),
                        job.kind.title(),
                        job.guest.name
                    ));
                    let boot = boot(paths, job);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((number, boot));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, boot)| boot).collect()
}

fn boot(paths: &Paths, job: Job) -> Result<Boot> {
    let log = paths.log(&format!(
        "guest/{}-{}-{}",
        job.series.name(),
        job.kind.name(),
        job.guest.name
    ))?;
    let xen = paths.hypervisor(job.series, job.kind).join("xen");
    let (console, end) = run_machine(&xen, &job.guest.image, &job.guest.machine, &log)?;
    Ok(Boot {
        job,
        console,
        end,
        log,
    })
}

/// Boots `xen` with `kernel` as dom0; QEMU is gone when this returns.
fn run_machine(xen: &Path, kernel: &Path, machine: &Machine, log: &Path) -> Result<(Console, End)> {
    run::check_stop()?;
    let disk = tempfile::NamedTempFile::new()
        .and_then(|disk| disk.as_file().set_len(DISK).map(|()| disk))
        .context("cannot make a disk image")?;
    let mut log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    let mut command = run::command(QEMU, MACHINE);
    command.args([
        "-m",
        MEMORY,
        "-smp",
        "2",
        "-serial",
        "stdio",
        "-nic",
        "none",
        "-device",
        "amd-iommu,intremap=on",
        "-device",
        "nvme,serial=1,drive=d,addr=6",
        "-device",
        "edu,addr=5",
        "-device",
        "edu,addr=7",
    ]);
    command.arg("-kernel").arg(xen).arg("-initrd").arg(kernel);
    let mut options = vec![XEN_OPTIONS];
    options.extend(machine.xen.iter().map(String::as_str));
    command.arg("-append").arg(options.join(" "));
    // QEMU's option parser takes a doubled comma for one in a file name.
    let file = disk.path().display().to_string().replace(',', ",,");
    command
        .arg("-drive")
        .arg(format!("file={file},format=raw,if=none,id=d"));
    let mut ehci = None;
    if let Some(slot) = &machine.ehci {
        command.args(ehci.insert(Ehci::new()?).arguments(slot, MEMORY));
    }
    command.args(&machine.qemu);
    command.stdout(Stdio::piped()).stderr(errors.reopen()?);
    let mut qemu = Guarded::spawn(&mut command, Signal::SIGKILL)
        .map_err(|error| run::start_error(command.get_program(), &error))?;
    if let Some(ehci) = &mut ehci {
        ehci.started();
    }
    let (sender, receiver) = mpsc::channel();
    if let Some(stdout) = qemu.child().stdout.take() {
        // Ends with QEMU, whose end of the pipe is the only one.
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                if sender.send(text).is_err() {
                    break;
                }
                line.clear();
            }
        });
    }
    let mut console = Console::default();
    let mut until = Instant::now() + machine.limit;
    let mut last_words = false;
    let mut closed = false;
    while !console.is_over() {
        run::check_stop()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match receiver.recv_timeout(left.min(Duration::from_millis(100))) {
            Ok(line) => {
                // A full disk costs the log, not the verdict.
                let _ = log.write_all(line.as_bytes());
                console.feed(&line);
                if console.is_dying() && !last_words {
                    last_words = true;
                    until = until.min(Instant::now() + LAST_WORDS);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                closed = true;
                break;
            }
        }
    }
    drop(qemu);
    if closed {
        let said = fs::read(errors.path()).unwrap_or_default();
        let _ = log.write_all(&said);
        for line in String::from_utf8_lossy(&said).lines() {
            console.feed(line);
        }
    }
    let end = console.end(closed);
    Ok((console, end))
}

/// The folder for console logs is made here, before the boots share it.
pub(crate) fn prepare(paths: &Paths) -> Result<()> {
    paths::make_dir(&paths.out.join("logs/guest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_that_cannot_start_gives_its_own_words() {
        if run::find_program(QEMU).is_none() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let none = dir.path().join("none");
        let machine = Machine::parse("seconds 5").unwrap();
        let (_, end) = run_machine(&none, &none, &machine, &log).unwrap();
        assert!(
            matches!(&end, End::Died(why) if why.contains("could not")),
            "{end:?}"
        );
    }
}
