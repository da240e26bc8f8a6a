// SPDX-License-Identifier: GPL-2.0-only
//! The MSI-X capability, its table and its pending bits.
//!
//! The table's entries lie in memory of C's that is lent for each call. Accesses
//! to the pages of table and pending bits come here: an access to the table is
//! answered from the entries, any other is for C to perform on the device's
//! memory. Source: PCI Local Bus Specification 3.0, §6.8.2.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;

use crate::errno::Errno;
use crate::ids::NR_BARS;
use crate::spec::msi::{
    CONTROL, MSIX_ENTRY_ADDRESS_HIGH, MSIX_ENTRY_ADDRESS_LOW, MSIX_ENTRY_CONTROL, MSIX_ENTRY_DATA,
    MSIX_ENTRY_SIZE, MsixControl, MsixLocation, MsixVectorControl, msix_pba_size,
};
use crate::spec::pci::Command;
use crate::vpci::action::Action;
use crate::vpci::bar::{Bar, BarKind};
use crate::vpci::header::Snapshot;
use crate::vpci::msi::INVALID_PIRQ;
use crate::vpci::{Device, Owner, Step, Writes};

/// What Xen's interrupt code keeps in an MSI-X entry; written by C alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct EntryArch {
    /// The pirq, [`INVALID_PIRQ`] for none.
    pub pirq: i32,
}

/// One entry of the MSI-X table as the domain has it, shared with Xen's `vmsi.c`
/// as its `struct vpci_msix_entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Entry {
    /// Message address.
    pub addr: u64,
    /// Message data.
    pub data: u32,
    /// Not 0: masked.
    pub masked: u8,
    /// Not 0: the message has changed since the vector was bound to it.
    pub updated: u8,
    /// What Xen's interrupt code keeps.
    pub arch: EntryArch,
}

const_assert_eq!(size_of::<Entry>(), 24);

impl Entry {
    /// What a reset leaves: masked, without a message, without a vector.
    pub(crate) const FRESH: Self = Self {
        addr: 0,
        data: 0,
        masked: 1,
        updated: 0,
        arch: EntryArch { pirq: INVALID_PIRQ },
    };

    pub(super) const fn has_vector(&self) -> bool {
        self.arch.pirq != INVALID_PIRQ
    }
}

/// What the domain made of the MSI-X capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Msix {
    /// Offset and BIR of the table and of the pending bits, as in the registers.
    pub tables: [u32; 2],
    /// Entries of the table, 1 to 2048; 0 without the capability, and when it
    /// cannot be emulated.
    pub entries: u16,
    /// Offset of the capability, 0 for none.
    pub pos: u8,
    /// Not 0: enabled.
    pub enabled: u8,
    /// Not 0: the function mask is set.
    pub masked: u8,
}

const_assert_eq!(size_of::<Msix>(), 16);

/// The two areas of MSI-X, in the order of [`Msix::tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Area {
    Table,
    Pending,
}

/// Where an access to memory lies with regard to a device's MSI-X.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Not in a page that holds any of it.
    Elsewhere,
    /// In the table: an entry and the offset in it.
    Entry {
        /// The entry.
        entry: u16,
        /// Offset in the entry, in bytes: 0, 4, 8 or 12.
        offset: u16,
    },
    /// In such a page, for C to perform at this address of the host.
    Device {
        /// Which of the pages: first and last of the table, first and last of
        /// the pending bits, 0 to 3.
        slot: u8,
        /// Address on the host.
        addr: u64,
        /// Whether it is in the pending bits, which a guest does not write.
        pending: bool,
    },
    /// To be ignored, reads are all ones: an access that is not allowed there.
    Ignored,
}

/// What there is at an address of the domain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spot {
    Elsewhere,
    Table,
    Pending,
    /// Something else in a page of theirs.
    Near,
}

/// How an address lies to one of the areas.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Inside,
    /// In a page of it.
    Page,
    Outside,
}

/// Bytes of a page.
const PAGE: u64 = 4096;

impl Msix {
    /// Of a device without the capability.
    pub(super) const NONE: Self = Self {
        tables: [0; 2],
        entries: 0,
        pos: 0,
        enabled: 0,
        masked: 0,
    };

