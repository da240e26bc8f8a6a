// SPDX-License-Identifier: GPL-2.0-only
//! Writes to the command register and to the ROM register.

use super::*;

const ROM_ADDRESS: u32 = 0xfc00_0000;
const ROM_BIT: u32 = 1 << 6;

/// A bench, a write, the actions with good replies, the operation in flight
/// after it, and the state.
type Case = (
    &'static str,
    Bench,
    (u16, u32),
    &'static [Reply],
    Vec<Action>,
    Action,
    (u16, bool, u32, bool),
);

fn check(cases: Vec<Case>) {
    for (name, mut bench, (register, value), replies, actions, flight, state) in cases {
        let epoch = bench.device.epoch;
        assert_eq!(bench.write(register, value, replies), actions, "{name}");
        assert_eq!(bench.flight(), flight, "{name}");
        assert_eq!(bench.state(), state, "{name}");
        assert_eq!(bench.device.epoch != epoch, flight != DONE, "{name}");
    }
}

/// A device without memory BARs and ROM.
fn bare() -> Bench {
    let snapshot = Snapshot {
        bars: [1, 0, 0, 0, 0, 0],
        ..DEVICE
    };
    Bench::of(Owner::Hardware, &snapshot, &[0; 7])
}

#[test]
fn command_write_that_toggles_memory_decode_queues_the_bars() {
    let mut rom_only = Bench::new();
    rom_only.write(ROM, ROM_ADDRESS | 1, &[]);
    let on = vec![write16(COMMAND, 0x406), Action::Defer];
    let off = vec![write16(COMMAND, 0x405), Action::Defer];
    check(vec![
        (
            "on",
            Bench::new(),
            (COMMAND, 0x406),
            &[Good],
            on.clone(),
            map(BARS),
            (0x406, true, BARS, false),
        ),
        (
            "on with the ROM enabled",
            rom_only,
            (COMMAND, 0x406),
            &[Good],
            on.clone(),
            map(WITH_ROM),
            (0x406, true, WITH_ROM, true),
        ),
        (
            "on, whatever became of the register",
            Bench::new(),
            (COMMAND, 0x406),
            &[Fails(Errno::EIO)],
            on,
            map(BARS),
            (0x406, true, BARS, false),
        ),
        (
            "off",
            Bench::decoding(),
            (COMMAND, 0x405),
            &[Good],
            off.clone(),
            unmap(BARS),
            (0x405, false, 0, false),
        ),
        (
            "off with the ROM enabled",
            Bench::decoding_rom(),
            (COMMAND, 0x405),
            &[Good],
            off,
            unmap(WITH_ROM),
            (0x405, false, 0, true),
        ),
        (
            "other bits while on",
            Bench::decoding(),
            (COMMAND, 0x407),
            &[],
            vec![write16(COMMAND, 0x407)],
            DONE,
            (0x407, true, BARS, false),
        ),
        (
            "other bits while off",
            Bench::new(),
            (COMMAND, 0xffff_0105),
            &[],
            vec![write16(COMMAND, 0x105)],
            DONE,
            (0x105, false, 0, false),
        ),
        (
            "on without BARs",
            bare(),
            (COMMAND, 2),
            &[],
            vec![write16(COMMAND, 2)],
            DONE,
            (2, true, 0, false),
        ),
    ]);
}

#[test]
fn toggle_waits_for_the_operation_in_flight_and_other_bits_do_not() {
    for (mut bench, first, bits, flight) in [
        (Bench::new(), 2, BARS, map(BARS)),
        (Bench::decoding(), 0, 0, unmap(BARS)),
    ] {
        bench.write(COMMAND, first, &[Good]);
        let before = bench.clone();
        assert_eq!(bench.write(COMMAND, first ^ 2, &[]), [Action::Retry]);
        assert_eq!(bench, before);
        let other = first | 4;
        assert_eq!(bench.write(COMMAND, other, &[]), [write16(COMMAND, other)]);
        assert_eq!(bench.flight(), flight);
        assert_eq!(bench.state().2, bits);
        assert_eq!(u32::from(bench.device.command), other);
    }
}

#[test]
fn intx_of_a_guest_stays_off_while_msi_is_on() {
    for (bench, intx) in [
        (Bench::guest(), 0),
        (Bench::guest().with_msi(0), 0x400),
        (Bench::guest().with_msix(1), 0x400),
        (Bench::new().with_msi(0), 0),
        (Bench::new().with_msix(1), 0),
    ] {
        let mut bench = bench;
        let value = 4 | intx;
        assert_eq!(bench.write(COMMAND, 4, &[]), [write16(COMMAND, value)]);
        assert_eq!(bench.device.read(COMMAND), value);
    }
}

