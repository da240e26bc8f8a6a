// SPDX-License-Identifier: GPL-2.0-only
//! Devices, for C: config space, MSI-X tables, resets, and who owns them.
//!
//! For every function here C holds the locks that guard the device's record: its
//! `vpci->lock`, and on Xen 4.20 its domain's `pci_lock`, for writing where the
//! record is not const and the function is not one of the MSI-X table.
//!
//! `entries` is the device's MSI-X table, as many entries as the record says
//! (`msix.entries`); NULL for none.

use core::ffi::c_int;

use super::put;
use crate::errno::{Errno, to_c};
use crate::ids::{BarIndex, NR_BARS};
use crate::spec::pci::HeaderType;
use crate::spec::physdev::ResetKind;
use crate::vpci::access::{self, Masks, Piece};
use crate::vpci::bar::BarSet;
use crate::vpci::header::Snapshot;
use crate::vpci::msix::{Entry, Place};
use crate::vpci::{Action, Device, Owner, Writes};

/// What C shall do for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum VpciActionKind {
    /// Nothing more; `rc` is the outcome.
    Done = 0,
    /// Map the BARs whose bits are set in `value`; completed with the bits of
    /// those that are in place.
    Map = 1,
    /// Take the BARs whose bits are set in `value` out of the domain's p2m.
    Unmap = 2,
    /// Have the current vCPU come back with `epoch` of the record.
    Defer = 3,
    /// Write `value`, `size` bytes, at offset `index` of configuration space.
    ConfWrite = 4,
    /// Read the device for `xpt_device_probed`: with `value` 0 the command
    /// register, with 1 the header, with 2 the MSI and MSI-X capabilities too; or
    /// complete with an error.
    Probe = 5,
    /// `vpci_msi_arch_enable` with `value` vectors.
    MsiEnable = 6,
    /// `vpci_msi_arch_disable`.
    MsiDisable = 7,
    /// `vpci_msi_arch_update`.
    MsiUpdate = 8,
    /// `vpci_msi_arch_mask` of the vectors whose bits are set in `index`, as
    /// `value` says.
    MsiMask = 9,
    /// `vpci_msix_arch_disable_entry` and `vpci_msix_arch_enable_entry` of entry
    /// `index`.
    MsixUpdate = 10,
    /// `vpci_msix_arch_disable_entry` of entry `index`.
    MsixDisable = 11,
    /// `vpci_msix_arch_mask_entry` of entry `index`, masked when `value` is not 0.
    MsixMask = 12,
    /// Write MSI-X message control `value` by `pci_msi_conf_write_intercept`.
    MsixControl = 13,
    /// Forget Xen's masking of the function, clear enable and function mask.
    MsixClear = 14,
    /// `pci_intx` off.
    IntxDisable = 15,
    /// As `Defer`, and have the access made again; from `xpt_device_work`, go on
    /// with the reset or detach first.
    Retry = 16,
    /// Log that a write to BAR `index` was ignored because it is mapped.
    BarMapped = 17,
}

/// One step for C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct VpciAction {
    /// What to do.
    pub kind: VpciActionKind,
    /// As the kind says.
    pub index: u32,
    /// As the kind says.
    pub value: u32,
    /// For `Done`: 0 or a negative error number.
    pub rc: i32,
    /// Bytes of a `ConfWrite`: 2 or 4.
    pub size: u8,
    /// Not 0: nothing follows, and the action is not to be completed.
    pub last: u8,
}

/// Where an access to memory lies with regard to a device's MSI-X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum MsixPlaceKind {
    /// Not in a page of the table or the pending bits.
    Elsewhere = 0,
    /// In the table, for `xpt_msix_read` and `xpt_msix_write`.
    Entry = 1,
    /// On the device: page `slot`, at `addr` of the host.
    Device = 2,
    /// The same, in the pending bits.
    Pending = 3,
    /// To be ignored; reads are all ones.
    Ignored = 4,
}

/// The answer of `xpt_msix_place`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct MsixPlace {
    /// Where.
    pub kind: MsixPlaceKind,
    /// The entry of the table.
    pub entry: u16,
    /// Offset in the entry, in bytes.
    pub offset: u16,
    /// Which page: first and last of the table, first and last of the pending
    /// bits.
    pub slot: u32,
    /// Address on the host.
    pub addr: u64,
}

