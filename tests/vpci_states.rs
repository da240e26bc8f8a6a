// SPDX-License-Identifier: GPL-2.0-only
//! What a device's BARs, its ROM and its clearing do, held against the tables in
//! `docs/states.md`.
//!
//! Each state is made by events, given every other event, and rendered; the
//! document's tables are the expectation. `XPT_BLESS=1` writes them anew, to be
//! read before they are committed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test by panicking"
)]

mod document;

use std::fmt::Write as _;

use xen_passthrough::errno::Errno;
use xen_passthrough::ids::NR_BARS;
use xen_passthrough::spec::pci::{BASE_ADDRESS_0, COMMAND, ROM_ADDRESS};
use xen_passthrough::spec::physdev::ResetKind;
use xen_passthrough::vpci::action::Depth;
use xen_passthrough::vpci::bar::BarSet;
use xen_passthrough::vpci::header::Snapshot;
use xen_passthrough::vpci::msi::INVALID_PIRQ;
use xen_passthrough::vpci::msix::{Entry, EntryArch};
use xen_passthrough::vpci::{Action, Device, Owner};

const BAR: u32 = 0x1000_0000;
const MOVED: u32 = 0x2000_0000;
const ROM: u32 = 0x3000_0000;
const ROM_SLOT: usize = 6;
const SIZES: [u64; NR_BARS] = [0x1000, 0, 0, 0, 0, 0, 0x800];
const MSI_CONTROL: u16 = 0x52;
const MSIX_CONTROL: u16 = 0x62;

/// The device when nothing has happened to it: it decodes nothing.
const DEVICE: Snapshot = Snapshot {
    id: 0x0010_1b36,
    bars: [BAR, 0, 0, 0, 0, 0],
    rom: ROM,
    msix_table: 0,
    msix_pba: 0x800,
    command: 0,
    msi_control: 0,
    msix_control: 0,
    msi_pos: 0x50,
    msix_pos: 0x60,
    msi_vectors: 1,
    header_type: 0,
    ignore_bars: 0,
};

const DECODING: Snapshot = Snapshot {
    command: 2,
    ..DEVICE
};

/// The same without interrupts.
const PLAIN: Snapshot = Snapshot {
    msi_pos: 0,
    msix_pos: 0,
    ..DEVICE
};

const FAILURE: Errno = Errno::ENOSPC;

/// A device, its MSI-X entry, and what hardware answers.
#[derive(Clone, Copy)]
struct Bench {
    device: Device,
    entry: Entry,
    hardware: Snapshot,
}

impl Bench {
    fn new(snapshot: &Snapshot) -> Self {
        let mut device = Device::empty();
        device.init(snapshot, &SIZES).unwrap();
        Self {
            device,
            entry: Entry {
                addr: 0,
                data: 0,
                masked: 1,
                updated: 0,
                arch: EntryArch { pirq: INVALID_PIRQ },
            },
            hardware: *snapshot,
        }
    }

    /// The hardware domain's, with what it decodes mapped.
    fn attached(snapshot: &Snapshot) -> Self {
        let mut bench = Self::new(snapshot);
        let action = bench.device.attach(Owner::Hardware);
        bench.run(action);
        assert_eq!(bench.work(Ok(())), Action::Done(Ok(())));
        bench
    }

    fn write(&mut self, register: u16, value: u32) -> Action {
        let entries = core::slice::from_mut(&mut self.entry);
        self.device.write(entries, register, value)
    }

    fn reset(&mut self) -> Action {
        let entries = core::slice::from_mut(&mut self.entry);
        self.device.reset(entries, ResetKind::Cold)
    }

    fn detach(&mut self) -> Action {
        self.device.detach(core::slice::from_mut(&mut self.entry))
    }

    /// Completes `action`.
    fn complete(&mut self, action: Action, result: Result<(), Errno>) -> Action {
        let entries = core::slice::from_mut(&mut self.entry);
        if matches!(action, Action::Probe(_)) && result.is_ok() {
            return self.device.probed(entries, &self.hardware);
        }
        if result.is_ok() {
            if action == Action::MsixDisable(0) {
                entries[0].arch.pirq = INVALID_PIRQ;
            } else if action == Action::MsixUpdate(0) {
                entries[0].arch.pirq = 50;
            }
        }
        let placed = BarSet::from_bits(!0);
        self.device.complete(entries, result.map(|()| placed))
    }

