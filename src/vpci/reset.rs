// SPDX-License-Identifier: GPL-2.0-only
//! Clearing a device's record: reset, healing, giving it up, taking it back.
//!
//! ```text
//! reset   vectors released → Probe ─┬─ as mapped ──────────────────→ commit → Done
//!                                   ├─ else → Unmap → Probe → commit → Map → Done
//!                                   └─ no answer → Unmap → fenced → Done
//! heal    vectors released → Unmap queued → the write again; unmapped: renew
//! renew   Probe ─┬→ commit, Map queued where it decodes → Done
//!                └─ no answer → vectors released → fenced → Done
//! detach  vectors released → Unmap → detached → Done
//! attach  MSI-X disabled → Probe → commit, Map queued → Done
//! ```
//!
//! A step for which there is nothing to do is left out. Nothing is freed,
//! allocated or sized: addresses are read again, sizes are kept. Committed is
//! what a new record of the device would be. A step that fails ends the event
//! with the record as it is, less what has been released, and the next one does
//! the rest. A device that does not answer, or answers as another one, is fenced:
//! its configuration space reads as all ones and ignores writes until a later
//! reset finds it again.
//!
//! Which kind of reset it was: a conventional one (cold, warm, hot) [PCIe §6.6.1]
//! may bring the function back with other capabilities, whose layout is therefore
//! read and compared too; a function level reset [PCIe §6.6.2] leaves the layout
//! as it is. `docs/reset.md` has what each clears.
//!
//! C may leave an action of a reset or a detach uncompleted to be preempted; the
//! next call, from whichever CPU, is then given the same action again.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::ids::BarIndex;
use crate::spec::pci::{BarFlags, COMMAND, Command, HeaderType, ROM_ENABLE, Width};
use crate::spec::physdev::ResetKind;
use crate::vpci::action::{Action, Depth};
use crate::vpci::bar::{BarKind, BarSet};
use crate::vpci::header::Snapshot;
use crate::vpci::map::Operation;
use crate::vpci::msix::Entry;
use crate::vpci::{Device, Owner, Step};

/// What the clearing is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Reset,
    Heal,
    Detach,
    Attach,
}

/// Bits of `clearing`: the purpose and what belongs to it.
const PURPOSE: u8 = 0b11;
const CONVENTIONAL: u8 = 1 << 2;
/// The fence is due once the BARs are unmapped.
const LOST: u8 = 1 << 3;
/// ... because another device answered.
const OTHER: u8 = 1 << 4;

impl Device {
    /// The device was reset: brings the record up to date.
    ///
    /// While a reset is on its way, gives its outstanding action again. `Done`
    /// carries what the failed step gave, [`Errno::EIO`] when the device does not
    /// answer, [`Errno::EOPNOTSUPP`] when it answers as another one.
    pub fn reset(&mut self, entries: &mut [Entry], kind: ResetKind) -> Action {
        if self.owner() == Owner::Nobody {
            return Action::Done(Ok(()));
        }
        if self.is_under_way(Purpose::Reset) {
            return self.outstanding();
        }
        let conventional = if kind.is_conventional() {
            CONVENTIONAL
        } else {
            0
        };
        self.clear(entries, Purpose::Reset, conventional)
    }

    /// The device is taken from its domain: releases what it has there.
    ///
    /// Asks the device nothing. While it is on its way, gives its outstanding
    /// action again.
    pub fn detach(&mut self, entries: &mut [Entry]) -> Action {
        if self.owner() == Owner::Nobody {
            return Action::Done(Ok(()));
        }
        if self.is_under_way(Purpose::Detach) {
            return self.outstanding();
        }
        self.clear(entries, Purpose::Detach, 0)
    }

    /// The device is given to `owner`'s domain, which has vPCI: a new device, or
    /// one that was detached.
    ///
    /// Ends with [`Action::Defer`], to be completed, when its BARs are to be
    /// mapped. [`Errno::EINVAL`] for one that has an owner; a fenced one that
    /// has nothing left may be tried again, as after an attach that fenced it.
    pub fn attach(&mut self, owner: Owner) -> Action {
        let given_up = self.fenced != 0
            && self.mapped().is_empty()
            && self.msi.enabled == 0
            && self.msix.enabled == 0;
        let taken = self.owner() != Owner::Nobody && !given_up;
        if taken || owner == Owner::Nobody {
            return Action::Done(Err(Errno::EINVAL));
        }
        self.set_owner(owner);
        self.clearing = Purpose::Attach as u8 | CONVENTIONAL;
        // Whoever had it may have left the function masked.
        self.clear_control()
    }

