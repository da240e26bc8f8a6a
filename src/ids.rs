// SPDX-License-Identifier: GPL-2.0-only
//! Numbers with a meaning: who, which device, which interrupt, which BAR.
//!
//! Each is parsed once, at the C border or in `spec`, and is in range from then
//! on, so that the machines above need no second check.

#![forbid(unsafe_code)]

/// A PCI function: segment, bus, device and function in Xen's `pci_sbdf_t` form.
///
/// | bits  | field            |
/// |-------|------------------|
/// | 31:16 | segment          |
/// | 15:8  | bus              |
/// | 7:3   | device, 0 to 31  |
/// | 2:0   | function, 0 to 7 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sbdf(u32);

impl Sbdf {
    /// The function at `devfn` (device in bits 7:3, function in bits 2:0).
    pub const fn new(segment: u16, bus: u8, devfn: u8) -> Self {
        Self((segment as u32) << 16 | (bus as u32) << 8 | devfn as u32)
    }

    /// The packed form that Xen's `pci_sbdf_t.sbdf` holds.
    pub const fn to_c(self) -> u32 {
        self.0
    }
}

/// A global system interrupt: an input of some I/O APIC [ACPI §5.2.13].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gsi(u32);

impl Gsi {
    /// The GSI `number` of a host that has `limit` of them (Xen's
    /// `nr_irqs_gsi`); `None` when it is negative or not below the limit.
    pub const fn new(number: i32, limit: u32) -> Option<Self> {
        // A negative number becomes one above i32::MAX, which no limit reaches.
        let number = number.cast_unsigned();
        if number < limit && number <= i32::MAX.cast_unsigned() {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number, 0 to `i32::MAX`.
    pub const fn to_c(self) -> u32 {
        self.0
    }
}

/// A physical interrupt as a domain sees it; the index of Xen's pirq tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pirq(u32);

impl Pirq {
    /// The pirq `number`; `None` for a negative one, which asks Xen to choose.
    pub const fn new(number: i32) -> Option<Self> {
        if number < 0 {
            None
        } else {
            Some(Self(number.cast_unsigned()))
        }
    }

    /// The number, 0 to `i32::MAX`.
    pub const fn to_c(self) -> u32 {
        self.0
    }
}

/// How a call names a domain (`domid_t` of Xen's `include/public/xen.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomId {
    /// The caller itself, `DOMID_SELF` (0x7ff0).
    Caller,
    /// The domain of this number, 0 to 0x7fef.
    Domain(u16),
    /// One of Xen's own (`DOMID_IO`, `DOMID_XEN`, …) or a reserved number.
    Special(u16),
}

impl DomId {
    /// First number that is not a domain (`DOMID_FIRST_RESERVED`).
    const FIRST_RESERVED: u16 = 0x7ff0;

    /// What the 16-bit number of a hypercall argument names.
    pub const fn new(domid: u16) -> Self {
        match domid {
            Self::FIRST_RESERVED => Self::Caller,
            0..Self::FIRST_RESERVED => Self::Domain(domid),
            _ => Self::Special(domid),
        }
    }
}

/// A base address register of a function, or its expansion ROM.
///
/// 0 to 5 are the BARs of a type 0 header, 6 its ROM; a type 1 header has BARs
/// 0 and 1 and its ROM in slot 2, as in Xen's `struct vpci_header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarIndex(u8);

/// Slots that a function has for BARs and its ROM.
pub const NR_BARS: usize = 7;

impl BarIndex {
    /// The slot `index`; `None` when a function has no such slot.
    pub const fn new(index: u32) -> Option<Self> {
        match index {
            0 => Some(Self(0)),
            1 => Some(Self(1)),
            2 => Some(Self(2)),
            3 => Some(Self(3)),
            4 => Some(Self(4)),
            5 => Some(Self(5)),
            6 => Some(Self(6)),
            _ => None,
        }
    }

    /// The slot before this one, which owns the upper half of a 64-bit BAR.
    pub const fn previous(self) -> Option<Self> {
        match self.0.checked_sub(1) {
            Some(index) => Some(Self(index)),
            None => None,
        }
    }

    /// The index, 0 to 6.
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// The index as a byte, 0 to 6.
    pub const fn to_u8(self) -> u8 {
        self.0
    }

    /// The index as C takes it, 0 to 6.
    pub const fn to_c(self) -> u32 {
        self.0 as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sbdf_packs_as_pci_sbdf_t() {
        assert_eq!(Sbdf::new(0x1234, 0x56, 0x7f).to_c(), 0x1234_567f);
    }

    #[test]
    fn gsi_outside_the_limit_is_refused() {
        assert_eq!(Gsi::new(-1, 24), None);
        assert_eq!(Gsi::new(24, 24), None);
        assert_eq!(Gsi::new(i32::MIN, u32::MAX), None);
        assert_eq!(Gsi::new(23, 24).map(Gsi::to_c), Some(23));
        assert_eq!(Gsi::new(0, 0), None);
    }

    #[test]
    fn pirq_below_zero_is_none() {
        assert_eq!(Pirq::new(-1), None);
        assert_eq!(Pirq::new(16).map(Pirq::to_c), Some(16));
    }

    #[test]
    fn domid_tells_self_from_domains_and_xens_own() {
        assert_eq!(DomId::new(0), DomId::Domain(0));
        assert_eq!(DomId::new(0x7fef), DomId::Domain(0x7fef));
        assert_eq!(DomId::new(0x7ff0), DomId::Caller);
        assert_eq!(DomId::new(0x7ff1), DomId::Special(0x7ff1));
        assert_eq!(DomId::new(0xffff), DomId::Special(0xffff));
    }

    #[test]
    fn bar_index_has_seven_slots() {
        for index in 0..7u32 {
            assert_eq!(BarIndex::new(index).map(BarIndex::to_c), Some(index));
        }
        assert_eq!(BarIndex::new(7), None);
        assert_eq!(BarIndex::new(u32::MAX), None);
        assert_eq!(BarIndex::new(0).and_then(BarIndex::previous), None);
    }
}