    /// Completes all of a conversation well.
    fn run(&mut self, first: Action) -> Vec<Action> {
        let mut actions = vec![first];
        let mut action = first;
        while !self.device.is_idle() {
            action = self.complete(action, Ok(()));
            actions.push(action);
        }
        actions
    }

    /// Does the work of the operation in flight.
    fn work(&mut self, result: Result<(), Errno>) -> Action {
        let epoch = self.device.epoch;
        let placed = BarSet::from_bits(!0);
        self.device.worked(epoch, result.map(|()| placed))
    }

    fn is_mapped(&self, slot: usize) -> bool {
        self.device.bars[slot].mapped != 0
    }

    /// Whether the record has memory decode on.
    fn decodes(&self) -> bool {
        let mut device = self.device;
        device.passes_command(2)
    }

    /// What the device's BARs are at.
    fn state(&self) -> &'static str {
        if self.device.owner() == Owner::Nobody {
            return "nobody's";
        }
        if self.device.fenced != 0 {
            return if self.is_mapped(0) {
                "fenced, left"
            } else {
                "fenced"
            };
        }
        let mut after = *self;
        let flight = self.device.work(self.device.epoch);
        if matches!(flight, Action::Map(_)) {
            "mapping"
        } else if !matches!(flight, Action::Unmap(_)) {
            match (self.decodes(), self.is_mapped(0)) {
                (false, false) => "off",
                (false, true) => "left",
                (true, false) => "on, not mapped",
                (true, true) => "on",
            }
        } else if matches!(after.work(Ok(())), Action::Probe(_)) {
            // It ends with the header being read.
            "renewing"
        } else {
            "unmapping"
        }
    }

    /// What the ROM is at, while memory decode is on.
    fn rom_state(&self) -> &'static str {
        let mut after = *self;
        let flight = self.device.work(self.device.epoch);
        if matches!(flight, Action::Map(_)) {
            "mapping"
        } else if matches!(flight, Action::Unmap(_)) {
            if self.decodes() {
                "unmapping"
            } else {
                "renewing"
            }
        } else if !self.is_mapped(ROM_SLOT) {
            "disabled"
        } else if after.write(ROM_ADDRESS, ROM | 1) == Action::Probe(Depth::Command) {
            "enabled"
        } else {
            "left"
        }
    }
}

fn name(action: Action) -> String {
    if let Action::Done(result) = action {
        return match result {
            Ok(()) => "0".to_owned(),
            Err(errno) if errno == FAILURE => "that error".to_owned(),
            Err(errno) => format!("-{errno:?}"),
        };
    }
    let text = format!("{action:?}");
    let end = text.find(['(', ' ']).unwrap_or(text.len());
    text[..end].to_owned()
}

fn names(actions: &[Action]) -> String {
    let names: Vec<_> = actions.iter().map(|&action| name(action)).collect();
    names.join(", ")
}

/// A cell: what is done, and what has become of it if that has changed.
fn cell(what: &str, before: &str, after: &str) -> String {
    if before == after {
        what.to_owned()
    } else {
        format!("{what} → {after}")
    }
}

fn render(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    writeln!(out, "| {} |", heads.join(" | ")).unwrap();
    writeln!(out, "|{}", "---|".repeat(heads.len())).unwrap();
    for cells in rows {
        assert_eq!(cells.len(), heads.len());
        writeln!(out, "| {} |", cells.join(" | ")).unwrap();
    }
    out
}

fn check(name: &str, table: &str) {
    document::check("states", "vpci_states", name, table);
}

