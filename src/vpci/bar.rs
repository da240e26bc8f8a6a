// SPDX-License-Identifier: GPL-2.0-only
//! Base address registers: what one is, and a hardware domain's write to one.
//!
//! A hardware domain moves a BAR while it is not mapped in its p2m; the device
//! gets the same value, with the read-only bits as they are. Source: PCI Local
//! Bus Specification 3.0, §6.2.5.1.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;

use crate::errno::Errno;
use crate::ids::BarIndex;
use crate::spec::pci::{BAR_MEM_ADDRESS, BASE_ADDRESS_0, BarFlags, HeaderType};
use crate::vpci::action::Action;
use crate::vpci::{Device, Rangeset};

/// What a BAR slot of a function is (Xen's `VPCI_BAR_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum BarKind {
    /// Not implemented by the device.
    Empty = 0,
    /// I/O ports; vPCI leaves these to the domain.
    Io = 1,
    /// 32-bit memory.
    Mem32 = 2,
    /// Lower half of a 64-bit memory BAR.
    Mem64Lo = 3,
    /// Upper half of the 64-bit memory BAR before it.
    Mem64Hi = 4,
    /// Expansion ROM.
    Rom = 5,
}

/// One BAR, shared with Xen's `header.c` as its `struct vpci_bar`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Bar {
    /// Address on the host, in bytes.
    pub addr: u64,
    /// Address in the domain, in bytes; the same for a hardware domain.
    pub guest_addr: u64,
    /// Size in bytes, a power of two, found when the device was first probed.
    pub size: u64,
    /// C's set of ranges left to map or unmap; never looked at here.
    pub mem: *mut Rangeset,
    /// A [`BarKind`] as C wrote it.
    pub r#type: u32,
    /// Not 0: reads have no side effects.
    pub prefetchable: u8,
    /// Not 0: mapped in the domain's p2m.
    pub enabled: u8,
}

const_assert_eq!(size_of::<Bar>(), 40);

impl Bar {
    /// A slot without a BAR.
    pub const EMPTY: Self = Self {
        addr: 0,
        guest_addr: 0,
        size: 0,
        mem: core::ptr::null_mut(),
        r#type: BarKind::Empty as u32,
        prefetchable: 0,
        enabled: 0,
    };

    /// What the slot is; a number that C cannot have meant counts as empty.
    pub const fn kind(&self) -> BarKind {
        match self.r#type {
            1 => BarKind::Io,
            2 => BarKind::Mem32,
            3 => BarKind::Mem64Lo,
            4 => BarKind::Mem64Hi,
            5 => BarKind::Rom,
            _ => BarKind::Empty,
        }
    }

    /// Puts the BAR at `addr` on the host and, as for a hardware domain, at the
    /// same address in the domain.
    pub(super) const fn place(&mut self, addr: u64) {
        self.addr = addr;
        self.guest_addr = addr;
    }

    /// The read-only low bits of the register.
    const fn flags(&self) -> BarFlags {
        let width = match self.kind() {
            BarKind::Mem64Lo => BarFlags::MEM_64,
            BarKind::Empty | BarKind::Io | BarKind::Mem32 | BarKind::Mem64Hi | BarKind::Rom => {
                BarFlags::empty()
            }
        };
        if self.prefetchable != 0 {
            width.union(BarFlags::PREFETCHABLE)
        } else {
            width
        }
    }
}

/// Which half of an address a register holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Low,
    High,
}

impl Half {
    const fn shift(self) -> u32 {
        match self {
            Self::Low => 0,
            Self::High => 32,
        }
    }
}

