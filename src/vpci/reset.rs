// SPDX-License-Identifier: GPL-2.0-only
//! Clearing a device's record when the device was reset, and the fence.
//!
//! ```text
//! CollectBars → UnmapBars → ResetMsi → ResetMsixEntry 0, 1, … → ResetMsix → Reprobe
//!     → commit → MapBars, when the device still decodes memory → Done
//! ```
//!
//! A step for which there is nothing to do is left out. Nothing is freed and
//! nothing is sized: the addresses are read again, the sizes are kept. Up to the
//! commit a failure ends the reset with the record as it is, less what has been
//! released, and the next reset does the rest; one that could not unmap keeps the
//! device from being written to until then. A device that does not answer, or
//! answers as another one, is fenced: its config space reads as all ones and
//! ignores writes until a later reset finds it again.
//!
//! C may leave an action uncompleted to be preempted; the next
//! [`Device::reset`], from whichever CPU, is then given the same action again.

#![forbid(unsafe_code)]

use crate::errno::Errno;
use crate::spec::msi::MSIX_MAX_ENTRIES;
use crate::spec::pci::{
    BAR_MEM_ADDRESS, BarFlags, Command, HeaderType, NO_RESPONSE, ROM_ADDRESS_MASK, ROM_ENABLE,
};
use crate::vpci::Device;
use crate::vpci::action::Action;
use crate::vpci::bar::{Bar, BarKind};

/// What C knows of the capabilities that a reset clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// vPCI emulates the device's MSI capability.
    pub msi: bool,
    /// Entries of the MSI-X table that vPCI emulates, 1 to 2048; 0 for none.
    pub msix_entries: u16,
}

/// The header as C has just read it from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Snapshot {
    /// Vendor ID in bits 15:0, device ID above.
    pub id: u32,
    /// The BARs; those that the header type has, the others are not looked at.
    pub bars: [u32; 6],
    /// The ROM register of that header type.
    pub rom: u32,
    /// Command register.
    pub command: u16,
    /// Header type register.
    pub header_type: u8,
    /// Not 0: Xen was told to leave this device's BARs alone.
    pub ignore_bars: u8,
}

/// How far a reset has come: the action that is outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Idle,
    Collect,
    Unmap,
    Msi,
    MsixEntry,
    Msix,
    Probe,
    Map,
}

impl Device {
    /// The device was reset: brings the record up to date.
    ///
    /// While a reset is on its way, gives its outstanding action again.
    /// `Done` carries what the failed step gave, [`Errno::EIO`] when the device
    /// does not answer, [`Errno::EOPNOTSUPP`] when it answers with a header
    /// that is not the one the record is of.
    pub fn reset(&mut self, has: Capabilities) -> Action {
        if self.step() != Step::Idle {
            return self.outstanding();
        }
        self.reset_msi = has.msi.into();
        self.reset_entries = has.msix_entries.min(MSIX_MAX_ENTRIES);
        self.reset_entry = 0;
        let mapped = self.bars.iter().any(|bar| bar.enabled != 0);
        self.go(if mapped {
            Step::Collect
        } else {
            self.after_unmap()
        })
    }

