// SPDX-License-Identifier: GPL-2.0-only
//! A Linux dom0 that runs: commands go to it and answers come back.
//!
//! Xen's console and dom0's kernel are on the first serial port, which is only
//! read; `guests/dom0/init` takes commands from the second.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::Signal;

use crate::{
    guest::{Console, End},
    paths,
    prereq::QEMU,
    qemu,
    run::{self, Guarded},
};

/// How often something that is awaited is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long dom0 may take until it answers; it takes half a minute.
const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// More than this in one line is more than the port's buffer takes.
const LONGEST: usize = 3000;

/// What the machine is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) xen: PathBuf,
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    /// The content of the disk behind the NVMe controller.
    pub(crate) disk: PathBuf,
    /// dom0's processors.
    pub(crate) vcpus: u32,
    /// Devices besides those that are always there, as QEMU's arguments.
    pub(crate) qemu: Vec<String>,
    /// Added to Xen's command line.
    pub(crate) options: Vec<String>,
    /// Where the first serial port's output is kept.
    pub(crate) log: PathBuf,
    /// Where what was asked and answered is kept.
    pub(crate) talk: PathBuf,
}

/// What xl calls an error although it goes on.
const HARMLESS: [&str; 2] = [
    "The kernel doesn't support reset from sysfs",
    "qemu command-line probe already exited",
];

/// What a command in dom0 gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its exit status.
    pub(crate) status: i32,
    /// What it printed, on both ports.
    pub(crate) text: String,
}

impl Answer {
    /// Its output, where it is to have worked.
    pub(crate) fn ok(self, what: &str) -> Result<String> {
        if self.status != 0 {
            bail!("{what}: {}", self.brief());
        }
        Ok(self.text)
    }

    /// The status and the lines that tell most.
    pub(crate) fn brief(&self) -> String {
        let errors: Vec<&str> = self
            .text
            .lines()
            .filter(|line| line.contains("error: "))
            .filter(|line| !HARMLESS.iter().any(|text| line.contains(text)))
            .map(|line| line.rsplit("error: ").next().unwrap_or(line))
            .collect();
        let text = match errors.first() {
            Some(first) => (*first).to_owned(),
            None => self.text.lines().next_back().unwrap_or("").to_owned(),
        };
        format!("status {}: {text}", self.status)
    }
}

/// A dom0; QEMU is gone when this value goes.
pub(crate) struct Dom0 {
    _qemu: Guarded,
    link: UnixStream,
    pending: Vec<u8>,
    console: Arc<Mutex<Lines>>,
    talk: File,
    number: u64,
    _dir: tempfile::TempDir,
}

/// What came over the first port.
#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    console: Console,
    closed: bool,
}

