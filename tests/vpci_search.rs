// SPDX-License-Identifier: GPL-2.0-only
//! Everything that two virtual CPUs, their hypercalls and the hardware can do to
//! one device, in every order and with every step failing in every way, against a
//! model of what Xen and the hardware have.
//!
//! The device has a 32-bit BAR, a ROM, one MSI vector and an MSI-X table of one
//! entry in the BAR. The model is told by the actions alone. What must hold in
//! each state that is reached is [`State::check`], what must hold of an action
//! before it is performed [`told`]; that whatever is on its way ends is
//! [`Search::ends`], that a reset makes the device as new [`State::resets`], that
//! the domain gets it to work again [`State::works`], and that a write notices a
//! reset that nobody announced [`State::heals`].
//!
//! Locks are as in Xen: a CPU holds the device's for a conversation and drops it
//! to map and unmap, holding pcidevs_lock all the while where it is a hypercall or
//! deferred work.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test by panicking"
)]

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};

use xen_passthrough::errno::{Errno, to_c};
use xen_passthrough::ids::NR_BARS;
use xen_passthrough::spec::pci::{BASE_ADDRESS_0, COMMAND, ROM_ADDRESS, Width};
use xen_passthrough::spec::physdev::ResetKind;
use xen_passthrough::vpci::action::Depth;
use xen_passthrough::vpci::bar::BarSet;
use xen_passthrough::vpci::header::Snapshot;
use xen_passthrough::vpci::msi::INVALID_PIRQ;
use xen_passthrough::vpci::msix::{self, EntryArch};
use xen_passthrough::vpci::{Action, Device, Owner, Writes};

const MSI: u16 = 0x50;
const MSIX: u16 = 0x60;
const MSI_CONTROL: u16 = MSI + 2;
const MSIX_CONTROL: u16 = MSIX + 2;
const ENABLE_MSI: u32 = 1;
const ENABLE_MSIX: u32 = 1 << 15;
const DECODE: u32 = 2;
const ROM_ON: u32 = 1;

const BAR_SLOT: usize = 0;
const ROM_SLOT: usize = 6;
const BAR: u8 = 1 << BAR_SLOT;
const ROM: u8 = 1 << ROM_SLOT;
/// The slots that have something to be mapped.
const SLOTS: [usize; 2] = [BAR_SLOT, ROM_SLOT];

const SIZES: [u64; NR_BARS] = [0x1000, 0, 0, 0, 0, 0, 0x800];

/// A write that waits for whatever is on its way.
const WAITS: Call = Call::Write(BASE_ADDRESS_0, PLACES[1]);

/// Where the BAR and the ROM can be: after a reset, and at two other places.
const PLACES: [u32; 3] = [0, 0x1000_0000, 0x2000_0000];

fn place(addr: u64) -> u8 {
    let at = PLACES.iter().position(|&place| u64::from(place) == addr);
    let at = at.unwrap_or_else(|| panic!("{addr:#x} is where nobody put it"));
    u8::try_from(at).unwrap()
}

/// The event that begins a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Call {
    /// The domain writes a register.
    Write(u16, u32),
    /// The domain gives the MSI-X entry a message and unmasks it, or masks it.
    Entry(bool),
    /// A vCPU comes for deferred work.
    Work,
    /// ... and goes on with a reset or a detach first.
    Resume,
    Reset,
    Detach,
    Attach,
}

impl Call {
    /// Whether it holds pcidevs_lock.
    fn holds_pcidevs(self) -> bool {
        match self {
            Self::Work | Self::Resume | Self::Reset | Self::Detach | Self::Attach => true,
            Self::Write(..) | Self::Entry(_) => false,
        }
    }

    /// Whether BARs may be mapped and unmapped in its course.
    fn may_map(self) -> bool {
        match self {
            Self::Work | Self::Resume | Self::Reset | Self::Detach => true,
            Self::Attach | Self::Write(..) | Self::Entry(_) => false,
        }
    }

    /// Whether it may be preempted between two actions.
    fn is_preempted(self) -> bool {
        matches!(self, Self::Resume | Self::Reset | Self::Detach)
    }
}

/// An action that Xen is to perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Job {
    Map(u8),
    Unmap(u8),
    Defer,
    Retry,
    Write(u16, u32),
    Probe(u8),
    MsiEnable,
    MsiDisable,
    MsixUpdate,
    MsixDisable,
    MsixMask,
    MsixControl,
    MsixClear,
    BarMapped,
}

enum Told {
    Job(Job),
    Done(i32),
}

/// What is told, if it names nothing that there is not.
fn told(action: Action) -> Result<Told, String> {
    let known = BarSet::from_bits(u32::from(BAR | ROM));
    let set = |bars: BarSet| !bars.is_empty() && bars.without(known).is_empty();
    let job = match action {
        Action::Map(bars) if set(bars) => Job::Map(bars.bits()),
        Action::Unmap(bars) if set(bars) => Job::Unmap(bars.bits()),
        Action::Defer => Job::Defer,
        Action::Retry => Job::Retry,
        Action::ConfWrite {
            register,
            width: Width::Word,
            value,
        } if register == COMMAND || register == MSI_CONTROL => Job::Write(register, value),
        Action::ConfWrite {
            register,
            width: Width::Dword,
            value,
        } if register == BASE_ADDRESS_0 || register == ROM_ADDRESS => Job::Write(register, value),
        Action::Probe(depth) => Job::Probe(depth as u8),
        Action::MsiEnable(1) => Job::MsiEnable,
        Action::MsiDisable => Job::MsiDisable,
        Action::MsixUpdate(0) => Job::MsixUpdate,
        Action::MsixDisable(0) => Job::MsixDisable,
        Action::MsixMask { entry: 0, .. } => Job::MsixMask,
        Action::MsixControl(_) => Job::MsixControl,
        Action::MsixClear => Job::MsixClear,
        Action::BarMapped(index) if SLOTS.contains(&index.get()) => Job::BarMapped,
        Action::Done(result) => return Ok(Told::Done(to_c(result))),
        Action::Map(_)
        | Action::Unmap(_)
        | Action::ConfWrite { .. }
        | Action::MsiEnable(_)
        | Action::MsiUpdate
        | Action::MsiMask { .. }
        | Action::MsixUpdate(_)
        | Action::MsixDisable(_)
        | Action::MsixMask { .. }
        | Action::IntxDisable
        | Action::BarMapped(_) => return Err(format!("{action:?} is not of this device")),
    };
    Ok(Told::Job(job))
}

