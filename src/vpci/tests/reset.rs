// SPDX-License-Identifier: GPL-2.0-only
//! Resets, and a device that changes hands.

use super::*;

const KINDS: [ResetKind; 4] = [
    ResetKind::Cold,
    ResetKind::Warm,
    ResetKind::Hot,
    ResetKind::Flr,
];

/// How a device is after a reset of its own: it decodes nothing, its BARs and
/// its ROM are 0.
const RESET: Snapshot = Snapshot {
    bars: [0xc, 0, 0, 1, 0, 0],
    rom: 0,
    ..DEVICE
};

/// `DEVICE` elsewhere, decoding and with its ROM enabled.
const MOVED: Snapshot = Snapshot {
    bars: [0xd000_000c, 3, 0xfea0_0000, 0xc001, 0, 0],
    rom: 0xfb00_0001,
    command: 0x407,
    ..DEVICE
};

impl Bench {
    fn reset(&mut self, kind: ResetKind) -> Action {
        let Self { device, entries } = self;
        device.reset(entries, kind)
    }

    fn detach(&mut self) -> Action {
        let Self { device, entries } = self;
        device.detach(entries)
    }

    /// A function level reset, replied to.
    fn flr(&mut self, replies: &[Reply]) -> Vec<Action> {
        let first = self.reset(ResetKind::Flr);
        self.talk(first, replies)
    }

    fn detached(&mut self, replies: &[Reply]) -> Vec<Action> {
        let first = self.detach();
        self.talk(first, replies)
    }

    fn attached(&mut self, owner: Owner, replies: &[Reply]) -> Vec<Action> {
        let first = self.device.attach(owner);
        self.talk(first, replies)
    }
}

/// Everything in use: MSI, MSI-X entries 0 and 2, BARs and ROM mapped.
fn busy() -> Bench {
    Bench::decoding_rom().with_msi(1).with_msix(0b101)
}

/// The actions that give back what `busy` has, up to the probe.
const RELEASE: [Action; 4] = [
    Action::MsiDisable,
    Action::MsixDisable(0),
    Action::MsixDisable(2),
    Action::MsixClear,
];

/// A device that did not come back.
fn fenced() -> Bench {
    let mut bench = Bench::decoding();
    bench.flr(&[Good, Header(SILENCE), Good]);
    assert!(bench.device.reads_as_ones());
    bench
}

/// ... and whose BARs could not be unmapped.
fn fenced_and_left() -> Bench {
    let mut bench = Bench::decoding();
    assert_eq!(
        bench.flr(&[Good, Header(SILENCE), Fails(Errno::ENOMEM)]),
        [Action::MsixClear, PROBE, unmap(BARS), failed(Errno::ENOMEM)]
    );
    assert!(bench.device.reads_as_ones());
    assert_eq!(bench.state().2, BARS);
    bench
}

/// The record of a new device with this snapshot, with what it decodes mapped.
fn new(snapshot: &Snapshot) -> Bench {
    Bench::of(Owner::Hardware, snapshot, &SIZES).record()
}

#[test]
fn reset_releases_vectors_then_unmaps_what_the_device_does_not_decode_any_more() {
    for kind in KINDS {
        let probe = if kind == ResetKind::Flr {
            PROBE
        } else {
            PROBE_ALL
        };
        let mut bench = busy();
        let first = bench.reset(kind);
        let header = Header(RESET);
        let actions = bench.talk(first, &[Good, Good, Good, Good, header, Good, header]);
        let [msi, first, second, clear] = RELEASE;
        assert_eq!(
            actions,
            [
                msi,
                first,
                second,
                clear,
                probe,
                unmap(WITH_ROM),
                probe,
                DONE
            ]
        );
        assert_eq!(bench.record(), new(&RESET));
    }
}

#[test]
fn reset_leaves_out_what_there_is_not() {
    let bare = Snapshot {
        msi_pos: 0,
        msix_pos: 0,
        ..DEVICE
    };
    let decoding = Snapshot { command: 2, ..bare };
    let of = |snapshot| Bench::of(Owner::Hardware, &snapshot, &SIZES);
    let header = Header(RESET);
    for (mut bench, replies, actions) in [
        (of(bare), &[header][..], vec![PROBE, DONE]),
        (
            of(decoding),
            &[header, Good, header],
            vec![PROBE, unmap(BARS), PROBE, DONE],
        ),
        (
            of(Snapshot {
                msi_pos: 0x50,
                ..bare
            })
            .with_msi(0),
            &[Good, header],
            vec![Action::MsiDisable, PROBE, DONE],
        ),
        (
            Bench::new(),
            &[Good, header],
            vec![Action::MsixClear, PROBE, DONE],
        ),
    ] {
        assert_eq!(bench.flr(replies), actions);
    }
}

