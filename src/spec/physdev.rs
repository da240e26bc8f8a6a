// SPDX-License-Identifier: GPL-2.0-only
//! Operations and arguments of `HYPERVISOR_physdev_op`.
//!
//! Source: Xen's `include/public/physdev.h`. The structs are the native (64-bit)
//! layouts; [`CompatMapPirq`] is the one that differs for a 32-bit caller. All
//! come from a guest: a value is what the guest wrote until `parse` took it.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;
use zerocopy::{FromBytes, Immutable, KnownLayout};

use crate::errno::Errno;
use crate::ids::{DomId, Gsi, Sbdf};
use crate::spec::ioapic::{PinMode, Polarity, Trigger};

macro_rules! physdev_ops {
    ($($(#[$doc:meta])* $name:ident = $value:literal $c:literal,)*) => {
        /// Every operation that `physdev.h` numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PhysdevOp {
            $($(#[$doc])* $name,)*
        }

        impl PhysdevOp {
            /// Every operation, by ascending number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The operation of this number; `None` for one the header leaves
            /// free.
            pub const fn new(number: u32) -> Option<Self> {
                match number {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The operation's number.
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $value,)*
                }
            }

            /// The header's name behind `PHYSDEVOP_`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $c,)*
                }
            }
        }
    };
}

physdev_ops! {
    /// Legacy: unmask an IRQ (before interface 0x00030202).
    IrqUnmaskNotify = 4 "IRQ_UNMASK_NOTIFY",
    /// Flags of an IRQ.
    IrqStatusQuery = 5 "irq_status_query",
    /// I/O privilege level of a PV guest.
    SetIopl = 6 "set_iopl",
    /// I/O port bitmap of a PV guest.
    SetIobitmap = 7 "set_iobitmap",
    /// Read a register of a physical I/O APIC.
    ApicRead = 8 "apic_read",
    /// Write a register of a physical I/O APIC.
    ApicWrite = 9 "apic_write",
    /// Legacy: allocate a vector.
    AllocIrqVector = 10 "alloc_irq_vector",
    /// Legacy: free a vector; no Xen implements it.
    FreeIrqVector = 11 "free_irq_vector",
    /// End of interrupt.
    Eoi = 12 "eoi",
    /// Map an interrupt to a pirq of a domain.
    MapPirq = 13 "map_pirq",
    /// Undo [`PhysdevOp::MapPirq`].
    UnmapPirq = 14 "unmap_pirq",
    /// Legacy form of [`PhysdevOp::PciDeviceAdd`].
    ManagePciAdd = 15 "manage_pci_add",
    /// Legacy form of [`PhysdevOp::PciDeviceRemove`].
    ManagePciRemove = 16 "manage_pci_remove",
    /// Share a page of EOI bits, with automatic unmask.
    PirqEoiGmfnV1 = 17 "pirq_eoi_gmfn_v1",
    /// Write a device's MSI state again after resume, segment 0.
    RestoreMsi = 19 "restore_msi",
    /// Legacy form of [`PhysdevOp::PciDeviceAdd`] with ARI and SR-IOV.
    ManagePciAddExt = 20 "manage_pci_add_ext",
    /// Register a GSI with its trigger mode and polarity.
    SetupGsi = 21 "setup_gsi",
    /// Reserve a free pirq.
    GetFreePirq = 23 "get_free_pirq",
    /// An MMCFG area is usable.
    PciMmcfgReserved = 24 "pci_mmcfg_reserved",
    /// A PCI function has appeared.
    PciDeviceAdd = 25 "pci_device_add",
    /// A PCI function is gone.
    PciDeviceRemove = 26 "pci_device_remove",
    /// Write a device's MSI state again after resume.
    RestoreMsiExt = 27 "restore_msi_ext",
    /// Share a page of EOI bits.
    PirqEoiGmfnV2 = 28 "pirq_eoi_gmfn_v2",
    /// The debug port's controller is about to be reset, or was.
    DbgpOp = 29 "dbgp_op",
    /// A device's MSI-X table is about to be used.
    PrepareMsix = 30 "prepare_msix",
    /// A device's MSI-X table is no longer used.
    ReleaseMsix = 31 "release_msix",
    /// A PCI function was reset; its state in Xen is out of date.
    PciDeviceReset = 32 "pci_device_reset",
}

