// SPDX-License-Identifier: GPL-2.0-only
//! What the fuzz targets share: the script that a fuzzer's bytes are, and the
//! library's functions called as C calls them.

use core::ffi::c_int;
use core::ptr::null_mut;

use xen_passthrough::errno::Errno;
use xen_passthrough::ffi::vpci::{self as ffi, VpciAction, VpciActionKind};
use xen_passthrough::ids::{BarIndex, NR_BARS};
use xen_passthrough::spec::pci::Width;
use xen_passthrough::spec::physdev::ResetKind;
use xen_passthrough::vpci::action::Depth;
use xen_passthrough::vpci::bar::BarSet;
use xen_passthrough::vpci::header::Snapshot;
use xen_passthrough::vpci::msix::Entry;
use xen_passthrough::vpci::{Action, Device, Owner};

/// The bytes of one run; after the last there are zeroes.
pub struct Script<'a>(pub &'a [u8]);

impl Script<'_> {
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    pub fn u64(&mut self) -> u64 {
        u64::from(self.u32()) | u64::from(self.u32()) << 32
    }

    /// Less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.u8()) % end
    }

    /// Mostly one of few, for fields that are kinds and flags.
    pub fn number(&mut self) -> u32 {
        match self.u8() {
            small @ 0..0xc0 => small.into(),
            0xc0..0xe0 => 1 << self.below(32),
            0xe0..0xf0 => !0,
            _ => self.u32(),
        }
    }
}

/// What an action holds before a call writes it.
pub const UNWRITTEN: VpciAction = VpciAction {
    kind: VpciActionKind::BarMapped,
    index: 0xdead,
    value: 0xdead,
    rc: 0xdead,
    size: 0xdd,
    last: 0xdd,
};

/// A table as C lends it: NULL where the device has none.
pub fn lent(entries: &mut [Entry]) -> *mut Entry {
    if entries.is_empty() {
        null_mut()
    } else {
        entries.as_mut_ptr()
    }
}

/// A call of the library that gives an action.
pub fn called(call: impl FnOnce(*mut VpciAction)) -> VpciAction {
    let mut action = UNWRITTEN;
    call(&raw mut action);
    assert_ne!(action.last, UNWRITTEN.last, "the action was not written");
    action
}

/// What the shipped header says of an action, back in Rust's terms.
fn action_of(action: &VpciAction) -> Action {
    let bars = || BarSet::from_bits(action.value);
    let small = |number: u32| u16::try_from(number).expect("a number of 16 bits");
    match action.kind {
        VpciActionKind::Done => Action::Done(Errno::check(action.rc)),
        VpciActionKind::Map => Action::Map(bars()),
        VpciActionKind::Unmap => Action::Unmap(bars()),
        VpciActionKind::Defer => Action::Defer,
        VpciActionKind::ConfWrite => Action::ConfWrite {
            register: small(action.index),
            width: match action.size {
                2 => Width::Word,
                4 => Width::Dword,
                size => panic!("{size} bytes of configuration space"),
            },
            value: action.value,
        },
        VpciActionKind::Probe => Action::Probe(match action.value {
            0 => Depth::Command,
            1 => Depth::Header,
            2 => Depth::Capabilities,
            depth => panic!("depth {depth}"),
        }),
        VpciActionKind::MsiEnable => {
            Action::MsiEnable(action.value.try_into().expect("at most 32"))
        }
        VpciActionKind::MsiDisable => Action::MsiDisable,
        VpciActionKind::MsiUpdate => Action::MsiUpdate,
        VpciActionKind::MsiMask => Action::MsiMask {
            changed: action.index,
            mask: action.value,
        },
        VpciActionKind::MsixUpdate => Action::MsixUpdate(small(action.index)),
        VpciActionKind::MsixDisable => Action::MsixDisable(small(action.index)),
        VpciActionKind::MsixMask => Action::MsixMask {
            entry: small(action.index),
            masked: action.value != 0,
        },
        VpciActionKind::MsixControl => Action::MsixControl(small(action.value)),
        VpciActionKind::MsixClear => Action::MsixClear,
        VpciActionKind::IntxDisable => Action::IntxDisable,
        VpciActionKind::Retry => Action::Retry,
        VpciActionKind::BarMapped => {
            Action::BarMapped(BarIndex::new(action.index).expect("a BAR that there is"))
        }
    }
}

