// SPDX-License-Identifier: GPL-2.0-only
//! The operation in flight, and what becomes of it.

use super::*;

/// A device with its BARs on the way into the p2m.
fn mapping() -> Bench {
    let mut bench = Bench::new();
    bench.write(COMMAND, 0x406, &[Good]);
    assert_eq!(bench.flight(), map(BARS));
    bench
}

/// ... and out of it.
fn unmapping() -> Bench {
    let mut bench = Bench::decoding();
    bench.write(COMMAND, 0x404, &[Good]);
    assert_eq!(bench.flight(), unmap(BARS));
    bench
}

/// A device with what a failed unmap has left.
fn left() -> Bench {
    let mut bench = unmapping();
    assert_eq!(bench.work(Fails(Errno::ENOMEM)), failed(Errno::ENOMEM));
    bench
}

/// A device whose ROM is enabled just now, with its BARs mapped.
fn mapping_rom() -> Bench {
    let mut bench = Bench::decoding();
    bench.write(ROM, 0xfc00_0001, &[Good]);
    assert_eq!(bench.flight(), map(1 << 6));
    bench
}

#[test]
fn every_vcpu_that_comes_is_given_the_same_work() {
    for bench in [mapping(), unmapping(), mapping_rom()] {
        assert_eq!(bench.flight(), bench.flight());
        assert!(bench.device.in_flight());
    }
}

#[test]
fn work_that_went_well_ends_the_operation() {
    for (mut bench, placed, mapped) in [
        (mapping(), BARS, BARS),
        // The others lie where no BAR may.
        (mapping(), 0b001, 0b001),
        (mapping(), 0, 0),
        // More than were to be mapped are not.
        (mapping(), !0, BARS),
        (unmapping(), BARS, 0),
        (unmapping(), 0, 0),
        (mapping_rom(), 1 << 6, WITH_ROM),
        (mapping_rom(), 0, BARS),
    ] {
        let (command, decode, _, rom) = bench.state();
        assert_eq!(bench.work(Placed(placed)), DONE);
        assert_eq!(bench.state(), (command, decode, mapped, rom));
        assert_eq!(bench.flight(), DONE);
        assert!(bench.device.is_idle());
    }
}

#[test]
fn bar_that_could_not_be_mapped_can_be_moved() {
    let mut bench = mapping();
    assert_eq!(bench.work(Placed(0b001)), DONE);
    let actions = bench.write(BAR2, 0xfea0_0000, &[]);
    assert_eq!(actions, [write32(BAR2, 0xfea0_0000)]);
    // It is mapped when memory decode is toggled.
    bench.write(COMMAND, 0, &[Good]);
    assert_eq!(bench.flight(), unmap(0b001));
    assert_eq!(bench.work(Good), DONE);
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.flight(), map(BARS));
}

#[test]
fn old_epoch_changes_nothing() {
    for mut bench in [
        mapping(),
        unmapping(),
        left(),
        mapping_rom(),
        Bench::decoding(),
    ] {
        let before = bench.clone();
        let device = &mut bench.device;
        for epoch in [
            device.epoch.wrapping_sub(1),
            device.epoch.wrapping_add(1),
            0,
        ] {
            assert_eq!(device.work(epoch), DONE);
            assert_eq!(device.worked(epoch, Ok(set(BARS))), DONE);
            assert_eq!(device.worked(epoch, Ok(BarSet::NONE)), DONE);
            assert_eq!(device.worked(epoch, Err(Errno::ENOMEM)), DONE);
        }
        assert_eq!(bench, before);
    }
}

#[test]
fn nothing_in_flight_is_no_work() {
    for mut bench in [Bench::new(), Bench::decoding(), left()] {
        let before = bench.clone();
        for reply in [Good, Placed(!0), Fails(Errno::ENOMEM)] {
            assert_eq!(bench.flight(), DONE);
            assert_eq!(bench.work(reply), DONE);
        }
        assert_eq!(bench, before);
    }
}