/// An event, as the head of a column.
type Event = (&'static str, fn(&mut Bench) -> Action);

/// What becomes of a device with an event.
fn then(bench: &Bench, event: impl Fn(&mut Bench) -> Action) -> Bench {
    let mut next = *bench;
    let first = event(&mut next);
    next.run(first);
    next
}

/// A table of states and events.
fn table(states: &[Bench], state: fn(&Bench) -> &'static str, events: &[Event]) -> String {
    let mut heads = vec!["state"];
    heads.extend(events.iter().map(|(head, _)| head));
    let rows: Vec<Vec<String>> = states
        .iter()
        .map(|bench| {
            let before = state(bench);
            let cells = events.iter().map(|(_, event)| {
                let mut after = *bench;
                let first = event(&mut after);
                if first == Action::Done(Ok(())) && after.device == bench.device {
                    return "–".to_owned();
                }
                let actions = after.run(first);
                cell(&names(&actions), before, state(&after))
            });
            [before.to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    render(&heads, &rows)
}

#[test]
fn bars_go_through_the_states_of_the_document() {
    let off = Bench::attached(&PLAIN);
    let mapping = then(&off, |bench| bench.write(COMMAND, 2));
    let on = then(&mapping, |bench| bench.work(Ok(())));
    let unmapping = then(&on, |bench| bench.write(COMMAND, 0));
    let left = then(&unmapping, |bench| bench.work(Err(FAILURE)));
    let renewing = then(&left, |bench| bench.write(COMMAND, 2));
    let states = [off, mapping, on, unmapping, left, renewing].map(|mut bench| {
        // What answers goes on decoding.
        bench.hardware.command = 2;
        bench
    });
    let made = states.iter().map(Bench::state).collect::<Vec<_>>();
    assert_eq!(
        made,
        ["off", "mapping", "on", "unmapping", "left", "renewing"]
    );
    let made = table(
        &states,
        Bench::state,
        &[
            ("decode on", |bench| bench.write(COMMAND, 2)),
            ("decode off", |bench| bench.write(COMMAND, 0)),
            ("BAR", |bench| bench.write(BASE_ADDRESS_0, MOVED)),
            ("BAR, after a reset", |bench| {
                bench.hardware.command = 0;
                bench.write(BASE_ADDRESS_0, MOVED)
            }),
            ("done", |bench| bench.work(Ok(()))),
            ("done, after a reset", |bench| {
                bench.hardware.command = 0;
                bench.work(Ok(()))
            }),
            ("failed", |bench| bench.work(Err(FAILURE))),
        ],
    );
    check("a device's BARs", &made);
}

#[test]
fn rom_goes_through_the_states_of_the_document() {
    let disabled = Bench::attached(&Snapshot {
        command: 2,
        ..PLAIN
    });
    let mapping = then(&disabled, |bench| bench.write(ROM_ADDRESS, ROM | 1));
    let enabled = then(&mapping, |bench| bench.work(Ok(())));
    let unmapping = then(&enabled, |bench| bench.write(ROM_ADDRESS, ROM));
    let left = then(&unmapping, |bench| bench.work(Err(FAILURE)));
    let states = [disabled, mapping, enabled, unmapping, left];
    let made = states.iter().map(Bench::rom_state).collect::<Vec<_>>();
    assert_eq!(
        made,
        ["disabled", "mapping", "enabled", "unmapping", "left"]
    );
    let made = table(
        &states,
        Bench::rom_state,
        &[
            ("enabled", |bench| bench.write(ROM_ADDRESS, ROM | 1)),
            ("enabled elsewhere", |bench| {
                bench.write(ROM_ADDRESS, MOVED | 1)
            }),
            ("disabled", |bench| bench.write(ROM_ADDRESS, ROM)),
            ("disabled and moved", |bench| {
                bench.write(ROM_ADDRESS, MOVED)
            }),
            ("enabled, after a reset", |bench| {
                bench.hardware.command = 0;
                bench.write(ROM_ADDRESS, ROM | 1)
            }),
            ("done", |bench| bench.work(Ok(()))),
            ("failed", |bench| bench.work(Err(FAILURE))),
        ],
    );
    check("a device's ROM", &made);
}

/// A device with MSI, MSI-X and its BAR in use, which is now elsewhere.
fn busy() -> Bench {
    let mut bench = Bench::attached(&DECODING);
    let on = bench.write(MSI_CONTROL, 1);
    bench.run(on);
    let entries = core::slice::from_mut(&mut bench.entry);
    assert_eq!(
        bench.device.write_entry(entries, 0, 0, 8, 0xfee0_0000),
        Action::Done(Ok(()))
    );
    assert_eq!(
        bench.device.write_entry(entries, 0, 12, 4, 0),
        Action::Done(Ok(()))
    );
    let on = bench.write(MSIX_CONTROL, 0x8000);
    assert_eq!(
        bench.run(on),
        [Action::MsixUpdate(0), Action::MsixControl(0x8000)]
    );
    bench.hardware.bars[0] = MOVED;
    bench
}

/// The rows of an event that goes well, but for the actions in `fails`.
fn steps(event: &str, mut bench: Bench, first: Action, fails: &[Action]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut action = first;
    while !bench.device.is_idle() {
        let outcome = |result| {
            let mut after = bench;
            let next = after.complete(action, result);
            let state = if after.device.is_idle() {
                after.state()
            } else {
                ""
            };
            cell(&name(next), "", state)
        };
        let comes = |event: fn(&mut Bench) -> Action| {
            let mut after = bench;
            let next = event(&mut after);
            if next == action && after.device == bench.device {
                "goes on".to_owned()
            } else {
                name(next)
            }
        };
        rows.push(vec![
            event.to_owned(),
            name(action),
            outcome(Ok(())),
            outcome(Err(FAILURE)),
            comes(Bench::reset),
            comes(Bench::detach),
        ]);
        let fail = fails.contains(&action);
        action = bench.complete(action, if fail { Err(FAILURE) } else { Ok(()) });
    }
    rows
}

#[test]
fn clearing_goes_through_the_steps_of_the_document() {
    let map = Action::Map(BarSet::from_bits(1));
    let mut bench = busy();
    let reset = bench.reset();
    let mut rows = steps("reset", bench, reset, &[]);
    let failed = steps("reset, Map failed", bench, reset, &[map]);
    // From the action on that is asked for as it failed.
    rows.extend(failed.into_iter().skip(rows.len()));
    let mut bench = busy();
    let detach = bench.detach();
    rows.extend(steps("detach", bench, detach, &[]));
    let made = render(
        &[
            "event",
            "action",
            "done",
            "failed",
            "a reset comes",
            "a detach comes",
        ],
        &rows,
    );
    check("clearing a device, step by step", &made);
}

#[test]
fn what_is_found_leads_on_as_in_the_document() {
    let found = [
        ("where it is mapped", DECODING),
        (
            "elsewhere",
            Snapshot {
                bars: [MOVED, 0, 0, 0, 0, 0],
                ..DECODING
            },
        ),
        ("decoding nothing", DEVICE),
        (
            "nothing",
            Snapshot {
                id: !0,
                command: !0,
                header_type: !0,
                ..DEVICE
            },
        ),
        (
            "another header",
            Snapshot {
                header_type: 1,
                ..DECODING
            },
        ),
        (
            "other capabilities",
            Snapshot {
                msix_pos: 0x70,
                ..DECODING
            },
        ),
    ];
    // Up to the header being read, with what is mapped then.
    let asked = |mut bench: Bench, first: Action| {
        let mut action = first;
        while !matches!(action, Action::Probe(_)) {
            action = bench.complete(action, Ok(()));
        }
        (bench, action)
    };
    let mut mapped = Bench::attached(&DECODING);
    let first = mapped.reset();
    let mapped = asked(mapped, first);
    let mut unmapped = Bench::attached(&DEVICE);
    let first = unmapped.reset();
    let unmapped = asked(unmapped, first);
    let mut renewing = Bench::attached(&DECODING);
    renewing.hardware = DEVICE;
    let first = renewing.write(BASE_ADDRESS_0, MOVED);
    renewing.run(first);
    let first = renewing.work(Ok(()));
    let renewing = asked(renewing, first);
    let mut attached = Bench::new(&DECODING);
    let first = attached.device.attach(Owner::Hardware);
    let attached = asked(attached, first);

    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|&(what, hardware)| {
            let cells = [mapped, unmapped, renewing, attached].map(|(mut bench, probe)| {
                bench.hardware = hardware;
                let first = bench.complete(probe, Ok(()));
                let actions = bench.run(first);
                cell(&names(&actions), "", bench.state())
            });
            [what.to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    let made = render(
        &[
            "found",
            "reset, BAR mapped",
            "reset, nothing mapped",
            "renewal",
            "attach",
        ],
        &rows,
    );
    check("what is found of a device", &made);
}
