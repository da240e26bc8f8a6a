// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's own answer, in a dom0: Linux 6.13 and those that took it over.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use crate::{
    device::Sbdf,
    error::{Error, Kind, Result},
};

/// `struct privcmd_pcidev_get_gsi` of Linux's `xen/privcmd.h`.
#[repr(C)]
#[derive(Debug)]
struct PcidevGetGsi {
    sbdf: u32,
    gsi: u32,
}

const NODE: &str = "/dev/xen/privcmd";

mod ioctl {
    // Linux defines it without a direction, though it is read and written.
    nix::ioctl_readwrite_bad!(
        pcidev_get_gsi,
        nix::request_code_none!(b'P', 10) | (8 << 16),
        super::PcidevGetGsi
    );
}

/// The GSI, or why the kernel does not give one.
pub(crate) fn ask(sbdf: Sbdf) -> Result<Result<u32, String>> {
    let Some(packed) = sbdf.packed() else {
        return Ok(Err("Xen has no segments above ffff".to_owned()));
    };
    let file = match File::options().read(true).write(true).open(NODE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Error::io(&PathBuf::from(NODE), &error));
        }
        Err(_) if !Path::new("/proc/xen").exists() => {
            return Ok(Err("this is no Xen domain".to_owned()));
        }
        Err(error) => return Ok(Err(format!("cannot open {NODE}: {error}"))),
    };
    let mut arg = PcidevGetGsi {
        sbdf: packed,
        gsi: 0,
    };
    #[expect(unsafe_code, reason = "nix makes every ioctl an unsafe function")]
    // SAFETY: `arg` is what this ioctl reads and writes, and outlives the call.
    let result = unsafe { ioctl::pcidev_get_gsi(file.as_raw_fd(), &raw mut arg) };
    match result {
        Ok(_) => Ok(Ok(arg.gsi)),
        Err(Errno::ENOTTY | Errno::ENOSYS) => {
            Ok(Err("this kernel's privcmd has no such call".to_owned()))
        }
        // Older and newer kernels differ in the number; pciback is what answers.
        Err(Errno::ENODEV | Errno::EINVAL) => Ok(Err(format!(
            "pciback does not hold {sbdf}, or it has no GSI"
        ))),
        Err(Errno::EPERM | Errno::EACCES) => Err(Error::new(
            Kind::Permission,
            format!("{NODE} may not be used by this user; run as root in dom0"),
        )),
        Err(errno) => Ok(Err(format!("privcmd answers {errno}"))),
    }
}
