// SPDX-License-Identifier: GPL-2.0-only
//! What each event and outcome asks of C, and what it makes of the record.

use super::action::Depth;
use super::bar::{BarKind, BarSet};
use super::header::Snapshot;
use super::msi::INVALID_PIRQ;
use super::msix::Entry;
use super::{Action, Device, Owner, Step, Writes};
use crate::errno::Errno;
use crate::ids::{BarIndex, NR_BARS};
use crate::spec::pci::{COMMAND, HeaderType, Width};
use crate::spec::physdev::ResetKind;

mod bar;
mod command;
mod map;
mod msi;
mod msix;
mod reset;

/// Offsets of the emulated registers of [`DEVICE`].
const BAR0: u16 = 0x10;
const BAR1: u16 = 0x14;
const BAR2: u16 = 0x18;
const ROM: u16 = 0x30;
const MSI: u16 = 0x50;
const MSIX: u16 = 0x70;

/// MSI-X entries of [`DEVICE`].
const ENTRIES: u16 = 3;

/// A device that decodes nothing: a 64-bit prefetchable BAR in slots 0 and 1,
/// MSI-X in a 32-bit one in 2, I/O in 3, nothing in 4 and 5, a ROM; MSI with 8
/// vectors, 64-bit address and mask bits.
const DEVICE: Snapshot = Snapshot {
    id: 0x0010_1b36,
    bars: [0xe000_000c, 0x2, 0xfd00_0000, 0xc001, 0, 0],
    rom: 0xfc00_0000,
    msix_table: 2,
    msix_pba: 0x1000 | 2,
    command: 0,
    msi_control: 0x0186,
    msix_control: ENTRIES - 1,
    msi_pos: MSI.to_le_bytes()[0],
    msix_pos: MSIX.to_le_bytes()[0],
    msi_vectors: 8,
    header_type: 0x80,
    ignore_bars: 0,
};

const SIZES: [u64; NR_BARS] = [0x4000, 0, 0x2000, 0, 0, 0, 0x1_0000];

/// A bridge with two 32-bit BARs and a ROM.
const BRIDGE: Snapshot = Snapshot {
    bars: [0xfd00_0000, 0xfd10_0000, 0x0002_0100, 0, 0, 0],
    msi_pos: 0,
    msix_pos: 0,
    header_type: 1,
    ..DEVICE
};

const BRIDGE_SIZES: [u64; NR_BARS] = [0x1000, 0x1000, 0x800, 0, 0, 0, 0];

/// Nobody answers.
const SILENCE: Snapshot = Snapshot {
    id: !0,
    bars: [!0; 6],
    rom: !0,
    msix_table: !0,
    msix_pba: !0,
    command: !0,
    msi_control: !0,
    msix_control: !0,
    msi_pos: 0,
    msix_pos: 0,
    msi_vectors: 8,
    header_type: !0,
    ignore_bars: 0,
};

/// Everything is mapped but the ROM, which is not enabled.
const BARS: u32 = 0b101;
const WITH_ROM: u32 = 0b100_0101;

/// Of the command register, of the header, and of the capabilities too.
const DOUBT: Action = Action::Probe(Depth::Command);
const PROBE: Action = Action::Probe(Depth::Header);
const PROBE_ALL: Action = Action::Probe(Depth::Capabilities);
const DONE: Action = Action::Done(Ok(()));

/// `DEVICE` with this command register.
fn with_command(command: u16) -> Snapshot {
    Snapshot { command, ..DEVICE }
}

fn set(bits: u32) -> BarSet {
    BarSet::from_bits(bits)
}

fn map(bits: u32) -> Action {
    Action::Map(set(bits))
}

fn unmap(bits: u32) -> Action {
    Action::Unmap(set(bits))
}

fn failed(errno: Errno) -> Action {
    Action::Done(Err(errno))
}

fn index(index: u32) -> BarIndex {
    BarIndex::new(index).unwrap()
}

fn write16(register: u16, value: u32) -> Action {
    Action::ConfWrite {
        register,
        width: Width::Word,
        value,
    }
}

fn write32(register: u16, value: u32) -> Action {
    Action::ConfWrite {
        register,
        width: Width::Dword,
        value,
    }
}

