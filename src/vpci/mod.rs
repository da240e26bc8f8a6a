// SPDX-License-Identifier: GPL-2.0-only
//! What Xen believes of a PCI function that vPCI emulates.
//!
//! [`Device`] is the record. It lies by value in Xen's `struct vpci`; C reads of
//! it where BARs lie, and writes nothing but what its interrupt code keeps of MSI
//! vectors. Each method takes an event and gives one [`Action`]; C performs it and
//! comes back with the outcome:
//!
//! | kind       | methods                                                        |
//! |------------|----------------------------------------------------------------|
//! | events     | `write`, `write_entry`, `reset`, `detach`, `attach`            |
//! | outcomes   | `complete`, `probed`                                           |
//! | deferred   | `work` gives the operation in flight, `worked` ends it         |
//! | questions  | `read`, `read_entry`, `msix_place`, `has_msix_at`, `reads_as_ones`, … |
//!
//! - [`action`]: what C is asked to do
//! - [`access`]: partial accesses, and bits that are not plain read/write
//! - [`bar`]: base address registers
//! - [`header`]: a new record, command and ROM registers
//! - [`map`]: the operation in flight
//! - [`msi`], [`msix`]: the capabilities, and the MSI-X table
//! - [`reset`]: reset, healing, giving a device up and taking it back, the fence
//!
//! Locks: the device's `vpci->lock` for each call, and on Xen 4.20 the domain's
//! `pci_lock`, for writing where the method takes `&mut self` and is no access to
//! the MSI-X table. A conversation that a config access begins ends before the
//! lock is dropped; that of a reset or a detach need not, and keeps other writes
//! out meanwhile.

#![forbid(unsafe_code)]

use static_assertions::const_assert;

use crate::errno::Errno;
use crate::ids::NR_BARS;
use crate::spec::pci::HeaderType;
use crate::vpci::bar::{Bar, BarSet};
use crate::vpci::msi::Msi;
use crate::vpci::msix::{Entry, Msix};

pub mod access;
pub mod action;
pub mod bar;
pub mod header;
pub mod map;
pub mod msi;
pub mod msix;
#[cfg(any(kani, all(kani_stub, test)))]
mod proofs;
pub mod reset;

pub use action::Action;

/// Whose device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Owner {
    /// No domain with vPCI: the record is at rest.
    Nobody = 0,
    /// The hardware domain.
    Hardware = 1,
    /// Xen itself; the hardware domain uses what Xen leaves it of the device, its
    /// interrupts not among that.
    Hidden = 2,
    /// Another domain, which sees its own addresses.
    Guest = 3,
}

impl Owner {
    /// The owner of this number.
    pub const fn new(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Nobody),
            1 => Some(Self::Hardware),
            2 => Some(Self::Hidden),
            3 => Some(Self::Guest),
            _ => None,
        }
    }
}

/// What becomes of config space writes to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum Writes {
    /// They go to the device or its emulated registers.
    Pass = 0,
    /// They are ignored: the device did not come back from its last reset, or it
    /// is just changing hands.
    Ignored = 1,
    /// They are made again later: the device is just being reset or taken away.
    Wait = 2,
}

/// What the conversation with C has come to: whose completion is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Idle,
    /// A register was written that goes with the operation queued.
    Queued,
    /// The same, and the write is made again when that is over.
    QueuedFirst,
    /// The header is read because a write to a mapped BAR was not carried out.
    Doubt,
    MsiOn,
    MsiOff,
    MsiReenable,
    MsiOnAgain,
    MsiIntx,
    MsixOn,
    MsixOff,
    MsixEntry,
    MsixIntx,
    ClearMsi,
    ClearEntry,
    ClearMsix,
    Probe,
    Unmap,
    ProbeAgain,
    Map,
    MapFailed,
    MapUndone,
    Deferred,
}

impl Step {
    const ALL: [Self; 23] = [
        Self::Idle,
        Self::Queued,
        Self::QueuedFirst,
        Self::Doubt,
        Self::MsiOn,
        Self::MsiOff,
        Self::MsiReenable,
        Self::MsiOnAgain,
        Self::MsiIntx,
        Self::MsixOn,
        Self::MsixOff,
        Self::MsixEntry,
        Self::MsixIntx,
        Self::ClearMsi,
        Self::ClearEntry,
        Self::ClearMsix,
        Self::Probe,
        Self::Unmap,
        Self::ProbeAgain,
        Self::Map,
        Self::MapFailed,
        Self::MapUndone,
        Self::Deferred,
    ];

    fn new(number: u8) -> Self {
        let known = Self::ALL.get(usize::from(number)).copied();
        known.unwrap_or(Self::Idle)
    }
}