    /// Reports how the outstanding action went, other than
    /// [`Action::Reprobe`]'s success, and gives the next one.
    ///
    /// A completion that nothing waits for changes nothing and is answered
    /// `Done(Err(EIO))`.
    pub fn complete(&mut self, result: Result<(), Errno>) -> Action {
        match (self.step(), result) {
            (Step::Idle, _) => Action::Done(Err(Errno::EIO)),
            // What is left to unmap stays to be done: the device takes no
            // writes until a reset has come past this.
            (Step::Unmap, Err(errno)) => Action::Done(Err(errno)),
            (_, Err(errno)) => self.finish(Err(errno)),
            (Step::Collect, Ok(())) => self.go(Step::Unmap),
            (Step::Unmap, Ok(())) => {
                self.unmapped();
                let next = self.after_unmap();
                self.go(next)
            }
            (Step::Msi, Ok(())) => {
                let next = self.after_msi();
                self.go(next)
            }
            (Step::MsixEntry, Ok(())) => {
                // In range: an entry was outstanding, so it is below 2048.
                self.reset_entry = self.reset_entry.saturating_add(1);
                self.go(if self.reset_entry < self.reset_entries {
                    Step::MsixEntry
                } else {
                    Step::Msix
                })
            }
            (Step::Msix, Ok(())) => self.go(Step::Probe),
            // Success of the probe comes with its snapshot.
            (Step::Probe, Ok(())) => self.finish(Err(Errno::EIO)),
            (Step::Map, Ok(())) => self.finish(Ok(())),
        }
    }

    /// Hands over what [`Action::Reprobe`] read, and gives the next action.
    ///
    /// A snapshot that nothing waits for changes nothing and is answered
    /// `Done(Err(EIO))`.
    pub fn reprobed(&mut self, snapshot: &Snapshot) -> Action {
        if self.step() != Step::Probe {
            return Action::Done(Err(Errno::EIO));
        }
        if let Err(errno) = self.check(snapshot) {
            self.fenced = 1;
            return self.finish(Err(errno));
        }
        self.commit(snapshot);
        let decodes = Command::from_bits_retain(self.guest_cmd).contains(Command::MEMORY);
        if decodes && snapshot.ignore_bars == 0 {
            self.go(Step::Map)
        } else {
            self.finish(Ok(()))
        }
    }