    /// Somebody who waits for a reset or a detach goes on with it: gives its
    /// outstanding action again, or `Done` when there is none.
    ///
    /// So nobody waits for one whose caller does not come back, or cannot before
    /// the one who waits has gone on.
    pub fn resume(&self) -> Action {
        if self.is_idle() {
            Action::Done(Ok(()))
        } else {
            self.outstanding()
        }
    }

    /// Hands over what [`Action::Probe`] read, and gives the next action.
    ///
    /// A snapshot that nothing waits for changes nothing and is answered
    /// `Done(Err(EIO))`.
    pub fn probed(&mut self, entries: &mut [Entry], snapshot: &Snapshot) -> Action {
        let step = self.step();
        if step == Step::Doubt {
            self.doubted(entries, snapshot)
        } else if step == Step::Probe || step == Step::ProbeAgain {
            self.found(entries, snapshot)
        } else {
            Action::Done(Err(Errno::EIO))
        }
    }

    /// Whether a write to a mapped BAR was refused wrongly: the record has memory
    /// decode on and the device has not, so it was reset.
    #[inline(never)]
    fn doubted(&mut self, entries: &mut [Entry], snapshot: &Snapshot) -> Action {
        let (slot, same) = (self.step_entry, self.step_value != 0);
        if !snapshot.is_answer() {
            return self.finish(Err(Errno::EIO));
        }
        if snapshot.decodes() {
            return match BarIndex::new(slot.into()) {
                Some(index) if !same => self.last(Action::BarMapped(index)),
                _ => self.finish(Ok(())),
            };
        }
        self.clear(entries, Purpose::Heal, 0)
    }

    /// Whether a clearing for `purpose` waits for its caller to come back. One for
    /// another purpose, whose caller has not come back, is begun anew.
    fn is_under_way(&self, purpose: Purpose) -> bool {
        !self.is_idle() && self.purpose() == purpose
    }

    /// Begins: whatever is in flight ends.
    #[inline(never)]
    fn clear(&mut self, entries: &mut [Entry], purpose: Purpose, flags: u8) -> Action {
        if self.in_flight() || self.step() == Step::Map {
            // Not all that counts as mapped needs to be in the p2m, so none of it
            // stays, and if this fails it is taken out by the next write.
            self.decode = 0;
        }
        self.cancel();
        self.clearing = purpose as u8 | flags;
        self.release(entries)
    }

    /// The vectors go, MSI first.
    #[inline(never)]
    fn release(&mut self, entries: &mut [Entry]) -> Action {
        if self.msi.enabled != 0 {
            return self.go(Step::ClearMsi, Action::MsiDisable);
        }
        self.msi.clear();
        self.clear_entry(entries, 0)
    }

    /// Clears MSI-X entries from `from` on up to one that has a vector.
    #[inline(never)]
    fn clear_entry(&mut self, entries: &mut [Entry], from: u16) -> Action {
        for number in from..self.msix.entries {
            let Some(entry) = entries.get_mut(usize::from(number)) else {
                break;
            };
            if entry.has_vector() {
                self.step_entry = number;
                return self.go(Step::ClearEntry, Action::MsixDisable(number));
            }
            *entry = Entry::FRESH;
        }
        self.clear_control()
    }

    fn clear_control(&mut self) -> Action {
        self.msix.clear();
        if self.msix.pos != 0 {
            return self.go(Step::ClearMsix, Action::MsixClear);
        }
        self.cleared()
    }

    /// The vectors are released.
    fn cleared(&mut self) -> Action {
        let purpose = self.purpose();
        if purpose == Purpose::Detach || self.clearing & LOST != 0 {
            self.take_out()
        } else if purpose == Purpose::Heal {
            self.heal()
        } else {
            self.go_probe(Step::Probe)
        }
    }

    /// Unmaps what is mapped, or goes on if nothing is.
    #[inline(never)]
    fn take_out(&mut self) -> Action {
        self.decode = 0;
        let mapped = self.mapped();
        if mapped.is_empty() {
            return self.taken_out();
        }
        self.op_bars = mapped.bits();
        self.go(Step::Unmap, Action::Unmap(mapped))
    }

    #[inline(never)]
    fn taken_out(&mut self) -> Action {
        self.set_mapped(self.mapped(), false);
        if self.purpose() == Purpose::Detach {
            self.set_owner(Owner::Nobody);
            self.fenced = 0;
            return self.finish(Ok(()));
        }
        if self.clearing & LOST != 0 {
            self.fenced = 1;
            let other = self.clearing & OTHER != 0;
            return self.finish(Err(if other { Errno::EOPNOTSUPP } else { Errno::EIO }));
        }
        self.go_probe(Step::ProbeAgain)
    }

