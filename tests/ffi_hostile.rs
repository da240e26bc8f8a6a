// SPDX-License-Identifier: GPL-2.0-only
//! The C functions, called with what no caller should pass: NULL wherever a pointer
//! goes, numbers that no enum has, flags that are neither 0 nor 1, tables of no
//! entries, and records of arbitrary bytes.
//!
//! Under Miri (`cargo xtask verify --only miri`) each use of memory is judged;
//! here, the answers are. A pointer that is not NULL is valid, for it is always
//! Xen's and never a guest's; a hypercall's argument may lie at any alignment.

#![expect(
    clippy::indexing_slicing,
    reason = "a helper of a test fails the test by panicking"
)]
#![expect(
    unsafe_code,
    reason = "it calls the functions as C does, and makes records of any bytes"
)]
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use std::collections::BTreeSet;

use xen_passthrough::errno::Errno;
use xen_passthrough::ffi::gsi::{
    GsiAction, GsiActionKind, GsiTable, xpt_gsi_complete, xpt_gsi_setup, xpt_gsi_unmap,
    xpt_gsi_unmask,
};
use xen_passthrough::ffi::physdev::{
    xpt_gsi_permission, xpt_gsi_permission_parse, xpt_map_pirq, xpt_pci_device_reset_parse,
    xpt_physdev_gate, xpt_setup_gsi_parse, xpt_unmap_pirq,
};
use xen_passthrough::ffi::vpci::{
    MsixPlace, MsixPlaceKind, VpciAction, VpciActionKind, xpt_access_check, xpt_access_merge,
    xpt_access_needs_current, xpt_access_piece, xpt_access_read, xpt_access_write,
    xpt_device_attach, xpt_device_complete, xpt_device_detach, xpt_device_hide,
    xpt_device_in_place, xpt_device_init, xpt_device_passes_command, xpt_device_place_bar,
    xpt_device_probed, xpt_device_read, xpt_device_reset, xpt_device_resume, xpt_device_work,
    xpt_device_worked, xpt_device_write, xpt_device_writes, xpt_msix_init, xpt_msix_is_at,
    xpt_msix_place, xpt_msix_read, xpt_msix_write,
};
use xen_passthrough::gsi::Pin;
use xen_passthrough::ids::NR_BARS;
use xen_passthrough::vpci::header::Snapshot;
use xen_passthrough::vpci::msix::Entry;
use xen_passthrough::vpci::{Device, Writes};

const EINVAL: i32 = Errno::EINVAL.to_c();

/// Numbers that differ in a way that matters somewhere.
const NUMBERS: [u32; 10] = [0, 1, 2, 3, 7, 0x7f, 0x8000, 0xffff, 0x8000_0000, u32::MAX];

/// What an action holds before a call writes it.
const UNWRITTEN: VpciAction = VpciAction {
    kind: VpciActionKind::BarMapped,
    index: 0xdead,
    value: 0xdead,
    rc: 0xdead,
    size: 0xdd,
    last: 0xdd,
};

const REFUSED: VpciAction = VpciAction {
    kind: VpciActionKind::Done,
    index: 0,
    value: 0,
    rc: EINVAL,
    size: 0,
    last: 1,
};

/// xorshift64*: the same numbers each time.
struct Numbers {
    state: u64,
    /// Registers that there are.
    registers: Vec<u16>,
}