/// The library for `vpci_model`, called through its C functions.
pub mod api {
    use super::*;

    pub type Result = core::result::Result<BarSet, Errno>;

    fn rc(result: Result) -> c_int {
        match result {
            Ok(bars) => bars.bits().into(),
            Err(errno) => errno.to_c(),
        }
    }

    /// An action, with what `last` has to be checked.
    fn told(device: &Device, action: &VpciAction) -> Action {
        let rust = action_of(action);
        let last = device.is_idle() || matches!(rust, Action::Done(_) | Action::Retry);
        assert_eq!(action.last != 0, last, "{action:?}");
        rust
    }

    pub fn init(
        device: &mut Device,
        snapshot: &Snapshot,
        sizes: &[u64; NR_BARS],
    ) -> core::result::Result<(), Errno> {
        // SAFETY: all are valid.
        Errno::check(unsafe { ffi::xpt_device_init(device, snapshot, sizes) })
    }

    pub fn write(device: &mut Device, entries: &mut [Entry], at: u16, value: u32) -> Action {
        let (to, table) = (&raw mut *device, lent(entries));
        // SAFETY: the record, its table, and where the action goes.
        let action = called(|into| unsafe { ffi::xpt_device_write(to, table, at, value, into) });
        told(device, &action)
    }

    pub fn write_entry(
        device: &mut Device,
        entries: &mut [Entry],
        entry: u16,
        offset: u16,
        size: u32,
        value: u64,
    ) -> Action {
        let (to, table) = (&raw mut *device, lent(entries));
        let action = called(|into| {
            // SAFETY: as before.
            unsafe { ffi::xpt_msix_write(to, table, entry, offset, size, value, into) };
        });
        told(device, &action)
    }

    pub fn passes_command(device: &mut Device, value: u16) -> bool {
        // SAFETY: a record.
        unsafe { ffi::xpt_device_passes_command(device, value) != 0 }
    }

    pub fn reset(device: &mut Device, entries: &mut [Entry], kind: ResetKind) -> Action {
        let (to, table) = (&raw mut *device, lent(entries));
        let flags = match kind {
            ResetKind::Cold => 0,
            ResetKind::Warm => 1,
            ResetKind::Hot => 2,
            ResetKind::Flr => 3,
        };
        // SAFETY: as before.
        let action = called(|into| unsafe { ffi::xpt_device_reset(to, table, flags, into) });
        told(device, &action)
    }

    pub fn detach(device: &mut Device, entries: &mut [Entry]) -> Action {
        let (to, table) = (&raw mut *device, lent(entries));
        // SAFETY: as before.
        let action = called(|into| unsafe { ffi::xpt_device_detach(to, table, into) });
        told(device, &action)
    }

    pub fn attach(device: &mut Device, owner: Owner) -> Action {
        let to = &raw mut *device;
        // SAFETY: as before.
        let action = called(|into| unsafe { ffi::xpt_device_attach(to, owner as u32, into) });
        told(device, &action)
    }

    /// Work and resume change nothing, and their `last` means nothing.
    pub fn work(device: &Device, epoch: u32) -> Action {
        // SAFETY: as before.
        action_of(&called(|into| unsafe {
            ffi::xpt_device_work(device, epoch, into);
        }))
    }

    pub fn resume(device: &Device) -> Action {
        // SAFETY: as before.
        action_of(&called(|into| unsafe {
            ffi::xpt_device_resume(device, into);
        }))
    }