    /// The header that a reset, a renewal or an attach has asked for.
    #[inline(never)]
    fn found(&mut self, entries: &mut [Entry], snapshot: &Snapshot) -> Action {
        if let Err(errno) = self.check(snapshot) {
            return self.lost(entries, errno);
        }
        if self.stays(snapshot) {
            self.commit(snapshot);
            return self.finish(Ok(()));
        }
        if !self.mapped().is_empty() {
            return self.take_out();
        }
        self.commit(snapshot);
        if self.owner() == Owner::Guest {
            // A guest begins with a device that decodes nothing, and has no ROM.
            let off = Command::MEMORY | Command::IO | Command::MASTER;
            self.command &= !off.bits();
            self.decode = 0;
            self.rom_enabled = 0;
            return self.last(self.command_write());
        }
        let bars = self.decoded();
        if self.decode == 0 || bars.is_empty() {
            return self.finish(Ok(()));
        }
        if self.purpose() != Purpose::Reset {
            self.queue(Operation::Map, bars);
            return self.go(Step::Deferred, Action::Defer);
        }
        self.op_bars = bars.bits();
        self.set_mapped(bars, true);
        self.go(Step::Map, Action::Map(bars))
    }

    /// The device is not to be had, or it is another one: the fence is due.
    #[inline(never)]
    pub(super) fn lost(&mut self, entries: &mut [Entry], errno: Errno) -> Action {
        self.clearing |= LOST;
        if errno == Errno::EOPNOTSUPP {
            self.clearing |= OTHER;
        }
        if self.purpose() == Purpose::Heal {
            // What a failed unmap left may be taken out with vectors in use.
            return self.release(entries);
        }
        self.take_out()
    }

    /// The device decodes nothing, so what it had goes out of the p2m, from where
    /// the record has it; the write that found out is made again after that.
    fn heal(&mut self) -> Action {
        self.decode = 0;
        self.command &= !Command::MEMORY.bits();
        self.queue(Operation::Renew, self.mapped());
        self.last(Action::Retry)
    }

    /// Nothing is mapped any more, and the record is the device's again when its
    /// header has been read.
    pub(super) fn renew(&mut self) -> Action {
        self.clearing = Purpose::Heal as u8 | CONVENTIONAL;
        self.go_probe(Step::Probe)
    }

    /// Whether the snapshot is one of the device that the record is of.
    #[inline(never)]
    fn check(&self, snapshot: &Snapshot) -> Result<(), Errno> {
        if !snapshot.is_answer() {
            return Err(Errno::EIO);
        }
        let header = HeaderType::new(snapshot.header_type);
        if header != Some(self.header_type()) {
            return Err(Errno::EOPNOTSUPP);
        }
        let header = self.header_type();
        let same = self.bars.iter().enumerate().all(|(slot, bar)| {
            let register = snapshot.bars.get(slot).copied();
            let flags = BarFlags::from_bits_retain(register.unwrap_or_default());
            let memory = slot < header.bars() && !flags.contains(BarFlags::IO);
            match bar.kind() {
                BarKind::Mem32 => memory && !flags.is_mem_64(),
                BarKind::Mem64Lo => memory && flags.is_mem_64(),
                // The upper half has no type bits, the ROM none at all, and the
                // others are not ours.
                BarKind::Mem64Hi | BarKind::Rom | BarKind::Io | BarKind::Empty => true,
            }
        });
        let layout = self.clearing & CONVENTIONAL == 0
            || self.msi.is_of(snapshot) && self.msix.is_of(snapshot);
        if same && layout {
            Ok(())
        } else {
            Err(Errno::EOPNOTSUPP)
        }
    }

    /// Whether what is mapped is just what the device in the snapshot decodes; a
    /// guest has its own addresses and begins anew.
    fn stays(&self, snapshot: &Snapshot) -> bool {
        let rom = snapshot.rom & ROM_ENABLE != 0;
        self.owner() != Owner::Guest
            && self.decode != 0
            && snapshot.decodes()
            && rom == (self.rom_enabled != 0)
            && self.mapped() == self.decoded()
            && self.bars.iter().enumerate().all(|(slot, bar)| {
                !bar.is_memory() || bar.addr == snapshot.address(bar.kind(), slot)
            })
    }

    /// Makes the record what a new one of the same device would be; what is
    /// mapped stays marked so.
    fn commit(&mut self, snapshot: &Snapshot) {
        let Self {
            bars,
            // Released and cleared before.
            msi: _,
            msix: _,
            // The event itself goes on.
            epoch: _,
            step_value: _,
            step_entry: _,
            step: _,
            clearing: _,
            operation: _,
            op_bars: _,
            owner: _,
            header: _,
            command,
            decode,
            rom_enabled,
            fenced,
        } = self;
        *command = snapshot.command;
        *decode = snapshot.decodes().into();
        *rom_enabled = 0;
        *fenced = 0;
        for (slot, bar) in bars.iter_mut().enumerate() {
            let kind = bar.kind();
            if kind == BarKind::Rom {
                *rom_enabled = (snapshot.rom & ROM_ENABLE != 0).into();
            }
            // Its kind, its size and whether it is prefetchable stay.
            bar.place(snapshot.address(kind, slot));
        }
    }

