// SPDX-License-Identifier: GPL-2.0-only
//! PCI configuration space: header, command, base address registers, ROM.
//!
//! Source: PCI Local Bus Specification 3.0, chapter 6 ("PCI-LB"), and the
//! PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3 ("PCI-BR").
//! Offsets are bytes from the start of the function's configuration space.

#![forbid(unsafe_code)]

use bitflags::bitflags;

/// Vendor ID, 16 bits [PCI-LB §6.2.1].
pub const VENDOR_ID: u16 = 0x00;
/// Command register, 16 bits [PCI-LB §6.2.2].
pub const COMMAND: u16 = 0x04;
/// Status register, 16 bits [PCI-LB §6.2.3].
pub const STATUS: u16 = 0x06;
/// Bits of the status register that software cannot change.
pub const STATUS_RO: u32 = 0x06b9;
/// Bits of the status register that are cleared by writing 1.
pub const STATUS_RW1C: u32 = 0xf900;
/// Bits of the status register that are reserved and written as 0.
pub const STATUS_RSVDZ: u32 = 0x0046;
/// Header type, 8 bits [PCI-LB §6.2.1].
pub const HEADER_TYPE: u16 = 0x0e;
/// First base address register, 32 bits; the others follow at 4 byte steps
/// [PCI-LB §6.2.5.1].
pub const BASE_ADDRESS_0: u16 = 0x10;
/// Expansion ROM base address of a type 0 header, 32 bits [PCI-LB §6.2.5.2].
pub const ROM_ADDRESS: u16 = 0x30;
/// Expansion ROM base address of a type 1 header, 32 bits [PCI-BR §3.2.5.17].
pub const ROM_ADDRESS_BRIDGE: u16 = 0x38;

/// How many bytes an access to configuration space has [PCI-LB §6.1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 16 bits.
    Word,
    /// 32 bits.
    Dword,
}

impl Width {
    /// Bytes: 2 or 4.
    pub const fn bytes(self) -> u8 {
        match self {
            Self::Word => 2,
            Self::Dword => 4,
        }
    }
}

/// What a read of any register gives when no function answers: all ones
/// [PCI-LB §6.1].
pub const NO_RESPONSE: u32 = !0;

bitflags! {
    /// Command register [PCI-LB §6.2.2].
    ///
    /// | bit | meaning                   |
    /// |-----|---------------------------|
    /// | 0   | I/O space decode          |
    /// | 1   | memory space decode       |
    /// | 2   | bus master                |
    /// | 6   | parity error response     |
    /// | 8   | SERR# enable              |
    /// | 10  | INTx disable              |
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Command: u16 {
        /// The function answers accesses to its I/O BARs.
        const IO = 1 << 0;
        /// The function answers accesses to its memory BARs and ROM.
        const MEMORY = 1 << 1;
        /// The function may start accesses of its own (DMA, MSI).
        const MASTER = 1 << 2;
        /// Special cycles.
        const SPECIAL = 1 << 3;
        /// Memory write and invalidate.
        const INVALIDATE = 1 << 4;
        /// VGA palette snoop.
        const VGA_PALETTE = 1 << 5;
        /// Parity error response.
        const PARITY = 1 << 6;
        /// SERR# driver.
        const SERR = 1 << 8;
        /// Fast back-to-back.
        const FAST_BACK = 1 << 9;
        /// The function may not assert INTx#.
        const INTX_DISABLE = 1 << 10;
        const _ = !0;
    }
}

/// Layout of the configuration header beyond its first 16 bytes
/// [PCI-LB §6.1], [PCI-BR §3.1].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderType {
    /// Type 0: six BARs, ROM at 0x30.
    Normal,
    /// Type 1, PCI-to-PCI bridge: two BARs, ROM at 0x38.
    Bridge,
}

impl HeaderType {
    /// Bit 7 of the register tells a multi-function device, not the layout.
    const LAYOUT: u8 = 0x7f;

