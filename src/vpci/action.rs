// SPDX-License-Identifier: GPL-2.0-only
//! What vPCI asks C to do for a device.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::ids::BarIndex;
use crate::spec::pci::Command;

/// One step for C, to be performed and reported by `complete` or `reprobed`.
///
/// [`Action::Done`] ends the conversation; [`Action::ConfWrite`] and
/// [`Action::BarMapped`] are single steps whose completion is `Done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a device whose action is dropped stays in the middle of it"]
pub enum Action {
    /// Collect the ranges in which enabled BARs and the ROM of the device are
    /// mapped in the domain's p2m, or none at all.
    CollectBars,
    /// Take what was collected out of the p2m; a page that is not mapped counts
    /// as done. The command register is left alone. C drops the device's lock
    /// meanwhile, which is safe as nobody else changes what is mapped now. What
    /// fails stays collected.
    UnmapBars,
    /// Release the MSI vectors if there are any and put the MSI state to what a
    /// reset leaves: disabled, one vector, address, data and mask 0.
    ResetMsi,
    /// Release the vector of this MSI-X table entry if it has one and put the
    /// entry to what a reset leaves: masked, address and data 0.
    ResetMsixEntry(u16),
    /// Put MSI-X itself to what a reset leaves: disabled, function mask clear.
    ResetMsix,
    /// Read the header into a [`super::reset::Snapshot`] and hand it over by
    /// `reprobed`.
    Reprobe,
    /// Map the BARs and the enabled ROM and set the command register to this
    /// value, which has memory decode on; deferred as for a guest's write.
    MapBars(Command),
    /// Write 32 bits to the device's configuration space at this offset.
    ConfWrite {
        /// Offset in bytes.
        register: u16,
        /// Value.
        value: u32,
    },
    /// Log that a write to this BAR was ignored because the BAR is mapped.
    BarMapped(BarIndex),
    /// Nothing more to do; the outcome of the whole event.
    Done(Result<(), Errno>),
}
