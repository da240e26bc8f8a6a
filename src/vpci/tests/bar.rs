// SPDX-License-Identifier: GPL-2.0-only
//! Writes to base address registers, and what a guest reads of them.

use super::*;

#[test]
fn write_to_a_bar_that_is_not_mapped_moves_it_and_keeps_the_read_only_bits() {
    for (register, value, written, slot, addr) in [
        (BAR2, 0xfea0_000f, 0xfea0_0000, 2, 0xfea0_0000),
        (BAR2, 0, 0, 2, 0),
        // The bits below the size are read-only: so it is sized.
        (BAR2, !0, 0xffff_fff0, 2, 0xffff_e000),
        (BAR0, 0xd000_0003, 0xd000_000c, 0, 0x2_d000_0000),
        (BAR0, !0, 0xffff_fffc, 0, 0x2_ffff_c000),
        (BAR1, 0x0000_0012, 0x0000_0012, 0, 0x12_e000_0000),
        (BAR1, !0, !0, 0, 0xffff_ffff_e000_0000),
    ] {
        for owner in [Owner::Hardware, Owner::Hidden] {
            let mut bench = Bench::of(owner, &DEVICE, &SIZES);
            let mut after = bench.record();
            after.device.bars[slot].addr = addr;
            after.device.bars[slot].guest_addr = addr;
            assert_eq!(
                bench.write(register, value, &[]),
                [write32(register, written)]
            );
            assert_eq!(bench.record(), after, "{register:#x} {value:#x}");
        }
    }
}

#[test]
fn bits_of_a_32_bit_bar_without_prefetch_are_0() {
    let bars = [8, 4, 0, 0xfd00_0008, 0, 0];
    let sizes = [0x1000, 0x1000, 0, 0x1000, 0, 0, 0];
    let mut bench = Bench::of(Owner::Hardware, &Snapshot { bars, ..DEVICE }, &sizes);
    for (register, written) in [
        (0x10, 0xfea0_0008),
        (0x14, 0xfea0_0004),
        (0x1c, 0xfea0_0008),
    ] {
        assert_eq!(
            bench.write(register, 0xfea0_0000, &[]),
            [write32(register, written)]
        );
    }
}

#[test]
fn write_to_a_slot_without_a_memory_bar_is_ignored() {
    let mut bench = Bench::new();
    let before = bench.clone();
    for register in [0x1c, 0x20, 0x24] {
        assert_eq!(bench.write(register, !0, &[]), [DONE]);
    }
    for slot in [3, 4, 5] {
        assert_eq!(bench.device.write_bar(index(slot), !0), DONE);
    }
    assert_eq!(
        bench.device.write_bar(index(6), !0),
        failed(Errno::EINVAL),
        "the ROM is no BAR"
    );
    assert_eq!(bench, before);

    let mut bench = Bench::bridge();
    let before = bench.clone();
    // Bus numbers, and what lies behind a bridge's BARs.
    for register in [0x18, 0x1c, 0x24, 0x30] {
        assert_eq!(bench.write(register, !0, &[]), [DONE]);
    }
    for slot in 2..7 {
        let action = bench.device.write_bar(index(slot), !0);
        assert_eq!(action, failed(Errno::EINVAL));
    }
    assert_eq!(bench, before);
}

#[test]
fn upper_half_without_a_lower_one_is_ignored() {
    let bars = [4, 0, 0, 0, 0, 0];
    let mut bench = Bench::of(Owner::Hardware, &Snapshot { bars, ..DEVICE }, &[0; 7]);
    assert_eq!(bench.device.bars[1].kind(), BarKind::Mem64Hi);
    let before = bench.clone();
    assert_eq!(bench.write(BAR1, !0, &[]), [DONE]);
    assert_eq!(bench, before);

    bench.device.bars[0].kind = BarKind::Mem64Hi as u8;
    let before = bench.clone();
    assert_eq!(bench.write(BAR0, !0, &[]), [DONE]);
    assert_eq!(bench, before);
}

#[test]
fn unknown_kind_counts_as_empty() {
    let mut bar = Bench::new().device.bars[0];
    for kind in [6, 0xff] {
        bar.kind = kind;
        assert_eq!(bar.kind(), BarKind::Empty);
    }
}