    /// The layout that the header type register `value` names; `None` for one
    /// that vPCI does not handle (CardBus, or all ones from no device).
    pub const fn new(value: u8) -> Option<Self> {
        match value & Self::LAYOUT {
            0 => Some(Self::Normal),
            1 => Some(Self::Bridge),
            _ => None,
        }
    }

    /// BARs of this layout, which is also the slot that its ROM takes: 6 or 2.
    pub const fn bars(self) -> usize {
        match self {
            Self::Normal => 6,
            Self::Bridge => 2,
        }
    }

    /// Offset of the expansion ROM base address register.
    pub const fn rom_register(self) -> u16 {
        match self {
            Self::Normal => ROM_ADDRESS,
            Self::Bridge => ROM_ADDRESS_BRIDGE,
        }
    }
}

bitflags! {
    /// Read-only low bits of a base address register [PCI-LB §6.2.5.1].
    ///
    /// | bits | memory BAR                    | I/O BAR  |
    /// |------|-------------------------------|----------|
    /// | 0    | 0                             | 1        |
    /// | 2:1  | 00 32-bit, 10 64-bit          | reserved |
    /// | 3    | prefetchable                  | address  |
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct BarFlags: u32 {
        /// The register maps I/O space.
        const IO = 1 << 0;
        /// Bit 2 of the type field: the address has 64 bits and its upper half
        /// is the next register.
        const MEM_64 = 1 << 2;
        /// Reads have no side effects.
        const PREFETCHABLE = 1 << 3;
        const _ = !0;
    }
}

impl BarFlags {
    /// Bits 2:1, the type of a memory BAR.
    const MEM_TYPE: u32 = 0b110;

    /// Whether a memory BAR says that it is 64 bits wide; a reserved type
    /// counts as 32 bits, as in Xen's `init_header`.
    pub const fn is_mem_64(self) -> bool {
        self.bits() & Self::MEM_TYPE == Self::MEM_64.bits()
    }
}

/// Address bits of a memory BAR's low register; the rest is read-only
/// [PCI-LB §6.2.5.1].
pub const BAR_MEM_ADDRESS: u32 = !0xf;
/// Address bits of the ROM register [PCI-LB §6.2.5.2].
pub const ROM_ADDRESS_MASK: u32 = !0x7ff;
/// Enable bit of the ROM register [PCI-LB §6.2.5.2].
pub const ROM_ENABLE: u32 = 1 << 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_type_ignores_the_multi_function_bit() {
        assert_eq!(HeaderType::new(0x00), Some(HeaderType::Normal));
        assert_eq!(HeaderType::new(0x80), Some(HeaderType::Normal));
        assert_eq!(HeaderType::new(0x81), Some(HeaderType::Bridge));
        assert_eq!(HeaderType::new(0x02), None);
        assert_eq!(HeaderType::new(0xff), None);
    }

    #[test]
    fn header_layouts_differ_in_bars_and_rom() {
        assert_eq!(HeaderType::Normal.bars(), 6);
        assert_eq!(HeaderType::Normal.rom_register(), 0x30);
        assert_eq!(HeaderType::Bridge.bars(), 2);
        assert_eq!(HeaderType::Bridge.rom_register(), 0x38);
    }

    #[test]
    fn only_type_10_is_a_64_bit_bar() {
        for (bits, wide) in [
            (0b000, false),
            (0b010, false),
            (0b100, true),
            (0b110, false),
        ] {
            assert_eq!(BarFlags::from_bits_retain(bits).is_mem_64(), wide);
        }
    }

    #[test]
    fn every_status_bit_has_one_type() {
        assert_eq!(STATUS_RO ^ STATUS_RW1C ^ STATUS_RSVDZ, 0xffff);
        assert_eq!(STATUS_RO | STATUS_RW1C | STATUS_RSVDZ, 0xffff);
    }

    #[test]
    fn unknown_command_bits_survive() {
        assert_eq!(Command::from_bits_retain(0xf802).bits(), 0xf802);
    }
}