/// How an action went.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Good,
    /// Of a map: the BARs in place.
    Placed(u32),
    Fails(Errno),
    Header(Snapshot),
}

use Reply::{Fails, Good, Header, Placed};

/// The reply to an action that goes well, when the device answers with this.
fn well(action: Action, snapshot: Snapshot) -> Reply {
    if let Action::Map(bars) = action {
        Placed(bars.bits().into())
    } else if matches!(action, Action::Probe(_)) {
        Header(snapshot)
    } else {
        Good
    }
}

/// A device with its MSI-X table.
#[derive(Clone, Debug, PartialEq)]
struct Bench {
    device: Device,
    entries: Vec<Entry>,
}

impl Bench {
    /// Made, and nobody's.
    fn made(snapshot: &Snapshot, sizes: &[u64; NR_BARS]) -> Self {
        let mut device = Device::empty();
        device.init(snapshot, sizes).unwrap();
        Self {
            device,
            entries: vec![Entry::FRESH; device.msix.entries.into()],
        }
    }

    /// Made and given to `owner`, with what the device decodes mapped.
    fn of(owner: Owner, snapshot: &Snapshot, sizes: &[u64; NR_BARS]) -> Self {
        let mut bench = Self::made(snapshot, sizes);
        let mut action = bench.device.attach(owner);
        while !bench.device.is_idle() {
            action = bench.reply(well(action, *snapshot));
        }
        assert_eq!(bench.work(Placed(WITH_ROM)), DONE);
        bench
    }

    /// The hardware domain's, decoding nothing.
    fn new() -> Self {
        Self::of(Owner::Hardware, &DEVICE, &SIZES)
    }

    /// The hardware domain's, with memory decode on and the BARs mapped.
    fn decoding() -> Self {
        Self::of(Owner::Hardware, &with_command(2), &SIZES)
    }

    /// The same with the ROM enabled.
    fn decoding_rom() -> Self {
        let snapshot = Snapshot {
            rom: DEVICE.rom | 1,
            ..with_command(2)
        };
        Self::of(Owner::Hardware, &snapshot, &SIZES)
    }

    fn bridge() -> Self {
        Self::of(Owner::Hardware, &BRIDGE, &BRIDGE_SIZES)
    }

    fn guest() -> Self {
        Self::of(Owner::Guest, &DEVICE, &SIZES)
    }

    fn reply(&mut self, reply: Reply) -> Action {
        let Self { device, entries } = self;
        assert!(!device.is_idle(), "nothing waits for {reply:?}");
        match reply {
            Good => device.complete(entries, Ok(BarSet::NONE)),
            Placed(bits) => device.complete(entries, Ok(set(bits))),
            Fails(errno) => device.complete(entries, Err(errno)),
            Header(snapshot) => device.probed(entries, &snapshot),
        }
    }

    /// The actions of a conversation that begins with `first` and ends with the
    /// last reply.
    fn talk(&mut self, first: Action, replies: &[Reply]) -> Vec<Action> {
        let mut action = first;
        let mut actions = vec![first];
        for &reply in replies {
            if matches!(reply, Good) {
                self.vectors(action);
            }
            action = self.reply(reply);
            actions.push(action);
        }
        assert!(self.device.is_idle(), "{actions:?} is not all");
        actions
    }

    fn write(&mut self, register: u16, value: u32, replies: &[Reply]) -> Vec<Action> {
        let first = self.device.write(&mut self.entries, register, value);
        self.talk(first, replies)
    }

    /// A write of which only the first action matters, to be replied to.
    fn begin(&mut self, register: u16, value: u32) -> Action {
        self.device.write(&mut self.entries, register, value)
    }

    /// Does the work of the operation in flight, and gives what follows.
    fn work(&mut self, reply: Reply) -> Action {
        let epoch = self.device.epoch;
        self.device.worked(
            epoch,
            match reply {
                Good => Ok(BarSet::NONE),
                Placed(bits) => Ok(set(bits)),
                Fails(errno) => Err(errno),
                Header(_) => panic!("the work asks for no header"),
            },
        )
    }

    /// The operation in flight.
    fn flight(&self) -> Action {
        self.device.work(self.device.epoch)
    }

