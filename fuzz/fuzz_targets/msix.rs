// SPDX-License-Identifier: GPL-2.0-only
//! Accesses to memory around a device's MSI-X table and pending bits: where they
//! lie, what entries read after what was written, in any order with enabling,
//! masking and moving the BARs. The other side knows the capability's registers
//! and the specification only.
#![no_main]

use core::cmp::{max, min};

use libfuzzer_sys::fuzz_target;
use xen_passthrough::errno::Errno;
use xen_passthrough::ffi::vpci as ffi;
use xen_passthrough::ffi::vpci::{MsixPlace, MsixPlaceKind, VpciActionKind};
use xen_passthrough::ids::NR_BARS;
use xen_passthrough::vpci::bar::BarSet;
use xen_passthrough::vpci::header::Snapshot;
use xen_passthrough::vpci::msix::{Entry, EntryArch};
use xen_passthrough::vpci::{Action, Device, Owner};
use xen_passthrough_fuzz::{Script, api, called, lent};

const PAGE: u64 = 0x1000;
const MSIX: u8 = 0x60;
const BAR_SIZE: u64 = 0x4000;
const AT: [u64; 2] = [0xd000_0000, 0xe000_0000];

struct Bench {
    device: Device,
    entries: Vec<Entry>,
    /// What the table reads: address, data and mask bit.
    shadow: Vec<(u64, u32, bool)>,
    snapshot: Snapshot,
    mapped: bool,
}

fuzz_target!(|bytes: &[u8]| {
    let mut script = Script(bytes);
    let mut bench = Bench::new(&mut script);
    while !script.is_over() {
        match script.u8() % 8 {
            0 => bench.control(&mut script),
            1 => bench.decode(&mut script),
            2 => bench.reset(&mut script),
            3..6 => bench.entry(&mut script),
            _ => bench.place(&mut script),
        }
    }
});

impl Bench {
    fn new(script: &mut Script<'_>) -> Self {
        let bir = |script: &mut Script<'_>| u32::from(script.u8() % 2);
        let offset = |script: &mut Script<'_>| u32::from(script.u16() & 0x3ff8);
        let nr = u16::from(script.u8()) * if script.u8() & 1 != 0 { 4 } else { 1 };
        let snapshot = Snapshot {
            id: 0x0010_1b36,
            bars: [AT[0] as u32, AT[1] as u32, 0, 0, 0, 0],
            msix_pos: MSIX,
            msix_control: nr & 0x7ff,
            msix_table: offset(script) | bir(script),
            msix_pba: offset(script) | bir(script),
            command: 2,
            ..Snapshot::default()
        };
        let mut sizes = [0; NR_BARS];
        (sizes[0], sizes[1]) = (BAR_SIZE, BAR_SIZE);
        let mut device = Device::empty();
        api::init(&mut device, &snapshot, &sizes).expect("a header that there is");
        let count = device.msix.entries;
        assert!(count == 0 || count == snapshot.msix_control + 1);
        let mut entries = vec![
            Entry {
                addr: 1,
                data: 1,
                masked: 0,
                updated: 1,
                arch: EntryArch { pirq: 7 },
            };
            count.into()
        ];
        // SAFETY: the device's table.
        unsafe { ffi::xpt_msix_init(lent(&mut entries), count) };
        let mut bench = Self {
            device,
            shadow: vec![(0, 0, true); entries.len()],
            entries,
            snapshot,
            mapped: false,
        };
        let first = api::attach(&mut bench.device, Owner::Hardware);
        bench.follow(first, false);
        bench.work();
        bench
    }

    /// Performs what it is told; with `fails` nothing of it goes well.
    fn follow(&mut self, mut action: Action, fails: bool) {
        let count = self.entries.len();
        for _ in 0..4 * count + 16 {
            let mut result = if fails {
                Err(Errno::ENOSPC)
            } else {
                Ok(BarSet::NONE)
            };
            match action {
                Action::Done(_) | Action::Retry => return,
                Action::MsixUpdate(number) => {
                    self.entries[usize::from(number)].arch.pirq = if fails { -1 } else { 40 };
                }
                Action::MsixDisable(number) if !fails => {
                    self.entries[usize::from(number)].arch.pirq = -1;
                }
                Action::MsixMask { entry, masked } => {
                    let entry = &self.entries[usize::from(entry)];
                    assert!(entry.arch.pirq >= 0, "a mask for no vector");
                    assert_eq!(entry.masked != 0, masked);
                }
                Action::Map(bars) => {
                    assert_eq!(bars.bits(), 3);
                    result = Ok(bars);
                    self.mapped = true;
                }
                Action::Unmap(bars) => {
                    assert_eq!(bars.bits() & !3, 0);
                    result = Ok(BarSet::NONE);
                    self.mapped = false;
                }
                Action::ConfWrite {
                    register, value, ..
                } if register == 4 => {
                    self.snapshot.command = value as u16;
                    result = Ok(BarSet::NONE);
                }
                _ => {}
            }
            if self.device.is_idle() {
                return;
            }
            action = if matches!(action, Action::Probe(_)) && !fails {
                let snapshot = self.snapshot;
                api::probed(&mut self.device, &mut self.entries, &snapshot)
            } else {
                api::complete(&mut self.device, &mut self.entries, result)
            };
        }
        panic!("{action:?} does not end");
    }