#[test]
fn bridge_has_two_bars() {
    let mut bench = Bench::bridge();
    for (register, slot) in [(BAR0, 0), (BAR1, 1)] {
        assert_eq!(
            bench.write(register, 0xd000_0fff, &[]),
            [write32(register, 0xd000_0ff0)]
        );
        assert_eq!(bench.device.bars[slot].addr, 0xd000_0000);
    }
}

#[test]
fn write_to_a_mapped_bar_is_ignored_while_the_device_decodes() {
    let header = Header(with_command(2));
    for (register, value, end) in [
        (BAR2, 0xfea0_0000, Action::BarMapped(index(2))),
        (BAR2, 0xfd00_0000, DONE),
        // The read-only bits make no difference.
        (BAR2, 0xfd00_1fff, DONE),
        (BAR0, 0, Action::BarMapped(index(0))),
        (BAR0, 0xe000_000c, DONE),
        (BAR1, 3, Action::BarMapped(index(1))),
        (BAR1, 2, DONE),
    ] {
        let mut bench = Bench::decoding().with_msi(0).with_msix(1);
        let before = bench.record();
        assert_eq!(bench.write(register, value, &[header]), [DOUBT, end]);
        assert_eq!(bench.record(), before);
    }
}

#[test]
fn write_to_a_mapped_bar_of_a_device_that_does_not_answer_fails() {
    let not_ready = Snapshot {
        id: DEVICE.id,
        ..SILENCE
    };
    for reply in [Header(SILENCE), Header(not_ready), Good, Fails(Errno::EIO)] {
        let mut bench = Bench::decoding().with_msi(0).with_msix(1);
        let before = bench.record();
        let actions = bench.write(BAR2, 0, &[reply]);
        assert_eq!(actions, [DOUBT, failed(Errno::EIO)]);
        assert_eq!(bench.record(), before);
    }
    let mut bench = Bench::decoding();
    let actions = bench.write(BAR2, 0, &[Fails(Errno::ENOMEM)]);
    assert_eq!(actions, [DOUBT, failed(Errno::ENOMEM)]);
}

#[test]
fn write_waits_for_the_operation_in_flight() {
    for (mut bench, command) in [(Bench::decoding(), 0), (Bench::new(), 2)] {
        let actions = bench.write(COMMAND, command, &[Good]);
        assert_eq!(actions, [write16(COMMAND, command), Action::Defer]);
        let before = bench.clone();
        for register in [BAR0, BAR1, BAR2, 0x1c, ROM] {
            assert_eq!(bench.write(register, 0, &[]), [Action::Retry]);
        }
        assert_eq!(bench, before);
    }
}

#[test]
fn device_that_was_reset_unannounced_is_healed_by_a_write() {
    // With a value that differs and with the same one.
    for (register, value) in [(BAR2, 0), (BAR2, 0xfd00_0000), (BAR1, 2)] {
        let mut bench = Bench::decoding().with_msi(1).with_msix(0b110);
        let epoch = bench.device.epoch;
        let reset = Header(DEVICE);
        let actions = bench.write(register, value, &[reset, Good, Good, Good, Good]);
        assert_eq!(
            actions,
            [
                DOUBT,
                Action::MsiDisable,
                Action::MsixDisable(1),
                Action::MsixDisable(2),
                Action::MsixClear,
                Action::Retry
            ]
        );
        // What is mapped goes from where it is.
        assert_eq!(bench.flight(), unmap(BARS));
        assert_ne!(bench.device.epoch, epoch);
        assert_eq!(bench.device.bars[2].addr, 0xfd00_0000);
        assert_eq!(bench.write(register, value, &[]), [Action::Retry]);

        // Then the record is the device's, as if it were new.
        let moved = Snapshot {
            bars: [0xc, 0, 0, 1, 0, 0],
            rom: 0,
            ..DEVICE
        };
        let first = bench.work(Good);
        let actions = bench.talk(first, &[Header(moved)]);
        assert_eq!(actions, [PROBE_ALL, DONE]);
        let new = Bench::of(Owner::Hardware, &moved, &SIZES);
        assert_eq!(bench.record(), new.record());

        // And the write is carried out.
        let written = value | if register == BAR0 { 0xc } else { 0 };
        assert_eq!(
            bench.write(register, value, &[]),
            [write32(register, written)]
        );
    }
}

