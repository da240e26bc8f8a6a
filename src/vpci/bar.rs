// SPDX-License-Identifier: GPL-2.0-only
//! Base address registers: what one is, and writes to one.
//!
//! A BAR moves while it is not mapped in its domain's p2m. The hardware domain's
//! writes reach the device, with the read-only bits as they are; a guest's stay
//! in the record, which keeps its address apart from the host's. Source: PCI
//! Local Bus Specification 3.0, §6.2.5.1.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;

use crate::errno::Errno;
use crate::ids::{BarIndex, NR_BARS};
use crate::spec::pci::{BAR_MEM_ADDRESS, BASE_ADDRESS_0, BarFlags, Width};
use crate::vpci::action::{Action, Depth};
use crate::vpci::{Device, Owner, Step, Writes};

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

impl BarKind {
    /// By number: without jump tables a match on it would be a chain of tests.
    const ALL: [Self; 6] = [
        Self::Empty,
        Self::Io,
        Self::Mem32,
        Self::Mem64Lo,
        Self::Mem64Hi,
        Self::Rom,
    ];
}

/// Some of a function's BARs, its ROM among them: bit n is slot n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BarSet(u8);

impl BarSet {
    /// No BAR.
    pub const NONE: Self = Self(0);

    const ALL: u8 = (1 << NR_BARS) - 1;

    /// The BARs whose bits are set; bits that no slot has are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits.to_le_bytes()[0] & Self::ALL)
    }

    /// The bits.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether slot `slot` is among them.
    pub const fn contains(self, slot: usize) -> bool {
        slot < NR_BARS && self.0 >> slot & 1 != 0
    }

    /// Those that are in `self` and not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// One BAR; C reads it and never writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Bar {
    /// Address on the host, in bytes.
    pub addr: u64,
    /// Address in the domain, in bytes; the same for a hardware domain.
    pub guest_addr: u64,
    /// Size: 2 to this power bytes, 0 to 63; found when the device was first
    /// probed, 0 where the kind has no size.
    pub order: u8,
    /// A [`BarKind`].
    pub kind: u8,
    /// Not 0: reads have no side effects.
    pub prefetchable: u8,
    /// Not 0: mapped in the domain's p2m, or on its way there.
    pub mapped: u8,
}

const_assert_eq!(size_of::<Bar>(), 24);

impl Bar {
    /// A slot without a BAR.
    pub(crate) const EMPTY: Self = Self {
        addr: 0,
        guest_addr: 0,
        order: 0,
        kind: BarKind::Empty as u8,
        prefetchable: 0,
        mapped: 0,
    };

    /// What the slot is.
    pub fn kind(&self) -> BarKind {
        let known = BarKind::ALL.get(usize::from(self.kind)).copied();
        known.unwrap_or(BarKind::Empty)
    }

    /// Size in bytes, a power of two; 1 for a slot without one.
    pub const fn size(&self) -> u64 {
        1 << (self.order & 63)
    }

    /// Whether it is one that memory decode maps: a memory BAR or the ROM.
    pub fn is_memory(&self) -> bool {
        match self.kind() {
            BarKind::Mem32 | BarKind::Mem64Lo | BarKind::Rom => true,
            BarKind::Empty | BarKind::Io | BarKind::Mem64Hi => false,
        }
    }

    /// Puts the BAR at `addr` on the host and, as for a hardware domain, at the
    /// same address in the domain.
    pub(super) const fn place(&mut self, addr: u64) {
        self.addr = addr;
        self.guest_addr = addr;
    }

    /// The read-only low bits of the register.
    fn flags(&self) -> BarFlags {
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

    /// Where a write of `value` to this half puts a BAR that was at `address`. The
    /// address bits below the size are read-only: so a BAR is sized.
    const fn moved(self, bar: &Bar, address: u64, value: u32) -> u64 {
        let other = address & !(0xffff_ffff << self.shift());
        (other | (value as u64) << self.shift()) & !(bar.size() - 1) & !0xf
    }
}

impl Device {
    /// The domain writes `value` to the 32-bit register of memory BAR `index` (0
    /// to 5).
    ///
    /// [`Action::ConfWrite`] when the hardware domain moves it,
    /// [`Action::Retry`] while BARs of the device are being mapped or unmapped,
    /// [`Action::Done`] when there is nothing for C to do. Of a mapped BAR of the
    /// hardware domain's device the command register is read first
    /// ([`Action::Probe`]): if the device was reset meanwhile the record follows
    /// and the write is made again, else it is ignored, with
    /// [`Action::BarMapped`] if the value differs. One that a failed unmap has left
    /// mapped is tried once more, and the write dropped. A slot that has no such
    /// register: [`Errno::EINVAL`].
    pub fn write_bar(&mut self, index: BarIndex, value: u32) -> Action {
        if index.get() >= self.header_type().bars() {
            return Action::Done(Err(Errno::EINVAL));
        }
        if let Some(value) = self.place_bar(index, value) {
            let register = BASE_ADDRESS_0 + u16::from(index.to_u8()) * 4;
            return self.last(Action::ConfWrite {
                register,
                width: Width::Dword,
                value,
            });
        }
        if self.in_flight() {
            return Action::Retry;
        }
        let guest = self.owner() == Owner::Guest;
        let left = self.decode == 0;
        let Some((half, bar)) = self.half(index) else {
            return Action::Done(Ok(()));
        };
        let mapped = bar.mapped != 0;
        let moved = half.moved(bar, if guest { bar.guest_addr } else { bar.addr }, value);
        if guest {
            if !mapped {
                bar.guest_addr = moved;
            }
            return Action::Done(Ok(()));
        }
        let same = moved == bar.addr;
        if left {
            self.take_out_rest()
        } else {
            self.doubt(index.get(), same)
        }
    }