    /// The vCPU comes back for what is to be mapped.
    fn work(&mut self) {
        let epoch = self.device.epoch;
        let result = match api::work(&self.device, epoch) {
            Action::Map(bars) => {
                self.mapped = true;
                bars
            }
            Action::Unmap(_) => {
                self.mapped = false;
                BarSet::NONE
            }
            _ => return,
        };
        let next = api::worked(&mut self.device, epoch, Ok(result));
        self.follow(next, false);
    }

    fn control(&mut self, script: &mut Script<'_>) {
        let (value, how) = (script.u16(), script.u8());
        if script.is_over() && how & 0x80 != 0 {
            return;
        }
        let first = api::write(
            &mut self.device,
            &mut self.entries,
            u16::from(MSIX) + 2,
            value.into(),
        );
        self.follow(first, how & 3 == 3);
        let enabled = self.device.msix.enabled != 0;
        assert!(!enabled || !self.entries.is_empty());
        if !enabled && how & 3 != 3 {
            assert!(self.entries.iter().all(|entry| entry.arch.pirq < 0));
        }
    }

    fn decode(&mut self, script: &mut Script<'_>) {
        let how = script.u8();
        let first = api::write(&mut self.device, &mut self.entries, 4, u32::from(how & 2));
        self.follow(first, false);
        if how & 4 == 0 {
            // Else it is on its way for a while.
            self.work();
        }
    }

    fn reset(&mut self, script: &mut Script<'_>) {
        let kind = ffi_kind(script.u8());
        let first = api::reset(&mut self.device, &mut self.entries, kind);
        self.follow(first, false);
        self.shadow.fill((0, 0, true));
        assert!(self.entries.iter().all(|entry| entry.arch.pirq < 0));
        assert_eq!(self.device.msix.enabled, 0);
        self.work();
    }

    /// A read or a write of an entry, which `xpt_msix_place` has found or not.
    fn entry(&mut self, script: &mut Script<'_>) {
        let how = script.u8();
        let entry = if how & 1 == 0 {
            script.u8().into()
        } else {
            script.u16()
        };
        let offset = if how & 2 == 0 {
            u16::from(script.u8() % 4) * 4
        } else {
            script.u16()
        };
        let size = if how & 4 == 0 { 4 } else { 8 };
        if how & 0x18 != 0 {
            let wide = if how & 0x20 == 0 {
                script.u8().into()
            } else {
                script.u64()
            };
            let passes = self.device.writes() == xen_passthrough::vpci::Writes::Pass;
            let (to, table) = (&raw mut self.device, lent(&mut self.entries));
            let action = called(|into| {
                // SAFETY: the record, its table, and where the action goes.
                unsafe { ffi::xpt_msix_write(to, table, entry, offset, size, wide, into) };
            });
            let told = action.kind;
            if matches!(told, VpciActionKind::MsixUpdate | VpciActionKind::MsixMask) {
                assert_eq!(action.index, entry.into());
            } else {
                assert!(matches!(told, VpciActionKind::Done | VpciActionKind::Retry));
            }
            if passes && let Some(shadow) = self.shadow.get_mut(usize::from(entry)) {
                let (low, high) = (wide & 0xffff_ffff, wide >> 32);
                match (offset, size) {
                    (0, 8) => shadow.0 = wide,
                    (0, _) => shadow.0 = shadow.0 & !0xffff_ffff | low,
                    (4, _) => shadow.0 = shadow.0 & 0xffff_ffff | low << 32,
                    (8, _) => {
                        shadow.1 = low as u32;
                        if size == 8 {
                            shadow.2 = high & 1 != 0;
                        }
                    }
                    (12, _) => shadow.2 = low & 1 != 0,
                    _ => {}
                }
            }
            let fails = how & 0x40 != 0;
            match told {
                VpciActionKind::MsixUpdate => {
                    self.follow(Action::MsixUpdate(entry), fails);
                }
                VpciActionKind::MsixMask => {
                    assert!(self.entries[usize::from(entry)].arch.pirq >= 0);
                }
                _ => {}
            }
        }
        // SAFETY: the record and its table.
        let read = unsafe {
            ffi::xpt_msix_read(
                &raw const self.device,
                lent(&mut self.entries),
                entry,
                offset,
                size,
            )
        };
        let want = match self.shadow.get(usize::from(entry)) {
            Some(&(addr, data, masked)) => match (offset, size) {
                (0, _) => addr,
                (4, _) => addr >> 32,
                (8, 8) => u64::from(data) | u64::from(masked) << 32,
                (8, _) => data.into(),
                (12, _) => masked.into(),
                _ => !0,
            },
            None => !0,
        };
        let bits = if size == 8 { !0 } else { 0xffff_ffff };
        assert_eq!(read & bits, want & bits, "{entry}+{offset}, {size} bytes");
    }