#[test]
fn healing_a_device_without_interrupts_leaves_them_out() {
    let snapshot = Snapshot {
        msi_pos: 0,
        msix_pos: 0,
        ..with_command(2)
    };
    let mut bench = Bench::of(Owner::Hardware, &snapshot, &SIZES);
    let after = Snapshot {
        command: 0,
        ..snapshot
    };
    let actions = bench.write(BAR2, 0, &[Header(after)]);
    assert_eq!(actions, [DOUBT, Action::Retry]);
    assert_eq!(bench.state(), (0, false, 0, false));
    assert_eq!(bench.flight(), unmap(BARS));
}

#[test]
fn failed_step_of_healing_drops_the_write_and_the_next_one_goes_on() {
    let reset = Header(DEVICE);
    let end = failed(Errno::ENOMEM);
    let steps = [
        Action::MsiDisable,
        Action::MsixDisable(1),
        Action::MsixDisable(2),
    ];
    for failing in 0..steps.len() {
        let mut bench = Bench::decoding().with_msi(0).with_msix(0b110);
        let mut action = bench.begin(BAR2, 0);
        action = {
            assert_eq!(action, DOUBT);
            bench.reply(reset)
        };
        for &step in &steps[..failing] {
            assert_eq!(action, step);
            bench.vectors(action);
            action = bench.reply(Good);
        }
        assert_eq!(action, steps[failing]);
        assert_eq!(bench.reply(Fails(Errno::ENOMEM)), end);
        assert_eq!(bench.state(), (2, true, BARS, false), "step {failing}");
        assert!(bench.device.is_idle());

        assert_eq!(bench.begin(BAR2, 0), DOUBT);
        let first = bench.reply(reset);
        assert_eq!(bench.run(first).last(), Some(&Action::Retry));
        assert_eq!(bench.flight(), unmap(BARS));
    }
}

#[test]
fn device_that_is_not_found_after_healing_is_fenced() {
    let other = Snapshot {
        header_type: 1,
        ..DEVICE
    };
    let capability = Snapshot {
        msi_pos: 0x58,
        ..DEVICE
    };
    for (reply, errno) in [
        (Header(SILENCE), Errno::EIO),
        (Fails(Errno::ENOMEM), Errno::EIO),
        (Header(other), Errno::EOPNOTSUPP),
        (Header(capability), Errno::EOPNOTSUPP),
    ] {
        let mut bench = Bench::decoding();
        let actions = bench.write(BAR2, 0, &[Header(DEVICE), Good]);
        assert_eq!(actions, [DOUBT, Action::MsixClear, Action::Retry]);
        let first = bench.work(Good);
        let actions = bench.talk(first, &[reply, Good]);
        assert_eq!(actions, [PROBE_ALL, Action::MsixClear, failed(errno)]);
        assert!(bench.device.reads_as_ones() && bench.device.writes() != Writes::Pass);
        assert_eq!(bench.state(), (0, false, 0, false));
    }
}

#[test]
fn failed_unmap_of_healing_is_tried_again_by_the_write_that_is_dropped() {
    let mut bench = Bench::decoding();
    let reset = Header(DEVICE);
    assert_eq!(
        bench.write(BAR2, 0xfea0_0000, &[reset, Good]),
        [DOUBT, Action::MsixClear, Action::Retry]
    );
    assert_eq!(bench.work(Fails(Errno::ENOMEM)), failed(Errno::ENOMEM));
    assert_eq!(bench.state(), (0, false, BARS, false));
    for _ in 0..2 {
        assert_eq!(bench.write(BAR2, 0xfea0_0000, &[]), [Action::Defer]);
        assert_eq!(bench.flight(), unmap(BARS));
        assert_eq!(bench.work(Fails(Errno::ENOMEM)), failed(Errno::ENOMEM));
    }
    assert_eq!(bench.write(BAR2, 0xfea0_0000, &[]), [Action::Defer]);
    let first = bench.work(Good);
    assert_eq!(bench.talk(first, &[reset]), [PROBE_ALL, DONE]);
    assert_eq!(bench.record(), Bench::new().record());
    assert_eq!(
        bench.write(BAR2, 0xfea0_0000, &[]),
        [write32(BAR2, 0xfea0_0000)]
    );
}

