// SPDX-License-Identifier: GPL-2.0-only
//! What must be on the machine: checked, and installed where we may.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};
use nix::unistd::Uid;

use crate::{
    paths::{self, Paths},
    progress::Step,
    run,
};

/// The oldest QEMU that is known to boot a PVH dom0 with `amd-iommu`.
const QEMU_OLDEST: (u32, u32) = (7, 2);

/// The program that boots the hypervisors.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// Lists what kernel modules depend on; in `PATH` for root only.
pub(crate) const DEPMOD: &str = "/usr/sbin/depmod";

/// A kind of work, and with it the programs it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The pinned Rust compiler, its targets and its sources.
    Rust,
    /// Building Xen, the guests and the object.
    Build,
    /// Fetching Xen's source.
    Fetch,
    /// Booting.
    Qemu,
    /// The second C compiler of the ffi tests.
    Clang,
    /// Counting instructions of host programs.
    Valgrind,
    /// The image of the Linux dom0.
    Image,
}

/// How to see that a Debian package is there.
enum Sign {
    Program(&'static str),
    File(&'static str),
}

impl Need {
    /// The signs to look for, each with its Debian package.
    fn packages(self) -> &'static [(Sign, &'static str)] {
        use Sign::{File, Program};
        match self {
            Self::Rust => &[(Program("cc"), "gcc")],
            Self::Build => &[
                (Program("gcc"), "gcc"),
                (File("/usr/include/stdio.h"), "libc6-dev"),
                (Program("make"), "make"),
                (Program("flex"), "flex"),
                (Program("bison"), "bison"),
                (Program("python3"), "python3"),
                (Program("ld"), "binutils"),
                (Program("patch"), "patch"),
            ],
            Self::Fetch => &[(Program("tar"), "tar"), (Program("xz"), "xz-utils")],
            Self::Qemu => &[(Program(QEMU), "qemu-system-x86")],
            Self::Clang => &[(Program("clang"), "clang")],
            Self::Valgrind => &[(Program("valgrind"), "valgrind")],
            Self::Image => &[
                (Program("mmdebstrap"), "mmdebstrap"),
                (Program("tar"), "tar"),
                (Program("cpio"), "cpio"),
                (Program("zstd"), "zstd"),
                (File(DEPMOD), "kmod"),
            ],
        }
    }
}

/// Checks everything that `needs` asks for, and installs what is missing.
pub(crate) fn ensure(paths: &Paths, needs: &[Need]) -> Result<()> {
    let step = Step::start("prerequisites");
    let missing = missing_packages(needs);
    let mut installed = String::new();
    if !missing.is_empty() {
        install(paths, &missing, &step)?;
        let left = missing_packages(needs);
        if !left.is_empty() {
            bail!(
                "{} still missing after installing; look at what is in PATH",
                left.join(" ")
            );
        }
        installed = format!("installed {}", missing.join(" "));
    }
    if needs.contains(&Need::Clang)
        && let Some(package) = missing_sanitizers()
    {
        install(paths, &[&package], &step)?;
        installed = format!("installed {package}");
    }
    if needs.contains(&Need::Rust) {
        rust(paths, &step)?;
    }
    if needs.contains(&Need::Qemu) {
        qemu()?;
    }
    step.done(&installed);
    Ok(())
}

fn missing_packages(needs: &[Need]) -> Vec<&'static str> {
    let mut missing = Vec::new();
    for (sign, package) in needs.iter().flat_map(|need| need.packages()) {
        let there = match sign {
            Sign::Program(name) => run::find_program(name).is_some(),
            Sign::File(path) => Path::new(path).exists(),
        };
        if !there && !missing.contains(package) {
            missing.push(package);
        }
    }
    missing
}

/// The package of clang's sanitizers, where they are missing; Debian names it by version.
fn missing_sanitizers() -> Option<String> {
    let (_, dir, _) = run::output(&mut run::command("clang", ["-print-resource-dir"])).ok()?;
    let dir = Path::new(dir.trim());
    if dir.join("lib/linux/libclang_rt.asan-x86_64.a").exists() {
        return None;
    }
    let version = dir.file_name()?.to_str()?.split('.').next()?;
    Some(format!("libclang-rt-{version}-dev"))
}

