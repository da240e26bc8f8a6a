// SPDX-License-Identifier: GPL-2.0-only
//! Accesses to configuration space of every size and offset, over any layout of
//! emulated registers with any masks, put together as `xpt-access.c` does. The
//! other side is a bit for bit model of what a register's bits do.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xen_passthrough::ffi::vpci::{
    xpt_access_check, xpt_access_merge, xpt_access_needs_current, xpt_access_piece,
    xpt_access_read, xpt_access_write,
};
use xen_passthrough::vpci::access::Masks;
use xen_passthrough_fuzz::Script;

const SPACE: usize = 32;

struct Register {
    offset: u32,
    size: u32,
    masks: Masks,
    value: u32,
}

fn masks(script: &mut Script<'_>) -> Masks {
    Masks {
        ro: script.number(),
        rw1c: script.number(),
        rsvdp: script.number(),
        rsvdz: script.number(),
    }
}

fn bits(size: u32) -> u32 {
    !0 >> (32 - 8 * size)
}

/// A register whose masks are good, as far as the library says so and it is so.
fn register(script: &mut Script<'_>) -> Option<Register> {
    let (offset, size, masks) = (script.number(), script.number() % 9, masks(script));
    let all = [masks.ro, masks.rw1c, masks.rsvdp, masks.rsvdz];
    let once = (0..32).all(|bit| all.iter().filter(|mask| *mask >> bit & 1 != 0).count() <= 1);
    let good = matches!(size, 1 | 2 | 4)
        && offset < 4096
        && offset % size == 0
        && once
        && all.iter().all(|mask| mask & !bits(size) == 0);
    // SAFETY: valid for reading.
    let rc = unsafe { xpt_access_check(&masks, offset, size) };
    assert_eq!(rc == 0, good, "{offset:#x} {size} {masks:x?}");
    let value = script.u32() & if good { bits(size) } else { 0 };
    (good && offset + size <= SPACE as u32).then_some(Register {
        offset,
        size,
        masks,
        value,
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut script = Script(bytes);
    let mut registers: Vec<Register> = Vec::new();
    for _ in 0..script.below(9) {
        let new = register(&mut script);
        registers.extend(new.filter(|new| {
            registers.iter().all(|old| {
                old.offset + old.size <= new.offset || new.offset + new.size <= old.offset
            })
        }));
    }
    registers.sort_by_key(|register| register.offset);
    let mut hardware = [0_u8; SPACE];
    for byte in &mut hardware {
        *byte = script.u8();
    }
    while !script.is_over() {
        let how = script.u8();
        let size = 1_u32 << (how % 4).min(2);
        let start = script.u8() as u32 % (SPACE as u32 - 4);
        // As wide as the bus lets an access be: within a dword.
        let start = start & !(size - 1);
        if how & 0x80 == 0 {
            assert_eq!(
                read(&registers, &hardware, start, size),
                model_read(&registers, &hardware, start, size),
                "{size} at {start:#x}"
            );
        } else {
            let data = script.u32() & bits(size);
            model_write(&mut registers, &mut hardware, start, size, data);
        }
    }
});

fn first<'a>(registers: &'a [Register], start: u32, end: u32) -> Option<&'a Register> {
    registers
        .iter()
        .find(|r| r.offset < end && r.offset + r.size > start)
}

fn hw(hardware: &[u8; SPACE], start: u32, size: u32) -> u32 {
    (0..size).fold(0, |all, n| {
        all | u32::from(hardware[(start + n) as usize]) << (8 * n)
    })
}

/// vpci_read()
fn read(registers: &[Register], hardware: &[u8; SPACE], reg: u32, size: u32) -> u32 {
    let (mut done, mut data) = (0, !0);
    while done < size {
        let Some(r) = first(registers, reg + done, reg + size) else {
            break;
        };
        let piece = xpt_access_piece(reg + done, size - done, r.offset, r.size);
        let value = if piece.emulated != 0 {
            // SAFETY: valid for reading.
            unsafe { xpt_access_read(&r.masks, r.value, piece.offset) }
        } else {
            hw(hardware, reg + done, piece.size)
        };
        assert!((1..=size - done).contains(&piece.size));
        data = xpt_access_merge(data, value, piece.size, done);
        done += piece.size;
    }
    if done < size {
        data = xpt_access_merge(
            data,
            hw(hardware, reg + done, size - done),
            size - done,
            done,
        );
    }
    data & bits(size)
}

/// Each byte by itself.
fn model_read(registers: &[Register], hardware: &[u8; SPACE], reg: u32, size: u32) -> u32 {
    (0..size).fold(0, |all, n| {
        let at = reg + n;
        let byte = match first(registers, at, at + 1) {
            Some(r) => {
                let reads = r.value & !(r.masks.rsvdp | r.masks.rsvdz);
                (reads >> (8 * (at - r.offset))) & 0xff
            }
            None => hardware[at as usize].into(),
        };
        all | byte << (8 * n)
    })
}

/// vpci_write(), with each bit of what it gives the handlers looked at.
fn model_write(
    registers: &mut [Register],
    hardware: &mut [u8; SPACE],
    reg: u32,
    size: u32,
    data: u32,
) {
    let mut done = 0;
    while done < size {
        let found = registers
            .iter_mut()
            .find(|r| r.offset < reg + size && r.offset + r.size > reg + done);
        let Some(r) = found else { break };
        let piece = xpt_access_piece(reg + done, size - done, r.offset, r.size);
        assert!((1..=size - done).contains(&piece.size));
        let part = data >> (8 * done);
        if piece.emulated == 0 {
            for n in 0..piece.size {
                hardware[(reg + done + n) as usize] = (part >> (8 * n)) as u8;
            }
            done += piece.size;
            continue;
        }
        // SAFETY: valid for reading.
        let needs = unsafe { xpt_access_needs_current(&r.masks, piece.size, r.size) } != 0;
        // What it does not need to know is anything.
        let held = if needs {
            r.value
        } else {
            0x5a5a_a5a5 & bits(r.size)
        };
        let part = part & bits(piece.size);
        // SAFETY: as before.
        let written =
            unsafe { xpt_access_write(&r.masks, held, part, piece.size, piece.offset, r.size) };
        assert_eq!(written & !bits(r.size), 0, "beyond the register");
        let mut next = 0;
        for bit in 0..8 * r.size {
            let is = |mask: u32| mask >> bit & 1 != 0;
            let touched = (8 * piece.offset..8 * (piece.offset + piece.size)).contains(&bit);
            let new = touched && part >> (bit - 8 * piece.offset) & 1 != 0;
            let want = if is(r.masks.ro) || is(r.masks.rsvdp) {
                is(r.value)
            } else if is(r.masks.rsvdz) {
                false
            } else if is(r.masks.rw1c) {
                // A 1 clears, and a byte that is not written clears nothing.
                new
            } else if touched {
                new
            } else {
                is(r.value)
            };
            assert_eq!(is(written), want, "bit {bit} of {:x?}", r.masks);
            let then = if is(r.masks.rw1c) {
                is(r.value) && !want
            } else {
                want
            };
            next |= u32::from(then) << bit;
        }
        r.value = next;
        done += piece.size;
    }
    for n in done..size {
        hardware[(reg + n) as usize] = (data >> (8 * n)) as u8;
    }
}