impl Numbers {
    fn new(seed: u64) -> Self {
        Self {
            state: seed,
            registers: vec![4],
        }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of few bytes: most fields are kinds and flags.
    fn byte(&mut self) -> u8 {
        let [few, any, ..] = self.next().to_le_bytes();
        match few >> 6 {
            0 => 0,
            1 => few % 8,
            2 => 7,
            _ => any,
        }
    }

    fn number(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        let any = u32::from_le_bytes([a, b, c, d]);
        match self.below(4) {
            0 => any % 8,
            1 => any % 0x100,
            2 => any,
            _ => u32::MAX.wrapping_sub(any % 4),
        }
    }

    fn offset(&mut self) -> u16 {
        // Registers of the header and where the capabilities are.
        match self.below(8) {
            0 | 1 => 0x10 + 4 * u16::from(self.byte() % 9),
            2..=5 => {
                let [number, ..] = self.next().to_le_bytes();
                let there = usize::from(number) % self.registers.len();
                self.registers[there]
            }
            6 => u16::from(self.byte()),
            _ => u16::try_from(self.number() & 0xffff).unwrap_or(0),
        }
    }
}

/// A `T` of arbitrary bytes, which `T` takes all of.
///
/// # Safety
/// All fields of `T` are integers.
unsafe fn arbitrary<T>(numbers: &mut Numbers) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    let bytes = value.as_mut_ptr().cast::<u8>();
    for at in 0..size_of::<T>() {
        // SAFETY: within the value.
        let byte = unsafe { bytes.add(at) };
        // SAFETY: valid for writing.
        unsafe { byte.write(numbers.byte()) };
    }
    // SAFETY: zeroed or written, and any integer is valid.
    unsafe { value.assume_init() }
}

#[test]
fn null_instead_of_anything_is_refused_and_nothing_is_written() {
    let mut action = UNWRITTEN;
    let (no, none) = (null_mut::<Device>(), null_mut::<Entry>());
    let calls: [&dyn Fn(*mut VpciAction); 10] = [
        // SAFETY: NULL is what these functions take for nothing.
        &|action| unsafe { xpt_device_write(no, none, 4, 2, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_reset(no, none, 0, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_detach(no, none, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_attach(no, 1, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_complete(no, none, 0, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_probed(no, none, null(), action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_work(no, 0, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_resume(no, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_device_worked(no, 0, 0, action) },
        // SAFETY: as before.
        &|action| unsafe { xpt_msix_write(no, none, 0, 0, 4, 0, action) },
    ];
    for call in calls {
        action = UNWRITTEN;
        call(&raw mut action);
        assert_eq!(action, REFUSED);
        call(null_mut());
    }
    assert_eq!(action, REFUSED);

    let snapshot = Snapshot::default();
    let sizes = [0_u64; NR_BARS];
    let mut device = Device::empty();
    for (to, from, with) in [
        (no, &raw const snapshot, &raw const sizes),
        (&raw mut device, null(), &raw const sizes),
        (&raw mut device, &raw const snapshot, null()),
    ] {
        // SAFETY: each is NULL or valid.
        assert_eq!(unsafe { xpt_device_init(to, from, with) }, EINVAL);
    }
    assert_eq!(device, Device::empty());

    // SAFETY: NULL is what these functions take for nothing.
    unsafe {
        xpt_msix_init(none, u16::MAX);
    }
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_device_place_bar(no, 0, 0) }, -1);
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_device_read(no, 0x10) }, !0);
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_device_in_place(no) }, 0);
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_device_writes(no) }, Writes::Ignored);
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_device_passes_command(no, 0) }, 0);
    // SAFETY: as before.
    unsafe { xpt_device_hide(no) };
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_msix_is_at(no, 0) }, 0);
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_msix_read(no, none, 0, 0, 4) }, !0);
    // SAFETY: as before.
    unsafe { xpt_msix_place(no, 0, 4, null_mut()) };
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_access_check(null(), 0, 4) }, EINVAL);
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_access_read(null(), 0x1234, 1) }, 0x12);
    // SAFETY: as before.
    assert_eq!(unsafe { xpt_access_needs_current(null(), 4, 4) }, 0);
    // SAFETY: as before.
    let written = unsafe { xpt_access_write(null(), 0, 0xab, 1, 1, 2) };
    assert_eq!(written, 0xab00);
}

