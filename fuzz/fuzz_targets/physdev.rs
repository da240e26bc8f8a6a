// SPDX-License-Identifier: GPL-2.0-only
//! Raw bytes of hypercalls: every operation, every argument, at every alignment and
//! cut off anywhere, the policy on each caller, and the life of a GSI. What comes
//! of them is worked out here a second time, from Xen's public headers.
#![no_main]

use core::cell::UnsafeCell;
use core::ffi::c_void;

use libfuzzer_sys::fuzz_target;
use xen_passthrough::errno::Errno;
use xen_passthrough::ffi::gsi::{self, GsiAction, GsiActionKind, GsiTable};
use xen_passthrough::ffi::physdev;
use xen_passthrough::gsi::Pin;
use xen_passthrough_fuzz::Script;

const EINVAL: i32 = Errno::EINVAL.to_c();
const ENOSYS: i32 = Errno::ENOSYS.to_c();
const EPERM: i32 = Errno::EPERM.to_c();
const EOPNOTSUPP: i32 = Errno::EOPNOTSUPP.to_c();

fuzz_target!(|bytes: &[u8]| {
    let mut script = Script(bytes);
    let mut pin = Pin::new();
    // SAFETY: zero bytes are one, as the type says.
    let table: UnsafeCell<GsiTable> = unsafe { core::mem::zeroed() };
    while !script.is_over() {
        match script.u8() % 8 {
            0 => gate(&mut script),
            1 => verdicts(&mut script),
            2 => setup_gsi(&mut script),
            3 => permission(&mut script),
            4 => reset(&mut script),
            _ => event(&mut script, &table, &mut pin),
        }
    }
    settle(&table, &mut pin);
});

/// The argument of a hypercall: 8 bytes, as C has copied them, and no more memory
/// than that. The sanitizer sees to it that no more is read.
fn argument(script: &mut Script<'_>) -> ([u8; 8], Vec<u8>, usize) {
    let shift = usize::from(script.u8() % 8);
    let few = script.u8();
    let mut words = [script.number(), script.number()];
    if few & 1 != 0 {
        words[0] &= 0x1f;
    }
    if few & 2 != 0 {
        words[1] &= 0x0103;
    }
    let argument = (u64::from(words[0]) | u64::from(words[1]) << 32).to_le_bytes();
    let mut memory = vec![0xee; shift];
    memory.extend(argument);
    (argument, memory, shift)
}