#[test]
fn failed_map_turns_memory_decode_off_and_unmaps() {
    let mut bench = mapping();
    let epoch = bench.device.epoch;
    let first = bench.work(Fails(Errno::ENOMEM));
    let actions = bench.talk(first, &[Good]);
    assert_eq!(actions, [write16(COMMAND, 0x404), Action::Defer]);
    assert_eq!(bench.state(), (0x404, false, 0, false));
    assert_eq!(bench.flight(), unmap(BARS));
    assert_ne!(bench.device.epoch, epoch);
    assert_eq!(bench.work(Good), DONE);
    let mut after = Bench::new().record();
    after.device.command = 0x404;
    assert_eq!(bench.record(), after);
}

#[test]
fn failed_map_of_the_rom_disables_it_and_leaves_the_rest() {
    let mut bench = mapping_rom();
    let first = bench.work(Fails(Errno::EEXIST));
    let actions = bench.talk(first, &[Good]);
    assert_eq!(actions, [write32(ROM, 0xfc00_0000), Action::Defer]);
    assert_eq!(bench.state(), (2, true, BARS, false));
    assert_eq!(bench.flight(), unmap(1 << 6));
    assert_eq!(bench.work(Good), DONE);
    assert_eq!(bench.record(), Bench::decoding().record());
}

#[test]
fn failed_unmap_leaves_the_bars_counted_as_mapped() {
    for errno in [Errno::ENOMEM, Errno::EINVAL] {
        let mut bench = unmapping();
        assert_eq!(bench.work(Fails(errno)), failed(errno));
        assert_eq!(bench.state(), (0x404, false, BARS, false));
        assert!(bench.device.is_idle() && !bench.device.in_flight());
    }
    let mut bench = mapping();
    let first = bench.work(Fails(Errno::ENOMEM));
    bench.talk(first, &[Good]);
    assert_eq!(bench.work(Fails(Errno::EINVAL)), failed(Errno::EINVAL));
    assert_eq!(bench.state(), (0x404, false, BARS, false));
}

#[test]
fn what_is_left_goes_before_the_next_write_which_is_dropped() {
    for (register, value) in [
        (COMMAND, 0x406),
        (BAR0, 0xfea0_0000),
        (BAR1, 0),
        (BAR2, 0),
        (BAR2, 0xfd00_0000),
    ] {
        let mut bench = left();
        assert_eq!(bench.write(register, value, &[]), [Action::Defer]);
        assert_eq!(bench.flight(), unmap(BARS));
        assert_eq!(bench.state(), (0x404, false, 0, false));
        // Again, for as long as it fails.
        assert_eq!(bench.work(Fails(Errno::ENOMEM)), failed(Errno::ENOMEM));
        assert_eq!(bench.state(), (0x404, false, BARS, false));
        assert_eq!(bench.write(register, value, &[]), [Action::Defer]);
        // Once it is gone the record is taken from the device.
        let first = bench.work(Good);
        let header = Header(with_command(0x404));
        assert_eq!(bench.talk(first, &[header]), [PROBE_ALL, DONE]);
        let new = Bench::of(Owner::Hardware, &with_command(0x404), &SIZES);
        assert_eq!(bench.record(), new.record());
    }
}

#[test]
fn what_is_left_does_not_hold_other_writes_up() {
    let mut bench = left();
    for (register, value, action) in [
        (COMMAND, 0x405, write16(COMMAND, 0x405)),
        (ROM, 0xfb00_0001, write32(ROM, 0xfb00_0001)),
        (MSI + 4, 0xfee0_0000, DONE),
    ] {
        assert_eq!(bench.write(register, value, &[]), [action]);
    }
    assert_eq!(bench.state(), (0x405, false, BARS, true));
}

#[test]
fn device_that_decodes_after_what_was_left_is_gone_is_mapped() {
    let moved = Snapshot {
        bars: [0xd000_000c, 0, 0xfea0_0000, 1, 0, 0],
        ..with_command(0x407)
    };
    let mut bench = left();
    bench.write(COMMAND, 0x406, &[]);
    let first = bench.work(Good);
    let actions = bench.talk(first, &[Header(moved), Good]);
    assert_eq!(actions, [PROBE_ALL, Action::Defer, DONE]);
    assert_eq!(bench.flight(), map(BARS));
    assert_eq!(bench.work(Placed(BARS)), DONE);
    let new = Bench::of(Owner::Hardware, &moved, &SIZES);
    assert_eq!(bench.record(), new.record());
}