/// Makes the record of a device that has none, at rest.
///
/// `sizes` has the size in bytes of each BAR and of the ROM, in the slot that the
/// header type has for it, 0 for none. Gives 0, `-EOPNOTSUPP` for a header type
/// that vPCI does not handle, or `-EINVAL`.
///
/// # Safety
/// `device` is NULL or valid for writing, the others NULL or valid for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_init(
    device: *mut Device,
    snapshot: *const Snapshot,
    sizes: *const [u64; NR_BARS],
) -> c_int {
    // SAFETY: NULL or valid by the contract of this function.
    let snapshot = unsafe { snapshot.as_ref() };
    // SAFETY: NULL or valid by the contract of this function.
    let sizes = unsafe { sizes.as_ref() };
    let (Some(snapshot), Some(sizes), false) = (snapshot, sizes, device.is_null()) else {
        return Errno::EINVAL.to_c();
    };
    if HeaderType::new(snapshot.header_type).is_none() {
        return Errno::EOPNOTSUPP.to_c();
    }
    // SAFETY: not NULL, hence valid for writing. All zero is a record of its kind,
    // whose capabilities are made below.
    unsafe { device.write_bytes(0, 1) };
    // SAFETY: not NULL, and has just been written.
    let made = unsafe { device.as_mut() };
    to_c(made.map_or(Ok(()), |made| made.init(snapshot, sizes)))
}

/// Puts `count` MSI-X entries to what a reset leaves; none has a vector then.
///
/// # Safety
/// `entries` is NULL or valid for writing `count` entries.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_msix_init(entries: *mut Entry, count: u16) {
    if entries.is_null() {
        return;
    }
    for number in 0..usize::from(count) {
        // SAFETY: within `count` entries of one allocation.
        let entry = unsafe { entries.add(number) };
        // SAFETY: valid for writing by the contract of this function.
        unsafe { put(entry, Entry::FRESH) };
    }
}

/// The domain writes `value` to the emulated register at `offset`, all of it.
///
/// # Safety
/// `device` is NULL or a record that `xpt_device_init` has made, under its locks;
/// `entries` is its table; `action` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_write(
    device: *mut Device,
    entries: *mut Entry,
    offset: u16,
    value: u32,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, entries, action, |device, entries| {
            device.write(entries, offset, value)
        });
    }
}

/// What a write of `value` to the register of BAR `bar`, 0 to 5, is for the device
/// where it just moves the BAR, 0 to 0xffffffff; -1: it is for `xpt_device_write`.
///
/// # Safety
/// `device` is NULL, which gives -1, or a record under its locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_place_bar(device: *mut Device, bar: u32, value: u32) -> i64 {
    // SAFETY: NULL or valid by the contract of this function.
    let device = unsafe { device.as_mut() };
    BarIndex::new(bar)
        .zip(device)
        .and_then(|(bar, device)| device.place_bar(bar, value))
        .map_or(-1, i64::from)
}

/// What the domain reads of the emulated register at `offset`.
///
/// # Safety
/// `device` is NULL, which gives all ones, or a record under its locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_read(device: *const Device, offset: u16) -> u32 {
    // SAFETY: NULL or valid by the contract of this function.
    unsafe { device.as_ref() }.map_or(!0, |device| device.read(offset))
}

/// The device was reset; `flags` are those of the hypercall.
///
/// While a reset is on its way, gives its outstanding action again. Outcome: 0,
/// `-EINVAL` for other flags, `-EIO` when the device does not answer,
/// `-EOPNOTSUPP` when another one does, else what the failed step gave.
///
/// # Safety
/// As for `xpt_device_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_reset(
    device: *mut Device,
    entries: *mut Entry,
    flags: u32,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(
            device,
            entries,
            action,
            |device, entries| match ResetKind::new(flags) {
                Ok(kind) => device.reset(entries, kind),
                Err(errno) => Action::Done(Err(errno)),
            },
        );
    }
}

/// The device is taken from its domain: gives back what it has there.
///
/// While that is on its way, gives its outstanding action again.
///
/// # Safety
/// As for `xpt_device_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_detach(
    device: *mut Device,
    entries: *mut Entry,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, entries, action, |device, entries| {
            device.detach(entries)
        });
    }
}

/// The device is given to a domain with vPCI; `owner` is an `XPT_OWNER_*`.
///
/// # Safety
/// As for `xpt_device_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_attach(
    device: *mut Device,
    owner: u32,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, core::ptr::null_mut(), action, |device, _| {
            Owner::new(owner).map_or(Action::Done(Err(Errno::EINVAL)), |owner| {
                device.attach(owner)
            })
        });
    }
}

