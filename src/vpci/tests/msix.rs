// SPDX-License-Identifier: GPL-2.0-only
//! The MSI-X capability, its table, and accesses to their pages.

use super::*;
use crate::vpci::msix::Place;

const CONTROL: u16 = MSIX + 2;
const ENABLE: u32 = 0x8000;
const MASKED: u32 = 0x4000;
const SIZE: u32 = 2;

/// What the control register says with these bits.
fn control(bits: u32) -> Action {
    let [low, high, ..] = (bits | SIZE).to_le_bytes();
    Action::MsixControl(u16::from_le_bytes([low, high]))
}

impl Bench {
    fn write_entry(&mut self, entry: u16, offset: u16, size: u32, value: u64) -> Action {
        let Self { device, entries } = self;
        device.write_entry(entries, entry, offset, size, value)
    }

    /// Gives an entry a message.
    fn message(&mut self, entry: u16) {
        assert_eq!(self.write_entry(entry, 0, 8, 0xfee0_0000), DONE);
    }

    /// Writes an entry's vector control, with good replies.
    fn mask(&mut self, entry: u16, value: u64) -> Vec<Action> {
        let first = self.write_entry(entry, 12, 4, value);
        self.run(first)
    }
}

/// MSI-X on, entries 0 and 2 bound, 1 masked.
fn enabled() -> Bench {
    let mut bench = Bench::new();
    for entry in [0, 2] {
        assert_eq!(bench.write_entry(entry, 0, 8, 0xfee0_0000), DONE);
        assert_eq!(bench.write_entry(entry, 8, 8, 0x41), DONE);
    }
    assert_eq!(
        bench.write(CONTROL, ENABLE, &[Good, Good]),
        [
            Action::MsixUpdate(0),
            Action::MsixUpdate(2),
            control(ENABLE)
        ]
    );
    bench
}

