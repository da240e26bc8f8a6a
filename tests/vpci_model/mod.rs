// SPDX-License-Identifier: GPL-2.0-only
//! A device, its two virtual CPUs and the hardware, for a search and for fuzzing.
//!
//! The device has a 32-bit BAR, a ROM, one MSI vector and an MSI-X table of one
//! entry in the BAR. The model is told by the actions alone. What must hold in
//! each state that is reached is [`State::check`], what must hold of an action
//! before it is performed [`told`]; that a reset makes the device as new is
//! [`State::resets`], that the domain gets it to work again [`State::works`], and
//! that a write notices a reset that nobody announced [`State::heals`].
//!
//! Whoever includes it says in a module `api` beside it how the library is called.
//!
//! Locks are as in Xen: a CPU holds the device's for a conversation and drops it
//! to map and unmap, holding pcidevs_lock all the while where it is a hypercall or
//! deferred work.

use std::collections::BTreeSet;

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

use super::api;

pub(crate) const MSI: u16 = 0x50;
pub(crate) const MSIX: u16 = 0x60;
pub(crate) const MSI_CONTROL: u16 = MSI + 2;
pub(crate) const MSIX_CONTROL: u16 = MSIX + 2;
pub(crate) const ENABLE_MSI: u32 = 1;
pub(crate) const ENABLE_MSIX: u32 = 1 << 15;
pub(crate) const DECODE: u32 = 2;
pub(crate) const ROM_ON: u32 = 1;

pub(crate) const BAR_SLOT: usize = 0;
pub(crate) const ROM_SLOT: usize = 6;
pub(crate) const BAR: u8 = 1 << BAR_SLOT;
pub(crate) const ROM: u8 = 1 << ROM_SLOT;
/// The slots that have something to be mapped.
pub(crate) const SLOTS: [usize; 2] = [BAR_SLOT, ROM_SLOT];

pub(crate) const SIZES: [u64; NR_BARS] = [0x1000, 0, 0, 0, 0, 0, 0x800];

/// A write that waits for whatever is on its way.
pub(crate) const WAITS: Call = Call::Write(BASE_ADDRESS_0, PLACES[1]);

/// Where the BAR and the ROM can be: after a reset, and at two other places.
pub(crate) const PLACES: [u32; 3] = [0, 0x1000_0000, 0x2000_0000];

pub(crate) fn place(addr: u64) -> u8 {
    let at = PLACES.iter().position(|&place| u64::from(place) == addr);
    let at = at.unwrap_or_else(|| panic!("{addr:#x} is where nobody put it"));
    u8::try_from(at).unwrap()
}

/// The event that begins a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Call {
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
    pub(crate) fn holds_pcidevs(self) -> bool {
        match self {
            Self::Work | Self::Resume | Self::Reset | Self::Detach | Self::Attach => true,
            Self::Write(..) | Self::Entry(_) => false,
        }
    }

    /// Whether BARs may be mapped and unmapped in its course.
    pub(crate) fn may_map(self) -> bool {
        match self {
            Self::Work | Self::Resume | Self::Reset | Self::Detach => true,
            Self::Attach | Self::Write(..) | Self::Entry(_) => false,
        }
    }

    /// Whether it may be preempted between two actions.
    pub(crate) fn is_preempted(self) -> bool {
        matches!(self, Self::Resume | Self::Reset | Self::Detach)
    }
}

/// An action that Xen is to perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Job {
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

pub(crate) enum Told {
    Job(Job),
    Done(i32),
}

/// What is told, if it names nothing that there is not.
pub(crate) fn told(action: Action) -> Result<Told, String> {
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
pub(crate) enum Who {
    Device,
    Nobody,
    Another,
}

/// What Xen and the hardware have of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) who: Who,
    /// Memory decode.
    pub(crate) decodes: bool,
    pub(crate) bar: u8,
    pub(crate) rom: u8,
    pub(crate) rom_on: bool,
    /// Places where the BAR and the ROM are in the p2m.
    pub(crate) p2m: [u8; 2],
    pub(crate) msi: bool,
    pub(crate) msix: bool,
    /// The hardware has changed since it was read last.
    pub(crate) unannounced: bool,
    /// Something has failed because of which BARs may be left mapped.
    pub(crate) failed: bool,
    /// The BAR was not mapped because it lies where none may.
    pub(crate) misplaced: bool,
}