/// Who answers at the device's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Device,
    Nobody,
    Another,
}

/// What Xen and the hardware have of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    who: Who,
    /// Memory decode.
    decodes: bool,
    bar: u8,
    rom: u8,
    rom_on: bool,
    /// Places where the BAR and the ROM are in the p2m.
    p2m: [u8; 2],
    msi: bool,
    msix: bool,
    /// The hardware has changed since it was read last.
    unannounced: bool,
    /// Something has failed because of which BARs may be left mapped.
    failed: bool,
    /// The BAR was not mapped because it lies where none may.
    misplaced: bool,
}

impl World {
    const NEW: Self = Self {
        who: Who::Device,
        decodes: false,
        bar: 1,
        rom: 1,
        rom_on: false,
        p2m: [0; 2],
        msi: false,
        msix: false,
        unannounced: false,
        failed: false,
        misplaced: false,
    };

    /// What is read of the hardware.
    fn snapshot(&self, depth: u8) -> Snapshot {
        let all = match self.who {
            Who::Nobody => Snapshot {
                id: !0,
                bars: [!0; 6],
                rom: !0,
                command: !0,
                header_type: !0,
                ..Snapshot::default()
            },
            Who::Device | Who::Another => Snapshot {
                id: 0x0010_1b36,
                bars: [PLACES[usize::from(self.bar)], 0, 0, 0, 0, 0],
                rom: PLACES[usize::from(self.rom)] | u32::from(self.rom_on),
                msix_table: 0,
                msix_pba: 0x800,
                command: if self.decodes { 2 } else { 0 },
                msi_control: 0,
                msix_control: 0,
                msi_pos: MSI.to_le_bytes()[0],
                msix_pos: MSIX.to_le_bytes()[0],
                msi_vectors: 1,
                header_type: (self.who == Who::Another).into(),
                ignore_bars: 0,
            },
        };
        if depth == Depth::Command as u8 {
            return Snapshot {
                command: all.command,
                ..Snapshot::default()
            };
        }
        all
    }

    fn write(&mut self, register: u16, value: u32) {
        if self.who != Who::Device {
            return;
        }
        match register {
            COMMAND => self.decodes = value & DECODE != 0,
            BASE_ADDRESS_0 => self.bar = place(u64::from(value)),
            ROM_ADDRESS => {
                self.rom = place(u64::from(value & !ROM_ON));
                self.rom_on = value & ROM_ON != 0;
            }
            _ => {}
        }
    }
}

/// What the hardware does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Happens {
    /// It is reset and decodes nothing.
    Reset,
    /// It is reset, and somebody has it decode elsewhere.
    Restored,
    Gone,
    Exchanged,
}

impl Happens {
    fn to(self, world: &World) -> World {
        let at = |who, decodes, place| World {
            who,
            decodes,
            bar: place,
            rom: place,
            rom_on: decodes,
            unannounced: true,
            ..*world
        };
        match self {
            Self::Reset => at(Who::Device, false, 0),
            Self::Restored => at(Who::Device, true, 2),
            Self::Gone => at(Who::Nobody, false, 0),
            Self::Exchanged => at(Who::Another, false, 0),
        }
    }
}

/// A conversation and who has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Talk {
    cpu: usize,
    call: Call,
    job: Job,
    /// Nothing follows.
    last: bool,
    /// Where the BAR and the ROM were when this began.
    at: [u8; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    device: Device,
    entry: msix::Entry,
    world: World,
    /// Which vCPU has to come back for the operation in flight. One that was to
    /// come for another finds nothing, and that changes nothing, see `check`; one
    /// that waits for a reset or a detach is as one that has not written yet.
    pending: [bool; 2],
    /// Who holds the device's lock, with an action to perform.
    talk: Option<Talk>,
    /// Who maps or unmaps, without the device's lock.
    window: Option<Talk>,
}

/// What comes of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Outcome {
    Good,
    /// Of a map: in place are just these; of a failed or preempted map or unmap:
    /// done are just these.
    Of(u8),
    Fails(u8),
    /// Performed in part, and to be gone on with.
    Preempted(u8),
}

/// A move of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Begin(usize, Call),
    Perform(Outcome),
    Finish(Outcome),
    Happens(Happens),
}

/// What the search lets the domain do.
struct Plan {
    name: &'static str,
    /// What each vCPU begins.
    calls: [&'static [Call]; 2],
    happens: &'static [Happens],
    kind: ResetKind,
    owner: Owner,
}

/// An error that nothing in the record is a reason for.
const FAILURE: Errno = Errno::ENOSPC;

fn subsets(bars: u8) -> Vec<u8> {
    let mut all: Vec<u8> = vec![0, bars];
    if bars == BAR | ROM {
        all.push(BAR);
    }
    all
}

impl State {
    /// The device made, and given to nobody.
    fn new() -> Self {
        let mut device = Device::empty();
        device
            .init(&World::NEW.snapshot(Depth::Capabilities as u8), &SIZES)
            .unwrap();
        Self {
            device,
            entry: msix::Entry {
                addr: 0,
                data: 0,
                masked: 1,
                updated: 0,
                arch: EntryArch { pirq: INVALID_PIRQ },
            },
            world: World::NEW,
            pending: [false; 2],
            talk: None,
            window: None,
        }
    }