    pub(super) fn new(snapshot: &Snapshot, bars: &[Bar; NR_BARS]) -> Self {
        if snapshot.msix_pos == 0 {
            return Self::NONE;
        }
        let mut msix = Self {
            tables: [snapshot.msix_table, snapshot.msix_pba],
            entries: MsixControl::from_bits_retain(snapshot.msix_control).entries(),
            pos: snapshot.msix_pos,
            ..Self::NONE
        };
        if ![Area::Table, Area::Pending]
            .into_iter()
            .all(|area| msix.fits(area, bars))
        {
            msix.entries = 0;
        }
        msix
    }

    /// Whether the capability in the snapshot is this one.
    pub(super) fn is_of(&self, snapshot: &Snapshot) -> bool {
        let entries = MsixControl::from_bits_retain(snapshot.msix_control).entries();
        self.pos == snapshot.msix_pos
            && (self.pos == 0
                || self.tables == [snapshot.msix_table, snapshot.msix_pba]
                    && (self.entries == 0 || self.entries == entries))
    }

    /// To what a reset leaves.
    pub(super) const fn clear(&mut self) {
        let Self {
            tables: _,
            entries: _,
            pos: _,
            enabled,
            masked,
        } = self;
        *enabled = 0;
        *masked = 0;
    }

    pub(super) fn is_control(&self, register: u16) -> bool {
        self.pos != 0 && register == u16::from(self.pos) + CONTROL
    }

    pub(super) fn control(&self) -> MsixControl {
        let mut control = MsixControl::from_bits_retain(self.entries.saturating_sub(1));
        control.set(MsixControl::ENABLE, self.enabled != 0);
        control.set(MsixControl::FUNCTION_MASK, self.masked != 0);
        control
    }

    fn location(&self, area: Area) -> MsixLocation {
        let [table, pending] = self.tables;
        MsixLocation::new(match area {
            Area::Table => table,
            Area::Pending => pending,
        })
    }

    fn size(&self, area: Area) -> u64 {
        match area {
            Area::Table => u64::from(self.entries) * u64::from(MSIX_ENTRY_SIZE),
            Area::Pending => msix_pba_size(self.entries).into(),
        }
    }

    fn fits(&self, area: Area, bars: &[Bar; NR_BARS]) -> bool {
        let location = self.location(area);
        let bar = usize::try_from(location.bir())
            .ok()
            .and_then(|bir| bars.get(bir));
        bar.is_some_and(|bar| {
            matches!(bar.kind(), BarKind::Mem32 | BarKind::Mem64Lo)
                && u64::from(location.offset()) + self.size(area) <= bar.size()
        })
    }
}

impl Device {
    /// Whether memory at `addr` of the domain shares a page with the table or the
    /// pending bits, while their BAR is mapped.
    pub fn has_msix_at(&self, addr: u64) -> bool {
        self.spot(addr) != Spot::Elsewhere
    }

    /// Where an access of `size` bytes, 1 to 8, at `addr` of the domain lies.
    pub fn msix_place(&self, addr: u64, size: u32) -> Place {
        // The pending bits and the table take whole, aligned accesses only
        // [PCI-LB §6.8.2].
        let whole = matches!(size, 4 | 8) && addr & u64::from(size - 1) == 0;
        let end = addr.saturating_add(u64::from(size).saturating_sub(1));
        let pending = match self.spot(addr) {
            Spot::Elsewhere => return Place::Elsewhere,
            Spot::Table if whole => return self.entry_place(addr),
            Spot::Pending if whole => true,
            Spot::Near if self.spot(end) == Spot::Near => false,
            Spot::Table | Spot::Pending | Spot::Near => return Place::Ignored,
        };
        self.device_place(addr, pending)
    }

    #[inline(never)]
    fn spot(&self, addr: u64) -> Spot {
        let table = self.reach(Area::Table, addr);
        let pending = self.reach(Area::Pending, addr);
        if pending == Reach::Inside {
            Spot::Pending
        } else if table == Reach::Inside {
            Spot::Table
        } else if pending == Reach::Page || table == Reach::Page {
            Spot::Near
        } else {
            Spot::Elsewhere
        }
    }

    #[inline(never)]
    fn reach(&self, area: Area, addr: u64) -> Reach {
        match self.pages(area) {
            Some(pages) if addr >= pages.start && addr < pages.end => Reach::Inside,
            Some(pages) if pages.holds(addr) => Reach::Page,
            _ => Reach::Outside,
        }
    }

    fn entry_place(&self, addr: u64) -> Place {
        let start = self.pages(Area::Table).map_or(0, |pages| pages.start);
        let offset = addr.wrapping_sub(start);
        // The table has 2048 entries at most.
        let [low, high, ..] = (offset >> 4).to_le_bytes();
        let [byte, ..] = (offset & 0xf).to_le_bytes();
        Place::Entry {
            entry: u16::from_le_bytes([low, high]),
            offset: byte.into(),
        }
    }