    /// Command register, memory decode, BARs mapped, ROM enabled.
    fn state(&self) -> (u16, bool, u32, bool) {
        let Device {
            command,
            decode,
            rom_enabled,
            ..
        } = self.device;
        let mapped = self.device.mapped().bits().into();
        (command, decode != 0, mapped, rom_enabled != 0)
    }

    /// Without what says how it came to be so.
    fn record(&self) -> Self {
        assert!(self.device.is_idle() && !self.device.in_flight());
        Self {
            device: self.device.settled(),
            entries: self.entries.clone(),
        }
    }

    /// Gives the vectors that are asked for, and takes them.
    fn vectors(&mut self, action: Action) {
        if let Action::MsiEnable(_) = action {
            self.device.msi.arch.pirq = 40;
        } else if action == Action::MsiDisable {
            self.device.msi.arch.pirq = INVALID_PIRQ;
        } else if let Action::MsixUpdate(entry) = action {
            self.entries[usize::from(entry)].arch.pirq = 50 + i32::from(entry);
        } else if let Action::MsixDisable(entry) = action {
            self.entries[usize::from(entry)].arch.pirq = INVALID_PIRQ;
        }
    }

    /// Performs what is asked for, all of it well.
    fn run(&mut self, first: Action) -> Vec<Action> {
        let mut action = first;
        let mut actions = vec![first];
        while !self.device.is_idle() {
            self.vectors(action);
            action = self.reply(Good);
            actions.push(action);
        }
        actions
    }

    /// MSI on with this many vectors, as log2.
    fn with_msi(mut self, log2: u32) -> Self {
        let first = self.begin(MSI + 2, 1 | log2 << 4);
        self.run(first);
        assert_eq!(self.device.msi.enabled, 1);
        self
    }

    /// MSI-X on, with vectors for the entries whose bit is set.
    fn with_msix(mut self, entries: u32) -> Self {
        for entry in (0..ENTRIES).filter(|entry| entries >> entry & 1 != 0) {
            let Self { device, entries } = &mut self;
            let written = [
                device.write_entry(entries, entry, 0, 8, 0xfee0_0000),
                device.write_entry(entries, entry, 8, 8, u64::from(entry)),
            ];
            assert_eq!(written, [DONE; 2]);
        }
        let first = self.begin(MSIX + 2, 0x8000);
        self.run(first);
        assert_eq!(self.device.msix.enabled, 1);
        self
    }
}