    fn at(&self) -> [u8; 2] {
        SLOTS.map(|slot| place(self.device.bars[slot].addr))
    }

    fn mapped(&self) -> u8 {
        SLOTS
            .iter()
            .filter(|&&slot| self.device.bars[slot].mapped != 0)
            .map(|&slot| 1 << slot)
            .sum()
    }

    /// The BARs in flight and whether they are on their way in; nobody is told in
    /// the middle of a conversation.
    fn flight(&self) -> (u8, bool) {
        if !self.device.is_idle() {
            return (0, false);
        }
        let action = self.device.work(self.device.epoch);
        if let Action::Map(bars) = action {
            (bars.bits(), true)
        } else if let Action::Unmap(bars) = action {
            (bars.bits(), false)
        } else {
            assert_eq!(action, Action::Done(Ok(())));
            (0, false)
        }
    }

    /// Whether the record has memory decode on.
    fn decode(&self) -> bool {
        let mut device = self.device;
        device.passes_command(2)
    }

    /// Whether a write of the ROM register finds it enabled and mapped.
    fn rom_is_mapped(&self) -> bool {
        let Self {
            mut device,
            mut entry,
            ..
        } = *self;
        let value = PLACES[usize::from(self.at()[1])] | ROM_ON;
        let action = device.write(core::slice::from_mut(&mut entry), ROM_ADDRESS, value);
        action == Action::Probe(Depth::Command)
    }

    /// Nothing of any event is on its way.
    fn is_at_rest(&self) -> bool {
        self.device.is_idle() && !self.device.in_flight()
    }

    /// BARs are mapped that nobody decodes, as far as the record knows.
    fn left(&self) -> bool {
        let mapped = self.mapped();
        let rom_alone = self.decode() && mapped & ROM != 0 && !self.rom_is_mapped();
        self.is_at_rest() && mapped != 0 && (!self.decode() || rom_alone)
    }

    /// One of several states that differ in what makes no difference.
    fn canonical(mut self) -> Self {
        self.device = self.device.settled();
        let vectors = self.world.msi || self.world.msix;
        self.world.failed &=
            !self.is_at_rest() || self.left() || vectors && self.device.reads_as_ones();
        let off = self.is_at_rest() && !self.decode();
        self.world.misplaced &= self.mapped() & BAR == 0 && !off;
        self
    }

    fn moves(&self, plan: &Plan) -> Vec<Move> {
        // What happens while Xen does not look at the hardware might as well happen
        // just before it does, or when it is done.
        let looks = match self.talk {
            Some(talk) => matches!(talk.job, Job::Probe(_) | Job::Write(..)),
            None => self.window.is_none(),
        };
        let happens = if looks { plan.happens } else { &[] };
        let mut moves: Vec<Move> = happens.iter().map(|&what| Move::Happens(what)).collect();
        if let Some(talk) = self.talk {
            moves.extend(self.outcomes(talk).into_iter().map(Move::Perform));
            return moves;
        }
        if let Some(window) = self.window {
            moves.extend(self.outcomes(window).into_iter().map(Move::Finish));
        }
        for cpu in 0..2 {
            if self.window.is_some_and(|window| window.cpu == cpu) {
                continue;
            }
            let calls = if self.pending[cpu] {
                &[Call::Work]
            } else {
                plan.calls[cpu]
            };
            moves.extend(
                calls
                    .iter()
                    .filter(|call| self.window.is_none() || !call.holds_pcidevs())
                    .map(|&call| Move::Begin(cpu, call)),
            );
        }
        moves
    }

