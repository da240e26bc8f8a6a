// SPDX-License-Identifier: GPL-2.0-only
//! The C functions of this crate, and its only unsafe code.
//!
//! Conventions of every function here, for whoever calls it from C:
//!
//! - `const` pointers are read, others are written; each is used for the one
//!   call and never kept. Nothing here calls back.
//! - A function that can fail returns 0 or a negative error number and writes
//!   its outputs only when it returns 0. A NULL pointer is `-EINVAL`.
//! - A function with an action as its last argument always writes it, unless it
//!   is NULL; for a NULL among the others the action is "done" with `-EINVAL`.
//! - Numbers are checked on entry. Indexes and verdicts that a guest controls
//!   are for C to guard against speculation.
//!
//! [`physdev`] has arguments and policy, [`gsi`] the GSIs, [`vpci`] the devices.

#![expect(
    unsafe_code,
    reason = "this is the border to C; nowhere else is unsafe code allowed"
)]

use core::ffi::c_void;

use zerocopy::FromBytes;

use crate::errno::Errno;

pub mod gsi;
#[cfg(loom)]
pub mod model;
#[cfg(target_os = "none")]
mod panic;
pub mod physdev;
pub mod vpci;

/// Writes an output unless C passed NULL for it.
///
/// # Safety
/// `to` is NULL or valid for writing a `T`, and nothing else uses it meanwhile.
unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: not NULL, hence valid for writing by this function's contract.
        unsafe { to.write(value) };
    }
}

/// The argument of a hypercall, as C copied it from the guest.
///
/// # Errors
/// [`Errno::EINVAL`] for NULL.
///
/// # Safety
/// `from` is NULL or valid for reading a `T`, at any alignment.
unsafe fn argument<T: FromBytes>(from: *const c_void) -> Result<T, Errno> {
    let from = from.cast::<T>();
    if from.is_null() {
        return Err(Errno::EINVAL);
    }
    // SAFETY: not NULL, hence valid for reading by this function's contract, and
    // whatever the bytes are, they are a `T`.
    Ok(unsafe { from.read_unaligned() })
}