#[test]
fn guests_write_stays_in_the_record_and_is_read_back() {
    let mut bench = Bench::guest();
    for (register, value, read, slot, guest_addr) in [
        (BAR2, !0, 0xffff_e000, 2, 0xffff_e000),
        (BAR2, 0x8000_1fff, 0x8000_0000, 2, 0x8000_0000),
        (BAR0, !0, 0xffff_c00c, 0, 0x2_ffff_c000),
        (BAR1, !0, !0, 0, 0xffff_ffff_ffff_c000),
        (BAR1, 7, 7, 0, 0x7_ffff_c000),
        (BAR0, 0x9000_0000, 0x9000_000c, 0, 0x7_9000_0000),
    ] {
        let mut after = bench.clone();
        after.device.bars[slot].guest_addr = guest_addr;
        assert_eq!(bench.write(register, value, &[]), [DONE]);
        assert_eq!(bench, after, "{register:#x} {value:#x}");
        assert_eq!(bench.device.read(register), read);
    }
    // On the host it is where it was.
    assert_eq!(bench.device.bars[0].addr, 0x2_e000_0000);
    for register in [0x1c, 0x20, 0x24, ROM] {
        let before = bench.clone();
        assert_eq!(bench.write(register, !0, &[]), [DONE]);
        assert_eq!(bench, before);
        assert_eq!(bench.device.read(register), 0);
    }
}

#[test]
fn guest_does_not_move_a_mapped_bar() {
    let mut bench = Bench::guest();
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.work(Placed(BARS)), DONE);
    let before = bench.clone();
    for register in [BAR0, BAR1, BAR2] {
        assert_eq!(bench.write(register, 0x7000_0000, &[]), [DONE]);
    }
    assert_eq!(bench, before);
}

#[test]
fn slot_that_has_none_of_its_own_reads_as_0_to_a_guest() {
    let mut device = Bench::guest().device;
    assert_eq!(device.read_bar(index(6)), 0);
    device.bars[0].kind = BarKind::Mem64Hi as u8;
    assert_eq!(device.read_bar(index(0)), 0);
}

#[test]
fn sets_of_bars_have_seven_bits() {
    let all = set(!0);
    assert_eq!(all.bits(), 0x7f);
    assert!((0..7).all(|slot| all.contains(slot)));
    assert!(!all.contains(7) && !all.contains(8) && !all.contains(usize::MAX));
    assert_eq!(all.without(set(0b101)).bits(), 0x7a);
    assert!(BarSet::NONE.is_empty() && !set(1).is_empty() && set(0x80).is_empty());
}

#[test]
fn bar_that_can_move_is_placed_and_any_other_write_is_for_the_machine() {
    let mut bench = Bench::new();
    for (slot, value, placed, addr) in [
        (0, 0xd000_0003, 0xd000_000c, 0x2_d000_0000),
        (1, 0x12, 0x12, 0x12_d000_0000),
        (2, !0, 0xffff_fff0, 0xffff_e000),
    ] {
        let mut after = bench.clone();
        let bar = &mut after.device.bars[if slot == 2 { 2 } else { 0 }];
        (bar.addr, bar.guest_addr) = (addr, addr);
        assert_eq!(bench.device.place_bar(index(slot), value), Some(placed));
        assert_eq!(bench, after);
    }
    // No BAR of its own; the ROM; mapped; a guest's; nobody's; fenced; on its way.
    let mut fenced = Bench::new();
    let first = fenced.device.reset(&mut fenced.entries, ResetKind::Flr);
    fenced.talk(first, &[Good, Header(SILENCE)]);
    let mut mapping = Bench::new();
    mapping.write(COMMAND, 2, &[Good]);
    let mut busy = Bench::new();
    assert_eq!(
        busy.device.reset(&mut busy.entries, ResetKind::Flr),
        Action::MsixClear
    );
    for (mut bench, slot) in [
        (Bench::new(), 3),
        (Bench::new(), 4),
        (Bench::new(), 6),
        (Bench::bridge(), 2),
        (Bench::decoding(), 1),
        (Bench::decoding(), 2),
        (Bench::guest(), 2),
        (Bench::made(&DEVICE, &SIZES), 2),
        (fenced, 2),
        (mapping, 2),
        (busy, 2),
    ] {
        let before = bench.clone();
        assert_eq!(bench.device.place_bar(index(slot), 0xfea0_0000), None);
        assert_eq!(bench, before);
    }
}