    /// What may come of a talk's action, the first being the way on.
    fn outcomes(&self, talk: Talk) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Good];
        match talk.job {
            Job::Map(bars) | Job::Unmap(bars) => {
                let map = matches!(talk.job, Job::Map(_));
                // What is there already was not misplaced before.
                let there: u8 = (0..2)
                    .filter(|&n| self.world.p2m[n] >> talk.at[n] & 1 != 0)
                    .map(|n| 1 << SLOTS[n])
                    .sum();
                for part in subsets(bars) {
                    if map && part == bars & !BAR && part != bars && there & BAR == 0 {
                        outcomes.push(Outcome::Of(part));
                    }
                    outcomes.push(Outcome::Fails(part));
                    outcomes.push(Outcome::Preempted(part));
                }
                return outcomes;
            }
            Job::Defer
            | Job::Probe(_)
            | Job::MsiEnable
            | Job::MsiDisable
            | Job::MsixUpdate
            | Job::MsixDisable => outcomes.push(Outcome::Fails(0)),
            // Whether these come to anything is nothing to the record.
            Job::Retry
            | Job::Write(..)
            | Job::MsixMask
            | Job::MsixControl
            | Job::MsixClear
            | Job::BarMapped => {}
        }
        if talk.call.is_preempted() {
            outcomes.push(Outcome::Preempted(0));
        }
        outcomes
    }

    fn step(&self, plan: &Plan, with: Move, seen: &mut Seen) -> Result<Self, String> {
        let mut next = *self;
        match with {
            Move::Happens(what) => next.world = what.to(&self.world),
            Move::Begin(cpu, call) => next.begin(plan, cpu, call, seen)?,
            Move::Perform(outcome) => next.perform(self.talk.unwrap(), outcome, seen)?,
            Move::Finish(outcome) => next.finish(self.window.unwrap(), outcome, seen)?,
        }
        let next = next.canonical();
        next.check()?;
        Ok(next)
    }

    /// Gives the device an event.
    fn tell(
        &mut self,
        event: impl FnOnce(&mut Device, &mut [msix::Entry]) -> Action,
    ) -> Result<Action, String> {
        let before = *self;
        let action = event(&mut self.device, core::slice::from_mut(&mut self.entry));
        if self.device.epoch != before.device.epoch {
            self.pending = [false; 2];
            if self.window.is_some() {
                return Err("an operation is replaced that somebody is at".to_owned());
            }
        } else {
            let idle = before.device.is_idle() && self.device.is_idle();
            if self.device.in_flight() != before.device.in_flight()
                || idle && self.flight() != before.flight()
            {
                return Err("another operation with the same epoch".to_owned());
            }
        }
        Ok(action)
    }

    fn begin(
        &mut self,
        plan: &Plan,
        cpu: usize,
        call: Call,
        seen: &mut Seen,
    ) -> Result<(), String> {
        let before = *self;
        let action = match call {
            Call::Write(register, value) => {
                self.tell(|device, entries| device.write(entries, register, value))?
            }
            Call::Entry(unmask) => self.tell(|device, entries| {
                if unmask {
                    let action = device.write_entry(entries, 0, 0, 8, 0xfee0_0000);
                    if action != Action::Done(Ok(())) {
                        return action;
                    }
                }
                device.write_entry(entries, 0, 12, 4, (!unmask).into())
            })?,
            Call::Work => {
                self.pending[cpu] = false;
                let action = self.device.work(self.device.epoch);
                let job = match told(action)? {
                    Told::Job(job) => job,
                    Told::Done(rc) => return Err(format!("no work, and that is {rc}")),
                };
                self.window = Some(Talk {
                    cpu,
                    call,
                    job,
                    last: false,
                    at: self.at(),
                });
                return Ok(());
            }
            Call::Resume => return Err("nobody begins with it".to_owned()),
            Call::Reset => self.tell(|device, entries| device.reset(entries, plan.kind))?,
            Call::Detach => self.tell(Device::detach)?,
            Call::Attach => self.tell(|device, _| device.attach(plan.owner))?,
        };
        if !call.holds_pcidevs() {
            let flight = before.device.in_flight() && self.device.is_idle();
            if flight && before.flight() != self.flight() {
                return Err(format!("{call:?} with an operation in flight changes it"));
            }
            let answer = match before.device.writes() {
                Writes::Pass => None,
                Writes::Ignored => Some(Action::Done(Ok(()))),
                Writes::Wait => Some(Action::Retry),
            };
            if answer.is_some_and(|answer| answer != action || before != *self) {
                return Err(format!("{call:?} is neither ignored nor made to wait"));
            }
        }
        let waits = before.device.writes() == Writes::Wait && !call.holds_pcidevs();
        // Both would do the same with it.
        if waits && cpu == 1 && call == WAITS && self.window.is_none() {
            // It comes back at once, and goes on with what it waits for.
            if self.device.work(self.device.epoch) != Action::Retry {
                return Err("work while a reset is on its way".to_owned());
            }
            let action = self.device.resume();
            return self.follow(cpu, Call::Resume, action, seen);
        }
        if waits || before == *self && matches!(action, Action::Done(_)) {
            return Ok(());
        }
        self.follow(cpu, call, action, seen)
    }

    /// What the CPU does with the action that it was given.
    fn follow(
        &mut self,
        cpu: usize,
        call: Call,
        action: Action,
        seen: &mut Seen,
    ) -> Result<(), String> {
        let job = match told(action)? {
            Told::Done(rc) => {
                seen.outcomes.insert((kind(call), rc));
                self.talk = None;
                if !self.device.is_idle() {
                    return Err(format!(
                        "{call:?} is done and the device waits for something"
                    ));
                }
                return self.is_true(call, rc);
            }
            Told::Job(job) => job,
        };
        let talk = Talk {
            cpu,
            call,
            job,
            last: self.device.is_idle(),
            at: [0; 2],
        };
        if matches!(job, Job::Map(_) | Job::Unmap(_)) {
            if !call.may_map() || call == Call::Work {
                return Err(format!("{call:?} is told to {job:?} with the lock held"));
            }
            self.talk = None;
            self.window = Some(Talk {
                at: self.at(),
                ..talk
            });
        } else {
            self.talk = Some(talk);
        }
        Ok(())
    }

    /// Whether the outcome `rc` of a hypercall is what became of it.
    fn is_true(&self, call: Call, rc: i32) -> Result<(), String> {
        let owned = self.device.owner() != Owner::Nobody;
        let truth = match (call, rc) {
            (Call::Detach, 0) => !owned,
            (Call::Reset | Call::Attach, 0) => !self.device.reads_as_ones(),
            (Call::Detach, _) => owned,
            (Call::Reset | Call::Attach, _) => true,
            (Call::Work | Call::Resume | Call::Write(..) | Call::Entry(_), _) => true,
        };
        truth
            .then_some(())
            .ok_or_else(|| format!("{call:?} was answered {rc}, which is not so"))
    }

    /// Performs an action of a conversation, and completes it.
    fn perform(&mut self, talk: Talk, outcome: Outcome, seen: &mut Seen) -> Result<(), String> {
        let Talk { cpu, call, job, .. } = talk;
        seen.performed.insert((name(job), brief(outcome)));
        if matches!(outcome, Outcome::Preempted(_)) {
            // Given up for now; whoever comes next is given the same action.
            self.talk = None;
            return Ok(());
        }
        let good = outcome == Outcome::Good;
        self.world.failed |= !good && matches!(job, Job::MsiDisable | Job::MsixDisable);
        let result = if good { Ok(BarSet::NONE) } else { Err(FAILURE) };
        match job {
            Job::Defer if good => self.pending[cpu] = self.device.in_flight(),
            Job::Retry => self.pending[cpu] = self.device.in_flight(),
            Job::Write(register, value) => self.world.write(register, value),
            Job::MsiEnable if good => {
                if self.world.msi {
                    return Err("MSI enabled twice".to_owned());
                }
                self.world.msi = true;
                self.device.msi.arch.pirq = 40;
            }
            Job::MsiDisable if good => {
                self.world.msi = false;
                self.device.msi.arch.pirq = INVALID_PIRQ;
            }
            Job::MsixUpdate => {
                self.world.msix = good;
                self.entry.arch.pirq = if good { 50 } else { INVALID_PIRQ };
            }
            Job::MsixDisable if good => {
                self.world.msix = false;
                self.entry.arch.pirq = INVALID_PIRQ;
            }
            Job::MsixMask if !self.world.msix => {
                return Err("a mask for no vector".to_owned());
            }
            Job::Defer
            | Job::Probe(_)
            | Job::MsiEnable
            | Job::MsiDisable
            | Job::MsixDisable
            | Job::MsixMask
            | Job::MsixControl
            | Job::MsixClear
            | Job::BarMapped
            | Job::Map(_)
            | Job::Unmap(_) => {}
        }
        if talk.last {
            self.talk = None;
            return Ok(());
        }
        let action = if let Job::Probe(depth) = job
            && good
        {
            let snapshot = self.world.snapshot(depth);
            if depth != Depth::Command as u8 {
                self.world.unannounced = false;
            }
            self.tell(|device, entries| device.probed(entries, &snapshot))?
        } else {
            self.tell(|device, entries| device.complete(entries, result))?
        };
        self.follow(cpu, call, action, seen)
    }

    /// Ends a map or an unmap, with the lock taken again.
    fn finish(&mut self, window: Talk, outcome: Outcome, seen: &mut Seen) -> Result<(), String> {
        let Talk {
            cpu, call, job, at, ..
        } = window;
        seen.performed.insert((name(job), brief(outcome)));
        let map = matches!(job, Job::Map(_));
        let (Job::Map(bars) | Job::Unmap(bars)) = job else {
            panic!("{job:?} is no work");
        };
        let (done, result) = match outcome {
            Outcome::Good => (bars, Some(Ok(bars))),
            Outcome::Of(part) => (part, Some(Ok(part))),
            Outcome::Fails(part) => (part, Some(Err(FAILURE))),
            Outcome::Preempted(part) => (part, None),
        };
        for (n, slot) in SLOTS.into_iter().enumerate() {
            let bit = 1 << at[n];
            if done >> slot & 1 != 0 {
                if map {
                    self.world.p2m[n] |= bit;
                } else {
                    self.world.p2m[n] &= !bit;
                }
            }
        }
        self.window = None;
        // A failed map is undone.
        self.world.failed |= !map && matches!(outcome, Outcome::Fails(_));
        let Some(result) = result else {
            // The device's lock is not taken again; deferred work is still to do.
            self.pending[cpu] |= call == Call::Work;
            return Ok(());
        };
        if let Ok(part) = result
            && map
            && bars & BAR != 0
        {
            self.world.misplaced = part & BAR == 0;
        }
        let result = result.map(|part| BarSet::from_bits(part.into()));
        let epoch = self.device.epoch;
        let action = if call == Call::Work {
            // That it ends needs no other epoch.
            let action = self.device.worked(epoch, result);
            if self.device.epoch != epoch || !self.device.in_flight() {
                self.pending = [false; 2];
            }
            action
        } else {
            self.tell(|device, entries| device.complete(entries, result))?
        };
        self.follow(cpu, call, action, seen)
    }

    /// What holds in every state.
    fn check(&self) -> Result<(), String> {
        let need = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
        let Self { device, world, .. } = self;
        let (mapped, at) = (self.mapped(), self.at());
        let (flight, coming) = self.flight();
        let there = |n: usize| world.p2m[n];

        need(
            self.talk.is_some() || self.window.is_none_or(|talk| !talk.last),
            "a map that nobody completes",
        )?;
        for (n, slot) in SLOTS.into_iter().enumerate() {
            let counts = (mapped | flight) >> slot & 1 != 0;
            let told = device.is_idle() || !device.in_flight();
            need(
                !told || there(n) == 0 || counts && there(n) == 1 << at[n],
                "something is in the p2m that the record does not know of",
            )?;
            need(
                flight >> slot & 1 == 0 || (mapped >> slot & 1 != 0) == coming,
                "what is in flight is not marked as where it goes",
            )?;
        }

        // An old epoch changes nothing.
        let mut old = *device;
        for epoch in [u32::MAX, 1] {
            let nothing = if device.is_idle() {
                Action::Done(Ok(()))
            } else {
                Action::Retry
            };
            need(old.work(epoch) == nothing, "work for an old epoch")?;
            for result in [Ok(BarSet::NONE), Err(FAILURE)] {
                let action = old.worked(epoch, result);
                need(
                    action == Action::Done(Ok(())) && old == *device,
                    "an old epoch's outcome is taken",
                )?;
            }
        }

        // A last action is still to be performed.
        if !device.is_idle() || self.talk.is_some() {
            return Ok(());
        }
        need(
            world.msi == (device.msi.enabled != 0),
            "MSI is not as the record has it",
        )?;
        need(
            !world.msix || device.msix.enabled != 0,
            "an MSI-X vector without MSI-X",
        )?;
        if device.owner() == Owner::Nobody || device.reads_as_ones() && !world.failed {
            need(!world.msi && !world.msix, "vectors of nobody")?;
        }
        if device.owner() == Owner::Hidden {
            need(!world.msi && !world.msix, "vectors of a hidden device")?;
        }
        if device.owner() == Owner::Nobody {
            need(
                world.p2m == [0; 2] && flight == 0 && mapped == 0,
                "mapped for nobody",
            )?;
        }
        if flight != 0 {
            return Ok(());
        }

        need(
            !self.left() || world.failed,
            "BARs are left mapped, and nothing has failed",
        )?;
        if device.writes() != Writes::Pass {
            return Ok(());
        }
        if self.decode() {
            for (n, slot) in SLOTS.into_iter().enumerate() {
                let is = mapped >> slot & 1 != 0;
                let decoded = slot == BAR_SLOT || self.rom_is_mapped();
                need(
                    !is || !decoded || there(n) == 1 << at[n],
                    "mapped, and not in the p2m",
                )?;
            }
            need(
                mapped & BAR != 0 || world.misplaced,
                "memory decode is on, and the BAR is not mapped",
            )?;
        }
        if world.unannounced || world.who != Who::Device || mapped != 0 && !self.decode() {
            return Ok(());
        }
        need(
            self.decode() == world.decodes && at == [world.bar, world.rom],
            "the record is not what the hardware has",
        )?;
        // Its enable bit makes no difference while memory decode is off.
        need(
            !self.decode() || self.rom_is_mapped() == (mapped & ROM != 0 && world.rom_on),
            "the ROM is not as the hardware has it",
        )
    }
}