#[test]
fn guest_begins_with_a_device_that_decodes_nothing() {
    let snapshot = Snapshot {
        rom: ROM_ADDRESS | 1,
        ..with_command(0x147)
    };
    let mut bench = Bench::made(&snapshot, &SIZES);
    let first = bench.device.attach(Owner::Guest);
    assert_eq!(
        bench.talk(first, &[Good, Header(snapshot)]),
        [Action::MsixClear, PROBE_ALL, write16(COMMAND, 0x140)]
    );
    assert_eq!(bench.state(), (0x140, false, 0, false));
    assert_eq!(bench.device.read(COMMAND), 0x140);
    let actions = bench.write(COMMAND, 2, &[Good]);
    assert_eq!(actions, [write16(COMMAND, 2), Action::Defer]);
    assert_eq!(bench.flight(), map(BARS));
}

#[test]
fn rom_write_with_memory_decode_off_changes_the_register_alone() {
    for (mut bench, register, slot) in [(Bench::new(), ROM, 6), (Bench::bridge(), 0x38, 2)] {
        for (value, written, enabled) in [
            (0xf000_0001, 0xf000_0001, 1),
            (0xf000_07fe, 0xf000_0000, 0),
            (0xffff_f800, !(bench.device.bars[slot].size() - 1), 0),
            (0x0000_0001, 0x0000_0001, 1),
        ] {
            let [a, b, c, d, ..] = written.to_le_bytes();
            let written = u32::from_le_bytes([a, b, c, d]);
            let mut after = bench.record();
            after.device.bars[slot].addr = u64::from(written & !1);
            after.device.bars[slot].guest_addr = u64::from(written & !1);
            after.device.rom_enabled = enabled;
            assert_eq!(
                bench.write(register, value, &[]),
                [write32(register, written)]
            );
            assert_eq!(bench.record(), after, "{value:#x}");
        }
    }
}

#[test]
fn rom_enable_bit_maps_and_unmaps_it_while_memory_decode_is_on() {
    let enabled = ROM_ADDRESS | 1;
    check(vec![
        (
            "enabled",
            Bench::decoding(),
            (ROM, enabled),
            &[Good],
            vec![write32(ROM, enabled), Action::Defer],
            map(ROM_BIT),
            (2, true, WITH_ROM, true),
        ),
        (
            "moved while disabled",
            Bench::decoding(),
            (ROM, 0xfb00_0000),
            &[],
            vec![write32(ROM, 0xfb00_0000)],
            DONE,
            (2, true, BARS, false),
        ),
        (
            "disabled",
            Bench::decoding_rom(),
            (ROM, ROM_ADDRESS),
            &[Good],
            vec![write32(ROM, ROM_ADDRESS), Action::Defer],
            unmap(ROM_BIT),
            (2, true, BARS, false),
        ),
        (
            "disabled and moved",
            Bench::decoding_rom(),
            (ROM, 0xffff_f800),
            &[Good],
            vec![write32(ROM, ROM_ADDRESS), Action::Retry],
            unmap(ROM_BIT),
            (2, true, BARS, false),
        ),
        (
            "enabled again",
            Bench::decoding_rom(),
            (ROM, enabled),
            &[Header(DECODING)],
            vec![DOUBT, DONE],
            DONE,
            (2, true, WITH_ROM, true),
        ),
        (
            "enabled again and moved",
            Bench::decoding_rom(),
            (ROM, 0xfb00_0001),
            &[Header(DECODING)],
            vec![DOUBT, Action::BarMapped(index(6))],
            DONE,
            (2, true, WITH_ROM, true),
        ),
    ]);
}

const DECODING: Snapshot = Snapshot {
    command: 2,
    ..DEVICE
};

#[test]
fn rom_keeps_its_address_until_it_is_unmapped() {
    let mut bench = Bench::decoding_rom();
    bench.write(ROM, 0xffff_f800, &[Good]);
    assert_eq!(bench.device.bars[6].addr, u64::from(ROM_ADDRESS));
    assert_eq!(bench.write(ROM, 0xffff_f800, &[]), [Action::Retry]);
    assert_eq!(bench.work(Good), DONE);
    assert_eq!(
        bench.write(ROM, 0xffff_f800, &[]),
        [write32(ROM, 0xffff_0000)]
    );
    assert_eq!(bench.device.bars[6].addr, 0xffff_0000);
    // Hence it is mapped where it has come to be.
    assert_eq!(
        bench.write(ROM, 0xfb00_0001, &[Good]),
        [write32(ROM, 0xfb00_0001), Action::Defer]
    );
    assert_eq!(bench.flight(), map(ROM_BIT));
    assert_eq!(bench.device.bars[6].addr, 0xfb00_0000);
}

