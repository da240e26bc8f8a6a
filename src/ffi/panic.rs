// SPDX-License-Identifier: GPL-2.0-only
//! Where a panic would end up, if one were reachable.
//!
//! The object audit refuses an object that refers to `core::panicking`, so this
//! is never linked; the compiler wants it all the same.

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: the instruction raises #UD and touches nothing; Xen reports
        // it and stops.
        unsafe { core::arch::asm!("ud2", options(nomem, nostack)) };
    }
}