/// A call without what it writes.
fn kind(call: Call) -> &'static str {
    match call {
        Call::Write(COMMAND, _) => "command",
        Call::Write(BASE_ADDRESS_0, _) => "BAR",
        Call::Write(ROM_ADDRESS, _) => "ROM",
        Call::Write(MSI_CONTROL, _) => "MSI",
        Call::Write(..) => "MSI-X",
        Call::Entry(_) => "entry",
        Call::Work | Call::Resume => "work",
        Call::Reset => "reset",
        Call::Detach => "detach",
        Call::Attach => "attach",
    }
}

/// An action without what it names.
fn name(job: Job) -> &'static str {
    match job {
        Job::Map(_) => "Map",
        Job::Unmap(_) => "Unmap",
        Job::Defer => "Defer",
        Job::Retry => "Retry",
        Job::Write(..) => "ConfWrite",
        Job::Probe(_) => "Probe",
        Job::MsiEnable => "MsiEnable",
        Job::MsiDisable => "MsiDisable",
        Job::MsixUpdate => "MsixUpdate",
        Job::MsixDisable => "MsixDisable",
        Job::MsixMask => "MsixMask",
        Job::MsixControl => "MsixControl",
        Job::MsixClear => "MsixClear",
        Job::BarMapped => "BarMapped",
    }
}