    /// The hardware domain writes `value` to the register of memory BAR `index`:
    /// if the BAR can move, it does, and this is the value for the device. All
    /// other writes are for [`Device::write_bar`].
    #[inline(never)]
    pub fn place_bar(&mut self, index: BarIndex, value: u32) -> Option<u32> {
        if self.writes() != Writes::Pass || self.in_flight() || self.owner() == Owner::Guest {
            return None;
        }
        let (half, bar) = self.half(index)?;
        if bar.mapped != 0 {
            return None;
        }
        // Cheaper than to move first: which half it is is then known.
        let (addr, value) = match half {
            Half::Low => (
                Half::Low.moved(bar, bar.addr, value),
                value & BAR_MEM_ADDRESS | bar.flags().bits(),
            ),
            Half::High => (Half::High.moved(bar, bar.addr, value), value),
        };
        bar.place(addr);
        Some(value)
    }

    /// What a guest reads of the register of slot `index`.
    pub fn read_bar(&self, index: BarIndex) -> u32 {
        let Some(bar) = self.bars.get(index.get()) else {
            return 0;
        };
        let low = |address: u64| {
            let [a, b, c, d, ..] = address.to_le_bytes();
            u32::from_le_bytes([a, b, c, d])
        };
        match bar.kind() {
            BarKind::Mem32 | BarKind::Mem64Lo => low(bar.guest_addr) | bar.flags().bits(),
            BarKind::Mem64Hi => {
                let owner = index
                    .previous()
                    .and_then(|previous| self.bars.get(previous.get()));
                owner.map_or(0, |owner| low(owner.guest_addr >> 32))
            }
            // A guest has neither I/O BARs of vPCI's nor a ROM.
            BarKind::Empty | BarKind::Io | BarKind::Rom => 0,
        }
    }

    /// The memory BAR that the register of slot `index` belongs to.
    fn half(&mut self, index: BarIndex) -> Option<(Half, &mut Bar)> {
        match self.bars.get(index.get())?.kind() {
            BarKind::Mem32 | BarKind::Mem64Lo => Some((Half::Low, self.bars.get_mut(index.get())?)),
            BarKind::Mem64Hi => {
                let lower = self.bars.get_mut(index.previous()?.get())?;
                (lower.kind() == BarKind::Mem64Lo).then_some((Half::High, lower))
            }
            BarKind::Empty | BarKind::Io | BarKind::Rom => None,
        }
    }

    /// The BARs for which `wanted` says so.
    pub(super) fn bars_where(&self, wanted: impl Fn(&Bar) -> bool) -> BarSet {
        let mut bits = 0;
        for (slot, bar) in self.bars.iter().enumerate() {
            if wanted(bar) {
                bits |= 1_u32 << (slot & 7);
            }
        }
        BarSet::from_bits(bits)
    }

    /// The BARs that are mapped or on their way there.
    #[inline(never)]
    pub(super) fn mapped(&self) -> BarSet {
        self.bars_where(|bar| bar.mapped != 0)
    }

    #[inline(never)]
    pub(super) fn set_mapped(&mut self, bars: BarSet, mapped: bool) {
        for (slot, bar) in self.bars.iter_mut().enumerate() {
            if bars.contains(slot) {
                bar.mapped = mapped.into();
            }
        }
    }

    /// A write to the BAR of this slot is not carried out as it is mapped: before
    /// it is dropped for good, the device is asked whether that is still so.
    pub(super) const fn doubt(&mut self, slot: usize, same: bool) -> Action {
        let [slot, ..] = slot.to_le_bytes();
        self.step_entry = slot as u16;
        self.step_value = same as u32;
        self.go(Step::Doubt, Action::Probe(Depth::Command))
    }
}