    /// Start and end of an area in memory, if it is there.
    fn area(&self, register: u32, length: u64) -> Option<(u64, u64)> {
        // What is on its way in or out is nowhere.
        if self.entries.is_empty() || !self.mapped || self.device.in_flight() {
            return None;
        }
        let start = AT[(register & 7) as usize] + u64::from(register & !7);
        Some((start, start + length))
    }

    fn place(&mut self, script: &mut Script<'_>) {
        let count = self.entries.len() as u64;
        let areas = [
            self.area(self.snapshot.msix_table, count * 16),
            self.area(self.snapshot.msix_pba, count.div_ceil(64) * 8),
        ];
        let how = script.u8();
        let size = 1_u32 << (how & 3);
        let near = AT[usize::from(how >> 2 & 1)] + u64::from(script.u16() & 0x7fff);
        let addr = match (how >> 3 & 7, areas) {
            (0, _) => script.u64(),
            (1 | 2, [Some((start, end)), _]) => start + u64::from(script.u16()) % (end - start),
            (3, [_, Some((start, end))]) => start + u64::from(script.u16()) % (end - start),
            (4, [Some((_, end)), _]) => end - 8 + u64::from(script.u8() % 16),
            _ => near,
        };
        let mut found = MsixPlace {
            kind: MsixPlaceKind::Elsewhere,
            entry: 0xdead,
            offset: 0xdead,
            slot: 0xdead,
            addr: 0xdead,
        };
        // SAFETY: the record, and where the answer goes.
        unsafe { ffi::xpt_msix_place(&raw const self.device, addr, size, &mut found) };
        // SAFETY: as before.
        let is_at = unsafe { ffi::xpt_msix_is_at(&raw const self.device, addr) } != 0;

        let within = |area: Option<(u64, u64)>, addr| {
            area.is_some_and(|(start, end)| start <= addr && addr < end)
        };
        let pages = |area: Option<(u64, u64)>, addr: u64| {
            area.is_some_and(|(start, end)| {
                start / PAGE <= addr / PAGE && addr / PAGE <= (end - 1) / PAGE
            })
        };
        let near = areas.iter().any(|&area| pages(area, addr));
        assert_eq!(is_at, near, "{addr:#x} {areas:x?}");
        let end = addr.saturating_add(u64::from(size) - 1);
        let whole = size >= 4 && addr % u64::from(size) == 0;
        let [table, pending] = areas;
        let touches = |area| within(area, addr);
        let want = if !near {
            MsixPlaceKind::Elsewhere
        } else if touches(pending) {
            if whole {
                MsixPlaceKind::Pending
            } else {
                MsixPlaceKind::Ignored
            }
        } else if touches(table) {
            if whole {
                MsixPlaceKind::Entry
            } else {
                MsixPlaceKind::Ignored
            }
        } else if within(table, end)
            || within(pending, end)
            || !areas.iter().any(|&area| pages(area, end))
        {
            MsixPlaceKind::Ignored
        } else {
            MsixPlaceKind::Device
        };
        // Of more than two pages those in the middle are the table's alone.
        let edges = |area: Option<(u64, u64)>| {
            area.is_some_and(|(start, end)| {
                [start / PAGE, (end - 1) / PAGE].contains(&(addr / PAGE))
            })
        };
        let want = match want {
            MsixPlaceKind::Pending | MsixPlaceKind::Device if !edges(table) && !edges(pending) => {
                MsixPlaceKind::Ignored
            }
            other => other,
        };
        assert_eq!(found.kind, want, "{size} at {addr:#x} {areas:x?}");
        match want {
            MsixPlaceKind::Entry => {
                let (start, _) = table.expect("it is in it");
                assert!(u64::from(found.entry) < max(count, 1));
                assert_eq!(
                    start + u64::from(found.entry) * 16 + u64::from(found.offset),
                    addr
                );
            }
            MsixPlaceKind::Device | MsixPlaceKind::Pending => {
                assert_eq!(found.addr, addr, "dom0's memory is the host's");
                assert!(min(found.slot, 3) == found.slot);
            }
            MsixPlaceKind::Elsewhere | MsixPlaceKind::Ignored => {}
        }
    }
}

fn ffi_kind(number: u8) -> xen_passthrough::spec::physdev::ResetKind {
    use xen_passthrough::spec::physdev::ResetKind;
    match number % 4 {
        0 => ResetKind::Cold,
        1 => ResetKind::Warm,
        2 => ResetKind::Hot,
        _ => ResetKind::Flr,
    }
}
