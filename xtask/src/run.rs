// SPDX-License-Identifier: GPL-2.0-only
//! Running other programs: logged to a file, stopped with us, one line on failure.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
        statvfs::statvfs,
    },
    unistd::{Pid, getppid},
};

use crate::progress::Step;

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(40);

/// Set by SIGINT, SIGTERM and SIGHUP.
fn stop_flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(Arc::default)
}

/// Makes the usual signals end the run in order: children stopped, trees as they were.
pub(crate) fn catch_signals() -> Result<()> {
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(stop_flag()))
            .context("cannot catch signals")?;
    }
    Ok(())
}

/// An error when the user asked us to stop.
pub(crate) fn check_stop() -> Result<()> {
    if stop_flag().load(Ordering::Relaxed) {
        bail!("interrupted; run the command again to go on from here");
    }
    Ok(())
}

/// A program with its arguments; English messages, nothing inherited from an outer make.
pub(crate) fn command<I, S>(program: impl AsRef<OsStr>, args: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
    for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"] {
        command.env_remove(name);
    }
    command
}

/// A child that is killed when this value goes, and when this process dies.
///
/// The kernel ties the second to the thread that started it: keep the value in
/// that thread.
pub(crate) struct Guarded(Child);

impl Guarded {
    /// Starts `command`; the kernel sends the child `signal` when we die.
    #[expect(
        unsafe_code,
        reason = "pre_exec is the only way to set the death signal"
    )]
    pub(crate) fn spawn(command: &mut Command, signal: Signal) -> std::io::Result<Self> {
        let parent = Pid::this();
        let prepare = move || -> std::io::Result<()> {
            prctl::set_pdeathsig(signal)?;
            // We may have died before the line above.
            if getppid() != parent {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        };
        // SAFETY: the closure makes two system calls and touches no memory of
        // the parent, so it may run between fork and exec.
        unsafe { command.pre_exec(prepare) };
        command.spawn().map(Self)
    }

    /// The child itself.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Asks the child to end, and waits for it.
    fn terminate(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // It may be gone already, which is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        for _ in 0..50 {
            if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(TICK);
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Errors mean that the child has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Turns "could not start" into one line.
pub(crate) fn start_error(program: &OsStr, error: &std::io::Error) -> anyhow::Error {
    let name = program.to_string_lossy();
    if error.kind() == std::io::ErrorKind::NotFound {
        anyhow!("{name} is not installed, or not in PATH; install it")
    } else {
        anyhow!("cannot start {name}: {error}")
    }
}

/// Runs to the end with the output in `log`; the spinner shows the log's last line.
pub(crate) fn to_log(command: &mut Command, log: &Path, step: &Step) -> Result<ExitStatus> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write {}", log.display()))?;
    // A log that cannot be written shows itself in the child's own failure.
    let _ = writeln!(file, "$ {}", shown(command));
    command
        .stdout(file.try_clone()?)
        .stderr(file)
        .stdin(Stdio::null());
    let program = command.get_program().to_owned();
    let mut child =
        Guarded::spawn(command, Signal::SIGTERM).map_err(|error| start_error(&program, &error))?;
    let mut ticks = 0_u32;
    loop {
        if let Some(status) = child.child().try_wait()? {
            check_stop()?;
            return Ok(status);
        }
        if check_stop().is_err() {
            child.terminate();
            check_stop()?;
        }
        ticks = ticks.wrapping_add(1);
        if ticks.is_multiple_of(8) && step.is_live() {
            step.note(&last_line(log));
        }
        thread::sleep(TICK);
    }
}

/// As [`to_log`], where anything but success is an error: the first error line and the log.
pub(crate) fn must(command: &mut Command, log: &Path, step: &Step, what: &str) -> Result<()> {
    let start = fs::metadata(log).map_or(0, |data| data.len());
    let status = to_log(command, log, step)?;
    if status.success() {
        return Ok(());
    }
    Err(failure(what, status, log, start))
}

/// The one line for a program that failed; what it wrote starts at `start` of `log`.
pub(crate) fn failure(what: &str, status: ExitStatus, log: &Path, start: u64) -> anyhow::Error {
    if disk_is_full(log) {
        return anyhow!(
            "{what} failed: no space left on the disk of {}; free some and run the command again",
            log.display()
        );
    }
    let text = text_from(log, start);
    let line = first_error(&text).unwrap_or_else(|| status.to_string());
    let advice = if line.contains("No space left on device") {
        "; free some disk space and run the command again"
    } else {
        ""
    };
    anyhow!(
        "{what} failed: {line}; the full log is {}{advice}",
        log.display()
    )
}

/// The text that a file has from byte `start` on.
pub(crate) fn text_from(file: &Path, start: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

/// Runs to the end and gives what it printed.
pub(crate) fn output(command: &mut Command) -> Result<(ExitStatus, String, String)> {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .map_err(|error| start_error(&program, &error))?;
    check_stop()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status, text(&output.stdout), text(&output.stderr)))
}

/// Whether a program of this name is in `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| {
            use std::os::unix::fs::PermissionsExt;
            fs::metadata(file)
                .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
}

/// The first line that names an error, else the last line that is not empty.
pub(crate) fn first_error(text: &str) -> Option<String> {
    const MARKS: [&str; 10] = [
        "No space left on device",
        "error:",
        "error[",
        "Error:",
        "E: ",
        "undefined reference",
        ": cannot find ",
        "relocation truncated",
        "FAIL ",
        "*** ",
    ];
    let lines = || {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("$ "))
    };
    lines()
        .find(|line| MARKS.iter().any(|mark| line.contains(mark)))
        .or_else(|| lines().next_back())
        .map(|line| line.chars().take(300).collect())
}

/// Whether hardly a megabyte is left where `file` is.
fn disk_is_full(file: &Path) -> bool {
    statvfs(file).is_ok_and(|fs| fs.blocks_available().saturating_mul(fs.fragment_size()) < 1 << 20)
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

/// The last full line of a log that is being written.
fn last_line(log: &Path) -> String {
    let end = fs::metadata(log).map_or(0, |data| data.len());
    let text = text_from(log, end.saturating_sub(600));
    text.lines().next_back().unwrap_or("").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_error_is_the_first_named_one() {
        let text =
            "$ make\n  CC a.o\na.c:3:1: error: unknown type name 'foo'\nmake: *** [a.o] Error 1\n";
        assert_eq!(
            first_error(text).as_deref(),
            Some("a.c:3:1: error: unknown type name 'foo'")
        );
        assert_eq!(first_error("$ x\nodd\nend\n\n").as_deref(), Some("end"));
        assert_eq!(first_error("$ x\n"), None);
    }

    #[test]
    fn guarded_child_ends_with_its_value() {
        let mut child = Guarded::spawn(&mut command("sleep", ["60"]), Signal::SIGKILL).unwrap();
        let pid = Pid::from_raw(i32::try_from(child.child().id()).unwrap());
        drop(child);
        assert!(kill(pid, None).is_err());
    }
}