    pub fn worked(device: &mut Device, epoch: u32, result: Result) -> Action {
        let to = &raw mut *device;
        // SAFETY: as before.
        let action = called(|into| unsafe { ffi::xpt_device_worked(to, epoch, rc(result), into) });
        told(device, &action)
    }

    pub fn complete(device: &mut Device, entries: &mut [Entry], result: Result) -> Action {
        let (to, table) = (&raw mut *device, lent(entries));
        // SAFETY: as before.
        let action =
            called(|into| unsafe { ffi::xpt_device_complete(to, table, rc(result), into) });
        told(device, &action)
    }

    pub fn probed(device: &mut Device, entries: &mut [Entry], snapshot: &Snapshot) -> Action {
        let (to, table) = (&raw mut *device, lent(entries));
        // SAFETY: as before.
        let action = called(|into| unsafe { ffi::xpt_device_probed(to, table, snapshot, into) });
        told(device, &action)
    }
}

#[allow(dead_code, reason = "names of what is seen are the search's")]
#[path = "../../tests/vpci_model/mod.rs"]
pub mod vpci_model;

/// One run of the target `vpci_search`.
pub fn script_of_moves(bytes: &[u8]) {
    use vpci_model::{Call, ENABLE_MSI, ENABLE_MSIX, Happens, MOST_STEPS, MSI_CONTROL};
    use vpci_model::{MSIX_CONTROL, PLACES, Plan, ROM_ON, Seen, State, WAITS};
    use xen_passthrough::spec::pci::{BASE_ADDRESS_0, COMMAND, ROM_ADDRESS};

    const CALLS: [&[Call]; 2] = [
        &[
            Call::Write(COMMAND, 2),
            Call::Write(COMMAND, 0),
            Call::Write(BASE_ADDRESS_0, PLACES[1]),
            Call::Write(ROM_ADDRESS, PLACES[1] | ROM_ON),
            Call::Write(ROM_ADDRESS, PLACES[2]),
            Call::Write(MSI_CONTROL, ENABLE_MSI),
            Call::Write(MSI_CONTROL, 0),
            Call::Write(MSIX_CONTROL, ENABLE_MSIX),
            Call::Write(MSIX_CONTROL, 0),
            Call::Entry(true),
            Call::Entry(false),
        ],
        &[WAITS, Call::Reset, Call::Detach, Call::Attach],
    ];
    const HAPPENS: &[Happens] = &[
        Happens::Reset,
        Happens::Restored,
        Happens::Gone,
        Happens::Exchanged,
    ];
    let mut script = Script(bytes);
    let kinds = [
        ResetKind::Cold,
        ResetKind::Warm,
        ResetKind::Hot,
        ResetKind::Flr,
    ];
    let first = script.below(8);
    let plan = Plan {
        name: "fuzz",
        calls: CALLS,
        happens: HAPPENS,
        kind: kinds[first % 4],
        owner: if first < 4 {
            Owner::Hardware
        } else {
            Owner::Hidden
        },
    };
    let mut seen = Seen::default();
    let mut state = State::new().canonical();
    let fail = |what: String| -> ! { panic!("{what}") };
    while !script.is_over() {
        let moves = state.moves(&plan);
        let with = moves[script.below(moves.len())];
        state = match state.step(&plan, with, &mut seen) {
            Ok(next) => next,
            Err(what) => fail(format!("{with:?}: {what}")),
        };
    }
    // With nobody else in between it ends.
    let mut steps = 0;
    while let Some(with) = state.way_on() {
        steps += 1;
        assert!(steps <= MOST_STEPS, "it does not end");
        state = match state.step(&plan, with, &mut seen) {
            Ok(next) => next,
            Err(what) => fail(format!("{with:?}: {what}")),
        };
        if state.is_alone() {
            for check in [State::resets, State::works, State::heals] {
                check(&state, &plan).unwrap_or_else(|what| fail(what));
            }
        }
    }
}