#[test]
fn new_record_has_what_the_device_has() {
    let Bench { device, .. } = Bench::made(&DEVICE, &SIZES);
    let kinds = device.bars.map(|bar| bar.kind());
    assert_eq!(
        kinds,
        [
            BarKind::Mem64Lo,
            BarKind::Mem64Hi,
            BarKind::Mem32,
            BarKind::Io,
            BarKind::Empty,
            BarKind::Empty,
            BarKind::Rom
        ]
    );
    assert_eq!(device.bars.map(|bar| bar.order), [14, 0, 13, 0, 0, 0, 16]);
    assert_eq!(
        device.bars.map(|bar| bar.prefetchable),
        [1, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(device.bars[0].size(), 0x4000);
    assert_eq!(
        (
            device.msi.max_vectors,
            device.msi.masking,
            device.msi.address64
        ),
        (8, 1, 1)
    );
    assert_eq!(device.msix.entries, ENTRIES);
    assert_eq!(device.header_type(), HeaderType::Normal);
    assert_eq!(device.owner(), Owner::Nobody);
    assert!(device.writes() != Writes::Pass && !device.reads_as_ones());

    let Bench { device, .. } = Bench::made(&BRIDGE, &BRIDGE_SIZES);
    let kinds = device.bars.map(|bar| bar.kind());
    assert_eq!(
        kinds[..4],
        [BarKind::Mem32, BarKind::Mem32, BarKind::Rom, BarKind::Empty]
    );
    assert_eq!(device.header_type(), HeaderType::Bridge);
}

#[test]
fn slots_are_what_their_registers_and_sizes_say() {
    use BarKind::{Empty, Io, Mem32, Mem64Hi, Mem64Lo, Rom};
    for (bars, sizes, kinds) in [
        // A 64-bit BAR without a size has an upper half all the same.
        (
            [4, 0, 0, 0, 0, 0],
            [0; 7],
            [Empty, Mem64Hi, Empty, Empty, Empty, Empty, Empty],
        ),
        // No power of two.
        (
            [0; 6],
            [0x1800, 0x1000, 1, 0, 0, 0, 3],
            [Empty, Mem32, Mem32, Empty, Empty, Empty, Empty],
        ),
        // The upper half looks like I/O.
        (
            [4, 1, 1, 0, 0, 0],
            [0x1000, 0, 0, 0, 0, 0, 0],
            [Mem64Lo, Mem64Hi, Io, Empty, Empty, Empty, Empty],
        ),
        // The last slot has no room for an upper half.
        (
            [0, 0, 0, 0, 0, 4],
            [0, 0, 0, 0, 0, 0x1000, 0x800],
            [Empty, Empty, Empty, Empty, Empty, Mem64Lo, Rom],
        ),
    ] {
        let device = Bench::made(&Snapshot { bars, ..DEVICE }, &sizes).device;
        assert_eq!(device.bars.map(|bar| bar.kind()), kinds, "{bars:x?}");
    }
    let ignored = Snapshot {
        ignore_bars: 1,
        ..DEVICE
    };
    let device = Bench::made(&ignored, &SIZES).device;
    assert_eq!(device.bars.map(|bar| bar.kind()), [Empty; NR_BARS]);
    // Its MSI-X table is in none of its BARs then.
    assert_eq!((device.msix.pos, device.msix.entries), (0x70, 0));
}

#[test]
fn header_type_that_is_not_handled_leaves_the_record_as_it_was() {
    let mut device = Bench::decoding().device;
    let before = device;
    for header_type in [2, 0x82, 0x7f, 0xff] {
        let snapshot = Snapshot {
            header_type,
            ..DEVICE
        };
        assert_eq!(device.init(&snapshot, &SIZES), Err(Errno::EOPNOTSUPP));
        assert_eq!(device, before);
    }
}

#[test]
fn completion_that_nothing_waits_for_changes_nothing() {
    for mut bench in [
        Bench::new(),
        Bench::decoding(),
        Bench::made(&DEVICE, &SIZES),
    ] {
        let before = bench.clone();
        let Bench { device, entries } = &mut bench;
        for action in [
            device.complete(entries, Ok(BarSet::NONE)),
            device.complete(entries, Err(Errno::ENOMEM)),
            device.probed(entries, &DEVICE),
        ] {
            assert_eq!(action, failed(Errno::EIO));
        }
        assert_eq!(bench, before);
    }
}

#[test]
fn snapshot_that_nothing_asked_for_changes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.begin(COMMAND, 2), write16(COMMAND, 2));
    let before = bench.clone();
    let Bench { device, entries } = &mut bench;
    assert_eq!(device.probed(entries, &DEVICE), failed(Errno::EIO));
    assert_eq!(bench, before);
}

#[test]
fn only_the_hardware_domains_device_is_hidden() {
    for (owner, after) in [
        (Owner::Hardware, Owner::Hidden),
        (Owner::Hidden, Owner::Hidden),
        (Owner::Guest, Owner::Guest),
    ] {
        let mut device = Bench::of(owner, &DEVICE, &SIZES).device;
        device.hide();
        assert_eq!(device.owner(), after);
    }
    let mut device = Bench::made(&DEVICE, &SIZES).device;
    device.hide();
    assert_eq!(device.owner(), Owner::Nobody);
}

#[test]
fn owners_have_the_numbers_of_c() {
    for number in 0..4 {
        assert_eq!(Owner::new(number).map(|owner| owner as u32), Some(number));
    }
    assert_eq!(Owner::new(4), None);
}

#[test]
fn every_step_is_read_as_it_was_stored() {
    let mut device = Device::empty();
    for (number, &step) in Step::ALL.iter().enumerate() {
        device.set_step(step);
        assert_eq!(device.step(), step);
        assert_eq!(usize::from(device.step), number);
        assert_eq!(device.is_idle(), step == Step::Idle);
    }
    device.step = 0xff;
    assert_eq!(device.step(), Step::Idle);
}