/// The outstanding action was performed with this outcome: 0, for `Map` the bits
/// of the BARs in place, or a negative error number.
///
/// # Safety
/// As for `xpt_device_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_complete(
    device: *mut Device,
    entries: *mut Entry,
    rc: c_int,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, entries, action, |device, entries| {
            device.complete(entries, outcome(rc))
        });
    }
}

/// The header that `XPT_VPCI_PROBE` asked for.
///
/// # Safety
/// As for `xpt_device_write`; `snapshot` is NULL or valid for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_probed(
    device: *mut Device,
    entries: *mut Entry,
    snapshot: *const Snapshot,
    action: *mut VpciAction,
) {
    // SAFETY: NULL or valid by the contract of this function.
    let snapshot = unsafe { snapshot.as_ref() };
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, entries, action, |device, entries| {
            snapshot.map_or(Action::Done(Err(Errno::EINVAL)), |header| {
                device.probed(entries, header)
            })
        });
    }
}

/// A vCPU comes for the operation that it was given with `epoch`: `Map`, `Unmap`,
/// to be reported by `xpt_device_worked`, or `Done` when there is nothing to do.
///
/// # Safety
/// `device` is NULL or a record under its locks; `action` is NULL or valid for
/// writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_work(
    device: *const Device,
    epoch: u32,
    action: *mut VpciAction,
) {
    // SAFETY: NULL or valid by the contract of this function.
    let device = unsafe { device.as_ref() };
    let next = device.map_or(Action::Done(Err(Errno::EINVAL)), |device| {
        device.work(epoch)
    });
    // SAFETY: the contract on `action`.
    unsafe { put(action, VpciAction::new(next, false)) };
}

/// The bits of the BARs that are in the p2m already and not just queued to be.
///
/// # Safety
/// `device` is NULL, which gives 0, or a record that nobody changes meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_in_place(device: *const Device) -> u32 {
    // SAFETY: NULL or valid by the contract of this function.
    unsafe { device.as_ref() }.map_or(0, |device| device.in_place().bits().into())
}

/// A vCPU waits for a reset or a detach, and goes on with it: gives the outstanding
/// action again, to be completed, or `Done` when there is none.
///
/// # Safety
/// As for `xpt_device_work`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_resume(device: *const Device, action: *mut VpciAction) {
    // SAFETY: NULL or valid by the contract of this function.
    let device = unsafe { device.as_ref() };
    let next = device.map_or(Action::Done(Err(Errno::EINVAL)), Device::resume);
    // SAFETY: the contract on `action`.
    unsafe { put(action, VpciAction::new(next, false)) };
}

/// The operation of `epoch` came to this, see `xpt_device_complete`.
///
/// # Safety
/// As for `xpt_device_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_worked(
    device: *mut Device,
    epoch: u32,
    rc: c_int,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, core::ptr::null_mut(), action, |device, _| {
            device.worked(epoch, outcome(rc))
        });
    }
}

/// What becomes of writes to registers of the device that are not emulated.
///
/// # Safety
/// `device` is NULL, which gives `XPT_WRITES_IGNORED`, or a record under its locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_writes(device: *const Device) -> Writes {
    // SAFETY: NULL or valid by the contract of this function.
    unsafe { device.as_ref() }.map_or(Writes::Ignored, Device::writes)
}

/// Whether a write of `value` to the command register goes to the device as it is
/// (1) or is for `xpt_device_write` (0).
///
/// # Safety
/// `device` is NULL, which gives 0, or a record under its locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_passes_command(device: *mut Device, value: u16) -> c_int {
    // SAFETY: NULL or valid by the contract of this function.
    unsafe { device.as_mut() }
        .is_some_and(|device| device.passes_command(value))
        .into()
}

/// Xen keeps the device to itself: the hardware domain that was attached gets no
/// interrupts of it.
///
/// # Safety
/// `device` is NULL or a record under its locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_device_hide(device: *mut Device) {
    // SAFETY: NULL or valid by the contract of this function.
    if let Some(device) = unsafe { device.as_mut() } {
        device.hide();
    }
}

