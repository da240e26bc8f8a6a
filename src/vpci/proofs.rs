// SPDX-License-Identifier: GPL-2.0-only
//! Proof harnesses on a device's record, see [`crate::proofs`].
//!
//! The record is any, not just one that events lead to; its table has two entries.

#![forbid(unsafe_code)]

use super::bar::Bar;
use super::header::Snapshot;
use super::msi::{Msi, MsiArch};
use super::msix::{Entry, EntryArch, Msix};
use super::{Action, Device, NR_BARS, Owner, Step, Writes};
use crate::errno::Errno;
use crate::proofs::{kani, placed, proof};
use crate::spec::physdev::ResetKind;

const ENTRIES: u16 = 2;

/// More steps than any clearing of such a device has: MSI, entries, control, two
/// probes, an unmap, a map and its undoing.
const MOST: usize = 16;

fn bar() -> Bar {
    Bar {
        addr: kani::any(),
        guest_addr: kani::any(),
        order: kani::any(),
        kind: kani::any(),
        prefetchable: kani::any(),
        mapped: kani::any(),
    }
}

fn entry() -> Entry {
    Entry {
        addr: kani::any(),
        data: kani::any(),
        masked: kani::any(),
        updated: kani::any(),
        arch: EntryArch { pirq: kani::any() },
    }
}

fn device() -> Device {
    Device {
        bars: core::array::from_fn(|_| bar()),
        msi: Msi {
            address: kani::any(),
            mask: kani::any(),
            data: kani::any(),
            vectors: kani::any(),
            max_vectors: kani::any(),
            enabled: kani::any(),
            masking: kani::any(),
            address64: kani::any(),
            pos: kani::any(),
            arch: MsiArch {
                pirq: kani::any(),
                bound: kani::any(),
            },
        },
        msix: Msix {
            tables: kani::any(),
            entries: ENTRIES,
            pos: kani::any(),
            enabled: kani::any(),
            masked: kani::any(),
        },
        epoch: kani::any(),
        step_value: kani::any(),
        step_entry: kani::any(),
        command: kani::any(),
        step: kani::any(),
        clearing: kani::any(),
        operation: kani::any(),
        op_bars: kani::any(),
        owner: kani::any(),
        header: kani::any(),
        decode: kani::any(),
        rom_enabled: kani::any(),
        fenced: kani::any(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        id: kani::any(),
        bars: kani::any(),
        rom: kani::any(),
        msix_table: kani::any(),
        msix_pba: kani::any(),
        command: kani::any(),
        msi_control: kani::any(),
        msix_control: kani::any(),
        msi_pos: kani::any(),
        msix_pos: kani::any(),
        msi_vectors: kani::any(),
        header_type: kani::any(),
        ignore_bars: kani::any(),
    }
}

proof! {
    /// A write to a device that is nobody's or fenced is ignored, one to a device that
    /// is being reset waits, and neither changes anything.
    9, fn denied_write_changes_nothing() {
        let before = device();
        let table = [entry(), entry()];
        let (mut device, mut entries) = (before, table);
        let writes = before.writes();
        kani::assume(writes != Writes::Pass);
        let action = device.write(&mut entries, kani::any(), kani::any());
        assert!(device == before && entries == table);
        assert!(action == Action::Done(Ok(())) && writes == Writes::Ignored
            || action == Action::Retry && writes == Writes::Wait);
    }
}

proof! {
    /// The same of a write to the MSI-X table.
    9, fn denied_write_of_an_entry_changes_nothing() {
        let before = device();
        let table = [entry(), entry()];
        let (mut device, mut entries) = (before, table);
        kani::assume(before.writes() != Writes::Pass);
        let action = device.write_entry(
            &mut entries, kani::any(), kani::any(), kani::any(), kani::any(),
        );
        assert!(device == before && entries == table);
        assert!(matches!(action, Action::Done(Ok(())) | Action::Retry));
    }
}

proof! {
    /// A device that has an owner is not given to another.
    9, fn denied_attach_changes_nothing() {
        let before = device();
        kani::assume(before.owner() != Owner::Nobody && before.fenced == 0);
        let mut device = before;
        let owner = Owner::new(kani::any()).unwrap_or(Owner::Guest);
        assert!(device.attach(owner) == Action::Done(Err(Errno::EINVAL)));
        assert!(device == before);
    }
}

proof! {
    /// Who comes with an old epoch changes nothing.
    9, fn old_epoch_changes_nothing() {
        let before = device();
        let epoch = kani::any();
        kani::assume(epoch != before.epoch);
        let mut device = before;
        assert!(device.worked(epoch, placed()) == Action::Done(Ok(())));
        assert!(device == before);
    }
}

proof! {
    /// A completion that nothing waits for changes nothing.
    9, fn idle_device_is_not_completed() {
        let before = device();
        let table = [entry(), entry()];
        kani::assume(before.is_idle());
        let (mut device, mut entries) = (before, table);
        assert!(device.complete(&mut entries, placed()) == Action::Done(Err(Errno::EIO)));
        assert!(device.probed(&mut entries, &snapshot()) == Action::Done(Err(Errno::EIO)));
        assert!(device == before && entries == table);
    }
}

/// Completes whatever is in flight in any way until nothing is.
fn ends(device: &mut Device, entries: &mut [Entry]) {
    for _ in 0..MOST {
        if !device.is_idle() {
            let action = if kani::any() {
                device.probed(entries, &snapshot())
            } else {
                device.complete(entries, placed())
            };
            if device.is_idle() {
                continue;
            }
            named(device, action);
        }
    }
    // A snapshot that nothing asked for is no completion.
    for _ in 0..MOST {
        if !device.is_idle() {
            let _ = device.complete(entries, placed());
        }
    }
    assert!(device.is_idle());
}

/// An action names what there is.
fn named(device: &Device, action: Action) {
    if let Action::MsixUpdate(entry) | Action::MsixMask { entry, .. } = action {
        assert!(entry < device.msix.entries);
    }
    if let Action::Map(bars) | Action::Unmap(bars) = action {
        assert!(usize::from(bars.bits()) < 1 << NR_BARS);
    }
    if let Action::BarMapped(bar) = action {
        assert!(bar.get() < NR_BARS);
    }
}

proof! {
    /// Every state in flight is left by completions, whatever they say.
    17, fn every_step_ends() {
        let (mut device, mut entries) = (device(), [entry(), entry()]);
        // A number that is no step is not idle, and nothing completes it; nobody but
        // this module writes it.
        device.step %= 23;
        ends(&mut device, &mut entries);
    }
}

proof! {
    /// A reset and a detach end, from any record.
    17, fn every_clearing_ends() {
        let (mut device, mut entries) = (device(), [entry(), entry()]);
        device.set_step(Step::Idle);
        let action = match ResetKind::new(kani::any()) {
            Ok(kind) => device.reset(&mut entries, kind),
            Err(_) => device.detach(&mut entries),
        };
        named(&device, action);
        ends(&mut device, &mut entries);
    }
}

proof! {
    /// An action of a write names what there is.
    9, fn write_names_what_there_is() {
        let (mut device, mut entries) = (device(), [entry(), entry()]);
        let action = device.write(&mut entries, kani::any(), kani::any());
        named(&device, action);
        let action = device.write_entry(
            &mut entries, kani::any(), kani::any(), kani::any(), kani::any(),
        );
        named(&device, action);
    }
}