fn word(bytes: [u8; 8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn at(memory: &[u8], shift: usize) -> *const c_void {
    memory[shift..].as_ptr().cast()
}

/// docs/policy.md, the first table.
fn gate(script: &mut Script<'_>) {
    let (op, caller) = (script.number(), script.number() & 0xf);
    let (hvm, hardware, pirqs) = (caller & 1 != 0, caller & 2 != 0, caller & 4 != 0);
    let got = physdev::xpt_physdev_gate(op, caller);
    if caller >= 8 {
        assert_eq!(got, EINVAL);
    } else if hvm {
        let open = match op {
            13 | 14 => true,
            5 | 12 | 23 => pirqs,
            21 | 24 | 25 | 26 | 29..=32 => hardware,
            _ => false,
        };
        assert_eq!(got, if open { 0 } else { ENOSYS }, "{op} of {caller:#x}");
    }
}

/// The second one.
fn verdicts(script: &mut Script<'_>) {
    let (caller, target) = (script.number() & 0xf, script.number() & 7);
    let kind = script.number().cast_signed();
    let (map, unmap) = (
        physdev::xpt_map_pirq(caller, target, kind),
        physdev::xpt_unmap_pirq(caller, target),
    );
    if caller >= 8 || target >= 4 {
        assert_eq!((map, unmap), (EINVAL, EINVAL));
        return;
    }
    let (hvm, hardware, pirqs) = (caller & 1 != 0, caller & 2 != 0, caller & 4 != 0);
    let known = matches!(kind, 0 | 1 | 3 | 4);
    let want = if hvm && target & 1 != 0 {
        match (pirqs, hardware) {
            (true, _) if kind == 1 => (1, 1),
            (true, _) => (EINVAL, 1),
            (false, true) => (EOPNOTSUPP, EOPNOTSUPP),
            (false, false) => (EPERM, EPERM),
        }
    } else {
        (if known { 0 } else { EINVAL }, 0)
    };
    assert_eq!(
        (map, unmap),
        want,
        "type {kind} of {caller:#x} for {target:#x}"
    );
}

fn setup_gsi(script: &mut Script<'_>) {
    let (bytes, memory, shift) = argument(script);
    let limit = script.number();
    // SAFETY: 8 bytes are there.
    let call = unsafe { physdev::xpt_setup_gsi_parse(at(&memory, shift), limit) };
    let gsi = word(bytes, 0);
    let good = gsi.cast_signed() >= 0 && gsi < limit && bytes[4] <= 1 && bytes[5] <= 1;
    if good {
        let mode = u32::from(bytes[4]) | u32::from(bytes[5]) << 1;
        assert_eq!((call.rc, call.gsi, call.mode), (0, gsi, mode), "{bytes:x?}");
    } else {
        assert_eq!(call.rc, EINVAL, "{bytes:x?} of {limit}");
    }
}

fn permission(script: &mut Script<'_>) {
    let (bytes, memory, shift) = argument(script);
    let (mut gsi, mut grant) = (0xdead, 0xdead);
    // SAFETY: 8 bytes are there, and the outputs are valid.
    let rc = unsafe { physdev::xpt_gsi_permission_parse(at(&memory, shift), &mut gsi, &mut grant) };
    let flags = word(bytes, 4);
    let want = if flags <= 1 {
        (0, word(bytes, 0), flags)
    } else {
        (EINVAL, 0xdead, 0xdead)
    };
    assert_eq!((rc, gsi, grant), want, "{bytes:x?}");

    let access = script.number().cast_signed();
    let want = match (flags, access != 0) {
        (0 | 1, true) => flags.cast_signed(),
        (0, false) | (1, false) => EPERM,
        _ => EINVAL,
    };
    assert_eq!(physdev::xpt_gsi_permission(flags, access), want);
}

fn reset(script: &mut Script<'_>) {
    let (bytes, memory, shift) = argument(script);
    let (mut sbdf, mut flags) = (0xdead, 0xdead);
    // SAFETY: as before.
    let rc =
        unsafe { physdev::xpt_pci_device_reset_parse(at(&memory, shift), &mut sbdf, &mut flags) };
    let kind = word(bytes, 4);
    let [segment_low, segment_high, bus, devfn, ..] = bytes;
    let want = if kind <= 3 {
        let function = u32::from_le_bytes([devfn, bus, segment_low, segment_high]);
        (0, function, kind)
    } else {
        (EINVAL, 0xdead, 0xdead)
    };
    assert_eq!((rc, sbdf, flags), want, "{bytes:x?}");
}

const UNWRITTEN: GsiAction = GsiAction {
    kind: GsiActionKind::Wait,
    mode: 0xdead,
    rc: 0xdead,
};

fn judged(action: GsiAction) -> GsiAction {
    let GsiAction { kind, mode, rc } = action;
    let moded = matches!(kind, GsiActionKind::Register | GsiActionKind::Reprogram);
    assert!(if moded { mode <= 3 } else { mode == 0 }, "{action:?}");
    let done = kind == GsiActionKind::Done;
    assert!(rc == 0 || done && (-4095..0).contains(&rc), "{action:?}");
    action
}

/// Events and completions, in any order.
fn event(script: &mut Script<'_>, table: &UnsafeCell<GsiTable>, pin: &mut Pin) {
    let (table, to) = (table.get(), &raw mut *pin);
    let before = *pin;
    let mut action = UNWRITTEN;
    let what = script.u8();
    let number = script.number();
    match what % 8 {
        // SAFETY: all are valid.
        0 => unsafe { gsi::xpt_gsi_setup(table, to, number % 6, &mut action) },
        // SAFETY: as before.
        1 => unsafe { gsi::xpt_gsi_unmask(table, to, number % 6, &mut action) },
        // SAFETY: as before.
        2 => unsafe { gsi::xpt_gsi_unmap(table, to, &mut action) },
        other => {
            let rc = if other < 6 { 0 } else { number.cast_signed() };
            // SAFETY: as before.
            unsafe { gsi::xpt_gsi_complete(table, to, rc, &mut action) };
        }
    }
    judged(action);
    if action.kind == GsiActionKind::Wait {
        assert_eq!(before, *pin, "who waits changes nothing");
    }
}

/// With every step going well it ends, and whoever comes then does not wait.
fn settle(table: &UnsafeCell<GsiTable>, pin: &mut Pin) {
    let mut action = UNWRITTEN;
    for _ in 0..8 {
        // SAFETY: all are valid.
        unsafe { gsi::xpt_gsi_complete(table.get(), pin, 0, &mut action) };
        if judged(action).kind == GsiActionKind::Done {
            break;
        }
    }
    assert_eq!(action.kind, GsiActionKind::Done, "it does not end");
    // SAFETY: as before.
    unsafe { gsi::xpt_gsi_unmask(table.get(), pin, 0, &mut action) };
    assert_ne!(judged(action).kind, GsiActionKind::Wait, "busy for ever");
}
