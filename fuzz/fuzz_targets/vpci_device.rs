// SPDX-License-Identifier: GPL-2.0-only
//! Event scripts against a device of any header, by way of the C functions, with
//! hardware that answers whatever the script says: completions fail, maps come to
//! a part, headers that are read are any bytes. What holds whatever happens: an
//! action names nothing that the device does not have, what is in the p2m is what
//! the record says and the reverse, MSI is on when the record says so, and a reset
//! that goes well makes the device as new.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xen_passthrough::errno::Errno;
use xen_passthrough::ffi::vpci as ffi;
use xen_passthrough::ffi::vpci::{VpciAction, VpciActionKind as Kind};
use xen_passthrough::ids::NR_BARS;
use xen_passthrough::vpci::header::Snapshot;
use xen_passthrough::vpci::msix::{Entry, EntryArch};
use xen_passthrough::vpci::{Action, Device};
use xen_passthrough_fuzz::{Script, called, lent};

/// More actions than any event takes with a table of 16 entries.
const MOST_ACTIONS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let mut script = Script(bytes);
    let Some(mut bench) = Bench::new(&mut script) else {
        return;
    };
    while !script.is_over() {
        bench.event(&mut script);
        bench.check();
    }
    bench.is_renewed();
});

fn capability(script: &mut Script<'_>) -> u8 {
    match script.u8() % 4 {
        0 => 0,
        _ => 0x40 + script.u8() % 40 * 4,
    }
}

fn header(script: &mut Script<'_>) -> Snapshot {
    let mut bars = [0; 6];
    for bar in &mut bars {
        *bar = match script.u8() % 8 {
            0 => 1,
            1 => script.u32(),
            2 | 3 => 0xc | u32::from(script.u8()) << 24,
            _ => u32::from(script.u8()) << 20,
        };
    }
    Snapshot {
        id: 0x0010_1b36,
        bars,
        rom: script.u32() & 0xfff0_0001,
        msix_table: u32::from(script.u8()) << 8 | u32::from(script.u8() % 8),
        msix_pba: u32::from(script.u8()) << 8 | u32::from(script.u8() % 8),
        command: script.u16(),
        msi_control: script.u16(),
        msix_control: script.u16() & 0xc00f,
        msi_pos: capability(script),
        msix_pos: capability(script),
        msi_vectors: script.u8() % 64,
        header_type: script.u8() & 0x81,
        ignore_bars: u8::from(script.u8() == 0xff),
    }
}

struct Bench {
    device: Device,
    entries: Vec<Entry>,
    /// As the device was found first.
    first: Snapshot,
    sizes: [u64; NR_BARS],
    /// Where each BAR and the ROM is in the p2m.
    p2m: [Option<u64>; NR_BARS],
    msi: bool,
    /// An action that was given up, or is still to be performed.
    talk: Option<VpciAction>,
}

impl Bench {
    fn new(script: &mut Script<'_>) -> Option<Self> {
        let first = header(script);
        let sizes = core::array::from_fn(|_| match script.u8() % 8 {
            0 => 0,
            other => 1 << (other * 4 + script.u8() % 4),
        });
        let mut device = Device::empty();
        // SAFETY: all are valid.
        let rc = unsafe { ffi::xpt_device_init(&mut device, &first, &sizes) };
        if rc != 0 {
            return None;
        }
        let count = device.msix.entries;
        let mut entries = vec![
            Entry {
                addr: 0,
                data: 0,
                masked: 1,
                updated: 0,
                arch: EntryArch { pirq: -1 },
            };
            count.into()
        ];
        // SAFETY: the device's table.
        unsafe { ffi::xpt_msix_init(lent(&mut entries), count) };
        Some(Self {
            device,
            entries,
            first,
            sizes,
            p2m: [None; NR_BARS],
            msi: false,
            talk: None,
        })
    }

