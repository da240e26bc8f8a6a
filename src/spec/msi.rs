// SPDX-License-Identifier: GPL-2.0-only
//! The MSI and MSI-X capabilities and the MSI-X table.
//!
//! Source: PCI Local Bus Specification 3.0, §6.8.1 (MSI) and §6.8.2 (MSI-X).
//! Offsets are bytes from the start of the capability, or of the table entry.

#![forbid(unsafe_code)]

use bitflags::bitflags;

/// Capability ID of MSI.
pub const CAP_ID_MSI: u8 = 0x05;
/// Capability ID of MSI-X.
pub const CAP_ID_MSIX: u8 = 0x11;

/// Message control of either capability, 16 bits.
pub const CONTROL: u16 = 0x02;

bitflags! {
    /// MSI message control [PCI-LB §6.8.1.3].
    ///
    /// | bits | meaning                                    |
    /// |------|--------------------------------------------|
    /// | 0    | MSI enable                                 |
    /// | 3:1  | vectors the device can use, log2, 0 to 5   |
    /// | 6:4  | vectors enabled, log2, 0 to 5              |
    /// | 7    | 64-bit address                             |
    /// | 8    | per-vector masking                         |
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MsiControl: u16 {
        /// The function signals by MSI and not by INTx.
        const ENABLE = 1 << 0;
        /// The capability has an upper address register.
        const ADDRESS_64 = 1 << 7;
        /// The capability has mask and pending bits.
        const MASKING = 1 << 8;
        const _ = !0;
    }
}

impl MsiControl {
    /// Vectors the device can use: 1 to 32; reserved encodings count as 32.
    pub const fn capable_vectors(self) -> u8 {
        Self::vectors(self.bits() >> 1)
    }

    /// Vectors that are enabled: 1 to 32; reserved encodings count as 32.
    pub const fn enabled_vectors(self) -> u8 {
        Self::vectors(self.bits() >> 4)
    }

    /// Offset of the data register: behind one or two address registers.
    pub const fn data_register(self) -> u16 {
        if self.contains(Self::ADDRESS_64) {
            0x0c
        } else {
            0x08
        }
    }

    /// Offset of the mask bits; meaningful with [`MsiControl::MASKING`].
    pub const fn mask_register(self) -> u16 {
        if self.contains(Self::ADDRESS_64) {
            0x10
        } else {
            0x0c
        }
    }

    /// Offset of the pending bits; meaningful with [`MsiControl::MASKING`].
    pub const fn pending_register(self) -> u16 {
        if self.contains(Self::ADDRESS_64) {
            0x14
        } else {
            0x10
        }
    }

    /// With the fields for vectors set to these numbers, powers of two from 1 to
    /// 32; others are rounded down.
    pub const fn with_vectors(self, capable: u8, enabled: u8) -> Self {
        let fields = Self::log2(capable) << 1 | Self::log2(enabled) << 4;
        Self::from_bits_retain(self.bits() & !0x007e | fields)
    }

    const fn log2(vectors: u8) -> u16 {
        let log2 = 7 - (vectors | 1).leading_zeros();
        log2.to_le_bytes()[0] as u16
    }

    const fn vectors(log2: u16) -> u8 {
        match log2 & 0b111 {
            0 => 1,
            1 => 2,
            2 => 4,
            3 => 8,
            4 => 16,
            _ => 32,
        }
    }
}

/// Lower message address of MSI, 32 bits.
pub const MSI_ADDRESS_LOW: u16 = 0x04;
/// Upper message address of MSI, 32 bits; only with [`MsiControl::ADDRESS_64`].
pub const MSI_ADDRESS_HIGH: u16 = 0x08;

bitflags! {
    /// MSI-X message control [PCI-LB §6.8.2.3].
    ///
    /// | bits | meaning                          |
    /// |------|----------------------------------|
    /// | 10:0 | table entries minus one          |
    /// | 14   | function mask                    |
    /// | 15   | MSI-X enable                     |
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MsixControl: u16 {
        /// All vectors are masked, whatever their own mask bit says.
        const FUNCTION_MASK = 1 << 14;
        /// The function signals by MSI-X and not by INTx.
        const ENABLE = 1 << 15;
        const _ = !0;
    }
}

/// Most entries that an MSI-X table can have [PCI-LB §6.8.2].
pub const MSIX_MAX_ENTRIES: u16 = 2048;

impl MsixControl {
    /// Entries of the MSI-X table: 1 to 2048.
    pub const fn entries(self) -> u16 {
        (self.bits() & 0x7ff) + 1
    }
}

