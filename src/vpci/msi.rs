// SPDX-License-Identifier: GPL-2.0-only
//! The MSI capability: message, mask bits, enable.
//!
//! The domain's message stays in the record; the device's own registers are
//! Xen's, which delivers each vector as the record says. Source: PCI Local Bus
//! Specification 3.0, §6.8.1.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;

use crate::errno::Errno;
use crate::spec::msi::{CONTROL, MSI_ADDRESS_HIGH, MSI_ADDRESS_LOW, MsiControl};
use crate::spec::pci::{Command, Width};
use crate::vpci::action::Action;
use crate::vpci::header::Snapshot;
use crate::vpci::{Device, Owner, Step};

/// What Xen's interrupt code keeps in an MSI record; written by C alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct MsiArch {
    /// The first pirq, [`INVALID_PIRQ`] for none.
    pub pirq: i32,
    /// Not 0: the pirqs are bound to the message.
    pub bound: u8,
}

/// Xen's number for no pirq.
pub const INVALID_PIRQ: i32 = -1;

/// What the domain made of the MSI capability, shared with Xen's `vmsi.c` as its
/// `struct vpci_msi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Msi {
    /// Message address.
    pub address: u64,
    /// Mask bits, 1: masked.
    pub mask: u32,
    /// Message data.
    pub data: u16,
    /// Vectors enabled, 1 to 32.
    pub vectors: u8,
    /// Most vectors that can be enabled, 1 to 32.
    pub max_vectors: u8,
    /// Not 0: enabled.
    pub enabled: u8,
    /// Not 0: the capability has mask bits.
    pub masking: u8,
    /// Not 0: the capability has an upper address register.
    pub address64: u8,
    /// Offset of the capability, 0 for none.
    pub pos: u8,
    /// What Xen's interrupt code keeps.
    pub arch: MsiArch,
}

const_assert_eq!(size_of::<Msi>(), 32);

/// A register of the capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Control,
    AddressLow,
    AddressHigh,
    Data,
    Mask,
}

impl Msi {
    /// Of a device without the capability.
    pub(super) const NONE: Self = Self {
        address: 0,
        mask: 0,
        data: 0,
        vectors: 1,
        max_vectors: 1,
        enabled: 0,
        masking: 0,
        address64: 0,
        pos: 0,
        arch: MsiArch {
            pirq: INVALID_PIRQ,
            bound: 0,
        },
    };

    pub(super) fn new(snapshot: &Snapshot) -> Self {
        if snapshot.msi_pos == 0 {
            return Self::NONE;
        }
        let control = MsiControl::from_bits_retain(snapshot.msi_control);
        Self {
            max_vectors: snapshot.msi_vectors.clamp(1, 32),
            masking: control.contains(MsiControl::MASKING).into(),
            address64: control.contains(MsiControl::ADDRESS_64).into(),
            pos: snapshot.msi_pos,
            ..Self::NONE
        }
    }

    /// Whether the capability in the snapshot is this one.
    pub(super) const fn is_of(&self, snapshot: &Snapshot) -> bool {
        let control = MsiControl::from_bits_retain(snapshot.msi_control);
        self.pos == snapshot.msi_pos
            && (self.pos == 0
                || control.contains(MsiControl::MASKING) == (self.masking != 0)
                    && control.contains(MsiControl::ADDRESS_64) == (self.address64 != 0))
    }

    /// To what a reset leaves; the vectors have been released.
    pub(super) const fn clear(&mut self) {
        let Self {
            address,
            mask,
            data,
            vectors,
            max_vectors: _,
            enabled,
            masking: _,
            address64: _,
            pos: _,
            arch: _,
        } = self;
        *address = 0;
        *mask = 0;
        *data = 0;
        *vectors = 1;
        *enabled = 0;
    }

    const fn layout(&self) -> MsiControl {
        let wide = if self.address64 != 0 {
            MsiControl::ADDRESS_64
        } else {
            MsiControl::empty()
        };
        if self.masking != 0 {
            wide.union(MsiControl::MASKING)
        } else {
            wide
        }
    }

    /// Which of the emulated registers is at offset `register`.
    #[inline(never)]
    pub(super) fn field(&self, register: u16) -> Option<Field> {
        if self.pos == 0 {
            return None;
        }
        let offset = register.checked_sub(self.pos.into())?;
        let layout = self.layout();
        match offset {
            CONTROL => Some(Field::Control),
            MSI_ADDRESS_LOW => Some(Field::AddressLow),
            MSI_ADDRESS_HIGH if self.address64 != 0 => Some(Field::AddressHigh),
            _ if offset == layout.data_register() => Some(Field::Data),
            _ if self.masking != 0 && offset == layout.mask_register() => Some(Field::Mask),
            _ => None,
        }
    }

