// SPDX-License-Identifier: GPL-2.0-only
//! The configuration header: a new device's record, command and ROM registers.
//!
//! Which of a function's registers are emulated is decided when its record is
//! made; C registers a handler for each and hands over whole registers
//! ([`super::access`] takes partial accesses apart). Sources: PCI Local Bus
//! Specification 3.0, §6.2; PCI-to-PCI Bridge Architecture Specification 1.2,
//! chapter 3.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::ids::{BarIndex, NR_BARS};
use crate::spec::pci::{
    BAR_MEM_ADDRESS, BASE_ADDRESS_0, BarFlags, COMMAND, Command, HeaderType, NO_RESPONSE,
    ROM_ADDRESS_MASK, ROM_ENABLE, Width,
};
use crate::vpci::action::Action;
use crate::vpci::bar::{Bar, BarKind, BarSet};
use crate::vpci::map::Operation;
use crate::vpci::msi::Msi;
use crate::vpci::msix::{Entry, Msix};
use crate::vpci::{Device, Owner, Step, Writes};

/// The header and the MSI and MSI-X capabilities as C has just read them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Snapshot {
    /// Vendor ID in bits 15:0, device ID above.
    pub id: u32,
    /// The BARs; those that the header type has, the others are not looked at.
    pub bars: [u32; 6],
    /// The ROM register of that header type.
    pub rom: u32,
    /// MSI-X table offset and BIR; this and the following only for a new device
    /// and where [`super::action::Depth`] asks for them.
    pub msix_table: u32,
    /// MSI-X pending bit array offset and BIR.
    pub msix_pba: u32,
    /// Command register.
    pub command: u16,
    /// MSI message control.
    pub msi_control: u16,
    /// MSI-X message control.
    pub msix_control: u16,
    /// Offset of the MSI capability, 0 for none.
    pub msi_pos: u8,
    /// Offset of the MSI-X capability, 0 for none.
    pub msix_pos: u8,
    /// Most MSI vectors that Xen gives the device, 1 to 32.
    pub msi_vectors: u8,
    /// Header type register.
    pub header_type: u8,
    /// Not 0: Xen was told to leave this device's BARs alone.
    pub ignore_bars: u8,
}

impl Snapshot {
    /// Whether a function has answered at all.
    ///
    /// No vendor has the ID 0xffff [PCI-LB §6.1], and a function that is there
    /// but not ready yet may answer its ID and nothing else.
    pub(super) const fn is_answer(&self) -> bool {
        let vendor = self.id & 0xffff;
        vendor != NO_RESPONSE & 0xffff && self.command != u16::MAX
    }

    pub(super) const fn decodes(&self) -> bool {
        Command::from_bits_retain(self.command).contains(Command::MEMORY)
    }

    /// The address in the register of a memory BAR or ROM of this kind in `slot`.
    pub(super) fn address(&self, kind: BarKind, slot: usize) -> u64 {
        let register = |slot: usize| self.bars.get(slot).copied().unwrap_or_default();
        match kind {
            BarKind::Mem32 => u64::from(register(slot) & BAR_MEM_ADDRESS),
            BarKind::Mem64Lo => {
                u64::from(register(slot) & BAR_MEM_ADDRESS)
                    | u64::from(register(slot.wrapping_add(1))) << 32
            }
            BarKind::Rom => u64::from(self.rom & ROM_ADDRESS_MASK),
            BarKind::Mem64Hi | BarKind::Io | BarKind::Empty => 0,
        }
    }
}