#[test]
fn mapping_that_would_come_to_the_same_place_stays() {
    for (mut bench, snapshot) in [
        (Bench::decoding(), with_command(0x407)),
        (
            Bench::decoding_rom(),
            Snapshot {
                rom: DEVICE.rom | 1,
                ..with_command(2)
            },
        ),
    ] {
        for kind in KINDS {
            let epoch = bench.device.epoch;
            let first = bench.reset(kind);
            let actions = bench.talk(first, &[Good, Header(snapshot)]);
            assert_eq!(actions.len(), 3, "{actions:?}");
            assert_eq!(actions.last(), Some(&DONE));
            assert_eq!(bench.record(), new(&snapshot));
            assert_ne!(bench.device.epoch, epoch);
        }
    }
}

#[test]
fn mapping_that_differs_in_anything_is_made_anew() {
    let with_rom = Snapshot {
        rom: DEVICE.rom | 1,
        ..with_command(2)
    };
    let moved = |slot: usize, register| {
        let mut snapshot = with_command(2);
        snapshot.bars[slot] = register;
        snapshot
    };
    for (mut bench, snapshot, before, after) in [
        (Bench::decoding_rom(), MOVED, WITH_ROM, WITH_ROM),
        (Bench::decoding(), moved(0, 0xd000_000c), BARS, BARS),
        (Bench::decoding(), moved(1, 3), BARS, BARS),
        (Bench::decoding(), moved(2, 0xfea0_0000), BARS, BARS),
        (Bench::decoding(), with_rom, BARS, WITH_ROM),
        (Bench::decoding_rom(), with_command(2), WITH_ROM, BARS),
        (
            Bench::decoding_rom(),
            Snapshot {
                rom: 0xfb00_0001,
                ..with_command(2)
            },
            WITH_ROM,
            WITH_ROM,
        ),
        // It is not mapped, but where the register says is recorded.
        (
            Bench::decoding(),
            Snapshot {
                rom: 0xfb00_0000,
                ..with_command(2)
            },
            BARS,
            BARS,
        ),
    ] {
        let header = Header(snapshot);
        assert_eq!(
            bench.flr(&[Good, header, Good, header, Placed(after)]),
            [
                Action::MsixClear,
                PROBE,
                unmap(before),
                PROBE,
                map(after),
                DONE
            ]
        );
        assert_eq!(bench.record(), new(&snapshot));
    }
}

#[test]
fn mapping_that_may_not_be_complete_is_made_anew() {
    let header = Header(with_command(2));
    let whole = [
        Action::MsixClear,
        PROBE,
        unmap(BARS),
        PROBE,
        map(BARS),
        DONE,
    ];
    let replies = [Good, header, Good, header, Placed(BARS)];

    // On its way.
    let mut bench = Bench::new();
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.flr(&replies), whole);
    assert_eq!(bench.flight(), DONE);

    // On its way out.
    let mut bench = Bench::decoding();
    bench.write(COMMAND, 0, &[Good]);
    assert_eq!(bench.flr(&replies), whole);
    assert_eq!(bench.flight(), DONE);

    // A BAR that lies where none may: when the device decodes it, it is tried.
    let mut bench = Bench::new();
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.work(Placed(0b001)), DONE);
    let mut actions = whole;
    actions[2] = unmap(0b001);
    assert_eq!(bench.flr(&replies), actions);
    assert_eq!(bench.record(), new(&with_command(2)));

    // What a failed unmap has left.
    let mut bench = Bench::decoding();
    bench.write(COMMAND, 0, &[Good]);
    assert_eq!(bench.work(Fails(Errno::ENOMEM)), failed(Errno::ENOMEM));
    assert_eq!(bench.flr(&replies), whole);

    // A reset's, given up with the map on its way, and a detach's after that.
    let mut bench = Bench::new();
    assert_eq!(bench.reset(ResetKind::Flr), Action::MsixClear);
    assert_eq!(bench.reply(Good), PROBE);
    assert_eq!(bench.reply(header), map(BARS));
    assert_eq!(bench.detach(), Action::MsixClear);
    assert_eq!(bench.flr(&replies), whole);

    // What was on its way when nothing had been unmapped yet is.
    let mut bench = Bench::decoding();
    assert_eq!(bench.detach(), Action::MsixClear);
    assert_eq!(bench.flr(&[Good, header]), [Action::MsixClear, PROBE, DONE]);
}

#[test]
fn bars_that_are_placed_where_none_may_be_are_not_mapped() {
    let header = Header(MOVED);
    let mut bench = Bench::new();
    let actions = bench.flr(&[Good, header, Placed(0b1)]);
    assert_eq!(actions, [Action::MsixClear, PROBE, map(WITH_ROM), DONE]);
    assert_eq!(bench.state(), (0x407, true, 0b1, true));
}

#[test]
fn reset_that_finds_memory_decode_without_bars_maps_nothing() {
    let snapshot = Snapshot {
        ignore_bars: 1,
        ..with_command(2)
    };
    let mut bench = Bench::of(Owner::Hardware, &snapshot, &SIZES);
    assert_eq!(
        bench.flr(&[Good, Header(snapshot)]),
        [Action::MsixClear, PROBE, DONE]
    );
    assert_eq!(bench.state(), (2, true, 0, false));
}

