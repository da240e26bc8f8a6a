// SPDX-License-Identifier: GPL-2.0-only
//! The operation in flight: BARs on their way into the p2m or out of it.
//!
//! Registers and flags change when an operation is queued; only the work on the
//! p2m is done later, by whichever vCPU comes first ([`Device::work`]) and before
//! the one that asked runs its guest again.
//!
//! ```text
//!         queue            work → Map           worked
//!  none ────────→ Map ──────────────────→ … ─────────────→ none
//!                  │                          failed: decode off ─→ Unmap
//!         queue    │       work → Unmap         worked
//!  none ────────→ Unmap ─────────────────→ … ────────────→ none
//!                                             failed: the BARs count as mapped
//!  none ────────→ Renew ─────────────────→ … ────────────→ Probe → commit
//! ```
//!
//! - One operation a device. What another vCPU writes meanwhile, and needs to
//!   know what is mapped, is made again when it is over.
//! - It carries the device's epoch. A reset, a removal and a new operation begin
//!   another; who comes back with an old one changes nothing.
//! - A BAR that counts as mapped and is not decoded is what a failed unmap left:
//!   whatever comes next takes it out first.
//! - A BAR is unmapped where the record has it, so its address does not change
//!   before.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::vpci::action::Action;
use crate::vpci::bar::{BarKind, BarSet};
use crate::vpci::{Device, Step};

/// What is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    None,
    Map,
    /// The ROM alone, by its enable bit.
    MapRom,
    Unmap,
    /// An unmap after which the record is taken from the device again: what it
    /// says of addresses may not be so any more.
    Renew,
}

impl Operation {
    const fn takes_out(self) -> bool {
        matches!(self, Self::Unmap | Self::Renew)
    }
}

impl Device {
    /// Whether BARs of the device are being mapped or unmapped.
    pub const fn in_flight(&self) -> bool {
        !matches!(self.operation(), Operation::None)
    }

    /// The BARs that are in the p2m already: mapped, and not just queued to be.
    pub fn in_place(&self) -> BarSet {
        self.mapped().without(self.coming())
    }

    /// The BARs that count as mapped and are still to be.
    pub(super) fn coming(&self) -> BarSet {
        match self.operation() {
            Operation::Map | Operation::MapRom => self.operation_bars(),
            Operation::None | Operation::Unmap | Operation::Renew => BarSet::NONE,
        }
    }

    /// A vCPU comes for the operation that it was given with `epoch`.
    ///
    /// [`Action::Map`] or [`Action::Unmap`], the same one for each that comes;
    /// [`Action::Done`] when it is over or was cancelled; [`Action::Retry`] while
    /// a reset or removal is on its way, which is to be gone on with first
    /// ([`Device::resume`]).
    pub fn work(&self, epoch: u32) -> Action {
        if !self.is_idle() {
            return Action::Retry;
        }
        if epoch != self.epoch {
            return Action::Done(Ok(()));
        }
        match self.operation() {
            Operation::None => Action::Done(Ok(())),
            Operation::Map | Operation::MapRom => Action::Map(self.operation_bars()),
            Operation::Unmap | Operation::Renew => Action::Unmap(self.operation_bars()),
        }
    }

    /// The operation of `epoch` came to this; of a map, the BARs that are in
    /// place, others lie where no BAR may and can be moved.
    ///
    /// A failed map turns memory decode off again and takes out what is there;
    /// a failed one of the ROM alone, the ROM. A failed unmap leaves the BARs
    /// counted as mapped. After one because of a reset that nobody announced, or
    /// of what a failed unmap left, the header is read. An old epoch changes
    /// nothing.
    pub fn worked(&mut self, epoch: u32, result: Result<BarSet, Errno>) -> Action {
        if epoch != self.epoch {
            return Action::Done(Ok(()));
        }
        let bars = self.operation_bars();
        match (self.operation(), result) {
            (Operation::None, _) | (Operation::Unmap, Ok(_)) => {
                self.set_operation(Operation::None);
                Action::Done(Ok(()))
            }
            (Operation::Map | Operation::MapRom, Ok(placed)) => {
                self.set_operation(Operation::None);
                self.set_mapped(bars.without(placed), false);
                Action::Done(Ok(()))
            }
            (Operation::Renew, Ok(_)) => {
                self.set_operation(Operation::None);
                self.renew()
            }
            (Operation::Unmap | Operation::Renew, Err(errno)) => {
                self.set_operation(Operation::None);
                self.set_mapped(bars, true);
                Action::Done(Err(errno))
            }
            (Operation::Map, Err(_)) => {
                self.queue(Operation::Unmap, self.mapped());
                let write = self.turn_off();
                self.go(Step::Queued, write)
            }
            (Operation::MapRom, Err(_)) => {
                self.queue(Operation::Unmap, bars);
                self.rom_enabled = 0;
                let write = self.rom_write();
                self.go(Step::Queued, write)
            }
        }
    }

    /// Puts `operation` on its way and changes the flags that go with it; what
    /// follows is [`Action::Defer`].
    #[inline(never)]
    pub(super) fn queue(&mut self, operation: Operation, bars: BarSet) {
        self.epoch = self.epoch.wrapping_add(1);
        self.op_bars = bars.bits();
        self.set_operation(operation);
        self.set_mapped(bars, !operation.takes_out());
    }

    /// Ends what is in flight without waiting for it. What it may have left in
    /// the p2m counts as mapped.
    pub(super) fn cancel(&mut self) {
        if self.operation().takes_out() {
            self.set_mapped(self.operation_bars(), true);
        }
        self.set_operation(Operation::None);
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// The BARs that memory decode maps: those with an address, and the ROM when
    /// it is enabled.
    #[inline(never)]
    pub(super) fn decoded(&self) -> BarSet {
        let rom = self.rom_enabled != 0;
        self.bars_where(|bar| bar.is_memory() && (rom || bar.kind() != BarKind::Rom))
    }

    /// A write is dropped because of what a failed unmap has left behind, BARs that
    /// count as mapped with memory decode off: that comes first, tried once more.
    #[inline(never)]
    pub(super) fn take_out_rest(&mut self) -> Action {
        self.queue(Operation::Renew, self.mapped());
        self.last(Action::Defer)
    }

    const fn operation_bars(&self) -> BarSet {
        BarSet::from_bits(self.op_bars as u32)
    }

    const fn operation(&self) -> Operation {
        match self.operation {
            1 => Operation::Map,
            2 => Operation::MapRom,
            3 => Operation::Unmap,
            4 => Operation::Renew,
            _ => Operation::None,
        }
    }

    const fn set_operation(&mut self, operation: Operation) {
        self.operation = match operation {
            Operation::None => 0,
            Operation::Map => 1,
            Operation::MapRom => 2,
            Operation::Unmap => 3,
            Operation::Renew => 4,
        };
    }
}