impl Device {
    /// The hardware domain writes `value` to the 32-bit register of memory BAR
    /// `index` (0 to 5).
    ///
    /// [`Action::ConfWrite`] when the BAR moves, [`Action::BarMapped`] when it
    /// is mapped and the value differs, [`Action::Done`] when there is nothing
    /// to do: the value is the current one of a mapped BAR, or the slot is no
    /// memory BAR. Slot 6 has no such register: [`Errno::EINVAL`].
    pub fn write_bar(&mut self, index: BarIndex, value: u32) -> Action {
        let register = BASE_ADDRESS_0 + index.to_c().to_le_bytes().map(u16::from)[0] * 4;
        if index.get() >= HeaderType::Normal.bars() {
            return Action::Done(Err(Errno::EINVAL));
        }
        let Some((half, owner)) = self.owner(index) else {
            return Action::Done(Ok(()));
        };
        let shift = half.shift();
        let address = match half {
            Half::Low => value & BAR_MEM_ADDRESS,
            Half::High => value,
        };
        let moved = owner.addr & !(0xffff_ffff << shift) | u64::from(address) << shift;

        if owner.enabled != 0 {
            return if moved == owner.addr {
                Action::Done(Ok(()))
            } else {
                Action::BarMapped(index)
            };
        }

        owner.place(moved);
        let value = match half {
            Half::Low => address | owner.flags().bits(),
            Half::High => address,
        };
        Action::ConfWrite { register, value }
    }

    /// The memory BAR that the register of slot `index` belongs to.
    fn owner(&mut self, index: BarIndex) -> Option<(Half, &mut Bar)> {
        match self.bars.get(index.get())?.kind() {
            BarKind::Mem32 | BarKind::Mem64Lo => Some((Half::Low, self.bars.get_mut(index.get())?)),
            BarKind::Mem64Hi => Some((Half::High, self.bars.get_mut(index.previous()?.get())?)),
            BarKind::Empty | BarKind::Io | BarKind::Rom => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpci::tests::{device, index};

    #[test]
    fn bar32_write_while_unmapped_moves_it_and_keeps_the_read_only_bits() {
        let mut device = device();
        device.bars[2].prefetchable = 8;
        assert_eq!(
            device.write_bar(index(2), 0xfea0_000f),
            Action::ConfWrite {
                register: 0x18,
                value: 0xfea0_0008
            }
        );
        assert_eq!(device.bars[2].addr, 0xfea0_0000);
        assert_eq!(device.bars[2].guest_addr, 0xfea0_0000);
    }

    #[test]
    fn bar64_halves_move_one_address() {
        let mut device = device();
        assert_eq!(
            device.write_bar(index(0), 0xfebf_0000),
            Action::ConfWrite {
                register: 0x10,
                value: 0xfebf_0004
            }
        );
        assert_eq!(
            device.write_bar(index(1), 0x0000_0012),
            Action::ConfWrite {
                register: 0x14,
                value: 0x12
            }
        );
        assert_eq!(device.bars[0].addr, 0x12_febf_0000);
        assert_eq!(device.bars[0].guest_addr, 0x12_febf_0000);
        assert_eq!(device.bars[1].addr, 0);
    }

    #[test]
    fn bar_write_while_mapped_changes_nothing() {
        let mut device = device();
        device.bars[0].enabled = 1;
        let before = device;
        assert_eq!(
            device.write_bar(index(0), 0xdead_0000),
            Action::BarMapped(index(0))
        );
        assert_eq!(device.write_bar(index(1), 1), Action::BarMapped(index(1)));
        assert_eq!(
            device.write_bar(index(0), 0xfe00_0004),
            Action::Done(Ok(()))
        );
        assert_eq!(device.write_bar(index(1), 0), Action::Done(Ok(())));
        assert_eq!(device, before);
    }

    #[test]
    fn write_to_a_slot_that_is_no_memory_bar_changes_nothing() {
        let mut device = device();
        let before = device;
        for slot in [3, 4, 5] {
            assert_eq!(device.write_bar(index(slot), !0), Action::Done(Ok(())));
        }
        let refused = Action::Done(Err(Errno::EINVAL));
        assert_eq!(device.write_bar(index(6), !0), refused);
        assert_eq!(device, before);
    }

    #[test]
    fn upper_half_without_a_lower_one_is_ignored() {
        let mut device = device();
        device.bars[0].r#type = BarKind::Mem64Hi as u32;
        let before = device;
        assert_eq!(device.write_bar(index(0), !0), Action::Done(Ok(())));
        assert_eq!(device, before);
    }

    #[test]
    fn unknown_kind_counts_as_empty() {
        let mut device = device();
        device.bars[0].r#type = 6;
        assert_eq!(device.bars[0].kind(), BarKind::Empty);
        device.bars[0].r#type = u32::MAX;
        assert_eq!(device.bars[0].kind(), BarKind::Empty);
    }
}