    /// Whether the snapshot is one of the device that the record is of.
    fn check(&self, snapshot: &Snapshot) -> Result<(), Errno> {
        // No vendor has the ID 0xffff [PCI-LB §6.1], and a function that is
        // there but not ready yet may answer its ID and nothing else.
        let vendor = snapshot.id & 0xffff;
        if vendor == NO_RESPONSE & 0xffff || snapshot.command == u16::MAX {
            return Err(Errno::EIO);
        }
        let header = HeaderType::new(snapshot.header_type).ok_or(Errno::EOPNOTSUPP)?;
        let same = self.bars.iter().enumerate().all(|(slot, bar)| {
            let register = snapshot.bars.get(slot).copied();
            let flags = BarFlags::from_bits_retain(register.unwrap_or_default());
            let memory = slot < header.bars() && !flags.contains(BarFlags::IO);
            match bar.kind() {
                BarKind::Mem32 => memory && !flags.is_mem_64(),
                BarKind::Mem64Lo => memory && flags.is_mem_64(),
                BarKind::Rom => slot == header.bars(),
                // The upper half has no type bits, the others are not ours.
                BarKind::Mem64Hi | BarKind::Io | BarKind::Empty => true,
            }
        });
        if same { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
    }

    /// Makes the record what a new one of the same device would be.
    fn commit(&mut self, snapshot: &Snapshot) {
        let Self {
            bars,
            guest_cmd,
            rom_enabled,
            bars_mapped,
            // The reset itself goes on, its step is set by the caller.
            reset_step: _,
            reset_msi: _,
            reset_entries: _,
            reset_entry: _,
            fenced,
            pad: _,
        } = self;
        *guest_cmd = snapshot.command;
        *rom_enabled = 0;
        *bars_mapped = 0;
        *fenced = 0;

        let mut registers = snapshot.bars.iter().copied().peekable();
        for bar in bars {
            let register = registers.next().unwrap_or_default();
            let addr = match bar.kind() {
                BarKind::Mem32 => u64::from(register & BAR_MEM_ADDRESS),
                BarKind::Mem64Lo => {
                    let high = registers.peek().copied().unwrap_or_default();
                    u64::from(register & BAR_MEM_ADDRESS) | u64::from(high) << 32
                }
                BarKind::Rom => {
                    *rom_enabled = u8::from(snapshot.rom & ROM_ENABLE != 0);
                    u64::from(snapshot.rom & ROM_ADDRESS_MASK)
                }
                BarKind::Mem64Hi | BarKind::Io | BarKind::Empty => 0,
            };
            // What is sized when the device is first probed stays: its size,
            // its kind, and C's storage for ranges.
            let Bar {
                addr: _,
                guest_addr: _,
                size: _,
                mem: _,
                r#type: _,
                prefetchable: _,
                enabled,
            } = bar;
            *enabled = 0;
            bar.place(addr);
        }
    }

    fn unmapped(&mut self) {
        for bar in &mut self.bars {
            bar.enabled = 0;
        }
        self.bars_mapped = 0;
    }

    const fn after_unmap(&self) -> Step {
        if self.reset_msi != 0 {
            Step::Msi
        } else {
            self.after_msi()
        }
    }

    const fn after_msi(&self) -> Step {
        if self.reset_entries != 0 {
            Step::MsixEntry
        } else {
            Step::Probe
        }
    }

    const fn outstanding(&self) -> Action {
        match self.step() {
            Step::Idle => Action::Done(Err(Errno::EIO)),
            Step::Collect => Action::CollectBars,
            Step::Unmap => Action::UnmapBars,
            Step::Msi => Action::ResetMsi,
            Step::MsixEntry => Action::ResetMsixEntry(self.reset_entry),
            Step::Msix => Action::ResetMsix,
            Step::Probe => Action::Reprobe,
            Step::Map => Action::MapBars(Command::from_bits_retain(self.guest_cmd)),
        }
    }

    const fn go(&mut self, step: Step) -> Action {
        self.set_step(step);
        self.outstanding()
    }

    const fn finish(&mut self, result: Result<(), Errno>) -> Action {
        self.set_step(Step::Idle);
        Action::Done(result)
    }

    const fn step(&self) -> Step {
        match self.reset_step {
            1 => Step::Collect,
            2 => Step::Unmap,
            3 => Step::Msi,
            4 => Step::MsixEntry,
            5 => Step::Msix,
            6 => Step::Probe,
            7 => Step::Map,
            _ => Step::Idle,
        }
    }

    const fn set_step(&mut self, step: Step) {
        self.reset_step = match step {
            Step::Idle => 0,
            Step::Collect => 1,
            Step::Unmap => 2,
            Step::Msi => 3,
            Step::MsixEntry => 4,
            Step::Msix => 5,
            Step::Probe => 6,
            Step::Map => 7,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpci::tests::device;

    const NOTHING: Capabilities = Capabilities {
        msi: false,
        msix_entries: 0,
    };
    const MSI_AND_2: Capabilities = Capabilities {
        msi: true,
        msix_entries: 2,
    };

    /// What `tests::device` answers right after a function level reset.
    fn after_flr() -> Snapshot {
        Snapshot {
            id: 0x0010_1b36,
            bars: [4, 0, 0, 1, 0, 0],
            rom: 0,
            command: 0,
            header_type: 0,
            ignore_bars: 0,
        }
    }

    fn mapped() -> Device {
        let mut device = device();
        device.bars[0].enabled = 1;
        device.bars[2].enabled = 1;
        device.bars_mapped = 1;
        device.guest_cmd = 0x7;
        device
    }

    /// Completes successfully up to the probe and returns the actions.
    fn to_probe(device: &mut Device, has: Capabilities) -> Vec<Action> {
        let mut actions = vec![device.reset(has)];
        while *actions.last().unwrap() != Action::Reprobe {
            actions.push(device.complete(Ok(())));
        }
        actions
    }

    #[test]
    fn reset_unmaps_then_releases_vectors_then_probes() {
        assert_eq!(
            to_probe(&mut mapped(), MSI_AND_2),
            [
                Action::CollectBars,
                Action::UnmapBars,
                Action::ResetMsi,
                Action::ResetMsixEntry(0),
                Action::ResetMsixEntry(1),
                Action::ResetMsix,
                Action::Reprobe
            ]
        );
    }

    #[test]
    fn reset_leaves_out_what_there_is_not() {
        assert_eq!(to_probe(&mut device(), NOTHING), [Action::Reprobe]);
        assert_eq!(
            to_probe(&mut mapped(), NOTHING),
            [Action::CollectBars, Action::UnmapBars, Action::Reprobe]
        );
        assert_eq!(
            to_probe(
                &mut device(),
                Capabilities {
                    msi: true,
                    msix_entries: 0
                }
            ),
            [Action::ResetMsi, Action::Reprobe]
        );
    }

    #[test]
    fn reset_with_decode_off_equals_a_fresh_device() {
        let mut device = mapped();
        let _ = to_probe(&mut device, MSI_AND_2);
        assert_eq!(device.reprobed(&after_flr()), Action::Done(Ok(())));
        let mut fresh = super::super::tests::device();
        for bar in &mut fresh.bars {
            bar.place(0);
        }
        fresh.reset_msi = device.reset_msi;
        fresh.reset_entries = device.reset_entries;
        fresh.reset_entry = device.reset_entry;
        assert_eq!(device, fresh);
        assert!(!device.ignores_writes());
    }

    #[test]
    fn reset_with_decode_on_reads_the_addresses_and_maps_them() {
        let mut device = mapped();
        let _ = to_probe(&mut device, NOTHING);
        let snapshot = Snapshot {
            bars: [0xe000_0004, 0x12, 0xd000_0000, 0xc001, 0, 0],
            rom: 0xc000_0001,
            command: 0x407,
            ..after_flr()
        };
        let command = Command::from_bits_retain(0x407);
        assert_eq!(device.reprobed(&snapshot), Action::MapBars(command));
        let addresses = device.bars.map(|bar| bar.addr);
        assert_eq!(
            addresses,
            [0x12_e000_0000, 0, 0xd000_0000, 0, 0, 0, 0xc000_0000]
        );
        assert_eq!(device.bars.map(|bar| bar.guest_addr), addresses);
        assert_eq!(
            (device.rom_enabled, device.bars_mapped, device.guest_cmd),
            (1, 0, 0x407)
        );
        assert_eq!(device.complete(Ok(())), Action::Done(Ok(())));
        assert!(!device.ignores_writes());
    }

    #[test]
    fn device_whose_bars_xen_ignores_is_not_mapped() {
        let mut device = device();
        let _ = to_probe(&mut device, NOTHING);
        let snapshot = Snapshot {
            command: 2,
            ignore_bars: 1,
            ..after_flr()
        };
        assert_eq!(device.reprobed(&snapshot), Action::Done(Ok(())));
    }

    #[test]
    fn failed_step_ends_the_reset_and_the_next_one_does_the_rest() {
        for failing in 0..6 {
            let mut device = mapped();
            let mut action = device.reset(MSI_AND_2);
            for _ in 0..failing {
                action = device.complete(Ok(()));
            }
            assert_ne!(action, Action::Reprobe);
            assert_eq!(
                device.complete(Err(Errno::ENOMEM)),
                Action::Done(Err(Errno::ENOMEM))
            );
            assert_eq!(device.ignores_writes(), failing == 1);
            let first = to_probe(&mut device, MSI_AND_2)[0];
            let expected = match failing {
                0 => Action::CollectBars,
                1 => Action::UnmapBars,
                _ => Action::ResetMsi,
            };
            assert_eq!(first, expected);
            assert_eq!(device.reprobed(&after_flr()), Action::Done(Ok(())));
        }
    }

    #[test]
    fn failed_map_leaves_an_unmapped_device_that_takes_writes() {
        let mut device = mapped();
        let _ = to_probe(&mut device, NOTHING);
        let _ = device.reprobed(&Snapshot {
            command: 2,
            ..after_flr()
        });
        assert_eq!(
            device.complete(Err(Errno::ENOMEM)),
            Action::Done(Err(Errno::ENOMEM))
        );
        assert!(!device.ignores_writes());
        assert_eq!(device.bars_mapped, 0);
        assert!(device.bars.iter().all(|bar| bar.enabled == 0));
    }

    #[test]
    fn reset_on_its_way_ignores_writes_and_gives_its_action_again() {
        let mut device = mapped();
        let mut action = device.reset(MSI_AND_2);
        while action != Action::Reprobe {
            assert!(device.ignores_writes());
            assert!(!device.reads_as_ones());
            let before = device;
            assert_eq!(device.reset(NOTHING), action);
            assert_eq!(device, before);
            action = device.complete(Ok(()));
        }
        assert_eq!(device.reset(NOTHING), Action::Reprobe);
    }

    #[test]
    fn device_that_does_not_answer_is_fenced_until_a_reset_finds_it() {
        let silent = Snapshot {
            id: !0,
            bars: [!0; 6],
            rom: !0,
            command: !0,
            header_type: !0,
            ignore_bars: 0,
        };
        let not_ready = Snapshot {
            id: after_flr().id,
            ..silent
        };
        for snapshot in [silent, not_ready] {
            let mut device = mapped();
            let _ = to_probe(&mut device, MSI_AND_2);
            assert_eq!(device.reprobed(&snapshot), Action::Done(Err(Errno::EIO)));
            assert!(device.reads_as_ones());
            assert!(device.ignores_writes());
            assert!(device.bars.iter().all(|bar| bar.enabled == 0));

            let _ = to_probe(&mut device, MSI_AND_2);
            assert_eq!(device.reprobed(&after_flr()), Action::Done(Ok(())));
            assert!(!device.reads_as_ones());
            assert!(!device.ignores_writes());
        }
    }

    #[test]
    fn device_with_another_header_is_fenced() {
        let others = [
            Snapshot {
                header_type: 2,
                ..after_flr()
            },
            Snapshot {
                header_type: 1,
                ..after_flr()
            },
            Snapshot {
                bars: [0, 0, 0, 1, 0, 0],
                ..after_flr()
            },
            Snapshot {
                bars: [5, 0, 0, 1, 0, 0],
                ..after_flr()
            },
            Snapshot {
                bars: [4, 0, 4, 1, 0, 0],
                ..after_flr()
            },
            Snapshot {
                bars: [4, 0, 1, 1, 0, 0],
                ..after_flr()
            },
        ];
        for snapshot in others {
            let mut device = mapped();
            let _ = to_probe(&mut device, NOTHING);
            assert_eq!(
                device.reprobed(&snapshot),
                Action::Done(Err(Errno::EOPNOTSUPP))
            );
            assert!(device.reads_as_ones(), "{snapshot:x?}");
        }
    }

    #[test]
    fn completion_that_nothing_waits_for_changes_nothing() {
        let mut device = mapped();
        let before = device;
        assert_eq!(device.complete(Ok(())), Action::Done(Err(Errno::EIO)));
        assert_eq!(device.reprobed(&after_flr()), Action::Done(Err(Errno::EIO)));
        assert_eq!(device, before);
    }

    #[test]
    fn probe_without_a_snapshot_fails_the_reset() {
        let mut device = device();
        let _ = to_probe(&mut device, NOTHING);
        assert_eq!(device.complete(Ok(())), Action::Done(Err(Errno::EIO)));
        assert!(!device.ignores_writes());
    }

    #[test]
    fn largest_msix_table_is_walked_to_its_end() {
        let mut device = device();
        let has = Capabilities {
            msi: false,
            msix_entries: u16::MAX,
        };
        let actions = to_probe(&mut device, has);
        assert_eq!(actions.len(), 2048 + 2);
        assert_eq!(actions[2047], Action::ResetMsixEntry(2047));
    }
}