#[test]
fn reset_ends_the_operation_in_flight() {
    for command in [0, 2] {
        let mut bench = Bench::of(Owner::Hardware, &with_command(command), &SIZES);
        bench.write(COMMAND, u32::from(command) ^ 2, &[Good]);
        let epoch = bench.device.epoch;
        assert_eq!(bench.reset(ResetKind::Flr), Action::MsixClear);
        // Whoever comes for it waits for the reset, and finds nothing then.
        assert_eq!(bench.flight(), Action::Retry);
        let before = bench.clone();
        for result in [Ok(set(BARS)), Err(Errno::ENOMEM)] {
            assert_eq!(bench.device.work(epoch), Action::Retry);
            assert_eq!(bench.device.worked(epoch, result), DONE);
        }
        assert_eq!(bench, before);
        bench.talk(
            Action::MsixClear,
            &[Good, Header(RESET), Good, Header(RESET)],
        );
        assert_eq!(bench.record(), new(&RESET));
        assert_eq!(bench.device.work(epoch), DONE);
    }
}

#[test]
fn reset_on_its_way_gives_its_action_again_and_has_writes_wait() {
    let header = Header(MOVED);
    for replies in [
        // To the end, with a map; with one that fails; no answer.
        &[
            Good,
            Good,
            Good,
            Good,
            header,
            Good,
            header,
            Placed(WITH_ROM),
        ][..],
        &[
            Good,
            Good,
            Good,
            Good,
            header,
            Good,
            header,
            Fails(Errno::ENOMEM),
            Good,
            Good,
        ],
        &[Good, Good, Good, Good, Header(SILENCE), Good],
    ] {
        for kind in KINDS {
            let mut bench = busy();
            let mut action = bench.reset(kind);
            for &reply in replies {
                assert!(bench.device.writes() != Writes::Pass);
                assert!(!bench.device.reads_as_ones());
                let before = bench.clone();
                for other in KINDS {
                    assert_eq!(bench.reset(other), action);
                }
                assert_eq!(bench, before);
                action = bench.reply(reply);
            }
            assert!(bench.device.is_idle());
        }
    }
}

#[test]
fn failed_step_ends_the_reset_and_the_next_one_does_the_rest() {
    let [msi, first, second, clear] = RELEASE;
    let steps = [
        msi,
        first,
        second,
        clear,
        PROBE,
        unmap(WITH_ROM),
        PROBE,
        map(WITH_ROM),
    ];
    for errno in [Errno::ENOMEM, Errno::EBUSY] {
        // A failed probe is no answer, and that of the control register is none.
        for failing in [0, 1, 2, 5] {
            let mut bench = busy();
            let mut action = bench.reset(ResetKind::Flr);
            for &step in &steps[..failing] {
                assert_eq!(action, step);
                bench.vectors(action);
                action = bench.reply(well(action, MOVED));
            }
            assert_eq!(action, steps[failing]);
            assert_eq!(bench.reply(Fails(errno)), failed(errno));
            assert!(bench.device.is_idle());
            assert!(bench.device.writes() == Writes::Pass);
            let decodes = failing != 5;
            assert_eq!(bench.state(), (2, decodes, WITH_ROM, true));

            let mut expected = steps.to_vec();
            expected.drain(..failing.min(3));
            let mut action = bench.reset(ResetKind::Flr);
            for step in expected {
                assert_eq!(action, step);
                bench.vectors(action);
                action = bench.reply(well(action, MOVED));
            }
            assert_eq!(action, DONE);
            assert_eq!(bench.record(), new(&MOVED));
        }
    }
}

#[test]
fn failed_map_of_a_reset_turns_memory_decode_off_and_unmaps() {
    for undone in [true, false] {
        let mut bench = Bench::new();
        let last = if undone { Good } else { Fails(Errno::EBUSY) };
        let actions = bench.flr(&[Good, Header(MOVED), Fails(Errno::ENOMEM), Good, last]);
        assert_eq!(
            actions,
            [
                Action::MsixClear,
                PROBE,
                map(WITH_ROM),
                write16(COMMAND, 0x405),
                unmap(WITH_ROM),
                failed(Errno::ENOMEM)
            ]
        );
        let mapped = if undone { 0 } else { WITH_ROM };
        assert_eq!(bench.state(), (0x405, false, mapped, true));
        assert!(bench.device.writes() == Writes::Pass);
        // The next one maps them.
        let header = Header(MOVED);
        let replies = [Good, header, Good, header, Placed(WITH_ROM)];
        if undone {
            bench.flr(&[Good, header, Placed(WITH_ROM)]);
        } else {
            bench.flr(&replies);
        }
        assert_eq!(bench.record(), new(&MOVED));
    }
}