    pub(super) fn read(&self, field: Field) -> u32 {
        let [a, b, c, d, e, f, g, h] = self.address.to_le_bytes();
        match field {
            Field::Control => self.control().bits().into(),
            Field::AddressLow => u32::from_le_bytes([a, b, c, d]),
            Field::AddressHigh => u32::from_le_bytes([e, f, g, h]),
            Field::Data => self.data.into(),
            Field::Mask => self.mask,
        }
    }

    #[inline(never)]
    fn control(&self) -> MsiControl {
        let enable = if self.enabled != 0 {
            MsiControl::ENABLE
        } else {
            MsiControl::empty()
        };
        (self.layout() | enable).with_vectors(self.max_vectors, self.vectors)
    }

    #[inline(never)]
    fn control_write(&self) -> Action {
        Action::ConfWrite {
            register: u16::from(self.pos) + CONTROL,
            width: Width::Word,
            value: self.control().bits().into(),
        }
    }
}

impl Device {
    /// The domain writes `value` to `field`.
    pub(super) fn write_msi(&mut self, field: Field, value: u32) -> Action {
        let [a, b, ..] = value.to_le_bytes();
        let msi = &mut self.msi;
        match field {
            Field::Control => return self.write_msi_control(u16::from_le_bytes([a, b])),
            Field::AddressLow => msi.address = msi.address & !0xffff_ffff | u64::from(value),
            Field::AddressHigh => msi.address = msi.address & 0xffff_ffff | u64::from(value) << 32,
            Field::Data => msi.data = u16::from_le_bytes([a, b]),
            Field::Mask => {
                let enabled = !0 >> (32 - u32::from(msi.vectors.clamp(1, 32)));
                let changed = (msi.mask ^ value) & enabled;
                msi.mask = value;
                return if msi.enabled != 0 && changed != 0 {
                    self.last(Action::MsiMask {
                        changed,
                        mask: value,
                    })
                } else {
                    Action::Done(Ok(()))
                };
            }
        }
        if self.msi.enabled != 0 {
            self.last(Action::MsiUpdate)
        } else {
            Action::Done(Ok(()))
        }
    }

    /// Enable or disable; vectors that change while enabled are allocated anew.
    fn write_msi_control(&mut self, value: u16) -> Action {
        let control = MsiControl::from_bits_retain(value);
        let enable = control.contains(MsiControl::ENABLE);
        let vectors = control.enabled_vectors().min(self.msi.max_vectors);
        let enabled = self.msi.enabled != 0;
        if enable == enabled && (vectors == self.msi.vectors || !enabled) {
            self.msi.vectors = vectors;
            return Action::Done(Ok(()));
        }
        if enable && self.owner() == Owner::Hidden {
            // Xen keeps a hidden device's interrupts to itself.
            return Action::Done(Err(Errno::EOPNOTSUPP));
        }
        self.step_value = vectors.into();
        match (enabled, enable) {
            (true, true) => self.go(Step::MsiReenable, Action::MsiDisable),
            (true, false) => self.go(Step::MsiOff, Action::MsiDisable),
            (false, _) => self.go(Step::MsiOn, Action::MsiEnable(vectors)),
        }
    }

    /// Goes on with what [`Device::write_msi_control`] has begun.
    pub(super) fn msi_completed(&mut self, step: Step, result: Result<(), Errno>) -> Action {
        let [vectors, ..] = self.step_value.to_le_bytes();
        match (step, result) {
            (Step::MsiReenable, Ok(())) => {
                self.msi.enabled = 0;
                self.go(Step::MsiOnAgain, Action::MsiEnable(vectors))
            }
            (Step::MsiOff, Ok(())) => {
                self.msi.enabled = 0;
                self.msi.vectors = vectors;
                let write = self.msi.control_write();
                self.last(write)
            }
            (Step::MsiOn, Ok(())) => {
                self.msi.enabled = 1;
                self.msi.vectors = vectors;
                if self.owner() == Owner::Guest {
                    self.command |= Command::INTX_DISABLE.bits();
                    return self.go(Step::MsiIntx, Action::IntxDisable);
                }
                let write = self.msi.control_write();
                self.last(write)
            }
            (Step::MsiOnAgain, Ok(())) => {
                self.msi.enabled = 1;
                self.msi.vectors = vectors;
                let write = self.msi.control_write();
                self.last(write)
            }
            // It was enabled and is not any more: the device is told.
            (Step::MsiOnAgain, Err(_)) => {
                let write = self.msi.control_write();
                self.last(write)
            }
            (Step::MsiIntx, _) => {
                let write = self.msi.control_write();
                self.last(write)
            }
            (_, result) => self.finish(result),
        }
    }
}
