// SPDX-License-Identifier: GPL-2.0-only
//! What Xen believes of a PCI function that vPCI emulates.
//!
//! [`Device`] is the record. It lies by value in Xen's `struct vpci`, where
//! `header.c` knows it as `struct vpci_header`: C still maps and unmaps BARs and
//! keeps `enabled`, `bars_mapped` and `rom_enabled` while it does; this module
//! has the write to a BAR ([`Device::write_bar`]) and the reset
//! ([`Device::reset`]). Each takes an event and gives one [`Action`]; C performs
//! it and comes back with the outcome.
//!
//! - [`action`]: what C is asked to do
//! - [`bar`]: base address registers
//! - [`reset`]: clearing the record when the device was reset, and the fence
//!
//! Callers: config space accesses of the hardware domain and
//! `PHYSDEVOP_pci_device_reset`. Locks: on Xen 4.20 the owner's `pci_lock` for
//! writing, on 4.17 the device's `vpci->lock`; C holds it for each call.

#![forbid(unsafe_code)]

use static_assertions::const_assert;

use crate::ids::NR_BARS;
use crate::vpci::bar::Bar;

pub mod action;
pub mod bar;
pub mod reset;

pub use action::Action;

/// Xen's `struct rangeset`, which C alone looks into.
#[derive(Debug)]
pub struct Rangeset {
    _opaque: [u8; 0],
}

/// The record of one PCI function; all zero is one without any BAR.
///
/// The fields up to `bars_mapped` are shared with Xen's `header.c`; the rest
/// belongs to this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Device {
    /// The BARs and the ROM, see [`crate::ids::BarIndex`].
    pub bars: [Bar; NR_BARS],
    /// Command register as a guest sees it; as the device has it for a hardware
    /// domain.
    pub guest_cmd: u16,
    /// Not 0: the ROM's enable bit is set, which does not imply that the ROM is
    /// mapped.
    pub rom_enabled: u8,
    /// Not 0: memory decode is on from Xen's point of view.
    pub bars_mapped: u8,
    /// How far a reset has come, see `reset.rs`.
    reset_step: u8,
    /// Not 0: MSI is among what the running reset clears.
    reset_msi: u8,
    /// Entries of the MSI-X table that the running reset clears, 0 to 2048.
    reset_entries: u16,
    /// The entry that it is at.
    reset_entry: u16,
    /// Not 0: the device did not come back from its last reset.
    fenced: u8,
    pad: u8,
}

// A device's state stays below half a KiB, and on the 8 bytes that Xen's stack
// and allocator promise.
const_assert!(size_of::<Device>() <= 512);
const_assert!(align_of::<Device>() <= 8);

impl Device {
    /// The record of a function without any BAR, all zero as C allocates it.
    pub const fn empty() -> Self {
        Self {
            bars: [Bar::EMPTY; NR_BARS],
            guest_cmd: 0,
            rom_enabled: 0,
            bars_mapped: 0,
            reset_step: 0,
            reset_msi: 0,
            reset_entries: 0,
            reset_entry: 0,
            fenced: 0,
            pad: 0,
        }
    }

    /// Whether config space reads of the device give all ones, because it did
    /// not come back from its last reset.
    pub const fn reads_as_ones(&self) -> bool {
        self.fenced != 0
    }

    /// Whether config space writes to the device are ignored: it did not come
    /// back from its last reset, or a reset is on its way.
    pub const fn ignores_writes(&self) -> bool {
        self.fenced != 0 || self.reset_step != 0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::ids::BarIndex;
    use crate::vpci::bar::BarKind;

    pub(crate) fn index(index: u32) -> BarIndex {
        BarIndex::new(index).unwrap()
    }

    /// A device with a 64-bit BAR in slots 0 and 1, a 32-bit one in 2, I/O in 3,
    /// nothing in 4 and 5, and a ROM; nothing mapped.
    pub(crate) fn device() -> Device {
        let bar = |kind: BarKind, addr, size| Bar {
            addr,
            guest_addr: addr,
            size,
            r#type: kind as u32,
            ..Bar::EMPTY
        };
        let mut device = Device::empty();
        device.bars = [
            bar(BarKind::Mem64Lo, 0xfe00_0000, 0x4000),
            bar(BarKind::Mem64Hi, 0, 0),
            bar(BarKind::Mem32, 0xfd00_0000, 0x1000),
            bar(BarKind::Io, 0, 0),
            bar(BarKind::Empty, 0, 0),
            bar(BarKind::Empty, 0, 0),
            bar(BarKind::Rom, 0xfc00_0000, 0x8000),
        ];
        device
    }
}