#[test]
fn addresses_are_read_before_the_domain_uses_the_device_after_a_failed_unmap() {
    let mut bench = Bench::decoding();
    let actions = bench.flr(&[Good, Header(RESET), Fails(Errno::ENOMEM)]);
    assert_eq!(
        actions,
        [Action::MsixClear, PROBE, unmap(BARS), failed(Errno::ENOMEM)]
    );
    assert_eq!(bench.write(BAR1, 0x12, &[]), [Action::Defer]);
    let first = bench.work(Good);
    assert_eq!(bench.talk(first, &[Header(RESET)]), [PROBE_ALL, DONE]);
    assert_eq!(bench.record(), new(&RESET));
}

#[test]
fn device_that_does_not_answer_is_fenced_until_a_reset_finds_it() {
    let not_ready = Snapshot {
        id: DEVICE.id,
        ..SILENCE
    };
    let no_vendor = Snapshot {
        id: 0x1234_ffff,
        ..DEVICE
    };
    for reply in [
        Header(SILENCE),
        Header(not_ready),
        Header(no_vendor),
        Fails(Errno::ENOMEM),
        Good,
    ] {
        let mut bench = Bench::decoding();
        assert_eq!(
            bench.flr(&[Good, reply, Good]),
            [Action::MsixClear, PROBE, unmap(BARS), failed(Errno::EIO)]
        );
        assert!(bench.device.reads_as_ones() && bench.device.writes() != Writes::Pass);
        assert_eq!(bench.state(), (2, false, 0, false));
        assert_eq!(bench.device.owner(), Owner::Hardware);
        // Still not, and then it is.
        assert_eq!(
            bench.flr(&[Good, reply]),
            [Action::MsixClear, PROBE, failed(Errno::EIO)]
        );
        assert!(bench.device.reads_as_ones());
        bench.flr(&[Good, Header(RESET)]);
        assert_eq!(bench.record(), new(&RESET));
        assert!(!bench.device.reads_as_ones() && bench.device.writes() == Writes::Pass);
    }
}

#[test]
fn device_that_goes_away_between_the_probes_is_fenced() {
    for (reply, errno) in [
        (Header(SILENCE), Errno::EIO),
        (Header(BRIDGE), Errno::EOPNOTSUPP),
        (Fails(Errno::ENOMEM), Errno::EIO),
    ] {
        let mut bench = Bench::decoding();
        assert_eq!(
            bench.flr(&[Good, Header(RESET), Good, reply]),
            [Action::MsixClear, PROBE, unmap(BARS), PROBE, failed(errno)]
        );
        assert!(bench.device.reads_as_ones());
        assert_eq!(bench.state().2, 0);
    }
}

#[test]
fn device_that_answers_as_another_one_is_fenced() {
    let bars = |bars| Snapshot { bars, ..DEVICE };
    for snapshot in [
        Snapshot {
            header_type: 2,
            ..DEVICE
        },
        Snapshot {
            header_type: 1,
            ..DEVICE
        },
        // No 64-bit BAR in slot 0, an I/O one.
        bars([0, 0, 0, 1, 0, 0]),
        bars([5, 0, 0, 1, 0, 0]),
        // A 64-bit BAR in slot 2, an I/O one.
        bars([4, 0, 4, 1, 0, 0]),
        bars([4, 0, 1, 1, 0, 0]),
    ] {
        for kind in KINDS {
            let mut bench = Bench::decoding();
            let first = bench.reset(kind);
            let actions = bench.talk(first, &[Good, Header(snapshot), Good]);
            assert_eq!(
                actions[2..],
                [unmap(BARS), failed(Errno::EOPNOTSUPP)],
                "{snapshot:x?}"
            );
            assert!(bench.device.reads_as_ones());
        }
    }
    // What is not the library's may be anything, as may what a slot without a
    // BAR reads.
    for snapshot in [
        bars([4, !0, 0xd, 0, 4, 1]),
        Snapshot {
            id: 0x4321_8086,
            header_type: 0,
            ..DEVICE
        },
    ] {
        let mut bench = Bench::new();
        let last = bench.flr(&[Good, Header(snapshot)]).pop();
        let expected = if snapshot.bars[2] == 0xd {
            failed(Errno::EOPNOTSUPP)
        } else {
            DONE
        };
        assert_eq!(last, Some(expected));
    }
}

