// SPDX-License-Identifier: GPL-2.0-only
//! What vPCI asks C to do for a device.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::ids::BarIndex;
use crate::spec::pci::Width;
use crate::vpci::bar::BarSet;

/// How much of a device is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The command register.
    Command = 0,
    /// The header.
    Header = 1,
    /// The header and the MSI and MSI-X capabilities.
    Capabilities = 2,
}

/// One step for C.
///
/// After [`Action::Done`], [`Action::Retry`] and whatever leaves the device
/// [idle](super::Device::is_idle) the conversation has ended; every other action
/// is performed and reported by `complete`, or by `probed` for
/// [`Action::Probe`]. [`Action::Map`] and [`Action::Unmap`] given by `work` are
/// reported by `worked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a device whose action is dropped stays in the middle of it"]
pub enum Action {
    /// Map these BARs where the record has them, with a hole for the MSI-X table
    /// and pending bits. C may drop the device's lock meanwhile. Reported are
    /// the BARs that it could map, others lie where no BAR may.
    Map(BarSet),
    /// Take these BARs out of the domain's p2m; a page that is not there counts
    /// as done. C may drop the device's lock meanwhile.
    Unmap(BarSet),
    /// Have the current vCPU come back for the operation in flight before it
    /// runs the guest again.
    Defer,
    /// Write to the device's configuration space.
    ConfWrite {
        /// Offset in bytes.
        register: u16,
        /// How much of `value` is written.
        width: Width,
        /// Value.
        value: u32,
    },
    /// Read this much of the device into a [`super::header::Snapshot`] and hand it
    /// over by `probed`.
    Probe(Depth),
    /// Allocate this many consecutive MSI vectors, 1 to 32, and bind them to the
    /// message.
    MsiEnable(u8),
    /// Release the MSI vectors.
    MsiDisable,
    /// Bind the MSI vectors to the message as it is now.
    MsiUpdate,
    /// Mask or unmask the vectors whose bit is set in `changed`, as `mask` says.
    MsiMask {
        /// Vectors to be changed, below the number enabled.
        changed: u32,
        /// 1: masked.
        mask: u32,
    },
    /// Release the vector of this MSI-X entry if it has one, allocate one and
    /// bind it to the entry's message.
    MsixUpdate(u16),
    /// Release the vector of this MSI-X entry.
    MsixDisable(u16),
    /// Mask or unmask the vector of this MSI-X entry if it has one.
    MsixMask {
        /// The entry.
        entry: u16,
        /// Whether it is to be masked.
        masked: bool,
    },
    /// Write MSI-X message control, merged with Xen's own use of the mask bit.
    MsixControl(u16),
    /// Forget Xen's own masking of the function and write MSI-X message control
    /// with enable and function mask clear.
    MsixClear,
    /// Disable the function's INTx.
    IntxDisable,
    /// The access is to be made again: an operation in flight comes first, and
    /// the current vCPU shall help it along.
    Retry,
    /// Log that a write to this BAR was ignored because the BAR is mapped.
    BarMapped(BarIndex),
    /// Nothing more to do; the outcome of the whole event.
    Done(Result<(), Errno>),
}
