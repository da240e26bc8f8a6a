// SPDX-License-Identifier: GPL-2.0-only
//! Devices, for C: a reset, a write to a BAR, and the fence.
//!
//! For every function here C holds the lock that guards the device's record:
//! the owner's `pci_lock` for writing on Xen 4.20 (for reading in
//! `xpt_vpci_reads_as_ones`), the device's `vpci->lock` on 4.17.

use core::ffi::c_int;

use super::put;
use crate::errno::{Errno, to_c};
use crate::ids::BarIndex;
use crate::vpci::reset::{Capabilities, Snapshot};
use crate::vpci::{Action, Device};

/// What C shall do for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum VpciActionKind {
    /// Nothing more; `rc` is the outcome.
    Done = 0,
    /// Collect what of the device is mapped in the domain's p2m, then complete.
    CollectBars = 1,
    /// Take that out of the p2m with the device's lock dropped, then complete.
    UnmapBars = 2,
    /// Release the MSI vectors and clear the MSI state, then complete.
    ResetMsi = 3,
    /// Release the vector of MSI-X entry `index` and clear it, then complete.
    ResetMsixEntry = 4,
    /// Disable MSI-X and clear the function mask, then complete.
    ResetMsix = 5,
    /// Read the header and hand it to `xpt_vpci_reprobed`, or complete with an
    /// error.
    Reprobe = 6,
    /// Map the BARs with command register `value`, then complete.
    MapBars = 7,
    /// Write `value`, 32 bits, at offset `index` of the configuration space.
    ConfWrite = 8,
    /// Log that a write to BAR `index` was ignored because it is mapped.
    BarMapped = 9,
}

/// One step for C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct VpciAction {
    /// What to do.
    pub kind: VpciActionKind,
    /// An MSI-X entry, an offset in bytes, or a BAR, as the kind says.
    pub index: u32,
    /// A register's value.
    pub value: u32,
    /// For `Done`: 0 or a negative error number.
    pub rc: i32,
}

/// The device was reset; `has_msi` (0 or 1) and `msix_entries` (0 for none) say
/// which capabilities vPCI emulates.
///
/// While a reset is on its way, gives its outstanding action again.
///
/// # Safety
/// `device` is NULL or a record that C has set up, under its lock; `action` is
/// NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_vpci_reset(
    device: *mut Device,
    has_msi: u8,
    msix_entries: u16,
    action: *mut VpciAction,
) {
    let has = Capabilities {
        msi: has_msi != 0,
        msix_entries,
    };
    // SAFETY: the contract of this function is the callee's.
    unsafe { with_device(device, action, |device| device.reset(has)) };
}

/// The reset's outstanding action was performed with this outcome, 0 or a
/// negative error number.
///
/// # Safety
/// As for `xpt_vpci_reset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_vpci_complete(
    device: *mut Device,
    rc: c_int,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe { with_device(device, action, |device| device.complete(Errno::check(rc))) };
}

/// The header that `XPT_VPCI_REPROBE` asked for.
///
/// # Safety
/// As for `xpt_vpci_reset`; `snapshot` is NULL or valid for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_vpci_reprobed(
    device: *mut Device,
    snapshot: *const Snapshot,
    action: *mut VpciAction,
) {
    // SAFETY: NULL or valid by the contract of this function.
    let snapshot = unsafe { snapshot.as_ref() };
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, action, |device| {
            snapshot.map_or(Action::Done(Err(Errno::EINVAL)), |header| {
                device.reprobed(header)
            })
        });
    }
}

/// The hardware domain writes `value`, 32 bits, to the register of BAR `bar`, 0
/// to 5.
///
/// The action is `XPT_VPCI_CONF_WRITE` or `XPT_VPCI_BAR_MAPPED`, to be performed
/// and not completed, or `XPT_VPCI_DONE`, with `-EINVAL` for a BAR out of range.
///
/// # Safety
/// As for `xpt_vpci_reset`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_vpci_write_bar(
    device: *mut Device,
    bar: u32,
    value: u32,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, action, |device| {
            BarIndex::new(bar).map_or(Action::Done(Err(Errno::EINVAL)), |bar| {
                device.write_bar(bar, value)
            })
        });
    }
}

/// Whether config space reads of the device give all ones (1) or go on (0).
///
/// # Safety
/// `device` is NULL, which gives 0, or a record under its lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_vpci_reads_as_ones(device: *const Device) -> c_int {
    // SAFETY: NULL or valid by the contract of this function.
    unsafe { device.as_ref() }
        .is_some_and(Device::reads_as_ones)
        .into()
}

/// Whether config space writes to the device are ignored (1) or go on (0).
///
/// # Safety
/// As for `xpt_vpci_reads_as_ones`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_vpci_ignores_writes(device: *const Device) -> c_int {
    // SAFETY: NULL or valid by the contract of this function.
    unsafe { device.as_ref() }
        .is_some_and(Device::ignores_writes)
        .into()
}

/// Takes a step of the device and writes the action.
///
/// # Safety
/// As for `xpt_vpci_reset`.
unsafe fn with_device(
    device: *mut Device,
    action: *mut VpciAction,
    step: impl FnOnce(&mut Device) -> Action,
) {
    // SAFETY: NULL or valid, and guarded by a lock for the length of the call.
    let device = unsafe { device.as_mut() };
    let next = device.map_or(Action::Done(Err(Errno::EINVAL)), step);
    // SAFETY: the contract on `action`.
    unsafe { put(action, next.into()) };
}

impl From<Action> for VpciAction {
    fn from(action: Action) -> Self {
        let plain = |kind| Self {
            kind,
            index: 0,
            value: 0,
            rc: 0,
        };
        match action {
            Action::CollectBars => plain(VpciActionKind::CollectBars),
            Action::UnmapBars => plain(VpciActionKind::UnmapBars),
            Action::ResetMsi => plain(VpciActionKind::ResetMsi),
            Action::ResetMsixEntry(entry) => Self {
                index: entry.into(),
                ..plain(VpciActionKind::ResetMsixEntry)
            },
            Action::ResetMsix => plain(VpciActionKind::ResetMsix),
            Action::Reprobe => plain(VpciActionKind::Reprobe),
            Action::MapBars(command) => Self {
                value: command.bits().into(),
                ..plain(VpciActionKind::MapBars)
            },
            Action::ConfWrite { register, value } => Self {
                index: register.into(),
                value,
                ..plain(VpciActionKind::ConfWrite)
            },
            Action::BarMapped(bar) => Self {
                index: bar.to_c(),
                ..plain(VpciActionKind::BarMapped)
            },
            Action::Done(result) => Self {
                rc: to_c(result),
                ..plain(VpciActionKind::Done)
            },
        }
    }
}