#[test]
fn null_argument_or_output_of_a_hypercall_is_refused() {
    let argument = [0_u8; 8];
    let arg = argument.as_ptr().cast::<c_void>();
    let (mut one, mut other) = (5_u32, 5_u32);
    type Parse = unsafe extern "C" fn(*const c_void, *mut u32, *mut u32) -> i32;
    for parse in [
        xpt_gsi_permission_parse as Parse,
        xpt_pci_device_reset_parse as Parse,
    ] {
        for (arg, first, second) in [
            (null(), &raw mut one, &raw mut other),
            (arg, null_mut(), &raw mut other),
            (arg, &raw mut one, null_mut()),
            (null(), null_mut(), null_mut()),
        ] {
            // SAFETY: each is NULL or valid.
            assert_eq!(unsafe { parse(arg, first, second) }, EINVAL);
        }
    }
    // SAFETY: NULL is refused.
    assert_eq!(unsafe { xpt_setup_gsi_parse(null(), 24) }.rc, EINVAL);
    assert_eq!((one, other), (5, 5));
}

#[test]
fn arguments_of_hypercalls_are_read_at_any_alignment() {
    // GSI 17, level, active low.
    let gsi = [17, 0, 0, 0, 1, 1, 0, 0];
    // 0002:03:05.6, flag 1.
    let reset = [2, 0, 3, 0x2e, 1, 0, 0, 0];
    let grant = [17, 0, 0, 0, 1, 0, 0, 0];
    for shift in 0..8_usize {
        let at = |argument: [u8; 8]| {
            let mut bytes = vec![0xee; shift];
            bytes.extend(argument);
            bytes.into_boxed_slice()
        };
        let place = |bytes: &[u8]| bytes.as_ptr().wrapping_add(shift).cast::<c_void>();

        let bytes = at(gsi);
        // SAFETY: 8 bytes are there, and no more.
        let call = unsafe { xpt_setup_gsi_parse(place(&bytes), 24) };
        assert_eq!((call.rc, call.gsi, call.mode), (0, 17, 3));
        let bytes = at(reset);
        let (mut sbdf, mut flags) = (0, 0);
        // SAFETY: as before.
        let rc =
            unsafe { xpt_pci_device_reset_parse(place(&bytes), &raw mut sbdf, &raw mut flags) };
        assert_eq!((rc, sbdf, flags), (0, 0x0002_032e, 1));
        let bytes = at(grant);
        let (mut number, mut action) = (0, 0);
        // SAFETY: as before.
        let rc =
            unsafe { xpt_gsi_permission_parse(place(&bytes), &raw mut number, &raw mut action) };
        assert_eq!((rc, number, action), (0, 17, 1));
    }
}

#[test]
fn numbers_that_nothing_has_are_refused_and_change_nothing() {
    for flags in NUMBERS {
        if flags >= 8 {
            assert_eq!(xpt_physdev_gate(13, flags), EINVAL, "{flags:#x}");
            assert_eq!(xpt_map_pirq(flags, 0, 1), EINVAL);
            assert_eq!(xpt_unmap_pirq(flags, 0), EINVAL);
            assert_eq!(xpt_map_pirq(1, flags, 1), EINVAL);
        }
        if flags >= 2 {
            assert_eq!(xpt_gsi_permission(flags, 7), EINVAL);
        }
    }
    // Access that is "not 0".
    assert_eq!(xpt_gsi_permission(1, 7), 1);
    assert_eq!(xpt_gsi_permission(1, i32::MIN), 1);

    let mut device = Device::empty();
    for owner in NUMBERS.into_iter().filter(|&owner| owner > 3) {
        let mut action = UNWRITTEN;
        // SAFETY: both are valid.
        unsafe { xpt_device_attach(&raw mut device, owner, &raw mut action) };
        assert_eq!(action, REFUSED, "{owner:#x}");
    }
    for flags in NUMBERS.into_iter().filter(|&flags| flags > 3) {
        let mut action = UNWRITTEN;
        // SAFETY: both are valid, and there is no table.
        unsafe { xpt_device_reset(&raw mut device, null_mut(), flags, &raw mut action) };
        assert_eq!(action, REFUSED, "{flags:#x}");
    }
    for bar in NUMBERS.into_iter().filter(|&bar| bar > 6) {
        // SAFETY: the device is valid.
        let placed = unsafe { xpt_device_place_bar(&raw mut device, bar, 0) };
        assert_eq!(placed, -1, "{bar:#x}");
    }
    assert_eq!(device, Device::empty());

    let (table, mut pin) = (no_lock(), Pin::new());
    for mode in NUMBERS.into_iter().filter(|&mode| mode > 3) {
        for call in [xpt_gsi_setup, xpt_gsi_unmask] {
            let mut action = done(5);
            // SAFETY: all are valid.
            unsafe { call(table.get(), &raw mut pin, mode, &raw mut action) };
            assert_eq!(action, done(EINVAL), "{mode:#x}");
        }
    }
    assert_eq!(pin, Pin::new());
}