    fn device_place(&self, addr: u64, pending: bool) -> Place {
        let page = addr & !(PAGE - 1);
        let mut place = Place::Ignored;
        // The table's pages come first, where they are the same.
        for area in [Area::Pending, Area::Table] {
            let Some(pages) = self.pages(area) else {
                continue;
            };
            let first = page == pages.start & !(PAGE - 1);
            if first || page == pages.end.wrapping_sub(1) & !(PAGE - 1) {
                place = Place::Device {
                    slot: (area as u8) * 2 + u8::from(!first),
                    addr: addr.wrapping_sub(pages.start).wrapping_add(pages.host),
                    pending,
                };
            }
        }
        place
    }

    /// What a read of `size` bytes (4 or 8) of an entry gives.
    pub fn read_entry(&self, entries: &[Entry], entry: u16, offset: u16, size: u32) -> u64 {
        let Some(entry) = entries.get(usize::from(entry)) else {
            return !0;
        };
        let control = u64::from(entry.masked != 0);
        match offset {
            MSIX_ENTRY_ADDRESS_LOW => entry.addr,
            MSIX_ENTRY_ADDRESS_HIGH => entry.addr >> 32,
            MSIX_ENTRY_DATA if size == 8 => u64::from(entry.data) | control << 32,
            MSIX_ENTRY_DATA => entry.data.into(),
            MSIX_ENTRY_CONTROL => control,
            _ => !0,
        }
    }

    /// The domain writes `size` bytes (4 or 8) of an entry.
    ///
    /// A message that is written while the entry is unmasked counts from the
    /// next time that it is masked and unmasked, as in Xen's `msix.c`.
    pub fn write_entry(
        &mut self,
        entries: &mut [Entry],
        number: u16,
        offset: u16,
        size: u32,
        value: u64,
    ) -> Action {
        let Some(entry) = entries.get_mut(usize::from(number)) else {
            return Action::Done(Ok(()));
        };
        match self.writes() {
            Writes::Pass => (),
            Writes::Ignored => return Action::Done(Ok(())),
            Writes::Wait => return Action::Retry,
        }
        let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
        let low = u32::from_le_bytes([a, b, c, d]);
        let high = u32::from_le_bytes([e, f, g, h]);
        let control = match offset {
            MSIX_ENTRY_ADDRESS_LOW => {
                entry.updated = 1;
                entry.addr = if size == 8 {
                    value
                } else {
                    entry.addr & !0xffff_ffff | u64::from(low)
                };
                return Action::Done(Ok(()));
            }
            MSIX_ENTRY_ADDRESS_HIGH => {
                entry.updated = 1;
                entry.addr = entry.addr & 0xffff_ffff | u64::from(low) << 32;
                return Action::Done(Ok(()));
            }
            MSIX_ENTRY_DATA => {
                entry.updated = 1;
                entry.data = low;
                if size != 8 {
                    return Action::Done(Ok(()));
                }
                high
            }
            MSIX_ENTRY_CONTROL => low,
            _ => return Action::Done(Ok(())),
        };
        let masked = MsixVectorControl::from_bits_retain(control).contains(MsixVectorControl::MASK);
        if masked == (entry.masked != 0) {
            return Action::Done(Ok(()));
        }
        entry.masked = masked.into();
        let signals = self.msix.enabled != 0 && self.msix.masked == 0;
        if !masked && signals && entry.updated != 0 {
            self.step_entry = number;
            self.go(Step::MsixEntry, Action::MsixUpdate(number))
        } else if entry.has_vector() {
            self.last(Action::MsixMask {
                entry: number,
                masked,
            })
        } else {
            Action::Done(Ok(()))
        }
    }

    /// Enable, disable and function mask. Entries whose message has changed are
    /// bound anew when they come to signal; all lose their vectors when MSI-X is
    /// disabled.
    pub(super) fn write_msix_control(&mut self, entries: &mut [Entry], value: u16) -> Action {
        let control = MsixControl::from_bits_retain(value);
        let enable = control.contains(MsixControl::ENABLE);
        let mask = control.contains(MsixControl::FUNCTION_MASK);
        let (enabled, masked) = (self.msix.enabled != 0, self.msix.masked != 0);
        if enable == enabled && mask == masked || self.msix.entries == 0 {
            return Action::Done(Ok(()));
        }
        if enable && !enabled && self.owner() == Owner::Hidden {
            // Xen keeps a hidden device's interrupts to itself.
            return Action::Done(Err(Errno::EOPNOTSUPP));
        }
        self.step_value = value.into();
        if enable && !mask && (!enabled || masked) {
            self.next_entry(entries, Step::MsixOn, 0)
        } else if !enable && enabled {
            self.next_entry(entries, Step::MsixOff, 0)
        } else {
            self.set_msix_control()
        }
    }

