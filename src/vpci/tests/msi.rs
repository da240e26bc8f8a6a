// SPDX-License-Identifier: GPL-2.0-only
//! The MSI capability.

use super::*;

const CONTROL: u16 = MSI + 2;
const LOW: u16 = MSI + 4;
const HIGH: u16 = MSI + 8;
const DATA: u16 = MSI + 0xc;
const MASK: u16 = MSI + 0x10;

/// A device with this MSI control register and most vectors.
fn with_control(msi_control: u16, msi_vectors: u8) -> Bench {
    let snapshot = Snapshot {
        msi_control,
        msi_vectors,
        ..DEVICE
    };
    Bench::of(Owner::Hardware, &snapshot, &SIZES)
}

#[test]
fn fields_lie_where_the_capabilitys_layout_says() {
    // Masking and 64 bits, 64 bits, masking, neither: which registers take
    // what is written, besides control.
    for (control, emulated) in [
        (0x180, &[4, 8, 0xc, 0x10][..]),
        (0x080, &[4, 8, 0xc]),
        (0x100, &[4, 8, 0xc]),
        (0x000, &[4, 8]),
    ] {
        let mut bench = with_control(control, 1);
        for offset in (4..0x18).step_by(2) {
            let before = bench.clone();
            assert_eq!(bench.write(MSI + offset, 0x1234_5678, &[]), [DONE]);
            let taken = bench != before;
            assert_eq!(
                taken,
                emulated.contains(&offset),
                "{control:#x} {offset:#x}"
            );
        }
    }
}

#[test]
fn message_and_mask_are_read_as_they_were_written() {
    let mut bench = Bench::new();
    for (register, value, read) in [
        (LOW, 0xfee0_1000, 0xfee0_1000),
        (HIGH, 0x0000_0001, 0x0000_0001),
        (DATA, 0xffff_4041, 0x0000_4041),
        (MASK, 0x8000_0005, 0x8000_0005),
    ] {
        assert_eq!(bench.write(register, value, &[]), [DONE]);
        assert_eq!(bench.device.read(register), read);
    }
    let msi = bench.device.msi;
    assert_eq!(
        (msi.address, msi.data, msi.mask),
        (0x1_fee0_1000, 0x4041, 0x8000_0005)
    );
    bench.write(LOW, 0xfee0_2000, &[]);
    assert_eq!(bench.device.msi.address, 0x1_fee0_2000);
    // Capable of 8, one enabled, masking, 64 bits.
    assert_eq!(bench.device.read(CONTROL), 0x186);
}

#[test]
fn device_without_the_capability_has_none_of_its_registers() {
    let mut bench = Bench::bridge();
    let before = bench.clone();
    for register in [0, 2, CONTROL, LOW, HIGH, DATA, MASK] {
        assert_eq!(bench.write(register, 0xffff, &[]), [DONE]);
        assert_eq!(bench.device.read(register), 0);
    }
    assert_eq!(bench, before);
}

#[test]
fn vectors_are_no_more_than_the_device_has() {
    for (most, log2, vectors, control) in [
        (1, 0, 1, 0x181),
        (1, 5, 1, 0x181),
        (8, 2, 4, 0x1a7),
        (8, 3, 8, 0x1b7),
        (8, 5, 8, 0x1b7),
        (32, 5, 32, 0x1db),
        // Reserved, counts as 32.
        (32, 7, 32, 0x1db),
        (0, 5, 1, 0x181),
        (0xff, 5, 32, 0x1db),
    ] {
        let mut bench = with_control(0x180, most);
        assert_eq!(
            bench.write(CONTROL, 1 | log2 << 4, &[Good]),
            [Action::MsiEnable(vectors), write16(CONTROL, control)]
        );
        let msi = bench.device.msi;
        assert_eq!((msi.enabled, msi.vectors), (1, vectors));
        assert_eq!(bench.device.read(CONTROL), control);
    }
}

#[test]
fn control_write_without_a_change_asks_for_nothing() {
    let mut bench = Bench::new();
    for log2 in [1, 3, 2] {
        assert_eq!(bench.write(CONTROL, log2 << 4, &[]), [DONE]);
        assert_eq!(bench.device.msi.vectors, 1 << log2);
    }
    let mut bench = bench.with_msi(1);
    let before = bench.clone();
    // The read-only bits make no difference.
    for value in [0x11, 0xff8f | 0x10] {
        assert_eq!(bench.write(CONTROL, value, &[]), [DONE]);
    }
    assert_eq!(bench, before);
}

#[test]
fn failed_enable_leaves_it_disabled() {
    let mut bench = Bench::new();
    let before = bench.record();
    assert_eq!(
        bench.write(CONTROL, 0x31, &[Fails(Errno::ENOMEM)]),
        [Action::MsiEnable(8), failed(Errno::ENOMEM)]
    );
    assert_eq!(bench.record(), before);
}