/// What kind of interrupt `PHYSDEVOP_map_pirq` maps (`MAP_PIRQ_TYPE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapPirqType {
    /// 0: a message of a device on segment 0.
    Msi,
    /// 1: a GSI.
    Gsi,
    /// 3: a message, the segment in the upper half of `bus`.
    MsiSeg,
    /// 4: several messages, the segment in the upper half of `bus`.
    MultiMsi,
}

impl MapPirqType {
    /// The type behind a number; `None` for 2 ("unknown") and undefined ones.
    pub const fn new(number: i32) -> Option<Self> {
        match number {
            0 => Some(Self::Msi),
            1 => Some(Self::Gsi),
            3 => Some(Self::MsiSeg),
            4 => Some(Self::MultiMsi),
            _ => None,
        }
    }
}

/// Argument of `PHYSDEVOP_map_pirq` (`struct physdev_map_pirq`).
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct MapPirq {
    /// Domain to map for, see [`DomId`].
    pub domid: u16,
    pad0: u16,
    /// See [`MapPirqType`].
    pub r#type: i32,
    /// GSI, or vector for a single MSI.
    pub index: i32,
    /// pirq wanted, negative for any; on return the one that was mapped.
    pub pirq: i32,
    /// Bus, and for the segment types the segment in bits 31:16.
    pub bus: i32,
    /// Device in bits 7:3, function in bits 2:0.
    pub devfn: i32,
    /// MSI-X entry, or the number of messages.
    pub entry_nr: i32,
    pad1: u32,
    /// Guest's idea of the MSI-X table's address; 0 for MSI.
    pub table_base: u64,
}

const_assert_eq!(size_of::<MapPirq>(), 40);
const_assert_eq!(core::mem::offset_of!(MapPirq, entry_nr), 24);
const_assert_eq!(core::mem::offset_of!(MapPirq, table_base), 32);

/// [`MapPirq`] of a 32-bit caller, where a 64-bit integer aligns to 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CompatMapPirq {
    /// As [`MapPirq::domid`].
    pub domid: u16,
    pad0: u16,
    /// As [`MapPirq::type`].
    pub r#type: i32,
    /// As [`MapPirq::index`].
    pub index: i32,
    /// As [`MapPirq::pirq`].
    pub pirq: i32,
    /// As [`MapPirq::bus`].
    pub bus: i32,
    /// As [`MapPirq::devfn`].
    pub devfn: i32,
    /// As [`MapPirq::entry_nr`].
    pub entry_nr: i32,
    /// Low half of [`MapPirq::table_base`].
    pub table_base_low: u32,
    /// High half of [`MapPirq::table_base`].
    pub table_base_high: u32,
}

const_assert_eq!(size_of::<CompatMapPirq>(), 36);
const_assert_eq!(core::mem::offset_of!(CompatMapPirq, table_base_low), 28);

impl From<CompatMapPirq> for MapPirq {
    fn from(compat: CompatMapPirq) -> Self {
        let CompatMapPirq {
            domid,
            pad0: _,
            r#type,
            index,
            pirq,
            bus,
            devfn,
            entry_nr,
            table_base_low,
            table_base_high,
        } = compat;
        Self {
            domid,
            pad0: 0,
            r#type,
            index,
            pirq,
            bus,
            devfn,
            entry_nr,
            pad1: 0,
            table_base: u64::from(table_base_high) << 32 | u64::from(table_base_low),
        }
    }
}

impl MapPirq {
    /// The domain that the call names.
    pub const fn target(&self) -> DomId {
        DomId::new(self.domid)
    }
}

/// Argument of `PHYSDEVOP_unmap_pirq` (`struct physdev_unmap_pirq`), the same
/// for every caller.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct UnmapPirq {
    /// Domain to unmap for, see [`DomId`].
    pub domid: u16,
    pad0: u16,
    /// The pirq.
    pub pirq: i32,
}

const_assert_eq!(size_of::<UnmapPirq>(), 8);
const_assert_eq!(core::mem::offset_of!(UnmapPirq, pirq), 4);