const fn done(rc: i32) -> GsiAction {
    GsiAction {
        kind: GsiActionKind::Done,
        mode: 0,
        rc,
    }
}

/// A table whose lock is free. C writes through a pointer to const here, so it has
/// to be in a cell.
fn no_lock() -> UnsafeCell<GsiTable> {
    // SAFETY: zero bytes are one, as the type says.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

#[test]
fn null_table_or_pin_is_refused() {
    let table = no_lock();
    let mut pin = Pin::new();
    for (table, pin) in [
        (null(), &raw mut pin),
        (table.get(), null_mut()),
        (null(), null_mut()),
    ] {
        let mut actions = [done(5); 4];
        let [a, b, c, d] = &mut actions;
        // SAFETY: each is NULL or valid.
        unsafe { xpt_gsi_setup(table, pin, 0, a) };
        // SAFETY: as before.
        unsafe { xpt_gsi_unmask(table, pin, 0, b) };
        // SAFETY: as before.
        unsafe { xpt_gsi_unmap(table, pin, c) };
        // SAFETY: as before.
        unsafe { xpt_gsi_complete(table, pin, 0, d) };
        assert_eq!(actions, [done(EINVAL); 4]);
        // SAFETY: as before.
        unsafe { xpt_gsi_setup(table, pin, 0, null_mut()) };
    }
    assert_eq!(pin, Pin::new());
}

/// What holds of an action: whatever the record was, and more of one that was made.
fn judge(action: &VpciAction, device: &Device, made: bool) {
    let VpciAction {
        kind,
        index,
        value,
        rc,
        size,
        last,
    } = *action;
    assert!(last <= 1, "{action:?}");
    assert_eq!(
        rc != 0,
        rc < 0 && kind == VpciActionKind::Done,
        "{action:?}"
    );
    assert_eq!(size != 0, kind == VpciActionKind::ConfWrite, "{action:?}");
    let good = match kind {
        VpciActionKind::Done => (-111..=0).contains(&rc) && last == 1,
        VpciActionKind::Retry => last == 1,
        VpciActionKind::Map | VpciActionKind::Unmap => {
            let there = |slot: usize| !made || device.bars[slot].order != 0;
            value < 1 << NR_BARS
                && (0..NR_BARS).all(|slot| value >> slot & 1 == 0 || there(slot))
                && (!made || value != 0)
        }
        VpciActionKind::ConfWrite => {
            let fits = index + u32::from(size) <= 0x100 && index % u32::from(size) == 0;
            // A record of any bytes has its capabilities at any offset.
            matches!(size, 2 | 4) && if made { fits } else { index < 0x120 }
        }
        VpciActionKind::Probe => value <= 2,
        VpciActionKind::MsiEnable => {
            let most = if made {
                device.msi.max_vectors
            } else {
                u8::MAX
            };
            value <= most.into() && (!made || (1..=32).contains(&value))
        }
        VpciActionKind::MsiMask if made => {
            u64::from(index) < 1 << device.msi.max_vectors && index != 0
        }
        VpciActionKind::MsixUpdate | VpciActionKind::MsixDisable | VpciActionKind::MsixMask => {
            !made || index < device.msix.entries.into()
        }
        VpciActionKind::BarMapped => index < 7,
        VpciActionKind::MsixControl => value <= 0xffff,
        VpciActionKind::Defer
        | VpciActionKind::MsiDisable
        | VpciActionKind::MsiUpdate
        | VpciActionKind::MsiMask
        | VpciActionKind::MsixClear
        | VpciActionKind::IntxDisable => true,
    };
    assert!(good, "{action:?}");
}

/// One call of whatever there is.
fn call(numbers: &mut Numbers, device: &mut Device, table: &mut [Entry]) -> VpciAction {
    let mut action = UNWRITTEN;
    let (to, into) = (&raw mut *device, &raw mut action);
    let entries = match numbers.below(8) {
        0 => null_mut(),
        // Of length 0 where the device has none, and not NULL.
        _ => table.as_mut_ptr(),
    };
    let (offset, value, rc) = (
        numbers.offset(),
        numbers.number(),
        numbers.number().cast_signed(),
    );
    let entry = u16::from(numbers.byte() % 6);
    let (within, size) = match numbers.below(4) {
        0 => (numbers.offset() % 32, numbers.number()),
        other => (
            u16::from(numbers.byte()) % 4 * 4,
            if other == 1 { 8 } else { 4 },
        ),
    };
    // Masks and unmasks an entry, mostly.
    let wide = numbers.next() >> (numbers.below(2) * 63);
    // SAFETY: a record of any bytes.
    let epoch = unsafe { (*to).epoch };
    let epoch = if numbers.below(4) == 0 { value } else { epoch };
    match numbers.below(16) {
        // SAFETY: the record, its table or NULL, and where the action goes.
        0 | 1 => unsafe { xpt_device_write(to, entries, offset, value, into) },
        // SAFETY: as before.
        2 => unsafe { xpt_device_reset(to, entries, value % 8, into) },
        // SAFETY: as before.
        3 => unsafe { xpt_device_detach(to, entries, into) },
        // SAFETY: as before.
        4 => unsafe { xpt_device_attach(to, value % 8, into) },
        // SAFETY: as before.
        5 | 6 => unsafe { xpt_device_complete(to, entries, rc, into) },
        7 => {
            // SAFETY: all of its fields are integers.
            let snapshot: Snapshot = unsafe { arbitrary(numbers) };
            // SAFETY: as before.
            unsafe { xpt_device_probed(to, entries, &raw const snapshot, into) };
        }
        // SAFETY: as before.
        8 => unsafe { xpt_device_work(to, epoch, into) },
        // SAFETY: as before.
        9 => unsafe { xpt_device_resume(to, into) },
        // SAFETY: as before.
        10 => unsafe { xpt_device_worked(to, epoch, rc, into) },
        // SAFETY: as before.
        _ => unsafe { xpt_msix_write(to, entries, entry, within, size, wide, into) },
    }
    action
}

/// The calls that give no action.
fn look(numbers: &mut Numbers, device: &mut Device, table: &mut [Entry]) {
    let to = &raw mut *device;
    let (offset, value, wide) = (numbers.offset(), numbers.number(), numbers.next());
    let mut place = MsixPlace {
        kind: MsixPlaceKind::Elsewhere,
        entry: 0,
        offset: 0,
        slot: 0,
        addr: 0,
    };
    // SAFETY: a record of any bytes.
    unsafe { xpt_device_read(to, offset) };
    // SAFETY: as before.
    unsafe { xpt_device_writes(to) };
    // SAFETY: as before.
    let mapped = unsafe { xpt_device_in_place(to) };
    assert!(mapped < 1 << NR_BARS);
    // SAFETY: as before.
    unsafe { xpt_msix_is_at(to, wide) };
    // SAFETY: as before, and where the answer goes.
    unsafe { xpt_msix_place(to, wide, value, &raw mut place) };
    assert!(place.slot < 4);
    let entries = table.len();
    assert!(place.kind != MsixPlaceKind::Entry || usize::from(place.entry) < entries);
    // SAFETY: the record's table.
    unsafe { xpt_msix_read(to, table.as_ptr(), offset % 16, offset, value) };
    // SAFETY: as before.
    let placed = unsafe { xpt_device_place_bar(to, value % 9, value) };
    assert!((-1..=u32::MAX.into()).contains(&placed));
    let [low, high, ..] = value.to_le_bytes();
    // SAFETY: as before.
    unsafe { xpt_device_passes_command(to, u16::from_le_bytes([low, high])) };
    if numbers.below(16) == 0 {
        // SAFETY: as before.
        unsafe { xpt_device_hide(to) };
    }
}

#[test]
fn records_of_any_bytes_give_actions_that_name_what_there_is() {
    let (records, calls) = if cfg!(miri) { (40, 12) } else { (100_000, 24) };
    let mut numbers = Numbers::new(0x5eed_0001);
    for _ in 0..records {
        // SAFETY: all of its fields are integers.
        let mut device: Device = unsafe { arbitrary(&mut numbers) };
        // C lends as many as the record says.
        let mut table = Vec::new();
        device.msix.entries = u16::from(numbers.byte() % 5);
        for _ in 0..device.msix.entries {
            // SAFETY: all of its fields are integers.
            table.push(unsafe { arbitrary::<Entry>(&mut numbers) });
        }
        let entries = device.msix.entries;
        for _ in 0..calls {
            let action = call(&mut numbers, &mut device, &mut table);
            judge(&action, &device, false);
            assert_eq!(device.msix.entries, entries, "C's memory is not longer now");
            look(&mut numbers, &mut device, &mut table);
        }
    }
}

#[test]
fn devices_of_any_header_give_actions_that_name_what_they_have() {
    let (devices, calls) = if cfg!(miri) { (30, 16) } else { (30_000, 80) };
    let mut numbers = Numbers::new(0x5eed_0003);
    let mut kinds = BTreeSet::new();
    for _ in 0..devices {
        // SAFETY: all of its fields are integers.
        let mut snapshot: Snapshot = unsafe { arbitrary(&mut numbers) };
        snapshot.header_type &= 1;
        snapshot.ignore_bars &= numbers.byte();
        // C finds capabilities where they can be, and as large as they are.
        snapshot.msi_pos = capability(&mut numbers);
        snapshot.msix_pos = capability(&mut numbers);
        snapshot.msix_control &= 0xc003;
        let plain = numbers.below(2) == 0;
        if plain {
            // One that works: its table is in a BAR that there is.
            (snapshot.id, snapshot.ignore_bars) = (0x0010_1b36, 0);
            (snapshot.bars[0], snapshot.msix_table, snapshot.msix_pba) = (0, 0, 0x800);
        }
        let mut sizes: [u64; NR_BARS] = core::array::from_fn(|_| match numbers.byte() {
            order @ 1..64 => 1_u64 << order,
            other => u64::from(other),
        });
        if plain {
            sizes[0] = 0x1000;
        }
        let mut device = Device::empty();
        // SAFETY: all are valid.
        let rc = unsafe { xpt_device_init(&raw mut device, &raw const snapshot, &raw const sizes) };
        assert_eq!(rc, 0);
        assert!(device.msix.entries <= 4);
        let mut table = vec![
            // SAFETY: all of its fields are integers.
            unsafe { arbitrary::<Entry>(&mut numbers) };
            device.msix.entries.into()
        ];
        // SAFETY: the device's table.
        unsafe { xpt_msix_init(table.as_mut_ptr(), device.msix.entries) };
        numbers.registers = [0, 2, 4, 8, 12, 16]
            .map(|at| u16::from(snapshot.msi_pos) + at)
            .into_iter()
            .chain([u16::from(snapshot.msix_pos) + 2, 4, 4])
            .collect();
        for round in 0..calls {
            let mut action = UNWRITTEN;
            if round == 0 {
                let owner = 1 + numbers.number() % 3;
                // SAFETY: both are valid.
                unsafe { xpt_device_attach(&raw mut device, owner, &raw mut action) };
            } else {
                action = call(&mut numbers, &mut device, &mut table);
            }
            loop {
                judge(&action, &device, true);
                kinds.insert(action.kind as u32);
                if action.last != 0 || numbers.below(16) == 0 {
                    break;
                }
                action = answer(&mut numbers, &mut device, &mut table, &action, &snapshot);
            }
            look(&mut numbers, &mut device, &mut table);
        }
    }
    // Each kind has been judged.
    if !cfg!(miri) {
        assert_eq!(kinds, (0..=17).collect());
    }
}

/// What C says of an action: that it went well, mostly.
fn answer(
    numbers: &mut Numbers,
    device: &mut Device,
    table: &mut [Entry],
    action: &VpciAction,
    found: &Snapshot,
) -> VpciAction {
    let mut next = UNWRITTEN;
    let (to, entries, into) = (&raw mut *device, table.as_mut_ptr(), &raw mut next);
    if action.kind == VpciActionKind::Probe && numbers.below(8) != 0 {
        let command = found.command ^ u16::from(numbers.byte() & 2);
        let snapshot = Snapshot { command, ..*found };
        // SAFETY: the record, its table, a snapshot, and where the action goes.
        unsafe { xpt_device_probed(to, entries, &raw const snapshot, into) };
        return next;
    }
    let rc = match numbers.below(8) {
        0 => Errno::ENOMEM.to_c(),
        _ => action.value.cast_signed() & 0x7f,
    };
    let number = usize::try_from(action.index).unwrap_or(usize::MAX);
    if rc >= 0
        && let Some(entry) = table.get_mut(number)
    {
        // Xen's code keeps the vector there.
        if action.kind == VpciActionKind::MsixUpdate {
            entry.arch.pirq = 50;
        } else if action.kind == VpciActionKind::MsixDisable {
            entry.arch.pirq = -1;
        }
    }
    let entries = table.as_mut_ptr();
    // SAFETY: as before.
    unsafe { xpt_device_complete(to, entries, rc, into) };
    next
}

/// Where a capability is: nowhere, or a multiple of 4 that leaves room for it.
fn capability(numbers: &mut Numbers) -> u8 {
    match numbers.byte() {
        0 => 0,
        other => 0x40 + other % 40 * 4,
    }
}

#[test]
fn pins_of_any_bytes_give_actions_that_there_are() {
    let rounds = if cfg!(miri) { 200 } else { 100_000 };
    let mut numbers = Numbers::new(0x5eed_0002);
    let table = no_lock();
    for _ in 0..rounds {
        // SAFETY: all of its fields are integers.
        let mut pin: Pin = unsafe { arbitrary(&mut numbers) };
        let to = &raw mut pin;
        let mut action = done(5);
        let (mode, rc) = (numbers.number() % 6, numbers.number().cast_signed());
        match numbers.below(4) {
            // SAFETY: a table, a record of any bytes, and where the action goes.
            0 => unsafe { xpt_gsi_setup(table.get(), to, mode, &raw mut action) },
            // SAFETY: as before.
            1 => unsafe { xpt_gsi_unmask(table.get(), to, mode, &raw mut action) },
            // SAFETY: as before.
            2 => unsafe { xpt_gsi_unmap(table.get(), to, &raw mut action) },
            // SAFETY: as before.
            _ => unsafe { xpt_gsi_complete(table.get(), to, rc, &raw mut action) },
        }
        let named = matches!(
            action.kind,
            GsiActionKind::Register | GsiActionKind::Reprogram
        );
        assert!(
            action.mode <= 3 && (named || action.mode == 0),
            "{action:?}"
        );
        assert!((-111..=0).contains(&action.rc), "{action:?}");
    }
}

#[test]
fn accesses_of_any_numbers_have_an_answer() {
    for start in NUMBERS {
        for size in NUMBERS {
            for offset in NUMBERS {
                for length in NUMBERS {
                    let piece = xpt_access_piece(start, size, offset, length);
                    assert!(piece.size <= size && piece.emulated <= 1);
                    assert!(piece.emulated == 0 || piece.offset < length);
                }
                xpt_access_merge(start, !start, size, offset);
            }
        }
    }
}

/// What both threads use.
struct Shared {
    table: UnsafeCell<GsiTable>,
    pin: UnsafeCell<Pin>,
}

// SAFETY: the functions lock the table for each use of the pin.
unsafe impl Sync for Shared {}

impl Shared {
    /// Unmaps or unmasks the pin to the end: the steps performed, and the outcome.
    fn event(&self, unmap: bool) -> (u32, i32) {
        let (table, pin) = (self.table.get(), self.pin.get());
        let mut performed = 0;
        let mut action = done(5);
        let begin = |action: &mut GsiAction| {
            if unmap {
                // SAFETY: a zeroed table and a record that only these write.
                unsafe { xpt_gsi_unmap(table, pin, action) };
            } else {
                // SAFETY: as before.
                unsafe { xpt_gsi_unmask(table, pin, 1, action) };
            }
        };
        begin(&mut action);
        loop {
            match action.kind {
                GsiActionKind::Done => return (performed, action.rc),
                GsiActionKind::Wait => {
                    std::thread::yield_now();
                    begin(&mut action);
                }
                GsiActionKind::Register
                | GsiActionKind::Reprogram
                | GsiActionKind::Map
                | GsiActionKind::Bind
                | GsiActionKind::Unbind
                | GsiActionKind::Unmap => {
                    performed += 1;
                    // SAFETY: as before.
                    unsafe { xpt_gsi_complete(table, pin, 0, &raw mut action) };
                }
            }
        }
    }
}

/// Two CPUs bind a pin and unmap it: under Miri, a lock that orders too little is a
/// data race.
#[test]
fn two_threads_on_one_pin_take_turns() {
    let shared = Shared {
        table: no_lock(),
        pin: UnsafeCell::new(Pin::new()),
    };
    let rounds = if cfg!(miri) { 3 } else { 2000 };
    let [bound, unmapped] = std::thread::scope(|scope| {
        let shared = &shared;
        [false, true]
            .map(|unmap| scope.spawn(move || (0..rounds).map(|_| shared.event(unmap)).collect()))
            .map(|thread| -> Vec<(u32, i32)> {
                thread.join().unwrap_or_else(|_| panic!("a thread failed"))
            })
    });
    let mut binds = 0;
    for (steps, rc) in bound {
        // From unregistered, from registered, or bound already.
        assert!(rc == 0 && matches!(steps, 0 | 2 | 3), "{steps} {rc}");
        binds += u32::from(steps != 0);
    }
    let mut unmaps = 0;
    for outcome in unmapped {
        assert!(matches!(outcome, (2, 0) | (0, EINVAL)), "{outcome:?}");
        unmaps += u32::from(outcome.1 == 0);
    }
    // Each unmap has undone a bind.
    let left = if shared.event(true) == (2, 0) { 1 } else { 0 };
    assert_eq!(binds, unmaps + left);
    assert_eq!(shared.event(false), (2, 0));
}
