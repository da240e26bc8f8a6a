// SPDX-License-Identifier: GPL-2.0-only
//! Accesses to configuration space that do not fit a register.
//!
//! An access of 1, 2 or 4 bytes may cover several emulated registers, parts of
//! them, and bytes in between that go to hardware. [`piece`] cuts it up;
//! [`merge`], [`Masks::read`] and [`Masks::write`] put values together. Sources:
//! PCI Local Bus Specification 3.0, §6.1; register field types as in PCI Express
//! Base Specification 5.0, §7.4.

#![forbid(unsafe_code)]

use crate::errno::Errno;

/// Bytes of a function's configuration space with the extended part.
const CONFIG_SPACE: u32 = 4096;

/// The bits of `size` bytes: 1 to 4; more count as 4, none as no bits.
const fn bits(size: u32) -> u32 {
    match size {
        0 => 0,
        1 => 0xff,
        2 => 0xffff,
        3 => 0x00ff_ffff,
        _ => 0xffff_ffff,
    }
}

/// `value` moved up by `bytes`, out of 32 bits if need be.
const fn up(value: u32, bytes: u32) -> u32 {
    if bytes < 4 { value << (bytes * 8) } else { 0 }
}

/// `value` moved down by `bytes`.
const fn down(value: u32, bytes: u32) -> u32 {
    if bytes < 4 { value >> (bytes * 8) } else { 0 }
}

/// Bits of a register that are not plain read/write.
///
/// No bit may be in two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Masks {
    /// Read-only: writes keep what the register has.
    pub ro: u32,
    /// Write 1 to clear: a byte that is not written must not clear anything.
    pub rw1c: u32,
    /// Reserved, preserved: read as 0, kept on writes.
    pub rsvdp: u32,
    /// Reserved, zero: read as 0, written as 0.
    pub rsvdz: u32,
}

impl Masks {
    /// Whether a register of `size` bytes at `offset` can have these masks.
    ///
    /// # Errors
    /// [`Errno::EINVAL`] for a size other than 1, 2 and 4, an offset that is not
    /// a multiple of it or not below 4096, a bit in two masks, or a bit beyond
    /// the size.
    pub const fn check(&self, offset: u32, size: u32) -> Result<(), Errno> {
        let Self {
            ro,
            rw1c,
            rsvdp,
            rsvdz,
        } = *self;
        let sized = matches!(size, 1 | 2 | 4);
        let all = ro | rw1c | rsvdp | rsvdz;
        let twice = ro & (rw1c | rsvdp | rsvdz) | rw1c & (rsvdp | rsvdz) | rsvdp & rsvdz;
        if !sized
            || offset >= CONFIG_SPACE
            || offset & (size - 1) != 0
            || twice != 0
            || all & !bits(size) != 0
        {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// What a guest reads of a register that holds `value`.
    pub const fn read(&self, value: u32) -> u32 {
        value & !(self.rsvdp | self.rsvdz)
    }

    /// Whether a write of `written` of the register's `size` bytes needs to know
    /// what the register holds.
    pub const fn needs_current(&self, written: u32, size: u32) -> bool {
        written != size || (self.ro | self.rsvdp) != 0
    }

    /// What a register of `size` bytes that holds `current` is written with, when
    /// `data` is written to `written` of its bytes from `offset` on.
    ///
    /// `current` is not looked at where [`Masks::needs_current`] says so.
    pub const fn write(
        &self,
        current: u32,
        data: u32,
        written: u32,
        offset: u32,
        size: u32,
    ) -> u32 {
        let keep = self.ro | self.rsvdp;
        let whole = merge(current & !self.rw1c, data, written, offset);
        (whole & !(keep | self.rsvdz) | current & keep) & bits(size)
    }
}

/// `data` with `new` in its place: `size` bytes, 1 to 4, from byte `offset` on.
pub const fn merge(data: u32, new: u32, size: u32, offset: u32) -> u32 {
    let place = up(bits(size), offset);
    data & !place | up(new, offset) & place
}

/// The next part of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Piece {
    /// Bytes of it, at least 1.
    pub size: u32,
    /// Where it starts in the register, in bytes.
    pub offset: u32,
    /// Not 0: it lies in the register; 0: no register is there.
    pub emulated: u32,
}

/// The first part of an access of `size` bytes at `start`, when the first
/// register that it touches has `length` bytes at `register`; no bytes for none.
pub const fn piece(start: u32, size: u32, register: u32, length: u32) -> Piece {
    let end = start.saturating_add(size);
    let register_end = register.saturating_add(length);
    if length == 0 || register >= end || register_end <= start {
        return Piece {
            size,
            offset: 0,
            emulated: 0,
        };
    }
    if start < register {
        // Bytes in front of the register.
        return Piece {
            size: register - start,
            offset: 0,
            emulated: 0,
        };
    }
    let last = if register_end < end {
        register_end
    } else {
        end
    };
    Piece {
        size: last - start,
        offset: start - register,
        emulated: 1,
    }
}

/// What a read gives of a register's `value`, from byte `offset` on.
pub const fn part(value: u32, offset: u32) -> u32 {
    down(value, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register file as an access should see it, byte by byte.
    struct Registers<'a> {
        emulated: &'a [(u32, u32)],
    }

    impl Registers<'_> {
        fn first(&self, start: u32, end: u32) -> (u32, u32) {
            self.emulated
                .iter()
                .copied()
                .find(|&(offset, length)| offset < end && start < offset + length)
                .unwrap_or((0, 0))
        }
    }