impl UnmapPirq {
    /// The domain that the call names.
    pub const fn target(&self) -> DomId {
        DomId::new(self.domid)
    }
}

/// Argument of `PHYSDEVOP_setup_gsi` (`struct physdev_setup_gsi`), the same for
/// every caller.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SetupGsi {
    /// The GSI.
    pub gsi: i32,
    /// 0 edge, 1 level.
    pub triggering: u8,
    /// 0 active high, 1 active low.
    pub polarity: u8,
    pad0: u16,
}

const_assert_eq!(size_of::<SetupGsi>(), 8);
const_assert_eq!(core::mem::offset_of!(SetupGsi, triggering), 4);
const_assert_eq!(core::mem::offset_of!(SetupGsi, polarity), 5);

impl SetupGsi {
    /// The call's meaning on a host with `limit` GSIs (`nr_irqs_gsi`).
    ///
    /// # Errors
    /// [`Errno::EINVAL`] for a GSI the host does not have, and for a trigger
    /// mode or polarity other than 0 and 1.
    pub const fn parse(&self, limit: u32) -> Result<(Gsi, PinMode), Errno> {
        let Some(gsi) = Gsi::new(self.gsi, limit) else {
            return Err(Errno::EINVAL);
        };
        match (Trigger::new(self.triggering), Polarity::new(self.polarity)) {
            (Some(trigger), Some(polarity)) => Ok((gsi, PinMode::new(trigger, polarity))),
            (None, _) | (_, None) => Err(Errno::EINVAL),
        }
    }
}

/// How a function was reset (`PCI_DEVICE_RESET_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// 0: power was removed.
    Cold,
    /// 1: fundamental reset without loss of power.
    Warm,
    /// 2: reset through the link (secondary bus reset).
    Hot,
    /// 3: function level reset.
    Flr,
}

