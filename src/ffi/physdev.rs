// SPDX-License-Identifier: GPL-2.0-only
//! Arguments of `PHYSDEVOP_*` and the policy on them, for C.

use core::ffi::{c_int, c_void};

use static_assertions::const_assert_eq;

use super::{argument, put};
use crate::errno::{Errno, to_c};
use crate::pirq::{self, Caller, Kind, Target, Verdict};
use crate::spec::domctl::{GsiAction, GsiPermission};
use crate::spec::ioapic::{PinMode, Polarity, Trigger};
use crate::spec::physdev::{MapPirqType, PciDeviceReset, SetupGsi};

/// Caller: HVM or PVH, and not PV.
pub const XPT_CALLER_HVM: u32 = 1 << 0;
/// Caller: the hardware domain.
pub const XPT_CALLER_HARDWARE: u32 = 1 << 1;
/// Caller: has `X86_EMU_USE_PIRQ`.
pub const XPT_CALLER_PIRQS: u32 = 1 << 2;

/// Target: the caller itself.
pub const XPT_TARGET_SELF: u32 = 1 << 0;
/// Target: has `X86_EMU_USE_PIRQ`.
pub const XPT_TARGET_PIRQS: u32 = 1 << 1;

/// Verdict: a pirq of a physical interrupt, if XSM agrees.
pub const XPT_PIRQ_PHYSICAL: c_int = 0;
/// Verdict: a pirq of an interrupt that Xen emulates for the caller.
pub const XPT_PIRQ_EMULATED: c_int = 1;

const_assert_eq!(
    PinMode::new(Trigger::Level, Polarity::High).bits() as u32,
    XPT_GSI_LEVEL
);
const_assert_eq!(
    PinMode::new(Trigger::Edge, Polarity::Low).bits() as u32,
    XPT_GSI_ACTIVE_LOW
);

/// Pin mode: level triggered, else edge.
pub const XPT_GSI_LEVEL: u32 = 1 << 0;
/// Pin mode: active low, else active high.
pub const XPT_GSI_ACTIVE_LOW: u32 = 1 << 1;

/// Whether an HVM or PVH caller (`XPT_CALLER_*`) reaches physdev operation `op`.
///
/// Returns 0, `-ENOSYS` when it does not, `-EINVAL` for unknown flags.
#[unsafe(no_mangle)]
pub extern "C" fn xpt_physdev_gate(op: u32, caller: u32) -> c_int {
    to_c(parse_caller(caller).and_then(|caller| pirq::gate(op, caller)))
}

/// What `PHYSDEVOP_map_pirq` of `type` by `caller` (`XPT_CALLER_*`) for `target`
/// (`XPT_TARGET_*`) means.
///
/// Returns `XPT_PIRQ_PHYSICAL`, `XPT_PIRQ_EMULATED` or a refusal: `-EOPNOTSUPP`,
/// `-EPERM`, `-EINVAL`, the latter also for unknown flags.
#[unsafe(no_mangle)]
pub extern "C" fn xpt_map_pirq(caller: u32, target: u32, r#type: c_int) -> c_int {
    verdict(caller, target, |caller, target| {
        pirq::map(caller, target, MapPirqType::new(r#type))
    })
}

/// What `PHYSDEVOP_unmap_pirq` by `caller` for `target` means.
///
/// Returns as `xpt_map_pirq`.
#[unsafe(no_mangle)]
pub extern "C" fn xpt_unmap_pirq(caller: u32, target: u32) -> c_int {
    verdict(caller, target, pirq::unmap)
}

/// What an argument of `PHYSDEVOP_setup_gsi` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SetupGsiCall {
    /// 0, or `-EINVAL`, and then nothing else in here counts.
    pub rc: i32,
    /// The GSI.
    pub gsi: u32,
    /// Its mode, `XPT_GSI_*`.
    pub mode: u32,
}

/// Reads the argument of `PHYSDEVOP_setup_gsi`, a `struct physdev_setup_gsi`
/// copied from the guest, on a host with `nr_gsis` GSIs (`nr_irqs_gsi`).
///
/// Returns `-EINVAL` in `rc` for a GSI out of range, a trigger mode or polarity
/// other than 0 and 1, or a NULL pointer. By value, as it is what a call that
/// changes nothing is mostly made of.
///
/// # Safety
/// `arg` is NULL or valid for reading 8 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_setup_gsi_parse(arg: *const c_void, nr_gsis: u32) -> SetupGsiCall {
    // SAFETY: the contract of this function on `arg`.
    let parsed = unsafe { argument::<SetupGsi>(arg) }.and_then(|call| call.parse(nr_gsis));
    match parsed {
        Ok((gsi, mode)) => SetupGsiCall {
            rc: 0,
            gsi: gsi.to_c(),
            mode: mode_to_c(mode),
        },
        Err(errno) => SetupGsiCall {
            rc: errno.to_c(),
            gsi: 0,
            mode: 0,
        },
    }
}