#[test]
fn other_capabilities_are_found_by_all_kinds_but_a_function_level_reset() {
    for snapshot in [
        Snapshot {
            msi_pos: 0x58,
            ..DEVICE
        },
        Snapshot {
            msi_pos: 0,
            ..DEVICE
        },
        Snapshot {
            msi_control: 0x106,
            ..DEVICE
        },
        Snapshot {
            msi_control: 0x86,
            ..DEVICE
        },
        Snapshot {
            msix_pos: 0x78,
            ..DEVICE
        },
        Snapshot {
            msix_pos: 0,
            ..DEVICE
        },
        Snapshot {
            msix_control: ENTRIES,
            ..DEVICE
        },
        Snapshot {
            msix_table: 0x800 | 2,
            ..DEVICE
        },
        Snapshot {
            msix_pba: 0x1800 | 2,
            ..DEVICE
        },
    ] {
        for kind in KINDS {
            let mut bench = Bench::new();
            let first = bench.reset(kind);
            let last = bench.talk(first, &[Good, Header(snapshot)]).pop();
            let same = kind == ResetKind::Flr;
            let expected = if same {
                DONE
            } else {
                failed(Errno::EOPNOTSUPP)
            };
            assert_eq!(last, Some(expected), "{snapshot:x?}");
            assert_eq!(bench.device.reads_as_ones(), !same);
        }
    }
    // Vectors enabled and the like are no other capability.
    let snapshot = Snapshot {
        msi_control: DEVICE.msi_control | 0x31,
        msix_control: DEVICE.msix_control | 0xc000,
        ..DEVICE
    };
    let mut bench = Bench::new();
    let first = bench.reset(ResetKind::Cold);
    assert_eq!(
        bench.talk(first, &[Good, Header(snapshot)]).pop(),
        Some(DONE)
    );
    // Without them there is nothing to compare.
    let mut bench = Bench::bridge();
    let first = bench.reset(ResetKind::Cold);
    let snapshot = Snapshot {
        msi_control: !0,
        msix_control: !0,
        msix_table: !0,
        ..BRIDGE
    };
    assert_eq!(bench.talk(first, &[Header(snapshot)]), [PROBE_ALL, DONE]);
}

#[test]
fn capability_that_cannot_be_emulated_is_the_same_after_a_reset() {
    let snapshot = Snapshot {
        msix_table: 0xffff_fff8 | 2,
        ..DEVICE
    };
    let mut bench = Bench::of(Owner::Hardware, &snapshot, &SIZES);
    let first = bench.reset(ResetKind::Cold);
    assert_eq!(
        bench.talk(first, &[Good, Header(snapshot)]),
        [Action::MsixClear, PROBE_ALL, DONE]
    );
}

#[test]
fn largest_msix_table_is_walked_to_its_end() {
    let snapshot = Snapshot {
        msix_control: 0x7ff,
        msix_table: 0,
        msix_pba: 0x8000,
        ..DEVICE
    };
    let sizes = [0x1_0000, 0, 0x2000, 0, 0, 0, 0];
    let mut bench = Bench::of(Owner::Hardware, &snapshot, &sizes);
    for (number, entry) in (50..).zip(&mut bench.entries) {
        entry.arch.pirq = number;
    }
    let mut action = bench.reset(ResetKind::Flr);
    for number in 0..2048 {
        assert_eq!(action, Action::MsixDisable(number));
        bench.vectors(action);
        action = bench.reply(Good);
    }
    assert_eq!(action, Action::MsixClear);
    assert!(bench.entries.iter().all(|entry| *entry == Entry::FRESH));
}

#[test]
fn guest_begins_anew_after_a_reset() {
    // Its own addresses, mapped; the device still decodes.
    let mut bench = Bench::guest();
    bench.write(BAR2, 0x7000_0000, &[]);
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.work(Placed(BARS)), DONE);
    let header = Header(MOVED);
    assert_eq!(
        bench.flr(&[Good, header, Good, header]),
        [
            Action::MsixClear,
            PROBE,
            unmap(BARS),
            PROBE,
            write16(COMMAND, 0x400)
        ]
    );
    assert_eq!(
        bench.record(),
        Bench::of(Owner::Guest, &MOVED, &SIZES).record()
    );
    // As it does when nothing has changed.
    bench.write(COMMAND, 2, &[Good]);
    assert_eq!(bench.work(Placed(BARS)), DONE);
    assert_eq!(
        bench.flr(&[Good, header, Good, header]).pop(),
        Some(write16(COMMAND, 0x400))
    );
    assert_eq!(bench.state(), (0x400, false, 0, false));
}

#[test]
fn reset_of_a_device_that_nobody_has_does_nothing() {
    let mut bench = Bench::made(&DEVICE, &SIZES);
    let before = bench.clone();
    for kind in KINDS {
        assert_eq!(bench.reset(kind), DONE);
    }
    assert_eq!(bench.detach(), DONE);
    assert_eq!(bench, before);
}

#[test]
fn detach_gives_back_everything_and_asks_the_device_nothing() {
    for owner in [Owner::Hardware, Owner::Hidden, Owner::Guest] {
        let mut bench = busy();
        bench.device.set_owner(owner);
        let [msi, first, second, clear] = RELEASE;
        assert_eq!(
            bench.detached(&[Good; 5]),
            [msi, first, second, clear, unmap(WITH_ROM), DONE]
        );
        assert_eq!(bench.device.owner(), Owner::Nobody);
        assert!(bench.entries.iter().all(|entry| *entry == Entry::FRESH));
        assert_eq!(bench.device.msi.enabled, 0);
        assert!(!bench.state().1);
        assert_eq!(bench.state().2, 0);
        assert!(bench.device.writes() != Writes::Pass);

        // And back: as if it were new.
        let header = Header(MOVED);
        assert_eq!(
            bench.attached(Owner::Hardware, &[Good, header, Good]),
            [Action::MsixClear, PROBE_ALL, Action::Defer, DONE]
        );
        assert_eq!(bench.flight(), map(WITH_ROM));
        assert_eq!(bench.work(Placed(WITH_ROM)), DONE);
        assert_eq!(bench.record(), new(&MOVED));
    }
}