impl ResetKind {
    /// The kind that the flags name.
    ///
    /// # Errors
    /// [`Errno::EINVAL`] when any bit outside `PCI_DEVICE_RESET_MASK` is set.
    pub const fn new(flags: u32) -> Result<Self, Errno> {
        match flags {
            0 => Ok(Self::Cold),
            1 => Ok(Self::Warm),
            2 => Ok(Self::Hot),
            3 => Ok(Self::Flr),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Whether it is a conventional reset [PCIe §6.6.1], after which a function
    /// may come back with another layout, and not one of the function alone
    /// [PCIe §6.6.2].
    pub const fn is_conventional(self) -> bool {
        match self {
            Self::Cold | Self::Warm | Self::Hot => true,
            Self::Flr => false,
        }
    }
}

/// Argument of `PHYSDEVOP_pci_device_reset` (`struct pci_device_reset`), the
/// same for every caller.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PciDeviceReset {
    /// Segment of the function.
    pub seg: u16,
    /// Bus of the function.
    pub bus: u8,
    /// Device in bits 7:3, function in bits 2:0.
    pub devfn: u8,
    /// See [`ResetKind`].
    pub flags: u32,
}

const_assert_eq!(size_of::<PciDeviceReset>(), 8);
const_assert_eq!(core::mem::offset_of!(PciDeviceReset, flags), 4);

impl PciDeviceReset {
    /// Which function was reset, and how.
    ///
    /// # Errors
    /// [`Errno::EINVAL`] for unknown flags, as [`ResetKind::new`].
    pub fn parse(&self) -> Result<(Sbdf, ResetKind), Errno> {
        Ok((
            Sbdf::new(self.seg, self.bus, self.devfn),
            ResetKind::new(self.flags)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
        parts.concat().try_into().unwrap()
    }

    #[test]
    fn every_number_of_the_header_is_known_and_no_other() {
        let numbers: Vec<u32> = (0..64).filter(|&n| PhysdevOp::new(n).is_some()).collect();
        let free = [0, 1, 2, 3, 18, 22];
        assert_eq!(
            numbers,
            (0..=32).filter(|n| !free.contains(n)).collect::<Vec<_>>()
        );
        for &op in PhysdevOp::ALL {
            assert_eq!(PhysdevOp::new(op.number()), Some(op));
        }
        assert_eq!(PhysdevOp::new(u32::MAX), None);
    }

    #[test]
    fn map_pirq_is_read_at_the_headers_offsets() {
        let raw: [u8; 40] = bytes(&[
            &[0xf0, 0x7f, 0xee, 0xee],
            &1i32.to_le_bytes(),
            &20i32.to_le_bytes(),
            &(-1i32).to_le_bytes(),
            &0x0001_0002i32.to_le_bytes(),
            &0x28i32.to_le_bytes(),
            &7i32.to_le_bytes(),
            &[0xee; 4],
            &0x1122_3344_5566_7788u64.to_le_bytes(),
        ]);
        let map = MapPirq::read_from_bytes(&raw).unwrap();
        assert_eq!(map.target(), DomId::Caller);
        assert_eq!(MapPirqType::new(map.r#type), Some(MapPirqType::Gsi));
        assert_eq!((map.index, map.pirq, map.bus), (20, -1, 0x1_0002));
        assert_eq!((map.devfn, map.entry_nr), (0x28, 7));
        assert_eq!(map.table_base, 0x1122_3344_5566_7788);
    }

    #[test]
    fn compat_map_pirq_widens_to_the_native_one() {
        let raw: [u8; 36] = bytes(&[
            &[5, 0, 0xee, 0xee],
            &4i32.to_le_bytes(),
            &1i32.to_le_bytes(),
            &2i32.to_le_bytes(),
            &3i32.to_le_bytes(),
            &4i32.to_le_bytes(),
            &5i32.to_le_bytes(),
            &0x1122_3344_5566_7788u64.to_le_bytes(),
        ]);
        let map = MapPirq::from(CompatMapPirq::read_from_bytes(&raw).unwrap());
        assert_eq!(map.target(), DomId::Domain(5));
        assert_eq!((map.r#type, map.index, map.pirq), (4, 1, 2));
        assert_eq!((map.bus, map.devfn, map.entry_nr), (3, 4, 5));
        assert_eq!(map.table_base, 0x1122_3344_5566_7788);
    }

    #[test]
    fn map_types_2_and_beyond_4_are_unknown() {
        for number in [-1, 2, 5, i32::MAX, i32::MIN] {
            assert_eq!(MapPirqType::new(number), None);
        }
    }

    #[test]
    fn setup_gsi_takes_only_known_gsis_and_modes() {
        for gsi in [-1, 24, i32::MAX] {
            let call = SetupGsi {
                gsi,
                triggering: 0,
                polarity: 0,
                pad0: 0,
            };
            assert_eq!(call.parse(24), Err(Errno::EINVAL));
        }
        for triggering in 0..=u8::MAX {
            for polarity in 0..=u8::MAX {
                let call = SetupGsi {
                    gsi: 23,
                    triggering,
                    polarity,
                    pad0: 0,
                };
                assert_eq!(call.parse(24).is_ok(), triggering < 2 && polarity < 2);
            }
        }
        let call = SetupGsi {
            gsi: 23,
            triggering: 1,
            polarity: 0,
            pad0: 0xffff,
        };
        let mode = PinMode::new(Trigger::Level, Polarity::High);
        assert_eq!(call.parse(24), Ok((Gsi::new(23, 24).unwrap(), mode)));
    }

    #[test]
    fn unmap_pirq_is_read_at_the_headers_offsets() {
        let raw: [u8; 8] = bytes(&[&[7, 0, 0xee, 0xee], &0x55i32.to_le_bytes()]);
        let unmap = UnmapPirq::read_from_bytes(&raw).unwrap();
        assert_eq!((unmap.target(), unmap.pirq), (DomId::Domain(7), 0x55));
    }

    #[test]
    fn reset_takes_the_four_kinds_and_no_other_flag() {
        let raw: [u8; 8] = [0x01, 0x00, 0x02, 0x30, 3, 0, 0, 0];
        let reset = PciDeviceReset::read_from_bytes(&raw).unwrap();
        assert_eq!(reset.parse(), Ok((Sbdf::new(1, 2, 0x30), ResetKind::Flr)));
        for bit in 2..32 {
            let reset = PciDeviceReset {
                flags: 1 << bit,
                ..reset
            };
            assert_eq!(reset.parse(), Err(Errno::EINVAL));
        }
    }
}