/// Whether memory at `addr` of the domain shares a page with the device's MSI-X
/// table or pending bits (1) or not (0).
///
/// # Safety
/// `device` is NULL, which gives 0, or a record under its locks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_msix_is_at(device: *const Device, addr: u64) -> c_int {
    // SAFETY: NULL or valid by the contract of this function.
    unsafe { device.as_ref() }
        .is_some_and(|device| device.has_msix_at(addr))
        .into()
}

/// Where an access of `size` bytes at `addr` of the domain lies.
///
/// # Safety
/// `device` is NULL, for elsewhere, or a record under its locks; `place` is NULL
/// or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_msix_place(
    device: *const Device,
    addr: u64,
    size: u32,
    place: *mut MsixPlace,
) {
    // SAFETY: NULL or valid by the contract of this function.
    let device = unsafe { device.as_ref() };
    let found = device.map_or(Place::Elsewhere, |device| device.msix_place(addr, size));
    // SAFETY: the contract on `place`.
    unsafe { put(place, found.into()) };
}

/// What a read of `size` bytes, 4 or 8, of an entry of the MSI-X table gives.
///
/// # Safety
/// `device` is NULL, which gives all ones, or a record under its locks;
/// `entries` is its table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_msix_read(
    device: *const Device,
    entries: *const Entry,
    entry: u16,
    offset: u16,
    size: u32,
) -> u64 {
    // SAFETY: NULL or valid by the contract of this function.
    let Some(device) = (unsafe { device.as_ref() }) else {
        return !0;
    };
    let entries = if entries.is_null() {
        &[][..]
    } else {
        // SAFETY: the device's table, which has as many entries.
        unsafe { core::slice::from_raw_parts(entries, device.msix.entries.into()) }
    };
    device.read_entry(entries, entry, offset, size)
}

/// The domain writes `size` bytes, 4 or 8, of an entry of the MSI-X table.
///
/// # Safety
/// As for `xpt_device_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_msix_write(
    device: *mut Device,
    entries: *mut Entry,
    entry: u16,
    offset: u16,
    size: u32,
    value: u64,
    action: *mut VpciAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe {
        with_device(device, entries, action, |device, entries| {
            device.write_entry(entries, entry, offset, size, value)
        });
    }
}

/// Whether a register of `size` bytes at `offset` can have these masks: 0 or
/// `-EINVAL`.
///
/// # Safety
/// `masks` is NULL or valid for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_access_check(masks: *const Masks, offset: u32, size: u32) -> c_int {
    // SAFETY: NULL or valid by the contract of this function.
    let masks = unsafe { masks.as_ref() };
    to_c(masks.map_or(Err(Errno::EINVAL), |masks| masks.check(offset, size)))
}

/// The first part of an access of `size` bytes at `start`, when the first
/// register that it touches has `length` bytes at `offset`; 0 bytes for none.
#[unsafe(no_mangle)]
pub extern "C" fn xpt_access_piece(start: u32, size: u32, offset: u32, length: u32) -> Piece {
    access::piece(start, size, offset, length)
}

/// What a guest reads, from byte `offset` on, of a register that holds `value`.
///
/// # Safety
/// `masks` is NULL, for none, or valid for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_access_read(masks: *const Masks, value: u32, offset: u32) -> u32 {
    // SAFETY: NULL or valid by the contract of this function.
    let masks = unsafe { masks.as_ref() };
    access::part(masks.map_or(value, |masks| masks.read(value)), offset)
}

/// `data` with `size` bytes of `new`, 1 to 4, in it from byte `offset` on.
#[unsafe(no_mangle)]
pub extern "C" fn xpt_access_merge(data: u32, new: u32, size: u32, offset: u32) -> u32 {
    access::merge(data, new, size, offset)
}

/// Whether `written` bytes of a register of `size` bytes cannot be written
/// without knowing what it holds (1).
///
/// # Safety
/// `masks` is NULL, for none, or valid for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_access_needs_current(
    masks: *const Masks,
    written: u32,
    size: u32,
) -> c_int {
    // SAFETY: NULL or valid by the contract of this function.
    let masks = unsafe { masks.as_ref() }.copied().unwrap_or_default();
    masks.needs_current(written, size).into()
}

/// What a register of `size` bytes that holds `held` is written with, when
/// `data` is written to `written` of its bytes from `offset` on.
///
/// # Safety
/// `masks` is NULL, for none, or valid for reading.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_access_write(
    masks: *const Masks,
    held: u32,
    data: u32,
    written: u32,
    offset: u32,
    size: u32,
) -> u32 {
    // SAFETY: NULL or valid by the contract of this function.
    let masks = unsafe { masks.as_ref() }.copied().unwrap_or_default();
    masks.write(held, data, written, offset, size)
}