    /// What holds of an action before it is performed.
    fn judge(&self, action: &VpciAction) {
        let VpciAction {
            kind,
            index,
            value,
            rc,
            size,
            last,
        } = *action;
        let done = kind == Kind::Done;
        assert!(
            last <= 1 && (rc == 0 || done && rc < 0 && rc > -4096),
            "{action:?}"
        );
        assert_eq!(size != 0, kind == Kind::ConfWrite, "{action:?}");
        let good = match kind {
            Kind::Done | Kind::Retry => last == 1,
            Kind::Map | Kind::Unmap => {
                let there = |slot: usize| self.device.bars[slot].order != 0;
                value != 0
                    && value < 1 << NR_BARS
                    && (0..NR_BARS).all(|slot| value >> slot & 1 == 0 || there(slot))
            }
            Kind::ConfWrite => {
                let size = u32::from(size);
                matches!(size, 2 | 4) && index % size == 0 && index + size <= 0x100
            }
            Kind::Probe => value <= 2,
            Kind::MsiEnable => (1..=u32::from(self.device.msi.max_vectors)).contains(&value),
            Kind::MsiMask => index != 0 && u64::from(index) < 1 << self.device.msi.max_vectors,
            Kind::MsixUpdate | Kind::MsixDisable | Kind::MsixMask => {
                index < self.device.msix.entries.into()
            }
            Kind::BarMapped => index < 7,
            Kind::MsixControl => value <= 0xffff,
            Kind::Defer
            | Kind::MsiDisable
            | Kind::MsiUpdate
            | Kind::MsixClear
            | Kind::IntxDisable => true,
        };
        assert!(good, "{action:?}");
    }

    fn event(&mut self, script: &mut Script<'_>) {
        let what = script.u8();
        // Nobody else gets in between a conversation and its end.
        if let Some(action) = self.talk.take() {
            return self.converse(script, action, false);
        }
        let (to, table) = (&raw mut self.device, lent(&mut self.entries));
        let epoch = self.device.epoch;
        let (msi, msix) = (
            u16::from(self.first.msi_pos),
            u16::from(self.first.msix_pos),
        );
        let idle = self.device.is_idle();
        let action = match what % 16 {
            0..6 => {
                let (register, value) = match script.u8() % 8 {
                    0 | 1 => (4, script.number()),
                    2 => (0x10 + 4 * u16::from(script.u8() % 6), script.u32()),
                    3 => (if script.u8() & 1 == 0 { 0x30 } else { 0x38 }, script.u32()),
                    4 => (msi + 2, u32::from(script.u8())),
                    5 => (msi + u16::from(script.u8() % 6) * 4, script.number()),
                    6 => (msix + 2, u32::from(script.u8()) << 8),
                    _ => (script.u16(), script.u32()),
                };
                // SAFETY: the record, its table, and where the action goes.
                called(|into| unsafe { ffi::xpt_device_write(to, table, register, value, into) })
            }
            6..9 => {
                let (entry, offset) = (u16::from(script.u8() % 17), u16::from(script.u8() % 4) * 4);
                let (size, value) = (4 << (script.u8() & 1), script.u64());
                called(|into| {
                    // SAFETY: as before.
                    unsafe { ffi::xpt_msix_write(to, table, entry, offset, size, value, into) };
                })
            }
            9 => {
                let flags = script.u8().into();
                // SAFETY: as before.
                called(|into| unsafe { ffi::xpt_device_reset(to, table, flags, into) })
            }
            // SAFETY: as before.
            10 => called(|into| unsafe { ffi::xpt_device_detach(to, table, into) }),
            11 => {
                let owner = (script.u8() % 5).into();
                // SAFETY: as before.
                called(|into| unsafe { ffi::xpt_device_attach(to, owner, into) })
            }
            12 => {
                let (bar, value) = (script.number(), script.u32());
                // SAFETY: as before.
                let placed = unsafe { ffi::xpt_device_place_bar(to, bar, value) };
                assert!(placed == -1 || bar < 6 && self.p2m[bar as usize].is_none());
                return;
            }
            13 => {
                if script.u8() == 0 {
                    // SAFETY: as before.
                    unsafe { ffi::xpt_device_hide(to) };
                }
                let value = script.u16();
                // SAFETY: as before.
                unsafe { ffi::xpt_device_passes_command(to, value) };
                return;
            }
            14 if !idle => {
                // SAFETY: as before.
                called(|into| unsafe { ffi::xpt_device_resume(to, into) })
            }
            _ => return self.work(script, epoch),
        };
        let owned = matches!(what % 16, 9..=11 | 14);
        if !idle && !owned {
            // A reset is on its way: nobody else changes anything.
            assert!(
                matches!(action.kind, Kind::Done | Kind::Retry),
                "{action:?}"
            );
            return;
        }
        self.converse(script, action, owned && what % 16 != 11);
    }