#[test]
fn disable_releases_the_vectors_and_keeps_the_message() {
    let mut bench = Bench::new();
    bench.write(LOW, 0xfee0_0000, &[]);
    let mut bench = bench.with_msi(1);
    let mut after = bench.record();
    assert_eq!(
        bench.write(CONTROL, 0x20, &[Good]),
        [Action::MsiDisable, write16(CONTROL, 0x1a6)]
    );
    after.device.msi.enabled = 0;
    after.device.msi.vectors = 4;
    after.device.msi.arch.pirq = INVALID_PIRQ;
    assert_eq!(bench.record(), after);

    let mut bench = bench.with_msi(1);
    let before = bench.record();
    assert_eq!(
        bench.write(CONTROL, 0, &[Fails(Errno::EBUSY)]),
        [Action::MsiDisable, failed(Errno::EBUSY)]
    );
    assert_eq!(bench.record(), before);
}

#[test]
fn other_number_of_vectors_while_enabled_is_allocated_anew() {
    let mut bench = Bench::new().with_msi(0);
    assert_eq!(
        bench.write(CONTROL, 0x31, &[Good, Good]),
        [
            Action::MsiDisable,
            Action::MsiEnable(8),
            write16(CONTROL, 0x1b7)
        ]
    );
    let msi = bench.device.msi;
    assert_eq!((msi.enabled, msi.vectors), (1, 8));

    // The device is told that it is off now.
    assert_eq!(
        bench.write(CONTROL, 0x21, &[Good, Fails(Errno::ENOMEM)]),
        [
            Action::MsiDisable,
            Action::MsiEnable(4),
            write16(CONTROL, 0x1b6)
        ]
    );
    assert_eq!(bench.device.msi.enabled, 0);

    let mut bench = Bench::new().with_msi(0);
    let before = bench.record();
    assert_eq!(
        bench.write(CONTROL, 0x31, &[Fails(Errno::EBUSY)]),
        [Action::MsiDisable, failed(Errno::EBUSY)]
    );
    assert_eq!(bench.record(), before);
}

#[test]
fn message_written_while_enabled_is_bound_at_once() {
    let mut bench = Bench::new().with_msi(0);
    for (register, value) in [(LOW, 0xfee0_0000), (HIGH, 0), (DATA, 0x41)] {
        assert_eq!(bench.write(register, value, &[]), [Action::MsiUpdate]);
        assert_eq!(bench.device.read(register), value);
    }
}

#[test]
fn mask_bits_of_enabled_vectors_alone_are_carried_out() {
    let mut bench = Bench::new();
    assert_eq!(bench.write(MASK, 0b1, &[]), [DONE]);
    let mut bench = bench.with_msi(2);
    for (value, changed) in [(0b11, 0b10), (0b10, 0b01), (!0, 0b1101), (0, 0b1111)] {
        let action = Action::MsiMask {
            changed,
            mask: value,
        };
        assert_eq!(bench.write(MASK, value, &[]), [action]);
        assert_eq!(bench.device.msi.mask, value);
    }
    // None of them, but it is kept.
    assert_eq!(bench.write(MASK, 0xfff0, &[]), [DONE]);
    assert_eq!(bench.device.msi.mask, 0xfff0);
    assert_eq!(bench.write(MASK, 0xfff0, &[]), [DONE]);

    let mut bench = with_control(0x180, 32).with_msi(5);
    let action = Action::MsiMask {
        changed: !0,
        mask: !0,
    };
    assert_eq!(bench.write(MASK, !0, &[]), [action]);
}

#[test]
fn guest_gets_its_intx_disabled_first() {
    for reply in [Good, Fails(Errno::EIO)] {
        let mut bench = Bench::guest();
        assert_eq!(
            bench.write(CONTROL, 1, &[Good, reply]),
            [
                Action::MsiEnable(1),
                Action::IntxDisable,
                write16(CONTROL, 0x187)
            ]
        );
        assert_eq!(bench.device.read(COMMAND), 0x400);
        // It has been already when vectors are allocated anew.
        assert_eq!(
            bench.write(CONTROL, 0x11, &[Good, Good]),
            [
                Action::MsiDisable,
                Action::MsiEnable(2),
                write16(CONTROL, 0x197)
            ]
        );
    }
}

#[test]
fn hidden_device_has_no_msi() {
    let mut bench = Bench::of(Owner::Hidden, &DEVICE, &SIZES);
    let before = bench.clone();
    for value in [1, 0x31] {
        assert_eq!(
            bench.write(CONTROL, value, &[]),
            [failed(Errno::EOPNOTSUPP)]
        );
    }
    assert_eq!(bench, before);
    assert_eq!(bench.write(LOW, 0xfee0_0000, &[]), [DONE]);

    // What it had before goes, and does not come again.
    let mut bench = Bench::new().with_msi(0);
    bench.device.hide();
    assert_eq!(bench.write(CONTROL, 0x11, &[]), [failed(Errno::EOPNOTSUPP)]);
    assert_eq!(
        bench.write(CONTROL, 0, &[Good]),
        [Action::MsiDisable, write16(CONTROL, 0x186)]
    );
    assert_eq!(bench.write(CONTROL, 1, &[]), [failed(Errno::EOPNOTSUPP)]);
}