#[test]
fn failed_step_ends_the_detach_and_the_next_one_does_the_rest() {
    let [msi, first, second, clear] = RELEASE;
    let steps = [msi, first, second, clear, unmap(WITH_ROM)];
    for failing in [0, 1, 2, 4] {
        let mut bench = busy();
        let mut action = bench.detach();
        for &step in &steps[..failing] {
            assert_eq!(action, step);
            bench.vectors(action);
            action = bench.reply(Good);
        }
        assert_eq!(bench.reply(Fails(Errno::EBUSY)), failed(Errno::EBUSY));
        assert_eq!(bench.device.owner(), Owner::Hardware);
        assert_eq!(bench.state().1, failing != 4);
        assert_eq!(bench.state().2, WITH_ROM);
        let expected: Vec<_> = steps[failing.min(3)..]
            .iter()
            .copied()
            .chain([DONE])
            .collect();
        let first = bench.detach();
        assert_eq!(bench.run(first), expected);
        assert_eq!(bench.device.owner(), Owner::Nobody);
    }
}

#[test]
fn detach_on_its_way_gives_its_action_again() {
    let mut bench = busy();
    let mut action = bench.detach();
    while !bench.device.is_idle() {
        let before = bench.clone();
        assert_eq!(bench.detach(), action);
        assert_eq!(bench, before);
        assert!(bench.device.writes() != Writes::Pass);
        bench.vectors(action);
        action = bench.reply(Good);
    }
    assert_eq!(action, DONE);
}

#[test]
fn detach_ends_the_operation_in_flight() {
    for (command, flight) in [(2, map(BARS)), (0, unmap(BARS))] {
        let mut bench = Bench::of(Owner::Hardware, &with_command(command ^ 2), &SIZES);
        bench.write(COMMAND, command.into(), &[Good]);
        assert_eq!(bench.flight(), flight);
        let epoch = bench.device.epoch;
        assert_eq!(
            bench.detached(&[Good, Good]),
            [Action::MsixClear, unmap(BARS), DONE]
        );
        let before = bench.clone();
        assert_eq!(bench.device.worked(epoch, Err(Errno::ENOMEM)), DONE);
        assert_eq!(bench, before);
    }
}

#[test]
fn detach_takes_a_reset_over_at_every_step_and_the_reverse() {
    // Of a good reset, of one whose map fails, of one without an answer.
    for (snapshot, map_fails, steps) in [(MOVED, false, 8), (MOVED, true, 10), (SILENCE, false, 6)]
    {
        for taken in 0..steps {
            let mut bench = busy();
            let mut action = bench.reset(ResetKind::Cold);
            for _ in 0..taken {
                bench.vectors(action);
                let reply = well(action, snapshot);
                action = bench.reply(match (reply, map_fails) {
                    (Placed(_), true) => Fails(Errno::ENOMEM),
                    (reply, _) => reply,
                });
            }
            assert!(!bench.device.is_idle());
            let first = bench.detach();
            assert_eq!(bench.run(first).last(), Some(&DONE), "{taken}");
            assert_eq!(bench.device.owner(), Owner::Nobody);
            assert_eq!(bench.state().2, 0);
            assert!(bench.entries.iter().all(|entry| *entry == Entry::FRESH));
            // The reset's caller comes back to a device that is nobody's.
            assert_eq!(bench.reset(ResetKind::Cold), DONE);
        }
    }
    for taken in 0..5 {
        let mut bench = busy();
        let mut action = bench.detach();
        for _ in 0..taken {
            bench.vectors(action);
            action = bench.reply(Good);
        }
        assert!(!bench.device.is_idle());
        let mut action = bench.reset(ResetKind::Cold);
        while !bench.device.is_idle() {
            bench.vectors(action);
            action = bench.reply(well(action, MOVED));
        }
        assert_eq!(action, DONE);
        assert_eq!(bench.record(), new(&MOVED), "{taken}");
    }
}