    /// Deferred work, of this operation or of an old one.
    fn work(&mut self, script: &mut Script<'_>, epoch: u32) {
        let epoch = if script.u8() == 0xff {
            script.u32()
        } else {
            epoch
        };
        let to = &raw mut self.device;
        // SAFETY: the record, and where the action goes.
        let action = called(|into| unsafe { ffi::xpt_device_work(to, epoch, into) });
        if !matches!(action.kind, Kind::Map | Kind::Unmap) {
            assert!(
                matches!(action.kind, Kind::Done | Kind::Retry),
                "{action:?}"
            );
            return;
        }
        self.judge(&action);
        let rc = self.perform(script, &action);
        // SAFETY: as before.
        let next = called(|into| unsafe { ffi::xpt_device_worked(to, epoch, rc, into) });
        self.converse(script, next, false);
    }

    /// The first of the steps that an event comes to, and all that follow.
    fn converse(&mut self, script: &mut Script<'_>, mut action: VpciAction, may_stop: bool) {
        for _ in 0..MOST_ACTIONS {
            self.judge(&action);
            if matches!(action.kind, Kind::Done | Kind::Retry) {
                return;
            }
            // Only hypercalls are given up: not what a write has begun.
            let preempted = script.u8() == 0x55 && action.last == 0;
            if preempted && may_stop && self.is_continued() {
                // Whoever comes next is given it again.
                return;
            }
            let rc = self.perform(script, &action);
            if action.last != 0 {
                return;
            }
            let (to, table) = (&raw mut self.device, lent(&mut self.entries));
            action = if action.kind == Kind::Probe && rc == 0 {
                let snapshot = self.answer(script);
                called(|into| {
                    // SAFETY: the record, its table, what was read, the action.
                    unsafe { ffi::xpt_device_probed(to, table, &snapshot, into) };
                })
            } else {
                // SAFETY: as before.
                called(|into| unsafe { ffi::xpt_device_complete(to, table, rc, into) })
            };
        }
        panic!("{action:?} does not end");
    }

    /// Whether what is on its way is a reset or a detach.
    fn is_continued(&self) -> bool {
        self.device.resume() != Action::Done(Ok(()))
            && self.device.writes() != xen_passthrough::vpci::Writes::Pass
    }

    fn answer(&self, script: &mut Script<'_>) -> Snapshot {
        match script.u8() % 8 {
            0 => Snapshot {
                id: !0,
                command: !0,
                ..header(script)
            },
            1 => header(script),
            2 => Snapshot {
                command: 0,
                bars: [0; 6],
                ..self.first
            },
            _ => Snapshot {
                command: script.u16(),
                ..self.first
            },
        }
    }

    /// Performs an action in the model; what C completes it with.
    fn perform(&mut self, script: &mut Script<'_>, action: &VpciAction) -> i32 {
        let fails = script.u8() % 4 == 3;
        let part = if fails { u32::from(script.u8()) } else { !0 };
        let index = action.index as usize;
        match action.kind {
            Kind::Map => {
                let done = action.value & part;
                for slot in (0..NR_BARS).filter(|slot| done >> slot & 1 != 0) {
                    self.p2m[slot] = Some(self.device.bars[slot].guest_addr);
                }
                // A part is good, too: the rest lies where none may be.
                if fails && script.u8() & 1 == 0 {
                    return Errno::ENOMEM.to_c();
                }
                return done.cast_signed();
            }
            Kind::Unmap => {
                let done = action.value & part;
                for slot in (0..NR_BARS).filter(|slot| done >> slot & 1 != 0) {
                    self.p2m[slot] = None;
                }
                return if fails { Errno::ENOMEM.to_c() } else { 0 };
            }
            Kind::MsiEnable if !fails => {
                assert!(!self.msi, "MSI is enabled twice");
                self.msi = true;
            }
            Kind::MsiDisable if !fails => self.msi = false,
            Kind::MsixUpdate => self.entries[index].arch.pirq = if fails { -1 } else { 50 },
            Kind::MsixDisable if !fails => self.entries[index].arch.pirq = -1,
            Kind::MsixMask => assert!(self.entries[index].arch.pirq >= 0, "no vector"),
            _ => {}
        }
        if fails { Errno::EIO.to_c() } else { 0 }
    }