/// The record of one PCI function.
///
/// The public fields are for C to read, the others are this module's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Device {
    /// The BARs and the ROM, see [`crate::ids::BarIndex`].
    pub bars: [Bar; NR_BARS],
    /// MSI.
    pub msi: Msi,
    /// MSI-X, without the entries.
    pub msix: Msix,
    /// Which operation is in flight, or was last.
    pub epoch: u32,
    /// What a step carries: a register's value, vectors, an error number.
    step_value: u32,
    /// An MSI-X entry or a BAR.
    step_entry: u16,
    /// Command register: as last written by the hardware domain, as a guest
    /// sees it.
    command: u16,
    step: u8,
    /// What is being cleared and why, see `reset.rs`.
    clearing: u8,
    operation: u8,
    op_bars: u8,
    owner: u8,
    /// Not 0: a type 1 header.
    header: u8,
    /// Not 0: memory decode is on from the domain's point of view.
    decode: u8,
    /// Not 0: the ROM's enable bit is set.
    rom_enabled: u8,
    /// Not 0: the device did not come back from its last reset, and its
    /// configuration space reads as all ones.
    pub fenced: u8,
}

const_assert!(size_of::<Device>() <= 256);
// What Xen's stack and allocator promise.
const_assert!(align_of::<Device>() <= 8);

impl Device {
    /// The record of a function without any BAR or capability.
    pub const fn empty() -> Self {
        Self {
            bars: [Bar::EMPTY; NR_BARS],
            msi: Msi::NONE,
            msix: Msix::NONE,
            epoch: 0,
            step_value: 0,
            step_entry: 0,
            command: 0,
            step: 0,
            clearing: 0,
            operation: 0,
            op_bars: 0,
            owner: 0,
            header: 0,
            decode: 0,
            rom_enabled: 0,
            fenced: 0,
        }
    }

    /// Reports how the outstanding action went, other than [`Action::Probe`]'s
    /// success, and gives the next one. Of a map the BARs that are in place are
    /// reported; for all else that does not matter.
    ///
    /// A completion that nothing waits for changes nothing and is answered
    /// `Done(Err(EIO))`.
    pub fn complete(&mut self, entries: &mut [Entry], result: Result<BarSet, Errno>) -> Action {
        let step = self.step();
        let plain = result.map(|_| ());
        match step {
            Step::Idle => Action::Done(Err(Errno::EIO)),
            Step::Queued => self.last(Action::Defer),
            Step::QueuedFirst => self.last(Action::Retry),
            // Success of a probe comes with its snapshot.
            Step::Doubt => self.finish(plain.and(Err(Errno::EIO))),
            Step::Probe | Step::ProbeAgain => self.lost(entries, Errno::EIO),
            Step::MsiOn | Step::MsiOff | Step::MsiReenable | Step::MsiOnAgain | Step::MsiIntx => {
                self.msi_completed(step, plain)
            }
            Step::MsixOn | Step::MsixOff | Step::MsixEntry | Step::MsixIntx => {
                self.msix_completed(entries, step, plain)
            }
            Step::ClearMsi
            | Step::ClearEntry
            | Step::ClearMsix
            | Step::Unmap
            | Step::Map
            | Step::MapFailed
            | Step::MapUndone
            | Step::Deferred => self.clearing_completed(entries, step, result),
        }
    }

    /// Whose device it is.
    pub const fn owner(&self) -> Owner {
        match Owner::new(self.owner as u32) {
            Some(owner) => owner,
            None => Owner::Nobody,
        }
    }

    /// Xen keeps the hardware domain's device to itself from now on.
    pub const fn hide(&mut self) {
        if matches!(self.owner(), Owner::Hardware) {
            self.set_owner(Owner::Hidden);
        }
    }

    /// The record without its epoch and without what it remembers of events that
    /// are over: devices whose settled records are equal answer alike.
    pub const fn settled(mut self) -> Self {
        self.epoch = 0;
        if self.is_idle() {
            self.step_value = 0;
            self.step_entry = 0;
            self.clearing = 0;
            if !self.in_flight() {
                self.op_bars = 0;
            }
        }
        self
    }

    /// Whether no completion is due.
    pub const fn is_idle(&self) -> bool {
        self.step == Step::Idle as u8
    }

    /// Whether config space reads of the device give all ones, because it did
    /// not come back from its last reset.
    pub const fn reads_as_ones(&self) -> bool {
        self.fenced != 0
    }

    /// What becomes of config space writes to the device.
    pub const fn writes(&self) -> Writes {
        if self.fenced != 0 || matches!(self.owner(), Owner::Nobody) {
            Writes::Ignored
        } else if !self.is_idle() {
            Writes::Wait
        } else {
            Writes::Pass
        }
    }

    /// The layout of the header.
    pub const fn header_type(&self) -> HeaderType {
        if self.header == 0 {
            HeaderType::Normal
        } else {
            HeaderType::Bridge
        }
    }

    const fn set_owner(&mut self, owner: Owner) {
        self.owner = owner as u8;
    }

    fn step(&self) -> Step {
        Step::new(self.step)
    }

    const fn set_step(&mut self, step: Step) {
        self.step = step as u8;
    }

    /// Asks for `action`, whose completion is `step`'s.
    const fn go(&mut self, step: Step, action: Action) -> Action {
        self.set_step(step);
        action
    }

    /// Asks for `action`, after which nothing follows.
    const fn last(&mut self, action: Action) -> Action {
        self.set_step(Step::Idle);
        action
    }

    const fn finish(&mut self, result: Result<(), Errno>) -> Action {
        self.last(Action::Done(result))
    }
}

#[cfg(test)]
mod tests;