#[test]
fn attach_reads_the_device_and_has_its_bars_mapped() {
    let with_rom = Snapshot {
        rom: DEVICE.rom | 1,
        ..with_command(2)
    };
    for (snapshot, flight) in [(with_command(2), map(BARS)), (with_rom, map(WITH_ROM))] {
        for owner in [Owner::Hardware, Owner::Hidden] {
            let mut bench = Bench::made(&snapshot, &SIZES);
            assert_eq!(
                bench.attached(owner, &[Good, Header(snapshot), Good]),
                [Action::MsixClear, PROBE_ALL, Action::Defer, DONE]
            );
            assert_eq!(bench.flight(), flight);
            assert_eq!(bench.device.owner(), owner);
        }
    }
    let mut bench = Bench::made(&DEVICE, &SIZES);
    assert_eq!(
        bench.attached(Owner::Hardware, &[Good, Header(DEVICE)]),
        [Action::MsixClear, PROBE_ALL, DONE]
    );
    assert_eq!(bench.flight(), DONE);
    assert_eq!(bench.state(), (0, false, 0, false));
}

#[test]
fn device_for_which_nobody_comes_is_turned_off() {
    let mut bench = Bench::made(&DEVICE, &SIZES);
    let header = Header(with_command(0x407));
    assert_eq!(
        bench.attached(Owner::Hardware, &[Good, header, Fails(Errno::EXDEV)]),
        [
            Action::MsixClear,
            PROBE_ALL,
            Action::Defer,
            write16(COMMAND, 0x405)
        ]
    );
    assert_eq!(bench.state(), (0x405, false, 0, false));
    assert_eq!(bench.flight(), DONE);
    assert_eq!(bench.record(), new(&with_command(0x405)));
}

#[test]
fn device_that_has_an_owner_is_not_given_away() {
    for mut bench in [Bench::new(), busy(), Bench::guest()] {
        let before = bench.clone();
        for owner in [Owner::Hardware, Owner::Hidden, Owner::Guest] {
            assert_eq!(bench.device.attach(owner), failed(Errno::EINVAL));
        }
        assert_eq!(bench, before);
    }
    let mut bench = Bench::made(&DEVICE, &SIZES);
    let before = bench.clone();
    assert_eq!(bench.device.attach(Owner::Nobody), failed(Errno::EINVAL));
    assert_eq!(bench, before);
}

#[test]
fn attach_of_a_device_that_is_not_found_fences_it_and_may_be_tried_again() {
    let other = Snapshot {
        msix_control: 7,
        ..DEVICE
    };
    for (reply, errno) in [
        (Header(SILENCE), Errno::EIO),
        (Header(BRIDGE), Errno::EOPNOTSUPP),
        (Header(other), Errno::EOPNOTSUPP),
        (Fails(Errno::EBUSY), Errno::EIO),
    ] {
        let mut bench = Bench::made(&DEVICE, &SIZES);
        assert_eq!(
            bench.attached(Owner::Hardware, &[Good, reply]),
            [Action::MsixClear, PROBE_ALL, failed(errno)]
        );
        assert!(bench.device.reads_as_ones());
        assert_eq!(bench.device.owner(), Owner::Hardware);
        bench.attached(Owner::Hardware, &[Good, Header(DEVICE)]);
        assert_eq!(bench.record(), new(&DEVICE));
    }
}

#[test]
fn whether_the_control_register_was_written_does_not_matter() {
    let fails = Fails(Errno::EBUSY);
    let mut bench = Bench::made(&DEVICE, &SIZES);
    assert_eq!(
        bench.attached(Owner::Hardware, &[fails, Header(DEVICE)]),
        [Action::MsixClear, PROBE_ALL, DONE]
    );
    assert_eq!(
        bench.flr(&[fails, Header(DEVICE)]),
        [Action::MsixClear, PROBE, DONE]
    );
    assert_eq!(bench.detached(&[fails]), [Action::MsixClear, DONE]);
}

#[test]
fn fenced_device_is_detached_and_attached() {
    let mut bench = fenced();
    assert_eq!(bench.detached(&[Good]), [Action::MsixClear, DONE]);
    assert_eq!(bench.device.owner(), Owner::Nobody);
    assert!(!bench.device.reads_as_ones());
    bench.attached(Owner::Hardware, &[Good, Header(DEVICE)]);
    assert_eq!(bench.record(), new(&DEVICE));

    let mut bench = fenced();
    bench.attached(Owner::Hardware, &[Good, Header(DEVICE)]);
    assert_eq!(bench.record(), new(&DEVICE));
}

#[test]
fn what_a_fenced_device_has_left_goes_first() {
    let [clear, header] = [Good, Header(DEVICE)];
    let mut bench = fenced_and_left();
    assert_eq!(
        bench.flr(&[clear, header, Good, header]),
        [Action::MsixClear, PROBE, unmap(BARS), PROBE, DONE]
    );
    assert_eq!(bench.record(), new(&DEVICE));

    let mut bench = fenced_and_left();
    assert_eq!(
        bench.detached(&[clear, Good]),
        [Action::MsixClear, unmap(BARS), DONE]
    );

    // Not by an attach, which may not unmap.
    let mut bench = fenced_and_left();
    let before = bench.clone();
    assert_eq!(bench.device.attach(Owner::Hardware), failed(Errno::EINVAL));
    assert_eq!(bench, before);
}