impl World {
    pub(crate) const NEW: Self = Self {
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
    pub(crate) fn snapshot(&self, depth: u8) -> Snapshot {
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

    pub(crate) fn write(&mut self, register: u16, value: u32) {
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
pub(crate) enum Happens {
    /// It is reset and decodes nothing.
    Reset,
    /// It is reset, and somebody has it decode elsewhere.
    Restored,
    Gone,
    Exchanged,
}

impl Happens {
    pub(crate) fn to(self, world: &World) -> World {
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
pub(crate) struct Talk {
    pub(crate) cpu: usize,
    pub(crate) call: Call,
    pub(crate) job: Job,
    /// Nothing follows.
    pub(crate) last: bool,
    /// Where the BAR and the ROM were when this began.
    pub(crate) at: [u8; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) device: Device,
    pub(crate) entry: msix::Entry,
    pub(crate) world: World,
    /// Which vCPU has to come back for the operation in flight. One that was to
    /// come for another finds nothing, and that changes nothing, see `check`; one
    /// that waits for a reset or a detach is as one that has not written yet.
    pub(crate) pending: [bool; 2],
    /// Who holds the device's lock, with an action to perform.
    pub(crate) talk: Option<Talk>,
    /// Who maps or unmaps, without the device's lock.
    pub(crate) window: Option<Talk>,
}

/// What comes of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
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
pub(crate) enum Move {
    Begin(usize, Call),
    Perform(Outcome),
    Finish(Outcome),
    Happens(Happens),
}

/// What the search lets the domain do.
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// What each vCPU begins.
    pub(crate) calls: [&'static [Call]; 2],
    pub(crate) happens: &'static [Happens],
    pub(crate) kind: ResetKind,
    pub(crate) owner: Owner,
}

/// An error that nothing in the record is a reason for.
pub(crate) const FAILURE: Errno = Errno::ENOSPC;

pub(crate) fn subsets(bars: u8) -> Vec<u8> {
    let mut all: Vec<u8> = vec![0, bars];
    if bars == BAR | ROM {
        all.push(BAR);
    }
    all
}

impl State {
    /// The device made, and given to nobody.
    pub(crate) fn new() -> Self {
        let mut device = Device::empty();
        let snapshot = World::NEW.snapshot(Depth::Capabilities as u8);
        api::init(&mut device, &snapshot, &SIZES).unwrap();
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

    pub(crate) fn at(&self) -> [u8; 2] {
        SLOTS.map(|slot| place(self.device.bars[slot].addr))
    }

    pub(crate) fn mapped(&self) -> u8 {
        SLOTS
            .iter()
            .filter(|&&slot| self.device.bars[slot].mapped != 0)
            .map(|&slot| 1 << slot)
            .sum()
    }

    /// The BARs in flight and whether they are on their way in; nobody is told in
    /// the middle of a conversation.
    pub(crate) fn flight(&self) -> (u8, bool) {
        if !self.device.is_idle() {
            return (0, false);
        }
        let action = api::work(&self.device, self.device.epoch);
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
    pub(crate) fn decode(&self) -> bool {
        let mut device = self.device;
        api::passes_command(&mut device, 2)
    }

    /// Whether a write of the ROM register finds it enabled and mapped.
    pub(crate) fn rom_is_mapped(&self) -> bool {
        let Self {
            mut device,
            mut entry,
            ..
        } = *self;
        let value = PLACES[usize::from(self.at()[1])] | ROM_ON;
        let entries = core::slice::from_mut(&mut entry);
        let action = api::write(&mut device, entries, ROM_ADDRESS, value);
        action == Action::Probe(Depth::Command)
    }

    /// Nothing of any event is on its way.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.device.is_idle() && !self.device.in_flight()
    }

    /// BARs are mapped that nobody decodes, as far as the record knows.
    pub(crate) fn left(&self) -> bool {
        let mapped = self.mapped();
        let rom_alone = self.decode() && mapped & ROM != 0 && !self.rom_is_mapped();
        self.is_at_rest() && mapped != 0 && (!self.decode() || rom_alone)
    }

    /// One of several states that differ in what makes no difference.
    pub(crate) fn canonical(mut self) -> Self {
        self.device = self.device.settled();
        let vectors = self.world.msi || self.world.msix;
        self.world.failed &=
            !self.is_at_rest() || self.left() || vectors && self.device.reads_as_ones();
        let off = self.is_at_rest() && !self.decode();
        self.world.misplaced &= self.mapped() & BAR == 0 && !off;
        self
    }

    pub(crate) fn moves(&self, plan: &Plan) -> Vec<Move> {
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
    pub(crate) fn outcomes(&self, talk: Talk) -> Vec<Outcome> {
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

    pub(crate) fn step(&self, plan: &Plan, with: Move, seen: &mut Seen) -> Result<Self, String> {
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
    pub(crate) fn tell(
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

    pub(crate) fn begin(
        &mut self,
        plan: &Plan,
        cpu: usize,
        call: Call,
        seen: &mut Seen,
    ) -> Result<(), String> {
        let before = *self;
        let action = match call {
            Call::Write(register, value) => {
                self.tell(|device, entries| api::write(device, entries, register, value))?
            }
            Call::Entry(unmask) => self.tell(|device, entries| {
                if unmask {
                    let action = api::write_entry(device, entries, 0, 0, 8, 0xfee0_0000);
                    if action != Action::Done(Ok(())) {
                        return action;
                    }
                }
                api::write_entry(device, entries, 0, 12, 4, (!unmask).into())
            })?,
            Call::Work => {
                self.pending[cpu] = false;
                let action = api::work(&self.device, self.device.epoch);
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
            Call::Reset => self.tell(|device, entries| api::reset(device, entries, plan.kind))?,
            Call::Detach => self.tell(api::detach)?,
            Call::Attach => self.tell(|device, _| api::attach(device, plan.owner))?,
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
            if api::work(&self.device, self.device.epoch) != Action::Retry {
                return Err("work while a reset is on its way".to_owned());
            }
            let action = api::resume(&self.device);
            return self.follow(cpu, Call::Resume, action, seen);
        }
        if waits || before == *self && matches!(action, Action::Done(_)) {
            return Ok(());
        }
        self.follow(cpu, call, action, seen)
    }

    /// What the CPU does with the action that it was given.
    pub(crate) fn follow(
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
    pub(crate) fn is_true(&self, call: Call, rc: i32) -> Result<(), String> {
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
    pub(crate) fn perform(
        &mut self,
        talk: Talk,
        outcome: Outcome,
        seen: &mut Seen,
    ) -> Result<(), String> {
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
            self.tell(|device, entries| api::probed(device, entries, &snapshot))?
        } else {
            self.tell(|device, entries| api::complete(device, entries, result))?
        };
        self.follow(cpu, call, action, seen)
    }

    /// Ends a map or an unmap, with the lock taken again.
    pub(crate) fn finish(
        &mut self,
        window: Talk,
        outcome: Outcome,
        seen: &mut Seen,
    ) -> Result<(), String> {
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
            let action = api::worked(&mut self.device, epoch, result);
            if self.device.epoch != epoch || !self.device.in_flight() {
                self.pending = [false; 2];
            }
            action
        } else {
            self.tell(|device, entries| api::complete(device, entries, result))?
        };
        self.follow(cpu, call, action, seen)
    }

    /// What holds in every state.
    pub(crate) fn check(&self) -> Result<(), String> {
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
            need(api::work(&old, epoch) == nothing, "work for an old epoch")?;
            for result in [Ok(BarSet::NONE), Err(FAILURE)] {
                let action = api::worked(&mut old, epoch, result);
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
pub(crate) fn kind(call: Call) -> &'static str {
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
pub(crate) fn name(job: Job) -> &'static str {
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

pub(crate) fn brief(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Good => "good",
        Outcome::Of(_) => "in part",
        Outcome::Fails(_) => "fails",
        Outcome::Preempted(_) => "preempted",
    }
}

/// What was seen on the way, to know that something was.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) performed: BTreeSet<(&'static str, &'static str)>,
    pub(crate) outcomes: BTreeSet<(&'static str, i32)>,
}

/// More steps than anything takes until it ends.
pub(crate) const MOST_STEPS: usize = 20;

impl State {
    /// No lock is held.
    pub(crate) fn is_alone(&self) -> bool {
        self.talk.is_none() && self.window.is_none()
    }

    /// The move with which everything goes well and ends.
    pub(crate) fn way_on(&self) -> Option<Move> {
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
    pub(crate) fn drive(&self, plan: &Plan, call: Call) -> Result<(Self, bool), String> {
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
    pub(crate) fn drive_write(
        &self,
        plan: &Plan,
        register: u16,
        value: u32,
    ) -> Result<Self, String> {
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
    pub(crate) fn made_anew(&self, plan: &Plan) -> Result<Self, String> {
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
    pub(crate) fn resets(&self, plan: &Plan) -> Result<(), String> {
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
    pub(crate) fn works(&self, plan: &Plan) -> Result<(), String> {
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
    pub(crate) fn heals(&self, plan: &Plan) -> Result<(), String> {
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