#[test]
fn rom_of_a_device_that_was_reset_unannounced_heals_it() {
    let mut bench = Bench::decoding_rom();
    assert_eq!(
        bench.write(ROM, 0xfb00_0001, &[Header(DEVICE), Good]),
        [DOUBT, Action::MsixClear, Action::Retry]
    );
    assert_eq!(bench.flight(), unmap(WITH_ROM));
    let first = bench.work(Good);
    assert_eq!(bench.talk(first, &[Header(DEVICE)]), [PROBE_ALL, DONE]);
    assert_eq!(bench.record(), Bench::new().record());
}

#[test]
fn write_to_a_rom_that_is_not_there_is_ignored() {
    for (snapshot, register) in [(DEVICE, 0x30), (BRIDGE, 0x38)] {
        let mut bench = Bench::of(Owner::Hardware, &snapshot, &[0x1000, 0, 0, 0, 0, 0, 0]);
        let before = bench.clone();
        assert_eq!(bench.write(register, !0, &[]), [DONE]);
        assert_eq!(bench, before);
    }
}

#[test]
fn register_that_is_not_emulated_takes_no_write() {
    for mut bench in [Bench::new(), bare()] {
        let before = bench.clone();
        for register in [0, 6, 0xe, 0x28, 0x34, 0x3c, 0x40, 0x68, 0x7c, 0xffc] {
            assert_eq!(bench.write(register, !0, &[]), [DONE]);
        }
        assert_eq!(bench, before);
    }
}

#[test]
fn writes_are_ignored_of_a_device_that_is_nobodys_or_fenced_and_wait_for_a_reset() {
    let mut fenced = Bench::decoding();
    let first = fenced.device.reset(&mut fenced.entries, ResetKind::Flr);
    assert_eq!(
        fenced.talk(first, &[Good, Header(SILENCE), Good]),
        [Action::MsixClear, PROBE, unmap(BARS), failed(Errno::EIO)]
    );
    let mut busy = Bench::decoding();
    let first = busy.device.reset(&mut busy.entries, ResetKind::Flr);
    assert_eq!(first, Action::MsixClear);
    for (mut bench, ones, writes, answer) in [
        (Bench::made(&DEVICE, &SIZES), false, Writes::Ignored, DONE),
        (fenced, true, Writes::Ignored, DONE),
        (busy, false, Writes::Wait, Action::Retry),
    ] {
        assert_eq!(bench.device.writes(), writes);
        assert_eq!(bench.device.reads_as_ones(), ones);
        let before = bench.clone();
        for register in [COMMAND, BAR0, BAR2, ROM, MSI + 2, MSI + 4, MSIX + 2] {
            assert_eq!(bench.begin(register, !0), answer);
        }
        let Bench { device, entries } = &mut bench;
        for offset in [0, 4, 8, 12] {
            assert_eq!(device.write_entry(entries, 0, offset, 4, 0), answer);
        }
        assert_eq!(bench, before);
    }
}

#[test]
fn write_that_toggles_nothing_passes_and_the_record_follows() {
    for (mut bench, value, passes) in [
        (Bench::new(), 0x505, true),
        (Bench::decoding(), 0x507, true),
        (Bench::new(), 2, false),
        (Bench::decoding(), 0x505, false),
        // A guest's is looked at for its INTx.
        (Bench::guest(), 4, false),
        (Bench::made(&DEVICE, &SIZES), 4, false),
    ] {
        let mut after = bench.clone();
        if passes {
            after.device.command = value;
        }
        assert_eq!(bench.device.passes_command(value), passes);
        assert_eq!(bench, after, "{value:#x}");
    }
    let mut bench = Bench::decoding();
    assert_eq!(
        bench.device.reset(&mut bench.entries, ResetKind::Flr),
        Action::MsixClear
    );
    assert!(!bench.device.passes_command(2));
    // What is in flight does not matter to it.
    let mut bench = Bench::new();
    bench.write(COMMAND, 2, &[Good]);
    assert!(bench.device.passes_command(6) && !bench.device.passes_command(4));
}