/// What a completion of C's says.
#[inline(never)]
fn outcome(rc: c_int) -> Result<BarSet, Errno> {
    Errno::check(rc).map(|()| BarSet::from_bits(rc.cast_unsigned()))
}

/// Takes a step of the device and writes the action.
///
/// # Safety
/// As for `xpt_device_write`.
unsafe fn with_device(
    device: *mut Device,
    entries: *mut Entry,
    action: *mut VpciAction,
    step: impl FnOnce(&mut Device, &mut [Entry]) -> Action,
) {
    // SAFETY: NULL or valid, and guarded by a lock for the length of the call.
    let next = match unsafe { device.as_mut() } {
        Some(device) => {
            let entries = if entries.is_null() {
                &mut [][..]
            } else {
                // SAFETY: the device's table, which has as many entries.
                unsafe { core::slice::from_raw_parts_mut(entries, device.msix.entries.into()) }
            };
            let next = step(device, entries);
            VpciAction::new(next, device.is_idle())
        }
        None => VpciAction::new(Action::Done(Err(Errno::EINVAL)), true),
    };
    // SAFETY: the contract on `action`.
    unsafe { put(action, next) };
}

impl VpciAction {
    /// The action for C. It is the last one when no completion is due; these two
    /// always are, whatever the device is in the middle of.
    fn new(action: Action, is_idle: bool) -> Self {
        let last = is_idle || matches!(action, Action::Done(_) | Action::Retry);
        let (mut rc, mut size) = (0, 0);
        let (kind, index, value) = match action {
            // What a write of configuration space comes to most of the time.
            Action::ConfWrite {
                register,
                width,
                value,
            } => {
                size = width.bytes();
                (VpciActionKind::ConfWrite, register.into(), value)
            }
            Action::Done(result) => {
                rc = to_c(result);
                (VpciActionKind::Done, 0, 0)
            }
            Action::Map(bars) => (VpciActionKind::Map, 0, bars.bits().into()),
            Action::Unmap(bars) => (VpciActionKind::Unmap, 0, bars.bits().into()),
            Action::Defer => (VpciActionKind::Defer, 0, 0),
            Action::Probe(depth) => (VpciActionKind::Probe, 0, depth as u32),
            Action::MsiEnable(vectors) => (VpciActionKind::MsiEnable, 0, vectors.into()),
            Action::MsiDisable => (VpciActionKind::MsiDisable, 0, 0),
            Action::MsiUpdate => (VpciActionKind::MsiUpdate, 0, 0),
            Action::MsiMask { changed, mask } => (VpciActionKind::MsiMask, changed, mask),
            Action::MsixUpdate(entry) => (VpciActionKind::MsixUpdate, entry.into(), 0),
            Action::MsixDisable(entry) => (VpciActionKind::MsixDisable, entry.into(), 0),
            Action::MsixMask { entry, masked } => {
                (VpciActionKind::MsixMask, entry.into(), masked.into())
            }
            Action::MsixControl(value) => (VpciActionKind::MsixControl, 0, value.into()),
            Action::MsixClear => (VpciActionKind::MsixClear, 0, 0),
            Action::IntxDisable => (VpciActionKind::IntxDisable, 0, 0),
            Action::Retry => (VpciActionKind::Retry, 0, 0),
            Action::BarMapped(bar) => (VpciActionKind::BarMapped, bar.to_c(), 0),
        };
        Self {
            kind,
            index,
            value,
            rc,
            size,
            last: last.into(),
        }
    }
}

impl From<Place> for MsixPlace {
    fn from(place: Place) -> Self {
        let plain = |kind| Self {
            kind,
            entry: 0,
            offset: 0,
            slot: 0,
            addr: 0,
        };
        match place {
            Place::Elsewhere => plain(MsixPlaceKind::Elsewhere),
            Place::Entry { entry, offset } => Self {
                entry,
                offset,
                ..plain(MsixPlaceKind::Entry)
            },
            Place::Device {
                slot,
                addr,
                pending,
            } => Self {
                slot: slot.into(),
                addr,
                ..plain(if pending {
                    MsixPlaceKind::Pending
                } else {
                    MsixPlaceKind::Device
                })
            },
            Place::Ignored => plain(MsixPlaceKind::Ignored),
        }
    }
}