impl Device {
    /// Makes an empty record that of a function which nobody has been given yet.
    ///
    /// `sizes` are in bytes, in the order of the slots with the ROM in the slot
    /// that its header type has for it; a size that is no power of two counts as
    /// none. An MSI-X capability whose table or pending bits do not lie in a
    /// memory BAR is kept from being enabled.
    ///
    /// # Errors
    /// [`Errno::EOPNOTSUPP`] for a header type that vPCI does not handle; the
    /// record is as it was.
    pub fn init(&mut self, snapshot: &Snapshot, sizes: &[u64; NR_BARS]) -> Result<(), Errno> {
        let header = HeaderType::new(snapshot.header_type).ok_or(Errno::EOPNOTSUPP)?;
        self.header = matches!(header, HeaderType::Bridge).into();
        if snapshot.ignore_bars == 0 {
            self.classify(header, snapshot, sizes);
        }
        self.msi = Msi::new(snapshot);
        self.msix = Msix::new(snapshot, &self.bars);
        Ok(())
    }

    #[inline(never)]
    fn classify(&mut self, header: HeaderType, snapshot: &Snapshot, sizes: &[u64; NR_BARS]) {
        let rom = header.bars();
        // Whether the slot before is a 64-bit BAR, of some size or none.
        let mut upper = false;
        for (slot, bar) in self.bars.iter_mut().enumerate() {
            let size = sizes.get(slot).copied().unwrap_or_default();
            let register = snapshot.bars.get(slot).copied().unwrap_or_default();
            let flags = BarFlags::from_bits_retain(register);
            let io = flags.contains(BarFlags::IO);
            let is_upper = upper;
            upper = slot < rom && !is_upper && !io && flags.is_mem_64();
            let kind = if slot > rom {
                BarKind::Empty
            } else if slot < rom && is_upper {
                BarKind::Mem64Hi
            } else if slot < rom && io {
                BarKind::Io
            } else if !size.is_power_of_two() {
                BarKind::Empty
            } else if slot == rom {
                BarKind::Rom
            } else if upper {
                BarKind::Mem64Lo
            } else {
                BarKind::Mem32
            };
            let memory = matches!(kind, BarKind::Mem32 | BarKind::Mem64Lo);
            *bar = Bar {
                kind: kind as u8,
                prefetchable: (memory && flags.contains(BarFlags::PREFETCHABLE)).into(),
                ..Bar::EMPTY
            };
            if bar.is_memory() {
                let [order, ..] = size.trailing_zeros().to_le_bytes();
                bar.order = order;
            }
        }
    }

    /// The domain writes `value` to the register at offset `register`, which is
    /// one that vPCI emulates; `entries` is the device's MSI-X table.
    ///
    /// While the device is being reset it is to be made again
    /// ([`Action::Retry`]); when it did not come back from that, it is ignored
    /// ([`Action::Done`]).
    pub fn write(&mut self, entries: &mut [Entry], register: u16, value: u32) -> Action {
        match self.writes() {
            Writes::Pass => (),
            Writes::Ignored => return Action::Done(Ok(())),
            Writes::Wait => return Action::Retry,
        }
        let [low, high, ..] = value.to_le_bytes();
        let half = u16::from_le_bytes([low, high]);
        if register == COMMAND {
            return self.write_command(half);
        }
        if let Some(slot) = self.bar_of(register) {
            return self.write_bar(slot, value);
        }
        if register == self.header_type().rom_register() {
            return if self.owner() == Owner::Guest {
                Action::Done(Ok(()))
            } else {
                self.write_rom(value)
            };
        }
        if self.msix.is_control(register) {
            return self.write_msix_control(entries, half);
        }
        if let Some(field) = self.msi.field(register) {
            return self.write_msi(field, value);
        }
        Action::Done(Ok(()))
    }

    /// What the domain reads of the register at offset `register`, which is one
    /// that vPCI emulates and does not leave to the hardware.
    pub fn read(&self, register: u16) -> u32 {
        if register == COMMAND {
            return self.command.into();
        }
        if let Some(slot) = self.bar_of(register) {
            return self.read_bar(slot);
        }
        if let Some(field) = self.msi.field(register) {
            return self.msi.read(field);
        }
        if self.msix.is_control(register) {
            return self.msix.control().bits().into();
        }
        // A guest has no ROM.
        0
    }