    #[test]
    fn access_is_cut_at_every_register_border() {
        let layout = Registers {
            emulated: &[(1, 1), (2, 2), (8, 4), (13, 1)],
        };
        for start in 0..16_u32 {
            for size in [1, 2, 4] {
                let mut done = 0;
                while done < size {
                    let at = start + done;
                    let (offset, length) = layout.first(at, start + size);
                    let cut = piece(at, size - done, offset, length);
                    assert!(cut.size >= 1 && cut.size <= size - done);
                    for byte in at..at + cut.size {
                        let inside = layout
                            .emulated
                            .iter()
                            .find(|&&(offset, length)| (offset..offset + length).contains(&byte));
                        assert_eq!(inside.is_some(), cut.emulated == 1, "byte {byte}");
                        if let Some((offset, _)) = inside {
                            assert_eq!(cut.offset, at - offset);
                        }
                    }
                    done += cut.size;
                }
                assert_eq!(done, size);
            }
        }
    }

    #[test]
    fn merge_replaces_just_the_bytes_named() {
        assert_eq!(merge(0x1122_3344, 0xaabb_ccdd, 1, 0), 0x1122_33dd);
        assert_eq!(merge(0x1122_3344, 0xaabb_ccdd, 2, 1), 0x11cc_dd44);
        assert_eq!(merge(0x1122_3344, 0xaabb_ccdd, 3, 1), 0xbbcc_dd44);
        assert_eq!(merge(0x1122_3344, 0xaabb_ccdd, 3, 0), 0x11bb_ccdd);
        assert_eq!(merge(0x1122_3344, 0xaabb_ccdd, 4, 0), 0xaabb_ccdd);
        assert_eq!(merge(0x1122_3344, 0xaabb_ccdd, 0, 0), 0x1122_3344);
        assert_eq!(merge(0x1122_3344, 0xaabb_ccdd, 1, 4), 0x1122_3344);
        assert_eq!(part(0x1122_3344, 2), 0x1122);
        assert_eq!(part(0x1122_3344, 4), 0);
    }

    #[test]
    fn access_without_a_register_in_it_goes_to_hardware_whole() {
        let none = Piece {
            size: 4,
            offset: 0,
            emulated: 0,
        };
        // Before it, after it, and one of no bytes at each place.
        for (register, length) in [(0, 4), (2, 2), (8, 4), (4, 0), (6, 0), (8, 0)] {
            assert_eq!(piece(4, 4, register, length), none, "{register} {length}");
        }
    }

    #[test]
    fn bit_is_in_one_mask_at_most() {
        for masks in 0..16_u32 {
            let bit = |mask: u32| masks >> mask & 1;
            let register = Masks {
                ro: bit(0),
                rw1c: bit(1),
                rsvdp: bit(2),
                rsvdz: bit(3),
            };
            let good = masks.count_ones() <= 1;
            assert_eq!(register.check(8, 4).is_ok(), good, "{masks:#06b}");
        }
    }

    #[test]
    fn register_must_be_sized_aligned_and_in_configuration_space() {
        let plain = Masks::default();
        for (offset, size, good) in [
            (0, 4, true),
            (4092, 4, true),
            (4095, 1, true),
            (4096, 1, false),
            (2, 4, false),
            (1, 2, false),
            (8, 3, false),
            (8, 0, false),
            (8, 8, false),
            (u32::MAX, 1, false),
        ] {
            assert_eq!(plain.check(offset, size).is_ok(), good, "{offset} {size}");
        }
    }

    #[test]
    fn no_bit_has_two_types_or_lies_beyond_the_register() {
        let fields: [fn(&mut Masks, u32); 4] = [
            |masks, bit| masks.ro |= bit,
            |masks, bit| masks.rw1c |= bit,
            |masks, bit| masks.rsvdp |= bit,
            |masks, bit| masks.rsvdz |= bit,
        ];
        for (number, set) in fields.iter().enumerate() {
            for (other, also) in fields.iter().enumerate() {
                let mut masks = Masks::default();
                set(&mut masks, 1);
                also(&mut masks, if number == other { 2 } else { 1 });
                assert_eq!(masks.check(8, 4).is_ok(), number == other);
            }
            let mut masks = Masks::default();
            set(&mut masks, 0x100);
            assert_eq!(masks.check(8, 1), Err(Errno::EINVAL));
            assert_eq!(masks.check(8, 2), Ok(()));
        }
    }

    #[test]
    fn every_kind_of_bit_keeps_its_rule_in_whole_and_partial_writes() {
        let masks = Masks {
            ro: 0x0000_00ff,
            rw1c: 0x0000_ff00,
            rsvdp: 0x00ff_0000,
            rsvdz: 0xff00_0000,
        };
        let current = 0x5555_5555;
        assert_eq!(masks.read(current), 0x0000_5555);
        // Whole: RO and RsvdP kept, RW1C as written, RsvdZ zero.
        assert_eq!(masks.write(current, 0xffff_ffff, 4, 0, 4), 0x0055_ff55);
        assert_eq!(masks.write(current, 0, 4, 0, 4), 0x0055_0055);
        // A write next to the RW1C byte clears nothing in it.
        assert_eq!(masks.write(current, 0xff, 1, 0, 4), 0x0055_0055);
        assert_eq!(masks.write(current, 0x0f, 1, 1, 4), 0x0055_0f55);
        assert!(masks.needs_current(4, 4));
        assert!(!Masks::default().needs_current(4, 4));
        assert!(Masks::default().needs_current(2, 4));
    }

    #[test]
    fn narrow_register_is_written_within_its_size() {
        let plain = Masks::default();
        assert_eq!(plain.write(0, 0xffff_ffff, 2, 0, 2), 0xffff);
        assert_eq!(plain.write(0x1234, 0xab, 1, 1, 2), 0xab34);
    }
}