    /// Goes on with a clearing after `step`.
    pub(super) fn clearing_completed(
        &mut self,
        entries: &mut [Entry],
        step: Step,
        result: Result<BarSet, Errno>,
    ) -> Action {
        match (step, result) {
            (Step::ClearMsi, Ok(_)) => {
                self.msi.clear();
                self.clear_entry(entries, 0)
            }
            (Step::ClearEntry, Ok(_)) => {
                let number = self.step_entry;
                if let Some(entry) = entries.get_mut(usize::from(number)) {
                    *entry = Entry::FRESH;
                }
                self.clear_entry(entries, number.saturating_add(1))
            }
            (Step::ClearMsix, _) => self.cleared(),
            (Step::Unmap, Ok(_)) => self.taken_out(),
            (Step::Map, Ok(placed)) => {
                let bars = BarSet::from_bits(self.op_bars.into());
                self.set_mapped(bars.without(placed), false);
                self.finish(Ok(()))
            }
            // Memory decode is turned off and what was mapped goes again; if it
            // does not, it counts as mapped for whatever comes next.
            (Step::Map, Err(errno)) => {
                self.step_value = errno as u32;
                let write = self.turn_off();
                self.go(Step::MapFailed, write)
            }
            (Step::MapFailed, _) => {
                let mapped = self.mapped();
                self.go(Step::MapUndone, Action::Unmap(mapped))
            }
            (Step::MapUndone, result) => {
                if result.is_ok() {
                    self.set_mapped(self.mapped(), false);
                }
                let [errno, ..] = self.step_value.to_le_bytes();
                self.finish(Errno::check(-i32::from(errno)))
            }
            // Nobody will come to map them: the device decodes nothing, then.
            (Step::Deferred, Err(_)) => {
                self.cancel();
                self.set_mapped(self.mapped(), false);
                let write = self.turn_off();
                self.last(write)
            }
            // What is mapped counts as that with memory decode off.
            (_, result) => {
                if self.clearing & LOST != 0 {
                    self.fenced = 1;
                }
                self.finish(result.map(|_| ()))
            }
        }
    }

    /// The action that the running clearing waits for.
    #[inline(never)]
    fn outstanding(&self) -> Action {
        match self.step() {
            Step::ClearMsi => Action::MsiDisable,
            Step::ClearEntry => Action::MsixDisable(self.step_entry),
            Step::ClearMsix => Action::MsixClear,
            Step::Unmap => Action::Unmap(BarSet::from_bits(self.op_bars.into())),
            Step::Map => Action::Map(BarSet::from_bits(self.op_bars.into())),
            Step::MapFailed => self.command_write(),
            Step::MapUndone => Action::Unmap(self.mapped()),
            Step::Probe | Step::ProbeAgain => self.probe(),
            // Steps of conversations that a caller ends before it gives way.
            Step::Idle
            | Step::Queued
            | Step::QueuedFirst
            | Step::Doubt
            | Step::MsiOn
            | Step::MsiOff
            | Step::MsiReenable
            | Step::MsiOnAgain
            | Step::MsiIntx
            | Step::MsixOn
            | Step::MsixOff
            | Step::MsixEntry
            | Step::MsixIntx
            | Step::Deferred => Action::Done(Err(Errno::EIO)),
        }
    }

    /// The write that turns memory decode off, as the record has it from now on.
    #[inline(never)]
    pub(super) fn turn_off(&mut self) -> Action {
        self.decode = 0;
        self.command &= !Command::MEMORY.bits();
        self.command_write()
    }

    const fn command_write(&self) -> Action {
        Action::ConfWrite {
            register: COMMAND,
            width: Width::Word,
            value: self.command as u32,
        }
    }

    const fn probe(&self) -> Action {
        Action::Probe(if self.clearing & CONVENTIONAL != 0 {
            Depth::Capabilities
        } else {
            Depth::Header
        })
    }

    const fn go_probe(&mut self, step: Step) -> Action {
        let probe = self.probe();
        self.go(step, probe)
    }

    const fn purpose(&self) -> Purpose {
        match self.clearing & PURPOSE {
            0 => Purpose::Reset,
            1 => Purpose::Heal,
            2 => Purpose::Detach,
            _ => Purpose::Attach,
        }
    }
}
