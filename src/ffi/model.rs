// SPDX-License-Identifier: GPL-2.0-only
//! The memory of the GSI table when loom goes through the interleavings.
//!
//! Built with `--cfg loom` only: the table that C passes is a [`Lock`] of loom's
//! then, and a record is the first field of a [`Record`], so that loom sees who
//! waits for whom and who uses a record with whose knowledge.

use core::cell::UnsafeCell;

use loom::cell::MutPtr;

use crate::gsi::Pin;

/// The lock of the table.
pub type Lock = loom::sync::Mutex<()>;

/// A record and what tells loom of its use.
#[derive(Debug)]
#[repr(C)]
pub struct Record {
    /// The record as C passes it.
    pub pin: UnsafeCell<Pin>,
    /// Stands for the record.
    pub watch: loom::cell::UnsafeCell<()>,
}

impl Record {
    /// Tells loom that the record is written until what is returned is dropped.
    ///
    /// # Safety
    /// `pin` is the first field of a `Record` and of provenance for all of it.
    pub(super) unsafe fn enter(pin: *mut Pin) -> MutPtr<()> {
        // SAFETY: by the contract of this function.
        let watch = unsafe { &raw const (*pin.cast::<Self>()).watch };
        // SAFETY: a field of a record, which outlives this call.
        unsafe { &*watch }.get_mut()
    }
}