    /// What holds when no lock is held.
    fn check(&self) {
        let device = &self.device;
        if device.is_idle() {
            assert_eq!(self.msi, device.msi.enabled != 0, "MSI is not as recorded");
        }
        // SAFETY: a record.
        let placed = unsafe { ffi::xpt_device_in_place(device) };
        assert!(placed < 1 << NR_BARS);
        let told = device.is_idle() || !device.in_flight();
        for slot in 0..NR_BARS {
            let bar = &device.bars[slot];
            let flight = device.in_flight();
            let counts = bar.mapped != 0 || flight;
            if told && let Some(at) = self.p2m[slot] {
                assert!(
                    counts && at == bar.guest_addr,
                    "slot {slot} is left at {at:#x}"
                );
            }
            assert!(bar.mapped != 0 || placed >> slot & 1 == 0);
        }
        if told && device.owner() == xen_passthrough::vpci::Owner::Nobody && device.is_idle() {
            assert_eq!(self.p2m, [None; NR_BARS], "mapped for nobody");
            assert!(!self.msi && self.entries.iter().all(|entry| entry.arch.pirq < 0));
        }
    }

    /// After a reset with which all goes well it is as if just made.
    fn is_renewed(&mut self) {
        use xen_passthrough::vpci::Owner;

        let owner = self.device.owner();
        let mut good = Script(&[]);
        if owner == Owner::Nobody {
            return;
        }
        let whole = self.first;
        // What was given up first, and then one from the beginning.
        for _ in 0..2 {
            self.well(whole, |to, table, into| {
                // SAFETY: the record, its table, and where the action goes.
                unsafe { ffi::xpt_device_reset(to, table, 1, into) };
            });
        }
        // It was a detach that was given up.
        if self.device.owner() == Owner::Nobody {
            return;
        }
        let mut new = Bench {
            device: Device::empty(),
            entries: self.entries.clone(),
            p2m: [None; NR_BARS],
            msi: false,
            talk: None,
            first: whole,
            sizes: self.sizes,
        };
        // SAFETY: all are valid.
        unsafe { ffi::xpt_device_init(&mut new.device, &whole, &self.sizes) };
        let count = new.device.msix.entries;
        // SAFETY: the device's table.
        unsafe { ffi::xpt_msix_init(lent(&mut new.entries), count) };
        new.well(whole, |to, _, into| {
            // SAFETY: as before.
            unsafe { ffi::xpt_device_attach(to, owner as u32, into) };
        });
        if whole.command & 2 != 0 && new.device.in_flight() {
            let epoch = new.device.epoch;
            new.work(&mut good, epoch);
        }
        assert_eq!(self.p2m, new.p2m, "the p2m after a reset");
        if new.device.reads_as_ones() {
            // What was found first is no answer, for its command register.
            assert!(self.device.reads_as_ones());
            return;
        }
        assert_eq!(
            self.device.settled(),
            new.device.settled(),
            "a reset makes it as new"
        );
        assert_eq!(self.entries, new.entries);
    }

    fn well(
        &mut self,
        snapshot: Snapshot,
        event: impl Fn(*mut Device, *mut Entry, *mut VpciAction),
    ) {
        let (to, table) = (&raw mut self.device, lent(&mut self.entries));
        let mut action = called(|into| event(to, table, into));
        let mut good = Script(&[]);
        for _ in 0..MOST_ACTIONS {
            self.judge(&action);
            if matches!(action.kind, Kind::Done | Kind::Retry) {
                return;
            }
            let rc = self.perform(&mut good, &action);
            if action.last != 0 {
                return;
            }
            let (to, table) = (&raw mut self.device, lent(&mut self.entries));
            action = if action.kind == Kind::Probe {
                called(|into| {
                    // SAFETY: as before.
                    unsafe { ffi::xpt_device_probed(to, table, &snapshot, into) };
                })
            } else {
                // SAFETY: as before.
                called(|into| unsafe { ffi::xpt_device_complete(to, table, rc, into) })
            };
        }
        panic!("{action:?} does not end");
    }
}