#[test]
fn device_that_decodes_and_for_which_nobody_comes_is_turned_off() {
    let mut bench = left();
    bench.write(COMMAND, 0x406, &[]);
    let first = bench.work(Good);
    let header = Header(with_command(0x407));
    let actions = bench.talk(first, &[header, Fails(Errno::EXDEV)]);
    assert_eq!(actions, [PROBE_ALL, Action::Defer, write16(COMMAND, 0x405)]);
    assert_eq!(bench.state(), (0x405, false, 0, false));
    assert_eq!(bench.flight(), DONE);
}

#[test]
fn device_that_is_not_found_after_what_was_left_is_gone_loses_its_vectors() {
    for (reply, errno) in [
        (Header(SILENCE), Errno::EIO),
        (Header(BRIDGE), Errno::EOPNOTSUPP),
        (Fails(Errno::EINVAL), Errno::EIO),
        (Good, Errno::EIO),
    ] {
        let mut bench = left().with_msi(0).with_msix(0b10);
        bench.write(COMMAND, 0x406, &[]);
        let first = bench.work(Good);
        let actions = bench.talk(first, &[reply, Good, Good, Good]);
        assert_eq!(
            actions,
            [
                PROBE_ALL,
                Action::MsiDisable,
                Action::MsixDisable(1),
                Action::MsixClear,
                failed(errno)
            ]
        );
        assert!(bench.device.reads_as_ones());
        assert_eq!(bench.state().2, 0);
    }
}

#[test]
fn rom_that_a_failed_unmap_has_left_is_tried_again_by_any_write_of_it() {
    for value in [0xfc00_0000, 0xfc00_0001, 0xfb00_0000] {
        let mut bench = Bench::decoding_rom();
        bench.write(ROM, 0xfc00_0000, &[Good]);
        assert_eq!(bench.work(Fails(Errno::ENOMEM)), failed(Errno::ENOMEM));
        assert_eq!(bench.state(), (2, true, WITH_ROM, false));
        assert_eq!(
            bench.write(ROM, value, &[Good]),
            [write32(ROM, 0xfc00_0000), Action::Defer]
        );
        assert_eq!(bench.flight(), unmap(1 << 6));
        assert_eq!(bench.work(Good), DONE);
        assert_eq!(bench.record(), Bench::decoding().record());
    }
    // Memory decode off takes it along.
    let mut bench = Bench::decoding_rom();
    bench.write(ROM, 0xfc00_0000, &[Good]);
    assert_eq!(bench.work(Fails(Errno::ENOMEM)), failed(Errno::ENOMEM));
    bench.write(COMMAND, 0, &[Good]);
    assert_eq!(bench.flight(), unmap(WITH_ROM));
    assert_eq!(bench.work(Good), DONE);
    assert_eq!(bench.state(), (0, false, 0, false));
}

#[test]
fn epoch_begins_anew_after_the_last() {
    let mut bench = Bench::new();
    bench.device.epoch = u32::MAX;
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.device.epoch, 0);
    assert_eq!(bench.work(Placed(BARS)), DONE);
    assert_eq!(bench.state(), (2, true, BARS, false));
}

#[test]
fn bars_are_in_place_when_their_map_is_over() {
    let mut bench = Bench::of(Owner::Hardware, &with_command(0), &SIZES);
    assert_eq!(bench.device.in_place(), BarSet::NONE);
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.device.in_place(), BarSet::NONE);
    assert_eq!(bench.work(Placed(BARS)), DONE);
    assert_eq!(bench.device.in_place(), set(BARS));
    bench.write(COMMAND, 0, &[Good]);
    assert_eq!(bench.device.in_place(), BarSet::NONE);
}