    /// The BAR whose register is at offset `register`.
    fn bar_of(&self, register: u16) -> Option<BarIndex> {
        let offset = register.checked_sub(BASE_ADDRESS_0)?;
        let index = BarIndex::new(u32::from(offset >> 2))?;
        (index.get() < self.header_type().bars()).then_some(index)
    }

    /// Whether a write of `value` to the command register goes to the device as it
    /// is, with nothing else to do; the record follows then. Any other is for
    /// [`Device::write`].
    pub fn passes_command(&mut self, value: u16) -> bool {
        let decode = Command::from_bits_retain(value).contains(Command::MEMORY);
        let passes = self.writes() == Writes::Pass
            && self.owner() != Owner::Guest
            && decode == (self.decode != 0);
        if passes {
            self.command = value;
        }
        passes
    }

    fn write_command(&mut self, value: u16) -> Action {
        let mut command = Command::from_bits_retain(value);
        if self.owner() == Owner::Guest && (self.msi.enabled != 0 || self.msix.enabled != 0) {
            // A guest does not get INTx beside MSI, whatever it writes.
            command |= Command::INTX_DISABLE;
        }
        let decode = command.contains(Command::MEMORY);
        let toggles = decode != (self.decode != 0);
        if toggles && self.in_flight() {
            return Action::Retry;
        }
        if toggles && decode && !self.mapped().is_empty() {
            // What a failed unmap has left.
            return self.take_out_rest();
        }
        self.command = command.bits();
        let write = Action::ConfWrite {
            register: COMMAND,
            width: Width::Word,
            value: command.bits().into(),
        };
        if !toggles {
            return self.last(write);
        }
        self.decode = decode.into();
        let (operation, bars) = if decode {
            (Operation::Map, self.decoded())
        } else {
            (Operation::Unmap, self.mapped())
        };
        if bars.is_empty() {
            return self.last(write);
        }
        self.queue(operation, bars);
        self.go(Step::Queued, write)
    }

    /// The hardware domain writes the ROM register. As long as the ROM is mapped
    /// it can only be disabled; a write that moves it too is made again after it
    /// has been unmapped. Anything else is taken as [`Device::write_bar`] takes a
    /// write to a mapped BAR. One that a failed unmap has left mapped is unmapped
    /// by any write, which does nothing more.
    fn write_rom(&mut self, value: u32) -> Action {
        let slot = self.header_type().bars();
        let rom = match self.bars.get(slot) {
            Some(rom) if rom.kind() == BarKind::Rom => *rom,
            _ => return Action::Done(Ok(())),
        };
        if self.in_flight() {
            return Action::Retry;
        }
        let addr = u64::from(value & ROM_ADDRESS_MASK) & !(rom.size() - 1);
        let enable = value & ROM_ENABLE != 0;
        let mut step = Step::Queued;
        let operation = if rom.mapped != 0 {
            if self.decode == 0 {
                return self.take_out_rest();
            }
            let left = self.rom_enabled == 0;
            if enable && !left {
                return self.doubt(slot, rom.addr == addr);
            }
            if !left && rom.addr != addr {
                step = Step::QueuedFirst;
            }
            self.rom_enabled = 0;
            Operation::Unmap
        } else {
            if let Some(rom) = self.bars.get_mut(slot) {
                rom.place(addr);
            }
            self.rom_enabled = enable.into();
            Operation::MapRom
        };
        let write = self.rom_write();
        if operation == Operation::MapRom && (self.decode == 0 || !enable) {
            return self.last(write);
        }
        self.queue(operation, BarSet::from_bits(1 << (slot & 7)));
        self.go(step, write)
    }

    /// The write that brings the ROM register to what the record says.
    pub(super) fn rom_write(&self) -> Action {
        let header = self.header_type();
        let address = self.bars.get(header.bars()).map_or(0, |rom| rom.addr);
        let [a, b, c, d, ..] = address.to_le_bytes();
        Action::ConfWrite {
            register: header.rom_register(),
            width: Width::Dword,
            value: u32::from_le_bytes([a, b, c, d]) | u32::from(self.rom_enabled != 0),
        }
    }
}