fn brief(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Good => "good",
        Outcome::Of(_) => "in part",
        Outcome::Fails(_) => "fails",
        Outcome::Preempted(_) => "preempted",
    }
}

/// What was seen on the way, to know that something was.
#[derive(Default)]
struct Seen {
    performed: BTreeSet<(&'static str, &'static str)>,
    outcomes: BTreeSet<(&'static str, i32)>,
}

/// The move that led to a state first, from which, and the one that is its way on.
struct Reached {
    from: u32,
    by: Option<Move>,
    on: u32,
}

struct Search {
    plan: Plan,
    found: HashMap<State, u32>,
    open: VecDeque<State>,
    reached: Vec<Reached>,
    transitions: usize,
    seen: Seen,
}

impl Search {
    fn run(plan: Plan) -> Self {
        let mut search = Self {
            plan,
            found: HashMap::new(),
            open: VecDeque::new(),
            reached: Vec::new(),
            transitions: 0,
            seen: Seen::default(),
        };
        search.add(State::new().canonical(), 0, None);
        let mut at = 0;
        while let Some(state) = search.open.pop_front() {
            let on = state.way_on();
            for with in state.moves(&search.plan) {
                search.transitions += 1;
                match state.step(&search.plan, with, &mut search.seen) {
                    Ok(next) => {
                        let to = search.add(next, at, Some(with));
                        if on == Some(with) {
                            search.reached[at as usize].on = to;
                        }
                    }
                    Err(what) => search.fail(at, &format!("{with:?}"), &what),
                }
            }
            at += 1;
        }
        search
    }

    fn add(&mut self, state: State, from: u32, by: Option<Move>) -> u32 {
        let index = u32::try_from(self.reached.len()).unwrap();
        match self.found.entry(state) {
            Entry::Occupied(there) => *there.get(),
            Entry::Vacant(free) => {
                free.insert(index);
                self.open.push_back(state);
                self.reached.push(Reached {
                    from,
                    by,
                    on: index,
                });
                index
            }
        }
    }

    /// The shortest way to where it went wrong.
    fn fail(&self, mut at: u32, last: &str, what: &str) -> ! {
        let mut way = vec![last.to_owned()];
        while let Reached {
            from,
            by: Some(with),
            ..
        } = self.reached[at as usize]
        {
            way.push(format!("{with:?}"));
            at = from;
        }
        way.reverse();
        panic!("{}: {what}, after\n{}", self.plan.name, way.join("\n"));
    }

