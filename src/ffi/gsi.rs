// SPDX-License-Identifier: GPL-2.0-only
//! The GSI table, for C: storage that C owns, one lock, one record per GSI.
//!
//! C keeps a `struct xpt_gsi_table` for the lock and an array of
//! `struct xpt_gsi_pin`, one per GSI, both zeroed; it picks the record with an
//! index it has clamped. The lock is held inside each function and never
//! between two.

use core::ffi::c_int;

#[cfg(not(loom))]
use spin::mutex::SpinMutex;
#[cfg(not(loom))]
use static_assertions::const_assert;

#[cfg(loom)]
use super::model::{Lock, Record};
use super::physdev::{mode_from_c, mode_to_c};
use super::put;
use crate::errno::{Errno, to_c};
use crate::gsi::{Action, Event, Pin};

/// Storage of the GSI table's lock; all zero is unlocked.
#[derive(Debug)]
#[repr(C)]
pub struct GsiTable {
    opaque: u32,
}

#[cfg(not(loom))]
type Lock = SpinMutex<()>;

#[cfg(not(loom))]
const_assert!(size_of::<Lock>() <= size_of::<GsiTable>());
#[cfg(not(loom))]
const_assert!(align_of::<Lock>() <= align_of::<GsiTable>());

/// What C shall do for a GSI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum GsiActionKind {
    /// Nothing more; `rc` is the outcome.
    Done = 0,
    /// `mp_register_gsi` with `mode`, then complete: with `-EBUSY` when Xen itself
    /// uses the interrupt.
    Register = 1,
    /// Give the registered pin `mode`, then complete: with `-EBUSY` when any
    /// domain has the interrupt bound.
    Reprogram = 2,
    /// `map_domain_pirq`, then complete.
    Map = 3,
    /// `pt_irq_create_bind`, then complete.
    Bind = 4,
    /// `pt_irq_destroy_bind`, then complete.
    Unbind = 5,
    /// `unmap_domain_pirq`, with the domain's access to the interrupt left as it
    /// was, then complete.
    Unmap = 6,
    /// Another CPU is at it: pause, then begin again.
    Wait = 7,
}

/// One step for C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct GsiAction {
    /// What to do.
    pub kind: GsiActionKind,
    /// For `Register` and `Reprogram`: the mode, `XPT_GSI_*`.
    pub mode: u32,
    /// For `Done`: 0 or a negative error number.
    pub rc: i32,
}

/// `PHYSDEVOP_setup_gsi` of this pin with `mode` (`XPT_GSI_*`).
///
/// Outcome: 0 when newly registered, `-EEXIST` when it was already or Xen itself
/// uses the interrupt, `-EBUSY` when it was with another mode, else what the
/// failed step gave.
///
/// # Safety
/// `table` and `pin` are NULL or a zeroed table and record that are written by
/// these functions only; `action` is NULL or valid for writing. No lock that is
/// taken in performing an action may be held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_gsi_setup(
    table: *const GsiTable,
    pin: *mut Pin,
    mode: u32,
    action: *mut GsiAction,
) {
    let event = mode_from_c(mode).map(Event::Setup);
    // SAFETY: the contract of this function is the callee's.
    unsafe { with_pin(table, pin, action, |pin| begin(pin, event)) };
}

/// The hardware domain unmasked this pin, programmed with `mode` (`XPT_GSI_*`).
///
/// While nobody is served by the physical pin yet, it is given that mode.
///
/// Outcome: 0 once it is bound, or when Xen itself uses the interrupt; `-EBUSY`
/// when it is bound, for any domain, with another mode; else what the failed step
/// gave.
///
/// # Safety
/// As for `xpt_gsi_setup`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_gsi_unmask(
    table: *const GsiTable,
    pin: *mut Pin,
    mode: u32,
    action: *mut GsiAction,
) {
    let event = mode_from_c(mode).map(Event::Unmask);
    // SAFETY: the contract of this function is the callee's.
    unsafe { with_pin(table, pin, action, |pin| begin(pin, event)) };
}

/// The pirq of this pin is to be taken from the hardware domain.
///
/// Outcome: 0, `-EINVAL` when it has none, else what the failed step gave.
///
/// # Safety
/// As for `xpt_gsi_setup`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_gsi_unmap(
    table: *const GsiTable,
    pin: *mut Pin,
    action: *mut GsiAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe { with_pin(table, pin, action, |pin| pin.begin(Event::Unmap)) };
}

/// The pin's action was performed with this outcome, 0 or a negative error
/// number.
///
/// # Safety
/// As for `xpt_gsi_setup`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xpt_gsi_complete(
    table: *const GsiTable,
    pin: *mut Pin,
    rc: c_int,
    action: *mut GsiAction,
) {
    // SAFETY: the contract of this function is the callee's.
    unsafe { with_pin(table, pin, action, |pin| pin.complete(Errno::check(rc))) };
}

// Inlined, as all it calls: what is left in each function is its own event.
#[inline(always)]
const fn begin(pin: &mut Pin, event: Result<Event, Errno>) -> Action {
    match event {
        Ok(event) => pin.begin(event),
        Err(errno) => Action::Done(Err(errno)),
    }
}

/// Takes a step of the pin under the table's lock and writes the action.
///
/// # Safety
/// As for `xpt_gsi_setup`.
#[inline(always)]
unsafe fn with_pin(
    table: *const GsiTable,
    pin: *mut Pin,
    action: *mut GsiAction,
    step: impl FnOnce(&mut Pin) -> Action,
) {
    // SAFETY: NULL or a table, whose memory holds a lock: it is large and
    // aligned enough, and zero bytes are an unlocked one.
    let lock = unsafe { table.cast::<Lock>().as_ref() };
    let Some(lock) = lock.filter(|_| !pin.is_null()) else {
        // SAFETY: the contract on `action`.
        return unsafe { put(action, Action::Done(Err(Errno::EINVAL)).into()) };
    };
    let next = {
        let _guard = lock.lock();
        // SAFETY: not NULL, and with loom every record is in such memory.
        #[cfg(loom)]
        let _in_use = unsafe { Record::enter(pin) };
        // SAFETY: a record, reached by nothing else while the lock is held.
        unsafe { pin.as_mut() }.map_or(Action::Done(Err(Errno::EINVAL)), step)
    };
    // SAFETY: the contract on `action`.
    unsafe { put(action, next.into()) };
}

impl From<Action> for GsiAction {
    fn from(action: Action) -> Self {
        let plain = |kind| Self {
            kind,
            mode: 0,
            rc: 0,
        };
        match action {
            Action::Register(mode) => Self {
                mode: mode_to_c(mode),
                ..plain(GsiActionKind::Register)
            },
            Action::Reprogram(mode) => Self {
                mode: mode_to_c(mode),
                ..plain(GsiActionKind::Reprogram)
            },
            Action::Map => plain(GsiActionKind::Map),
            Action::Bind => plain(GsiActionKind::Bind),
            Action::Unbind => plain(GsiActionKind::Unbind),
            Action::Unmap => plain(GsiActionKind::Unmap),
            Action::Wait => plain(GsiActionKind::Wait),
            Action::Done(result) => Self {
                rc: to_c(result),
                ..plain(GsiActionKind::Done)
            },
        }
    }
}