/// Reads the argument of `XEN_DOMCTL_gsi_permission`, a
/// `struct xen_domctl_gsi_permission` copied from the caller.
///
/// Returns 0 with the GSI, not yet checked against the host's, and whether it is
/// to be granted (1) or revoked (0); or `-EINVAL` for unknown flags or a NULL
/// pointer.
///
/// # Safety
/// `arg` is NULL or valid for reading 8 bytes; `gsi` and `grant` are NULL or
/// valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_gsi_permission_parse(
    arg: *const c_void,
    gsi: *mut u32,
    grant: *mut u32,
) -> c_int {
    if gsi.is_null() || grant.is_null() {
        return Errno::EINVAL.to_c();
    }
    // SAFETY: the contract of this function on `arg`.
    let parsed =
        unsafe { argument::<GsiPermission>(arg) }.and_then(|call| Ok((call.gsi, call.action()?)));
    match parsed {
        Ok((number, action)) => {
            // SAFETY: the contract of this function on `gsi`.
            unsafe { put(gsi, number) };
            // SAFETY: the contract of this function on `grant`.
            unsafe { put(grant, grant_to_c(action)) };
            0
        }
        Err(errno) => errno.to_c(),
    }
}

/// What to do about a domain's access to an interrupt: `grant` is 1 or 0, and
/// `has_access` not 0 when the caller may use the interrupt itself.
///
/// Returns 1 to give access, 0 to take it away, `-EPERM` to do neither, `-EINVAL`
/// for another `grant`.
#[unsafe(no_mangle)]
pub extern "C" fn xpt_gsi_permission(grant: u32, has_access: c_int) -> c_int {
    let action = match grant {
        0 => GsiAction::Revoke,
        1 => GsiAction::Grant,
        _ => return Errno::EINVAL.to_c(),
    };
    match pirq::permission(action, has_access != 0) {
        Ok(GsiAction::Revoke) => 0,
        Ok(GsiAction::Grant) => 1,
        Err(errno) => errno.to_c(),
    }
}

/// Reads the argument of `PHYSDEVOP_pci_device_reset`, a
/// `struct pci_device_reset` copied from the guest.
///
/// Returns 0 with the function in Xen's `pci_sbdf_t` form and the flags, or
/// `-EINVAL` for unknown flags or a NULL pointer.
///
/// # Safety
/// `arg` is NULL or valid for reading 8 bytes; `sbdf` and `flags` are NULL or
/// valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_pci_device_reset_parse(
    arg: *const c_void,
    sbdf: *mut u32,
    flags: *mut u32,
) -> c_int {
    if sbdf.is_null() || flags.is_null() {
        return Errno::EINVAL.to_c();
    }
    // SAFETY: the contract of this function on `arg`.
    let parsed = unsafe { argument::<PciDeviceReset>(arg) }
        .and_then(|call| call.parse().map(|(function, _)| (function, call.flags)));
    match parsed {
        Ok((function, kind)) => {
            // SAFETY: the contract of this function on `sbdf`.
            unsafe { put(sbdf, function.to_c()) };
            // SAFETY: the contract of this function on `flags`.
            unsafe { put(flags, kind) };
            0
        }
        Err(errno) => errno.to_c(),
    }
}

fn verdict(caller: u32, target: u32, judge: impl Fn(Caller, Target) -> Verdict) -> c_int {
    let verdict = match (parse_caller(caller), parse_target(target)) {
        (Ok(caller), Ok(target)) => judge(caller, target),
        (Err(errno), _) | (_, Err(errno)) => Verdict::Refused(errno),
    };
    match verdict {
        Verdict::Physical => XPT_PIRQ_PHYSICAL,
        Verdict::Emulated => XPT_PIRQ_EMULATED,
        Verdict::Refused(errno) => errno.to_c(),
    }
}

const fn parse_caller(flags: u32) -> Result<Caller, Errno> {
    if flags & !(XPT_CALLER_HVM | XPT_CALLER_HARDWARE | XPT_CALLER_PIRQS) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Caller {
        kind: if flags & XPT_CALLER_HVM != 0 {
            Kind::Hvm
        } else {
            Kind::Pv
        },
        hardware: flags & XPT_CALLER_HARDWARE != 0,
        pirqs: flags & XPT_CALLER_PIRQS != 0,
    })
}

const fn parse_target(flags: u32) -> Result<Target, Errno> {
    if flags & !(XPT_TARGET_SELF | XPT_TARGET_PIRQS) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(if flags & XPT_TARGET_SELF != 0 {
        Target::Itself
    } else {
        Target::Other {
            pirqs: flags & XPT_TARGET_PIRQS != 0,
        }
    })
}

const fn grant_to_c(action: GsiAction) -> u32 {
    match action {
        GsiAction::Revoke => 0,
        GsiAction::Grant => 1,
    }
}

/// A pin mode as C takes it (`XPT_GSI_*`).
pub(super) const fn mode_to_c(mode: PinMode) -> u32 {
    mode.bits() as u32
}

/// A pin mode as C passes it (`XPT_GSI_*`).
pub(super) const fn mode_from_c(mode: u32) -> Result<PinMode, Errno> {
    match PinMode::from_bits(mode) {
        Some(mode) => Ok(mode),
        None => Err(Errno::EINVAL),
    }
}