    /// Whatever is on its way ends: the way on from each state leads to one at
    /// rest, or where nothing but a hypercall that was given up is left.
    fn ends(&self) {
        // How far it is to a state that is its own way on.
        let mut left = vec![0_u32; self.reached.len()];
        for mut at in 0..self.reached.len() {
            let mut way = Vec::new();
            while left[at] == 0 && self.reached[at].on as usize != at {
                way.push(at);
                assert!(way.len() <= MOST_STEPS, "it does not end");
                at = self.reached[at].on as usize;
            }
            for (steps, at) in (left[at] + 1..).zip(way.into_iter().rev()) {
                left[at] = steps;
            }
        }
        let most = left.into_iter().max().unwrap();
        assert!(most as usize <= MOST_STEPS, "{most} steps until it ends");
        for (state, &at) in &self.found {
            let ends = self.reached[at as usize].on == at;
            if ends != (state.is_at_rest() && state.is_alone()) {
                self.fail(at, "nothing more", "it does not end");
            }
        }
    }

    /// From every state in which no lock is held.
    fn each(&self, check: impl Fn(&State, &Plan) -> Result<(), String>) -> usize {
        let mut checked = 0;
        for (state, &at) in &self.found {
            if state.is_alone() {
                checked += 1;
                if let Err(what) = check(state, &self.plan) {
                    self.fail(at, "and so on", &what);
                }
            }
        }
        checked
    }
}

/// More steps than anything takes until it ends.
const MOST_STEPS: usize = 20;

impl State {
    /// No lock is held.
    fn is_alone(&self) -> bool {
        self.talk.is_none() && self.window.is_none()
    }

    /// The move with which everything goes well and ends.
    fn way_on(&self) -> Option<Move> {
        if self.talk.is_some() {
            Some(Move::Perform(Outcome::Good))
        } else if self.window.is_some() {
            Some(Move::Finish(Outcome::Good))
        } else if let Some(cpu) = self.pending.iter().position(|&pending| pending) {
            Some(Move::Begin(cpu, Call::Work))
        } else if !self.device.is_idle() && self.device.writes() == Writes::Ignored {
            // It was given up; the next one goes on.
            Some(Move::Begin(1, Call::Reset))
        } else if !self.is_at_rest() {
            // Nobody comes, but whoever needs the device then does.
            Some(Move::Begin(1, WAITS))
        } else {
            None
        }
    }

    /// What becomes of `call` when all goes well, and whether it is to be made
    /// again.
    fn drive(&self, plan: &Plan, call: Call) -> Result<(Self, bool), String> {
        let mut again = false;
        let mut state = self.step(plan, Move::Begin(1, call), &mut Seen::default())?;
        for _ in 0..MOST_STEPS {
            match state.way_on() {
                Some(with) if !state.is_alone() || state.pending != [false; 2] => {
                    again |= state.talk.is_some_and(|talk| talk.job == Job::Retry);
                    state = state.step(plan, with, &mut Seen::default())?;
                }
                _ => return Ok((state, again)),
            }
        }
        Err(format!("{call:?} does not end"))
    }

    /// A write, made again for as long as the domain is told so.
    fn drive_write(&self, plan: &Plan, register: u16, value: u32) -> Result<Self, String> {
        let mut state = *self;
        for _ in 0..4 {
            let (next, again) = state.drive(plan, Call::Write(register, value))?;
            state = next;
            if !again {
                return Ok(state);
            }
        }
        Err(format!(
            "{value:#x} to {register:#x} is made again for ever"
        ))
    }

    /// The same hardware, with a record that was just made and attached.
    fn made_anew(&self, plan: &Plan) -> Result<Self, String> {
        let new = Self {
            world: World {
                p2m: [0; 2],
                msi: false,
                msix: false,
                ..self.world
            },
            ..Self::new()
        };
        Ok(new.drive(plan, Call::Attach)?.0)
    }

    /// A reset that goes well makes it as new.
    fn resets(&self, plan: &Plan) -> Result<(), String> {
        if self.device.owner() == Owner::Nobody {
            return Ok(());
        }
        let mut state = *self;
        state.pending = [false; 2];
        state.world.who = Who::Device;
        if !state.device.is_idle() {
            // One that was given up may have read the hardware before it changed.
            state = state.drive(plan, Call::Reset)?.0;
        }
        let state = state.drive(plan, Call::Reset)?.0;
        let new = state.made_anew(plan)?;
        let same =
            (state.device, state.entry, state.world.p2m) == (new.device, new.entry, new.world.p2m);
        same.then_some(())
            .ok_or_else(|| format!("a reset gives\n{state:x?}\nand not\n{new:x?}"))
    }

    /// The domain gets the device to work, at most by trying once more.
    fn works(&self, plan: &Plan) -> Result<(), String> {
        let state = self;
        if !state.is_at_rest()
            || state.device.writes() != Writes::Pass
            || state.world.who != Who::Device
        {
            return Ok(());
        }
        let mut state = *state;
        for _ in 0..2 {
            state = state.drive_write(plan, COMMAND, 0)?;
            state = state.drive_write(plan, BASE_ADDRESS_0, PLACES[1])?;
            state = state.drive_write(plan, COMMAND, DECODE)?;
            let World {
                decodes, bar, p2m, ..
            } = state.world;
            if decodes && bar == 1 && p2m[0] == 1 << 1 {
                return Ok(());
            }
        }
        Err(format!("the domain does not get it to work: {state:x?}"))
    }