#[test]
fn enable_binds_what_is_unmasked_and_has_a_message() {
    let bench = enabled();
    assert_eq!(
        (bench.device.msix.enabled, bench.device.msix.masked),
        (1, 0)
    );
    assert_eq!(bench.device.read(CONTROL), ENABLE | SIZE);
    let updated: Vec<_> = bench.entries.iter().map(|entry| entry.updated).collect();
    assert_eq!(updated, [0, 0, 0]);
    let vectors = bench.entries.iter().map(Entry::has_vector);
    assert_eq!(vectors.collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn entry_that_could_not_be_bound_is_tried_at_its_next_unmask() {
    let mut bench = Bench::new();
    bench.message(1);
    bench.mask(1, 0);
    assert_eq!(
        bench.write(CONTROL, ENABLE, &[Fails(Errno::ENOSPC)]),
        [Action::MsixUpdate(1), control(ENABLE)]
    );
    assert_eq!(bench.entries[1].updated, 1);
    assert_eq!(bench.mask(1, 1), [DONE]);
    let first = bench.write_entry(1, 12, 4, 0);
    let actions = bench.talk(first, &[Fails(Errno::ENOSPC)]);
    assert_eq!(actions, [Action::MsixUpdate(1), failed(Errno::ENOSPC)]);
    assert_eq!((bench.entries[1].masked, bench.entries[1].updated), (0, 1));
    assert_eq!(bench.mask(1, 1), [DONE]);
    assert_eq!(bench.mask(1, 0), [Action::MsixUpdate(1), DONE]);
    assert_eq!(bench.entries[1].updated, 0);
}

#[test]
fn enable_with_the_function_masked_binds_when_that_is_cleared() {
    let mut bench = Bench::new();
    bench.message(1);
    bench.mask(1, 0);
    assert_eq!(
        bench.write(CONTROL, ENABLE | MASKED, &[]),
        [control(ENABLE | MASKED)]
    );
    assert_eq!(bench.device.read(CONTROL), ENABLE | MASKED | SIZE);
    // Unmasked, but the function is not.
    bench.message(2);
    assert_eq!(bench.mask(2, 0), [DONE]);
    assert_eq!(
        bench.write(CONTROL, ENABLE, &[Good, Good]),
        [
            Action::MsixUpdate(1),
            Action::MsixUpdate(2),
            control(ENABLE)
        ]
    );
    // Nothing has changed when it is masked and unmasked once more.
    assert_eq!(
        bench.write(CONTROL, ENABLE | MASKED, &[]),
        [control(ENABLE | MASKED)]
    );
    assert_eq!(bench.write(CONTROL, ENABLE, &[]), [control(ENABLE)]);
}

#[test]
fn control_write_without_a_change_asks_for_nothing() {
    for (mut bench, value) in [(Bench::new(), 0), (enabled(), ENABLE)] {
        let before = bench.clone();
        // The size and the reserved bits make no difference.
        for value in [value, value | 0x3fff] {
            assert_eq!(bench.write(CONTROL, value, &[]), [DONE]);
        }
        assert_eq!(bench, before);
    }
}

#[test]
fn function_mask_is_set_while_disabled() {
    let mut bench = Bench::new();
    assert_eq!(bench.write(CONTROL, MASKED, &[]), [control(MASKED)]);
    assert_eq!(bench.device.read(CONTROL), MASKED | SIZE);
}

#[test]
fn disable_releases_the_vectors_and_enable_binds_them_again() {
    for mask in [0, MASKED] {
        let mut bench = enabled();
        assert_eq!(
            bench.write(CONTROL, mask, &[Good, Good]),
            [
                Action::MsixDisable(0),
                Action::MsixDisable(2),
                control(mask)
            ]
        );
        assert_eq!(bench.device.msix.enabled, 0);
        assert!(bench.entries.iter().all(|entry| !entry.has_vector()));
        assert_eq!(
            bench.write(CONTROL, ENABLE, &[Good, Good]),
            [
                Action::MsixUpdate(0),
                Action::MsixUpdate(2),
                control(ENABLE)
            ]
        );
    }
}

#[test]
fn failed_release_leaves_it_enabled_and_the_next_write_goes_on() {
    let mut bench = enabled();
    assert_eq!(
        bench.write(CONTROL, 0, &[Good, Fails(Errno::EBUSY)]),
        [
            Action::MsixDisable(0),
            Action::MsixDisable(2),
            failed(Errno::EBUSY)
        ]
    );
    assert_eq!(bench.device.msix.enabled, 1);
    assert_eq!(
        bench.write(CONTROL, 0, &[Good]),
        [Action::MsixDisable(2), control(0)]
    );
}

#[test]
fn guest_gets_its_intx_disabled_first() {
    for reply in [Good, Fails(Errno::EIO)] {
        let mut bench = Bench::guest();
        assert_eq!(
            bench.write(CONTROL, ENABLE, &[reply]),
            [Action::IntxDisable, control(ENABLE)]
        );
        assert_eq!(bench.device.read(COMMAND), 0x400);
        assert_eq!(
            bench.write(CONTROL, ENABLE | MASKED, &[]),
            [control(ENABLE | MASKED)]
        );
    }
}

#[test]
fn hidden_device_has_no_msix() {
    let mut bench = Bench::of(Owner::Hidden, &DEVICE, &SIZES);
    let before = bench.clone();
    for value in [ENABLE, ENABLE | MASKED] {
        assert_eq!(
            bench.write(CONTROL, value, &[]),
            [failed(Errno::EOPNOTSUPP)]
        );
    }
    assert_eq!(bench, before);
    assert_eq!(bench.write(CONTROL, MASKED, &[]), [control(MASKED)]);

    // What it had before goes.
    let mut bench = enabled();
    bench.device.hide();
    assert_eq!(
        bench.write(CONTROL, 0, &[Good, Good]),
        [Action::MsixDisable(0), Action::MsixDisable(2), control(0)]
    );
    assert_eq!(
        bench.write(CONTROL, ENABLE, &[]),
        [failed(Errno::EOPNOTSUPP)]
    );
}

#[test]
fn capability_that_cannot_be_emulated_is_never_enabled() {
    for (msix_table, msix_pba, msix_control) in [
        // In an I/O BAR, an upper half, no BAR, reserved ones.
        (3, 0x1002, 2),
        (0x1002, 1, 2),
        (4, 0x1002, 2),
        (0x1002, 6, 2),
        (7, 0x1002, 2),
        // Beyond the end of the BAR.
        (0x1fd8 | 2, 2, 2),
        (2, 0x2000 | 2, 2),
        (2, 0xffff_fff8 | 2, 2),
        (2, 0x1000 | 2, 0x7ff),
    ] {
        let snapshot = Snapshot {
            msix_table,
            msix_pba,
            msix_control,
            ..DEVICE
        };
        let mut bench = Bench::of(Owner::Hardware, &snapshot, &SIZES);
        assert_eq!(bench.device.msix.entries, 0, "{snapshot:x?}");
        let before = bench.clone();
        for value in [ENABLE, MASKED, ENABLE | MASKED] {
            assert_eq!(bench.write(CONTROL, value, &[]), [DONE]);
        }
        assert_eq!(bench, before);
        assert_eq!(bench.device.read(CONTROL), 0);
        bench.device.bars[2].mapped = 1;
        assert!(!bench.device.has_msix_at(0xfd00_0000));
        assert_eq!(bench.device.msix_place(0xfd00_0000, 4), Place::Elsewhere);
    }
    // Up to the very end.
    let snapshot = Snapshot {
        msix_table: 0x1fd0 | 2,
        msix_pba: 0x3ff8,
        ..DEVICE
    };
    let bench = Bench::of(Owner::Hardware, &snapshot, &SIZES);
    assert_eq!(bench.device.msix.entries, ENTRIES);
}

#[test]
fn entry_is_written_in_4_and_8_bytes_at_every_offset() {
    const OLD: u64 = 0x1111_2222_3333_4444;
    const NEW: u64 = 0xaaaa_bbba_cccc_dddc;
    let fresh = Entry {
        addr: OLD,
        data: 0x5555_6666,
        ..Entry::FRESH
    };
    let changed = Entry {
        updated: 1,
        ..fresh
    };
    for (offset, size, after) in [
        (
            0,
            4,
            Entry {
                addr: 0x1111_2222_cccc_dddc,
                ..changed
            },
        ),
        (
            0,
            8,
            Entry {
                addr: NEW,
                ..changed
            },
        ),
        (
            4,
            4,
            Entry {
                addr: 0xcccc_dddc_3333_4444,
                ..changed
            },
        ),
        (
            4,
            8,
            Entry {
                addr: 0xcccc_dddc_3333_4444,
                ..changed
            },
        ),
        (
            8,
            4,
            Entry {
                data: 0xcccc_dddc,
                ..changed
            },
        ),
        (
            8,
            8,
            Entry {
                data: 0xcccc_dddc,
                masked: 0,
                ..changed
            },
        ),
        (12, 4, Entry { masked: 0, ..fresh }),
        (12, 8, Entry { masked: 0, ..fresh }),
    ] {
        for number in 0..ENTRIES {
            let mut bench = Bench::new();
            bench.entries[usize::from(number)] = fresh;
            let mut expected = bench.clone();
            expected.entries[usize::from(number)] = after;
            assert_eq!(bench.write_entry(number, offset, size, NEW), DONE);
            assert_eq!(bench, expected, "{offset} {size}");
        }
    }
    for offset in (0..16)
        .filter(|offset| offset % 4 != 0)
        .chain([16, u16::MAX])
    {
        let mut bench = Bench::new();
        let before = bench.clone();
        for size in [4, 8] {
            assert_eq!(bench.write_entry(1, offset, size, 0), DONE);
            assert_eq!(bench.device.read_entry(&bench.entries, 1, offset, size), !0);
        }
        assert_eq!(bench, before);
    }
    let mut bench = Bench::new();
    let before = bench.clone();
    for number in [ENTRIES, u16::MAX] {
        assert_eq!(bench.write_entry(number, 0, 8, 0), DONE);
        assert_eq!(bench.device.read_entry(&bench.entries, number, 0, 8), !0);
    }
    assert_eq!(bench, before);
}

#[test]
fn entry_is_read_in_4_and_8_bytes() {
    let mut bench = Bench::new();
    bench.entries[1] = Entry {
        addr: 0x1111_2222_3333_4444,
        data: 0x5555_6666,
        ..Entry::FRESH
    };
    for (offset, size, value) in [
        // C takes the bytes that it asked for.
        (0, 4, 0x1111_2222_3333_4444),
        (0, 8, 0x1111_2222_3333_4444),
        (4, 4, 0x1111_2222),
        (8, 4, 0x5555_6666),
        (8, 8, 0x0000_0001_5555_6666),
        (12, 4, 1),
    ] {
        let read = bench.device.read_entry(&bench.entries, 1, offset, size);
        assert_eq!(read, value, "{offset} {size}");
    }
    bench.entries[1].masked = 0;
    let read = |offset, size| bench.device.read_entry(&bench.entries, 1, offset, size);
    assert_eq!((read(8, 8), read(12, 4)), (0x5555_6666, 0));
}

#[test]
fn mask_bit_of_an_entry_is_carried_out_while_it_has_a_vector() {
    let mask = |masked| Action::MsixMask { entry: 0, masked };
    let mut bench = enabled();
    // Whatever the reserved bits.
    for (value, actions) in [
        (0xffff_fffe, vec![DONE]),
        (1, vec![mask(true)]),
        (1, vec![DONE]),
        (0, vec![mask(false)]),
    ] {
        assert_eq!(bench.mask(0, value), actions);
        assert_eq!(u64::from(bench.entries[0].masked), value & 1);
    }
    // Without a message it had no vector to give.
    assert_eq!(bench.mask(1, 0), [DONE]);
}

#[test]
fn message_written_while_unmasked_counts_from_the_next_unmask() {
    let mut bench = enabled();
    assert_eq!(bench.write_entry(2, 8, 4, 0x42), DONE);
    let masked = Action::MsixMask {
        entry: 2,
        masked: true,
    };
    assert_eq!(bench.mask(2, 1), [masked]);
    assert_eq!(bench.mask(2, 0), [Action::MsixUpdate(2), DONE]);
    assert_eq!(bench.entries[2].updated, 0);
    // The same in one write of 8 bytes.
    assert_eq!(bench.mask(2, 1), [masked]);
    let first = bench.write_entry(2, 8, 8, 0x43);
    assert_eq!(bench.run(first), [Action::MsixUpdate(2), DONE]);
    assert_eq!(bench.entries[2].data, 0x43);
}

/// A device with its table, of 300 entries, and its pending bits there.
fn placed(msix_table: u32, msix_pba: u32) -> Device {
    let snapshot = Snapshot {
        msix_table,
        msix_pba,
        msix_control: 299,
        ..with_command(2)
    };
    Bench::of(Owner::Hardware, &snapshot, &SIZES).device
}

const TABLE_BYTES: u64 = 300 * 16;
const PBA_BYTES: u64 = 40;
/// Where BARs 0 and 2 are.
const AT0: u64 = 0x2_e000_0000;
const AT2: u64 = 0xfd00_0000;

#[test]
fn accesses_are_placed_byte_by_byte() {
    // Table and pending bits: table in two pages, pending bits behind it; in its
    // last page; in its first page before it; in another BAR; each unaligned to
    // pages.
    for (table, pba) in [
        (2, 0x1f00 | 2),
        (0x40 | 2, 0x1800 | 2),
        (0xd00 | 2, 0x1fd0 | 2),
        (0x800 | 2, 0x10 | 2),
        (2, 0x3fd8),
        (0x1f80, 0x1fd8 | 2),
        (2, 0x0ff0),
    ] {
        let device = placed(table, pba);
        let base = |location: u32| if location & 7 == 0 { AT0 } else { AT2 };
        let start = |location: u32| base(location) + u64::from(location & !7);
        let in_table = |addr: u64| (start(table)..start(table) + TABLE_BYTES).contains(&addr);
        let in_pba = |addr: u64| (start(pba)..start(pba) + PBA_BYTES).contains(&addr);
        // Pages by the slots that they may have.
        let page = |addr: u64| addr >> 12;
        let pages = [
            page(start(table)),
            page(start(table) + TABLE_BYTES - 1),
            page(start(pba)),
            page(start(pba) + PBA_BYTES - 1),
        ];
        let near = |addr: u64| {
            (pages[0]..=pages[1]).contains(&page(addr))
                || (pages[2]..=pages[3]).contains(&page(addr))
        };
        let edges = [start(table), start(table) + TABLE_BYTES]
            .into_iter()
            .chain([start(pba), start(pba) + PBA_BYTES])
            .chain(pages.map(|page| page << 12))
            .chain(pages.map(|page| (page + 1) << 12));
        for edge in edges {
            for addr in edge - 24..edge + 24 {
                assert_eq!(device.has_msix_at(addr), near(addr), "{addr:#x}");
                for size in 1..=8_u32 {
                    let end = addr + u64::from(size) - 1;
                    let whole = size == 4 && addr % 4 == 0 || size == 8 && addr % 8 == 0;
                    let slot = (0..4_u8).find(|&slot| pages[usize::from(slot)] == page(addr));
                    let expected = if !near(addr) {
                        Place::Elsewhere
                    } else if in_table(addr) {
                        let offset = addr - start(table);
                        let [low, high, ..] = (offset >> 4).to_le_bytes();
                        let [byte, ..] = (offset % 16).to_le_bytes();
                        if whole {
                            Place::Entry {
                                entry: u16::from_le_bytes([low, high]),
                                offset: byte.into(),
                            }
                        } else {
                            Place::Ignored
                        }
                    } else if in_pba(addr) && !whole
                        || in_table(end)
                        || !in_pba(addr) && in_pba(end)
                        || !near(end)
                    {
                        Place::Ignored
                    } else {
                        Place::Device {
                            slot: slot.unwrap(),
                            addr,
                            pending: in_pba(addr),
                        }
                    };
                    assert_eq!(
                        device.msix_place(addr, size),
                        expected,
                        "table {table:#x}, pending bits {pba:#x}: {addr:#x} {size}"
                    );
                }
            }
        }
    }
}

#[test]
fn guests_address_leads_to_the_hosts() {
    let snapshot = Snapshot {
        msix_table: 0x1000 | 2,
        msix_pba: 0x1800 | 2,
        ..DEVICE
    };
    let mut bench = Bench::of(Owner::Guest, &snapshot, &SIZES);
    bench.write(BAR2, 0x7000_0000, &[]);
    bench.write(COMMAND, 2, &[Good]);
    // Until it is mapped it may be that it cannot be.
    assert!(!bench.device.has_msix_at(0x7000_1010));
    assert_eq!(bench.device.msix_place(0x7000_1010, 4), Place::Elsewhere);
    assert_eq!(bench.work(Placed(0b100)), DONE);
    let device = bench.device;
    let place = |addr| device.msix_place(addr, 4);
    assert_eq!(place(0xfd00_1000), Place::Elsewhere);
    assert_eq!(
        place(0x7000_1010),
        Place::Entry {
            entry: 1,
            offset: 0
        }
    );
    assert_eq!(
        place(0x7000_1400),
        Place::Device {
            slot: 0,
            addr: 0xfd00_1400,
            pending: false
        }
    );
    assert_eq!(
        place(0x7000_1804),
        Place::Device {
            slot: 0,
            addr: 0xfd00_1804,
            pending: true
        }
    );
}

#[test]
fn table_of_a_bar_that_is_not_mapped_is_nowhere() {
    let mut device = placed(2, 0x3fd8);
    assert!(device.has_msix_at(AT2) && device.has_msix_at(AT0 + 0x3fd8));
    device.bars[2].mapped = 0;
    assert!(!device.has_msix_at(AT2) && device.has_msix_at(AT0 + 0x3fd8));
    assert_eq!(device.msix_place(AT2, 4), Place::Elsewhere);
    device.bars[0].mapped = 0;
    assert!(!device.has_msix_at(AT0 + 0x3fd8));

    let device = Bench::bridge().device;
    assert!(!device.has_msix_at(0xfd00_0000));
    assert_eq!(device.msix_place(0xfd00_0000, 4), Place::Elsewhere);
}

#[test]
fn largest_table_has_pages_of_its_own_in_the_middle() {
    let snapshot = Snapshot {
        msix_table: 0,
        msix_pba: 0x8000,
        msix_control: 0x7ff,
        ..with_command(2)
    };
    let device = Bench::of(
        Owner::Hardware,
        &snapshot,
        &[0x1_0000, 0, 0x2000, 0, 0, 0, 0],
    )
    .device;
    for (offset, entry) in [(0, 0), (0x4000, 0x400), (0x7ff0, 0x7ff)] {
        let place = device.msix_place(AT0 + offset, 8);
        assert_eq!(place, Place::Entry { entry, offset: 0 });
    }
    let place = device.msix_place(AT0 + 0x80f8, 8);
    let addr = AT0 + 0x80f8;
    assert_eq!(
        place,
        Place::Device {
            slot: 2,
            addr,
            pending: true
        }
    );
    let place = device.msix_place(u64::MAX, 8);
    assert_eq!(place, Place::Elsewhere);
}
