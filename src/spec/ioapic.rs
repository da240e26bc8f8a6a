// SPDX-License-Identifier: GPL-2.0-only
//! I/O APIC redirection entries.
//!
//! Source: Intel 82093AA I/O APIC datasheet, §3.2.4 ("IOAPIC"). Xen's vIO-APIC
//! uses the same layout (`union vioapic_redir_entry`).

#![forbid(unsafe_code)]

use bitflags::bitflags;

bitflags! {
    /// One redirection table entry [IOAPIC §3.2.4].
    ///
    /// | bits  | meaning                                   |
    /// |-------|-------------------------------------------|
    /// | 7:0   | vector                                    |
    /// | 10:8  | delivery mode                             |
    /// | 11    | destination mode: 0 physical, 1 logical   |
    /// | 12    | delivery status, read-only                |
    /// | 13    | polarity: 0 active high, 1 active low     |
    /// | 14    | remote IRR, read-only                     |
    /// | 15    | trigger: 0 edge, 1 level                  |
    /// | 16    | mask                                      |
    /// | 63:56 | destination                               |
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RedirectionEntry: u64 {
        /// Logical destination.
        const LOGICAL = 1 << 11;
        /// An interrupt is waiting for delivery; read-only.
        const DELIVERY_STATUS = 1 << 12;
        /// The pin is active low.
        const ACTIVE_LOW = 1 << 13;
        /// A level interrupt was accepted and has not seen its EOI; read-only.
        const REMOTE_IRR = 1 << 14;
        /// The pin is level triggered.
        const LEVEL = 1 << 15;
        /// The pin is masked.
        const MASKED = 1 << 16;
        const _ = !0;
    }
}

impl RedirectionEntry {
    /// Interrupt vector, 0 to 255.
    pub const fn vector(self) -> u8 {
        self.bits().to_le_bytes()[0]
    }

    /// Destination APIC ID or logical destination, 0 to 255.
    pub const fn destination(self) -> u8 {
        self.bits().to_le_bytes()[7]
    }

    /// How the pin is wired.
    pub const fn mode(self) -> PinMode {
        let trigger = if self.contains(Self::LEVEL) {
            Trigger::Level
        } else {
            Trigger::Edge
        };
        let polarity = if self.contains(Self::ACTIVE_LOW) {
            Polarity::Low
        } else {
            Polarity::High
        };
        PinMode::new(trigger, polarity)
    }
}

/// Trigger mode of a pin, with the numbers of `physdev_setup_gsi.triggering`
/// and of the redirection entry's bit 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// 0: edge.
    Edge,
    /// 1: level.
    Level,
}

impl Trigger {
    /// The mode behind a number; `None` for anything but 0 and 1.
    pub const fn new(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Edge),
            1 => Some(Self::Level),
            _ => None,
        }
    }
}

/// Polarity of a pin, with the numbers of `physdev_setup_gsi.polarity` and of
/// the redirection entry's bit 13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// 0: active high.
    High,
    /// 1: active low.
    Low,
}

impl Polarity {
    /// The polarity behind a number; `None` for anything but 0 and 1.
    pub const fn new(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::High),
            1 => Some(Self::Low),
            _ => None,
        }
    }
}

/// How a pin is wired: its trigger mode and polarity.
///
/// | bit | meaning                          |
/// |-----|----------------------------------|
/// | 0   | trigger: 0 edge, 1 level         |
/// | 1   | polarity: 0 active high, 1 low   |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinMode(u8);

impl PinMode {
    /// The mode of this trigger and polarity.
    pub const fn new(trigger: Trigger, polarity: Polarity) -> Self {
        Self(trigger as u8 | (polarity as u8) << 1)
    }

    /// The mode that these bits are; `None` when any other is set.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits < 4 {
            Some(Self(bits.to_le_bytes()[0]))
        } else {
            None
        }
    }

    /// The bits, 0 to 3.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Edge or level.
    pub const fn trigger(self) -> Trigger {
        if self.0 & 1 == 0 {
            Trigger::Edge
        } else {
            Trigger::Level
        }
    }

    /// Active high or low.
    pub const fn polarity(self) -> Polarity {
        if self.0 & 2 == 0 {
            Polarity::High
        } else {
            Polarity::Low
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_fields_are_where_the_datasheet_puts_them() {
        let entry = RedirectionEntry::from_bits_retain(0xa5 << 56 | 1 << 15 | 1 << 13 | 0x31);
        assert_eq!((entry.vector(), entry.destination()), (0x31, 0xa5));
        assert_eq!(entry.mode(), PinMode::new(Trigger::Level, Polarity::Low));
        assert_eq!(
            RedirectionEntry::MASKED.mode(),
            PinMode::new(Trigger::Edge, Polarity::High)
        );
    }

    #[test]
    fn mode_bits_are_trigger_and_polarity() {
        for bits in 0..4u32 {
            let mode = PinMode::from_bits(bits).unwrap();
            assert_eq!(u32::from(mode.bits()), bits);
            assert_eq!(PinMode::new(mode.trigger(), mode.polarity()), mode);
            assert_eq!(mode.trigger() == Trigger::Level, bits & 1 != 0);
            assert_eq!(mode.polarity() == Polarity::Low, bits & 2 != 0);
        }
        for bit in 2..32 {
            assert_eq!(PinMode::from_bits(1 << bit), None);
        }
    }

    #[test]
    fn only_zero_and_one_are_modes() {
        for value in 0..=u8::MAX {
            assert_eq!(Trigger::new(value).is_some(), value < 2);
            assert_eq!(Polarity::new(value).is_some(), value < 2);
        }
    }
}