    /// A BAR of a device that was reset unannounced is written, and what was is
    /// gone.
    fn heals(&self, plan: &Plan) -> Result<(), String> {
        let reset = self.world.who == Who::Device && !self.world.decodes;
        if !reset || !self.is_at_rest() || !self.decode() || self.mapped() & BAR == 0 {
            return Ok(());
        }
        let state = self.drive_write(plan, BASE_ADDRESS_0, PLACES[1])?;
        let World {
            decodes,
            bar,
            rom,
            p2m,
            msi,
            msix,
            ..
        } = state.world;
        let healed = bar == 1 && p2m == [0; 2] && !msi && !msix;
        let healed = healed && state.at() == [bar, rom] && !decodes && !state.decode();
        healed
            .then_some(())
            .ok_or_else(|| format!("a write does not heal it: {state:x?}"))
    }
}

/// What is seen of an action in any search.
const PERFORMED: [(&str, &[&str]); 8] = [
    ("BarMapped", &["good"]),
    ("ConfWrite", &["good", "preempted"]),
    ("Defer", &["fails", "good"]),
    ("Map", &["fails", "good", "in part", "preempted"]),
    ("MsixClear", &["good", "preempted"]),
    ("Probe", &["fails", "good", "preempted"]),
    ("Retry", &["good"]),
    ("Unmap", &["fails", "good", "preempted"]),
];

/// ... and where the domain has interrupts of the device.
const WITH_INTERRUPTS: [(&str, &[&str]); 6] = [
    ("MsiDisable", &["fails", "good", "preempted"]),
    ("MsiEnable", &["fails", "good"]),
    ("MsixControl", &["good"]),
    ("MsixDisable", &["fails", "good", "preempted"]),
    ("MsixMask", &["good"]),
    ("MsixUpdate", &["fails", "good"]),
];

/// Each with each of its own.
fn pairs<T: Copy + Ord>(of: &[(&'static str, &[T])]) -> BTreeSet<(&'static str, T)> {
    of.iter()
        .flat_map(|&(name, each)| each.iter().map(move |&one| (name, one)))
        .collect()
}

/// Goes through all of the plan, which is to come across just this.
fn search(
    plan: Plan,
    performed: &[(&'static str, &[&'static str])],
    outcomes: &[(&'static str, &[i32])],
) {
    let search = Search::run(plan);
    search.ends();
    let checked = search.each(State::resets);
    search.each(State::works);
    search.each(State::heals);
    println!(
        "{}: {} states, {checked} of them with no lock held, {} transitions",
        search.plan.name,
        search.found.len(),
        search.transitions
    );
    assert_eq!(search.seen.performed, pairs(performed));
    assert_eq!(search.seen.outcomes, pairs(outcomes));
}

const EIO: i32 = Errno::EIO.to_c();
const EOPNOTSUPP: i32 = Errno::EOPNOTSUPP.to_c();
const FAILED: i32 = FAILURE.to_c();

#[test]
fn bars_and_rom_are_where_the_record_says() {
    let plan = Plan {
        name: "BARs",
        calls: [
            &[
                Call::Write(COMMAND, DECODE),
                Call::Write(COMMAND, 0),
                Call::Write(BASE_ADDRESS_0, PLACES[1]),
                Call::Write(ROM_ADDRESS, PLACES[1] | ROM_ON),
                Call::Write(ROM_ADDRESS, PLACES[2]),
            ],
            &[WAITS, Call::Reset, Call::Detach, Call::Attach],
        ],
        happens: &[Happens::Reset, Happens::Restored],
        kind: ResetKind::Flr,
        owner: Owner::Hardware,
    };
    search(
        plan,
        &PERFORMED,
        &[
            ("BAR", &[FAILED, 0]),
            ("ROM", &[FAILED, 0]),
            ("attach", &[EIO, 0]),
            ("detach", &[FAILED, 0]),
            ("reset", &[FAILED, EIO, 0]),
            ("work", &[FAILED, EIO, 0]),
        ],
    );
}

const INTERRUPTS: [&[Call]; 2] = [
    &[
        Call::Write(COMMAND, DECODE),
        Call::Write(COMMAND, 0),
        Call::Write(BASE_ADDRESS_0, PLACES[1]),
        Call::Write(MSI_CONTROL, ENABLE_MSI),
        Call::Write(MSI_CONTROL, 0),
        Call::Write(MSIX_CONTROL, ENABLE_MSIX),
        Call::Write(MSIX_CONTROL, 0),
        Call::Entry(true),
        Call::Entry(false),
    ],
    &[WAITS, Call::Reset, Call::Detach, Call::Attach],
];

#[test]
fn vectors_are_those_of_the_record() {
    let plan = Plan {
        name: "interrupts",
        calls: INTERRUPTS,
        happens: &[Happens::Reset, Happens::Exchanged],
        kind: ResetKind::Cold,
        owner: Owner::Hardware,
    };
    let performed: Vec<_> = PERFORMED.into_iter().chain(WITH_INTERRUPTS).collect();
    search(
        plan,
        &performed,
        &[
            ("BAR", &[FAILED, 0]),
            ("MSI", &[FAILED]),
            ("MSI-X", &[FAILED]),
            ("attach", &[EOPNOTSUPP, EIO, 0]),
            ("detach", &[FAILED, 0]),
            ("entry", &[FAILED, 0]),
            ("reset", &[EOPNOTSUPP, FAILED, EIO, 0]),
            ("work", &[EOPNOTSUPP, FAILED, EIO, 0]),
        ],
    );
}

#[test]
fn hidden_device_has_no_vectors() {
    let plan = Plan {
        name: "hidden",
        calls: INTERRUPTS,
        happens: &[Happens::Reset, Happens::Gone],
        kind: ResetKind::Hot,
        owner: Owner::Hidden,
    };
    search(
        plan,
        &PERFORMED,
        &[
            ("BAR", &[FAILED, EIO, 0]),
            ("attach", &[EIO, 0]),
            ("detach", &[FAILED, 0]),
            ("entry", &[0]),
            ("reset", &[FAILED, EIO, 0]),
            ("work", &[FAILED, EIO, 0]),
        ],
    );
}