    /// Goes on with what [`Device::write_msix_control`] or
    /// [`Device::write_entry`] has begun.
    pub(super) fn msix_completed(
        &mut self,
        entries: &mut [Entry],
        step: Step,
        result: Result<(), Errno>,
    ) -> Action {
        let number = self.step_entry;
        let entry = entries.get_mut(usize::from(number));
        match (step, result) {
            (Step::MsixOff, Ok(())) => {
                if let Some(entry) = entry {
                    // So that enabling and unmasking bind it again.
                    entry.updated = 1;
                }
                self.next_entry(entries, step, number.saturating_add(1))
            }
            (Step::MsixOn, result) => {
                // One that could not be bound is tried at its next unmask.
                if let (Some(entry), Ok(())) = (entry, result) {
                    entry.updated = 0;
                }
                self.next_entry(entries, step, number.saturating_add(1))
            }
            (Step::MsixEntry, Ok(())) => {
                if let Some(entry) = entry {
                    entry.updated = 0;
                }
                self.finish(Ok(()))
            }
            (Step::MsixIntx, _) => self.msix_control_write(),
            (_, result) => self.finish(result),
        }
    }

    /// The next entry from `from` on that needs something before MSI-X is
    /// enabled or disabled, or the write of the control register.
    #[inline(never)]
    fn next_entry(&mut self, entries: &[Entry], step: Step, from: u16) -> Action {
        let on = step == Step::MsixOn;
        let next = (from..self.msix.entries).find(|&number| {
            entries.get(usize::from(number)).is_some_and(|entry| {
                if on {
                    entry.masked == 0 && entry.updated != 0
                } else {
                    entry.has_vector()
                }
            })
        });
        match next {
            Some(number) => {
                self.step_entry = number;
                self.go(
                    step,
                    if on {
                        Action::MsixUpdate(number)
                    } else {
                        Action::MsixDisable(number)
                    },
                )
            }
            None => self.set_msix_control(),
        }
    }

    #[inline(never)]
    fn set_msix_control(&mut self) -> Action {
        let [low, high, ..] = self.step_value.to_le_bytes();
        let control = MsixControl::from_bits_retain(u16::from_le_bytes([low, high]));
        let enable = control.contains(MsixControl::ENABLE);
        let newly = enable && self.msix.enabled == 0;
        self.msix.enabled = enable.into();
        self.msix.masked = control.contains(MsixControl::FUNCTION_MASK).into();
        if newly && self.owner() == Owner::Guest {
            self.command |= Command::INTX_DISABLE.bits();
            return self.go(Step::MsixIntx, Action::IntxDisable);
        }
        self.msix_control_write()
    }

    fn msix_control_write(&mut self) -> Action {
        let control = self.msix.control().bits();
        self.last(Action::MsixControl(control))
    }

    #[inline(never)]
    fn pages(&self, area: Area) -> Option<Pages> {
        if self.msix.entries == 0 {
            return None;
        }
        let location = self.msix.location(area);
        let slot = usize::try_from(location.bir()).ok()?;
        let bar = self.bars.get(slot)?;
        // What is still to be mapped may come to nothing, if it lies on RAM.
        if bar.mapped == 0 || self.coming().contains(slot) {
            return None;
        }
        let offset = u64::from(location.offset());
        let start = bar.guest_addr.wrapping_add(offset);
        Some(Pages {
            start,
            end: start.wrapping_add(self.msix.size(area)),
            host: bar.addr.wrapping_add(offset),
        })
    }
}

/// One area in the domain's memory: `start` to before `end`.
#[derive(Clone, Copy)]
struct Pages {
    start: u64,
    end: u64,
    host: u64,
}

impl Pages {
    /// Whether `addr` shares a page with it.
    const fn holds(&self, addr: u64) -> bool {
        addr >= self.start & !(PAGE - 1) && addr <= self.end.wrapping_sub(1) | (PAGE - 1)
    }
}