/// Table offset and BIR of MSI-X, 32 bits.
pub const MSIX_TABLE: u16 = 0x04;
/// Pending bit array offset and BIR of MSI-X, 32 bits.
pub const MSIX_PBA: u16 = 0x08;

/// Where the MSI-X table or its pending bit array lies [PCI-LB §6.8.2.4].
///
/// Bits 2:0 name the BAR ("BIR"), the others are the offset in it, in bytes and
/// a multiple of 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixLocation(u32);

impl MsixLocation {
    /// The location that the register holds.
    pub const fn new(register: u32) -> Self {
        Self(register)
    }

    /// Index of the BAR: 0 to 5; 6 and 7 are reserved.
    pub const fn bir(self) -> u32 {
        self.0 & 0b111
    }

    /// Offset in that BAR, in bytes.
    pub const fn offset(self) -> u32 {
        self.0 & !0b111
    }
}

/// Bytes of one entry of the MSI-X table [PCI-LB §6.8.2.6].
pub const MSIX_ENTRY_SIZE: u16 = 16;
/// Lower message address in an entry, 32 bits.
pub const MSIX_ENTRY_ADDRESS_LOW: u16 = 0x0;
/// Upper message address in an entry, 32 bits.
pub const MSIX_ENTRY_ADDRESS_HIGH: u16 = 0x4;
/// Message data in an entry, 32 bits.
pub const MSIX_ENTRY_DATA: u16 = 0x8;
/// Vector control in an entry, 32 bits.
pub const MSIX_ENTRY_CONTROL: u16 = 0xc;

bitflags! {
    /// Vector control of an MSI-X table entry [PCI-LB §6.8.2.9].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MsixVectorControl: u32 {
        /// The vector may not be signalled; set after reset.
        const MASK = 1 << 0;
        const _ = !0;
    }
}

/// Bytes of the pending bit array of a table of `entries`: one bit each,
/// rounded up to 8 bytes [PCI-LB §6.8.2.7].
pub const fn msix_pba_size(entries: u16) -> u32 {
    (entries as u32).div_ceil(64) * 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn msi_registers_move_with_the_address_width() {
        let narrow = MsiControl::MASKING;
        let wide = MsiControl::MASKING | MsiControl::ADDRESS_64;
        assert_eq!(
            (
                narrow.data_register(),
                narrow.mask_register(),
                narrow.pending_register()
            ),
            (0x08, 0x0c, 0x10)
        );
        assert_eq!(
            (
                wide.data_register(),
                wide.mask_register(),
                wide.pending_register()
            ),
            (0x0c, 0x10, 0x14)
        );
    }

    #[test]
    fn msi_vectors_are_powers_of_two_up_to_32() {
        for (log2, vectors) in [
            (0, 1),
            (1, 2),
            (2, 4),
            (3, 8),
            (4, 16),
            (5, 32),
            (6, 32),
            (7, 32),
        ] {
            assert_eq!(
                MsiControl::from_bits_retain(log2 << 1).capable_vectors(),
                vectors
            );
            assert_eq!(
                MsiControl::from_bits_retain(log2 << 4).enabled_vectors(),
                vectors
            );
        }
    }

    #[test]
    fn msi_vectors_are_written_as_they_are_read() {
        for capable in [1, 2, 4, 8, 16, 32] {
            for enabled in [1, 2, 4, 8, 16, 32] {
                let control = MsiControl::ENABLE.with_vectors(capable, enabled);
                assert_eq!(control.capable_vectors(), capable);
                assert_eq!(control.enabled_vectors(), enabled);
                assert!(control.contains(MsiControl::ENABLE));
            }
        }
        let odd = MsiControl::MASKING.with_vectors(3, 0);
        assert_eq!((odd.capable_vectors(), odd.enabled_vectors()), (2, 1));
    }

    #[test]
    fn msix_table_has_1_to_2048_entries() {
        assert_eq!(MsixControl::from_bits_retain(0xf800).entries(), 1);
        assert_eq!(
            MsixControl::from_bits_retain(0xffff).entries(),
            MSIX_MAX_ENTRIES
        );
    }

    #[test]
    fn msix_location_splits_bir_and_offset() {
        let location = MsixLocation::new(0x2003);
        assert_eq!((location.bir(), location.offset()), (3, 0x2000));
    }

    #[test]
    fn pba_is_rounded_up_to_8_bytes() {
        for (entries, bytes) in [(1, 8), (64, 8), (65, 16), (2048, 256)] {
            assert_eq!(msix_pba_size(entries), bytes);
        }
    }
}