impl Dom0 {
    /// Boots, and waits until dom0 takes commands.
    pub(crate) fn boot(setup: &Setup) -> Result<Self> {
        run::check_stop()?;
        let dir = tempfile::tempdir().context("cannot make a temporary folder")?;
        let socket = dir.path().join("port");
        let mut command = run::command(QEMU, qemu::MACHINE);
        command
            .args(["-m", "2G", "-smp", "2", "-nic", "none"])
            .args(["-device", "amd-iommu,intremap=on"])
            .arg("-chardev")
            .arg(format!(
                "socket,id=port,server=on,wait=off,path={}",
                option(&socket)
            ))
            .args(["-serial", "stdio", "-serial", "chardev:port"])
            .arg("-drive")
            .arg(format!(
                "file={},format=raw,if=none,id=disk",
                option(&setup.disk)
            ))
            .args(["-device", "nvme,serial=1,drive=disk,addr=6"])
            .args(["-device", "edu,addr=5"])
            .args([
                "-netdev",
                "user,id=net",
                "-device",
                "e1000e,netdev=net,addr=8",
            ])
            .args(&setup.qemu)
            .arg("-kernel")
            .arg(&setup.xen)
            .arg("-initrd")
            .arg(format!(
                "{} console=hvc0 earlyprintk=xen loglevel=7,{}",
                option(&setup.kernel),
                option(&setup.initrd)
            ))
            .arg("-append")
            .arg(format!(
                "{} dom0_mem=1G dom0_max_vcpus={} sched=credit conring_size=1M {}",
                qemu::XEN_OPTIONS,
                setup.vcpus,
                setup.options.join(" ")
            ));
        let mut log = File::create(&setup.log)
            .with_context(|| format!("cannot write {}", setup.log.display()))?;
        let talk = File::create(&setup.talk)
            .with_context(|| format!("cannot write {}", setup.talk.display()))?;
        command.stdout(Stdio::piped()).stderr(log.try_clone()?);
        let mut qemu = Guarded::spawn(&mut command, Signal::SIGKILL)
            .map_err(|error| run::start_error(command.get_program(), &error))?;
        let console: Arc<Mutex<Lines>> = Arc::default();
        if let Some(stdout) = qemu.child().stdout.take() {
            let console = Arc::clone(&console);
            // Ends with QEMU, whose end of the pipe is the only one.
            thread::spawn(move || {
                let mut reader = BufReader::new(stdout);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    // A full disk costs the log, not the verdict.
                    let _ = log.write_all(&line);
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    let mut lines = console.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.console.feed(&text);
                    lines.lines.push(text);
                    line.clear();
                }
                let mut lines = console.lock().unwrap_or_else(PoisonError::into_inner);
                lines.closed = true;
            });
        }
        let end = Instant::now() + BOOT_LIMIT;
        let link = loop {
            match UnixStream::connect(&socket) {
                Ok(link) => break link,
                Err(error) if Instant::now() < end => {
                    if let Some(status) = qemu.child().try_wait()? {
                        bail!(
                            "QEMU ended ({status}): {}",
                            run::first_error(&paths::read(&setup.log)?).unwrap_or_default()
                        );
                    }
                    let _ = error;
                    run::check_stop()?;
                    thread::sleep(TICK);
                }
                Err(error) => return Err(error).context("QEMU does not listen"),
            }
        };
        link.set_read_timeout(Some(TICK))?;
        let mut dom0 = Self {
            _qemu: qemu,
            link,
            pending: Vec::new(),
            console,
            talk,
            number: 0,
            _dir: dir,
        };
        let answer = dom0.answer("starting", end)?;
        answer.ok("dom0 could not start")?;
        Ok(dom0)
    }

    /// Runs one line of the shell in dom0.
    pub(crate) fn run(&mut self, command: &str, seconds: u64) -> Result<Answer> {
        if command.contains('\n') || command.len() > LONGEST {
            bail!("`{command}` is no single line that fits");
        }
        self.number = self.number.wrapping_add(1);
        let line = format!("{} {command}\n", self.number);
        let _ = self.talk.write_all(format!("> {line}").as_bytes());
        self.link
            .write_all(line.as_bytes())
            .map_err(|error| anyhow!("dom0 is gone ({error}); {}", self.last_words()))?;
        let end = Instant::now() + Duration::from_secs(seconds);
        self.answer(command, end)
    }

    /// As [`Self::run`], where anything but success is an error.
    pub(crate) fn must(&mut self, command: &str, seconds: u64) -> Result<String> {
        self.run(command, seconds)?.ok(&format!("`{command}`"))
    }

    fn answer(&mut self, command: &str, end: Instant) -> Result<Answer> {
        let mut text = String::new();
        loop {
            let line = self.line(command, end)?;
            let _ = writeln!(self.talk, "< {line}");
            if let Some(rest) = line.strip_prefix('|') {
                text.push_str(rest);
                text.push('\n');
            } else if let Some((number, status)) =
                line.strip_prefix('@').and_then(|rest| rest.split_once(' '))
                && number.parse() == Ok(self.number)
            {
                let status = status
                    .parse()
                    .with_context(|| format!("dom0 answered `{line}`"))?;
                return Ok(Answer { status, text });
            }
        }
    }

    /// The next line that is not empty.
    fn line(&mut self, command: &str, end: Instant) -> Result<String> {
        loop {
            if let Some(at) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=at).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if line.is_empty() {
                    continue;
                }
                return Ok(line);
            }
            run::check_stop()?;
            let mut bytes = [0_u8; 4096];
            match self.link.read(&mut bytes) {
                Ok(0) => bail!("QEMU ended; {}", self.last_words()),
                Ok(count) => self.pending.extend(bytes.iter().take(count)),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error).context("cannot read from QEMU"),
            }
            if self.is_over() {
                // The reason may still be under way.
                thread::sleep(Duration::from_millis(700));
                bail!("dom0 or Xen died during `{command}`: {}", self.last_words());
            }
            if Instant::now() > end {
                bail!(
                    "dom0 did not answer `{command}` in time; {}",
                    self.last_words()
                );
            }
        }
    }

    fn is_over(&mut self) -> bool {
        let lines = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        lines.console.is_over() || lines.closed
    }

    /// Why the machine is gone, or its last lines.
    fn last_words(&self) -> String {
        let lines = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.console.end(lines.closed) {
            End::Died(why) => why,
            End::Result(_) | End::TimedOut => {
                format!("the console's last lines: {}", lines.console.tail(6))
            }
        }
    }

    /// Where Xen's console is now.
    pub(crate) fn mark(&self) -> usize {
        let lines = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        lines.lines.len()
    }

    /// The lines of Xen's console since `mark`.
    pub(crate) fn since(&self, mark: usize) -> Vec<String> {
        let lines = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        lines.lines.iter().skip(mark).cloned().collect()
    }

    /// Waits for a line with all of `texts` on Xen's console; whether it came.
    pub(crate) fn wait_for(&mut self, mark: usize, texts: &[&str], seconds: u64) -> Result<bool> {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            run::check_stop()?;
            let found = self
                .since(mark)
                .iter()
                .any(|line| texts.iter().all(|text| line.contains(text)));
            if found {
                return Ok(true);
            }
            if self.is_over() {
                thread::sleep(Duration::from_millis(700));
                bail!("dom0 or Xen died: {}", self.last_words());
            }
            if Instant::now() > end {
                return Ok(false);
            }
            thread::sleep(TICK);
        }
    }

    /// What Xen prints for a debug key; the rest of its log is kept in dom0.
    pub(crate) fn debug_key(&mut self, key: char) -> Result<String> {
        self.must(
            &format!("xl dmesg -c >> /root/xl-dmesg; xl debug-keys {key} && xl dmesg"),
            60,
        )
    }

    /// All that `xl dmesg` has had to say.
    pub(crate) fn xl_dmesg(&mut self) -> Result<String> {
        self.must("xl dmesg -c >> /root/xl-dmesg; cat /root/xl-dmesg", 120)
    }
}