#[test]
fn fence_stays_when_the_unmap_fails() {
    let fails = Fails(Errno::EBUSY);
    let end = Some(failed(Errno::EBUSY));
    let mut bench = fenced_and_left();
    assert_eq!(bench.flr(&[Good, Header(DEVICE), fails]).pop(), end);
    assert!(bench.device.reads_as_ones());
    assert_eq!(bench.detached(&[Good, fails]).pop(), end);
    assert!(bench.device.reads_as_ones());
    assert_eq!(bench.state().2, BARS);
}

#[test]
fn attach_takes_a_reset_of_a_fenced_device_over() {
    let header = Header(MOVED);
    for taken in 0..3 {
        let mut bench = fenced();
        let mut action = bench.reset(ResetKind::Cold);
        for reply in &[Good, header][..taken] {
            assert!(bench.device.reads_as_ones() || taken == 2);
            action = bench.reply(*reply);
        }
        assert!(!bench.device.is_idle());
        if taken == 2 {
            // It has found the device, which is no fenced one any more.
            assert_eq!(action, map(WITH_ROM));
            let attach = bench.device.attach(Owner::Hardware);
            assert_eq!(attach, failed(Errno::EINVAL));
            continue;
        }
        let actions = bench.attached(Owner::Hardware, &[Good, header, Good]);
        assert_eq!(actions.last(), Some(&DONE));
        assert_eq!(bench.work(Placed(WITH_ROM)), DONE);
        assert_eq!(bench.record(), new(&MOVED));
    }
}

#[test]
fn reset_record_equals_a_new_one_whatever_was_before() {
    let mut dirty = busy();
    dirty.write(MSI + 4, 0xfee0_0000, &[]);
    dirty.write(MSI + 0x10, 0b1010, &[]);
    dirty.write(MSIX + 2, 0xc000, &[]);
    let mut moved = Bench::new();
    moved.write(BAR0, 0x1000_0000, &[]);
    moved.write(BAR1, 0x77, &[]);
    moved.write(BAR2, 0x2000_0000, &[]);
    moved.write(ROM, 0x3000_0001, &[]);
    moved.write(COMMAND, 0x545, &[]);
    let mut mapping = Bench::new();
    mapping.write(COMMAND, 2, &[Good]);
    for bench in [
        Bench::new(),
        Bench::decoding(),
        busy(),
        dirty,
        moved,
        mapping,
        fenced(),
        fenced_and_left(),
    ] {
        for snapshot in [RESET, MOVED, DEVICE, with_command(0x506)] {
            for kind in KINDS {
                let mut bench = bench.clone();
                let mut action = bench.reset(kind);
                while !bench.device.is_idle() {
                    bench.vectors(action);
                    action = bench.reply(well(action, snapshot));
                }
                assert_eq!(action, DONE);
                assert_eq!(bench.record(), new(&snapshot));
            }
        }
    }
}

#[test]
fn what_an_ended_operation_may_have_left_goes_when_the_reset_fails_too() {
    for command in [0, 2] {
        let mut bench = Bench::of(Owner::Hardware, &with_command(command ^ 2), &SIZES).with_msi(0);
        bench.write(COMMAND, command.into(), &[Good]);
        assert_eq!(
            bench.flr(&[Fails(Errno::EBUSY)]),
            [Action::MsiDisable, failed(Errno::EBUSY)]
        );
        assert_eq!(bench.state(), (command, false, BARS, false));
        assert_eq!(bench.write(COMMAND, 2, &[]), [Action::Defer]);
        assert_eq!(bench.flight(), unmap(BARS));
        let first = bench.work(Good);
        assert_eq!(
            bench.talk(first, &[Header(with_command(2)), Good]),
            [PROBE_ALL, Action::Defer, DONE]
        );
        assert_eq!(bench.flight(), map(BARS));
    }
    // Nor does the next reset keep it.
    let mut bench = Bench::new().with_msi(0);
    bench.write(COMMAND, 2, &[Good]);
    bench.flr(&[Fails(Errno::EBUSY)]);
    let header = Header(with_command(2));
    assert_eq!(
        bench.flr(&[Good, Good, header, Good, header, Placed(BARS)]),
        [
            Action::MsiDisable,
            Action::MsixClear,
            PROBE,
            unmap(BARS),
            PROBE,
            map(BARS),
            DONE
        ]
    );
}

#[test]
fn who_waits_for_a_reset_or_a_detach_goes_on_with_it() {
    assert_eq!(Bench::decoding().device.resume(), DONE);
    let header = Header(MOVED);
    let replies = [Good, Good, Good, Good, header, Good, header];
    let mut bench = busy();
    let mut action = bench.reset(ResetKind::Flr);
    for reply in replies {
        assert_eq!(bench.device.resume(), action);
        action = bench.reply(reply);
    }
    assert_eq!(action, map(WITH_ROM));
    assert_eq!(bench.device.resume(), action);
}