/// Installs Debian packages as root; otherwise says which line does it.
fn install(paths: &Paths, packages: &[&str], step: &Step) -> Result<()> {
    let names = packages.join(" ");
    if run::find_program("apt-get").is_none() {
        bail!("missing (Debian's package names): {names}; install them with your package manager");
    }
    if !Uid::effective().is_root() {
        bail!("missing: {names}; run: sudo apt-get update && sudo apt-get install -y {names}");
    }
    let log = paths.log("apt-install")?;
    let apt = |args: &[&str]| -> Command {
        let mut command = run::command("apt-get", ["-q", "-y"]);
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let update = ["-o", "APT::Update::Error-Mode=any", "update"];
    // A third party's archive may be down, and may not matter: go on with what there is.
    run::to_log(&mut apt(&update), &log, step)?;
    let mut install = apt(&["--no-install-recommends", "install"]);
    install.args(packages);
    run::must(
        &mut install,
        &log,
        step,
        &format!("apt-get install {names}"),
    )
    .context("cannot install what is missing (check the network and apt's sources)")
}

/// Checks the compiler and adds the target and the sources where they are missing.
fn rust(paths: &Paths, step: &Step) -> Result<()> {
    let file = paths.root.join("rust-toolchain.toml");
    let text = paths::read(&file)?;
    let pinned = pinned_channel(&text)
        .ok_or_else(|| anyhow!("{} names no channel; restore it", file.display()))?;
    let (status, version, stderr) =
        run::output(run::command("rustc", ["-vV"]).current_dir(&paths.root))?;
    if !status.success() {
        let line = run::first_error(&stderr).unwrap_or_else(|| status.to_string());
        bail!("rustc does not run: {line}; run: rustup toolchain install {pinned}");
    }
    let found = release(&version).unwrap_or("unknown");
    if found != pinned {
        bail!(
            "rustc {found} found, but {pinned} is pinned in rust-toolchain.toml; run: rustup toolchain install {pinned} (and unset RUSTUP_TOOLCHAIN)"
        );
    }
    let (_, sysroot, _) =
        run::output(run::command("rustc", ["--print", "sysroot"]).current_dir(&paths.root))?;
    let lib = PathBuf::from(sysroot.trim()).join("lib/rustlib");
    let wanted = [
        (
            lib.join("x86_64-unknown-none/lib"),
            ["target", "add", "x86_64-unknown-none"],
        ),
        // xpt-gsi runs in any dom0, so it brings its C library.
        (
            lib.join("x86_64-unknown-linux-musl/lib"),
            ["target", "add", "x86_64-unknown-linux-musl"],
        ),
        (
            lib.join("src/rust/library/core"),
            ["component", "add", "rust-src"],
        ),
    ];
    for (dir, args) in wanted {
        if dir.exists() {
            continue;
        }
        if run::find_program("rustup").is_none() {
            bail!(
                "Rust's {} is missing and there is no rustup to add it; install rustup",
                args.join(" ")
            );
        }
        let log = paths.log("rustup")?;
        let mut rustup = run::command("rustup", args);
        rustup.current_dir(&paths.root);
        run::must(
            &mut rustup,
            &log,
            step,
            &format!("rustup {}", args.join(" ")),
        )?;
    }
    Ok(())
}

/// Checks QEMU's version.
fn qemu() -> Result<()> {
    let (_, text, _) = run::output(&mut run::command(QEMU, ["--version"]))?;
    let version = qemu_version(&text)
        .ok_or_else(|| anyhow!("{QEMU} --version names no version; install QEMU 7.2 or later"))?;
    if version < QEMU_OLDEST {
        bail!(
            "QEMU {}.{} is too old; install QEMU {}.{} or later (Debian 12 has it)",
            version.0,
            version.1,
            QEMU_OLDEST.0,
            QEMU_OLDEST.1
        );
    }
    Ok(())
}

/// `(7, 2)` from `QEMU emulator version 7.2.22 (Debian …)`.
fn qemu_version(text: &str) -> Option<(u32, u32)> {
    let version = text.split("version ").nth(1)?;
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The channel that `rust-toolchain.toml` pins.
fn pinned_channel(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "channel").then(|| value.trim().trim_matches('"'))
    })
}

/// The release of `rustc -vV`.
fn release(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.strip_prefix("release: "))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qemu_version_is_two_numbers() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright";
        assert_eq!(qemu_version(text), Some((7, 2)));
        assert_eq!(qemu_version("QEMU emulator version 10.0.2"), Some((10, 0)));
        assert!(qemu_version("QEMU emulator version 10.0.2") > Some(QEMU_OLDEST));
        assert_eq!(qemu_version("something else"), None);
    }

    #[test]
    fn toolchain_file_names_the_channel() {
        let text = "# Pinned\n[toolchain]\nchannel = \"1.95.0\"\nprofile = \"minimal\"\n";
        assert_eq!(pinned_channel(text), Some("1.95.0"));
        assert_eq!(
            release("rustc 1.95.0 (x)\nrelease: 1.95.0\nLLVM version: 22\n"),
            Some("1.95.0")
        );
    }
}