/// A file name as a value of a QEMU option, where a doubled comma is one.
fn option(file: &Path) -> String {
    file.display().to_string().replace(',', ",,")
}

/// Makes `file` as one archive after another; each begins at a multiple of 4.
pub(crate) fn join(parts: &[&Path], file: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(fs::read(part).with_context(|| format!("cannot read {}", part.display()))?);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    paths::write_atomic(file, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brief_answer_is_the_first_error_without_its_place() {
        let text = "libxl: warning: a\nlibxl: error: libxl_pci.c:381:sysfs_write_bdf: write \
                    returned -1: File exists\nlibxl: error: libxl_pci.c:730:x: later\n";
        let answer = Answer {
            status: 1,
            text: text.to_owned(),
        };
        assert_eq!(
            answer.brief(),
            "status 1: libxl_pci.c:381:sysfs_write_bdf: write returned -1: File exists"
        );
        assert!(answer.ok("x").is_err());
    }

    #[test]
    fn archives_are_joined_at_multiples_of_four() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::write(&a, "12345").unwrap();
        fs::write(&b, "678").unwrap();
        let file = dir.path().join("c");
        join(&[&a, &b], &file).unwrap();
        assert_eq!(fs::read(file).unwrap(), b"12345\0\0\x00678\0");
    }
}
