// SPDX-License-Identifier: GPL-2.0-only
//! Two threads in the C functions of the GSI table, in every interleaving.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --test loom_gsi`; in any other
//! build there is nothing here.
//!
//! The functions are the shipped ones, with loom's lock for spin's. What shows
//! that they keep what they promise:
//!
//! - A record and what Xen has of a GSI are in cells, which loom lets nobody use
//!   without knowing of the use before. Actions are performed with no lock, so
//!   that what Xen has is safe only if one thread at a time is told to.
//! - A thread that held the table's lock across an action would wait for itself
//!   when it completes. In `the_lock_of_the_table_is_the_innermost` an action
//!   takes a lock of Xen's and, holding that, the table's, as any code of Xen's
//!   might; loom finds the deadlock if the table's is ever held on the way.

#![cfg(loom)]
#![expect(
    unsafe_code,
    reason = "the functions under test are C functions, and their memory is shared"
)]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test by panicking"
)]

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;
use xen_passthrough::errno::Errno;
use xen_passthrough::ffi::gsi::{
    GsiAction, GsiActionKind, GsiTable, xpt_gsi_complete, xpt_gsi_setup, xpt_gsi_unmap,
    xpt_gsi_unmask,
};
use xen_passthrough::ffi::model::{Lock, Record};
use xen_passthrough::ffi::physdev::XPT_GSI_LEVEL;
use xen_passthrough::gsi::{Pin, Stage};

const EDGE: u32 = 0;
const LEVEL: u32 = XPT_GSI_LEVEL;

const EEXIST: i32 = Errno::EEXIST.to_c();
const EBUSY: i32 = Errno::EBUSY.to_c();
const EINVAL: i32 = Errno::EINVAL.to_c();
const ENOMEM: i32 = Errno::ENOMEM.to_c();

#[derive(Clone, Copy)]
enum Event {
    Setup(u32),
    Unmask(u32),
    Unmap,
}

/// What Xen has of a GSI, and how often it was told to make it so.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Xen {
    mode: Option<u32>,
    mapped: bool,
    bound: bool,
    registrations: u32,
    maps: u32,
    binds: u32,
    /// That many binds are to fail.
    bad_binds: u32,
}

impl Xen {
    fn perform(&mut self, action: GsiAction) -> i32 {
        match action.kind {
            GsiActionKind::Register => {
                assert_eq!(self.mode, None, "registered twice");
                self.mode = Some(action.mode);
                self.registrations += 1;
            }
            GsiActionKind::Reprogram => {
                assert!(self.mode.is_some() && !self.bound);
                self.mode = Some(action.mode);
            }
            GsiActionKind::Map => {
                assert!(self.mode.is_some() && !self.mapped);
                self.mapped = true;
                self.maps += 1;
            }
            GsiActionKind::Bind => {
                assert!(self.mapped && !self.bound);
                if self.bad_binds > 0 {
                    self.bad_binds -= 1;
                    return ENOMEM;
                }
                self.bound = true;
                self.binds += 1;
            }
            GsiActionKind::Unbind => {
                assert!(self.bound);
                self.bound = false;
            }
            GsiActionKind::Unmap => {
                assert!(self.mapped && !self.bound);
                self.mapped = false;
            }
            GsiActionKind::Done | GsiActionKind::Wait => panic!("no action: {action:?}"),
        }
        0
    }
}

/// A table of two GSIs, and what Xen has of them.
struct Machine {
    table: Lock,
    records: [Record; 2],
    xen: [UnsafeCell<Xen>; 2],
    /// A lock that Xen takes to perform an action, in one of the models.
    event_lock: Option<Mutex<()>>,
}

// SAFETY: the records are used by the functions under test, the rest is in cells:
// whether any two threads use them at once is what loom is there to tell.
unsafe impl Sync for Machine {}
// SAFETY: nothing in it is of one thread.
unsafe impl Send for Machine {}

impl Machine {
    fn new() -> Self {
        let record = || Record {
            pin: std::cell::UnsafeCell::new(Pin::new()),
            watch: UnsafeCell::new(()),
        };
        Self {
            table: Lock::new(()),
            records: [record(), record()],
            xen: [(), ()].map(|()| UnsafeCell::new(Xen::default())),
            event_lock: None,
        }
    }

    fn pin(&self, gsi: usize) -> *mut Pin {
        ptr::from_ref(&self.records[gsi]).cast_mut().cast()
    }

    /// One call from C.
    fn call(&self, with: impl FnOnce(*const GsiTable, *mut GsiAction)) -> GsiAction {
        let mut action = GsiAction {
            kind: GsiActionKind::Wait,
            mode: 0,
            rc: 0,
        };
        with(ptr::from_ref(&self.table).cast(), &raw mut action);
        action
    }

    /// What C does with an event: the outcome, and how often it was told to wait.
    fn run(&self, gsi: usize, event: Event) -> (i32, u32) {
        let pin = self.pin(gsi);
        let mut waits = 0;
        let mut action = loop {
            let action = self.call(|table, action| match event {
                // SAFETY: a table and a record of its own, as loom has them.
                Event::Setup(mode) => unsafe { xpt_gsi_setup(table, pin, mode, action) },
                // SAFETY: as above.
                Event::Unmask(mode) => unsafe { xpt_gsi_unmask(table, pin, mode, action) },
                // SAFETY: as above.
                Event::Unmap => unsafe { xpt_gsi_unmap(table, pin, action) },
            });
            if action.kind != GsiActionKind::Wait {
                break action;
            }
            waits += 1;
            thread::yield_now();
        };
        while action.kind != GsiActionKind::Done {
            let rc = self.perform(gsi, action);
            // SAFETY: as above.
            action = self.call(|table, next| unsafe { xpt_gsi_complete(table, pin, rc, next) });
        }
        (action.rc, waits)
    }

    fn perform(&self, gsi: usize, action: GsiAction) -> i32 {
        let event_lock = self.event_lock.as_ref().map(|lock| lock.lock().unwrap());
        if event_lock.is_some() {
            drop(self.table.lock().unwrap());
        }
        self.xen[gsi].with_mut(|xen| {
            // SAFETY: loom has just made sure that nobody else uses it.
            unsafe { &mut *xen }.perform(action)
        })
    }

    /// What has become of a GSI once all threads are at an end.
    fn at_end(&self, gsi: usize) -> (Stage, Xen) {
        // SAFETY: no other thread is left.
        let pin = unsafe { self.pin(gsi).read() };
        assert!(!pin.is_busy(), "something is in flight");
        // SAFETY: as above.
        let xen = self.xen[gsi].with(|xen| unsafe { xen.read() });
        let stage = match xen {
            Xen { bound: true, .. } => Stage::Bound,
            Xen { mapped: true, .. } => Stage::Mapped,
            Xen { mode: Some(_), .. } => Stage::Registered,
            _ => Stage::Unregistered,
        };
        assert_eq!(pin.stage(), stage, "{xen:?}");
        (stage, xen)
    }
}

type Script = &'static [(usize, Event)];
type Outcomes = Vec<(i32, u32)>;

fn play(machine: &Machine, script: Script) -> Outcomes {
    script
        .iter()
        .map(|&(gsi, event)| machine.run(gsi, event))
        .collect()
}

/// Plays a script in each of two threads, in every interleaving, and holds what
/// comes of it against `judge`; gives how many interleavings there were.
fn explore(
    name: &str,
    machine: fn() -> Machine,
    scripts: [Script; 2],
    judge: impl Fn(&Machine, [Outcomes; 2]) + Sync + Send + 'static,
) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let runs = std::sync::Arc::new(AtomicUsize::new(0));
    let waits = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = [runs.clone(), waits.clone()];
    loom::model(move || {
        let machine = Arc::new(machine());
        let second = {
            let machine = machine.clone();
            thread::spawn(move || play(&machine, scripts[1]))
        };
        let outcomes = [play(&machine, scripts[0]), second.join().unwrap()];
        let waited = outcomes.iter().flatten().any(|&(_, waits)| waits > 0);
        counted[0].fetch_add(1, Ordering::Relaxed);
        counted[1].fetch_add(usize::from(waited), Ordering::Relaxed);
        judge(&machine, outcomes);
    });
    let [runs, waits] = [runs, waits].map(|count| count.load(Ordering::Relaxed));
    println!("{name}: {runs} interleavings, {waits} in which a thread was told to wait");
    let share = scripts[0]
        .iter()
        .any(|(gsi, _)| scripts[1].iter().any(|(other, _)| other == gsi));
    assert_eq!(
        waits > 0,
        share,
        "waits where, and only where, GSIs are shared"
    );
}

fn codes(outcomes: &Outcomes) -> Vec<i32> {
    outcomes.iter().map(|&(rc, _)| rc).collect()
}

/// Bound, and made so by one registration, one mapping and one binding.
fn bound_once(mode: u32) -> (Stage, Xen) {
    let xen = Xen {
        mode: Some(mode),
        mapped: true,
        bound: true,
        registrations: 1,
        maps: 1,
        binds: 1,
        bad_binds: 0,
    };
    (Stage::Bound, xen)
}

#[test]
fn two_unmasks_of_a_pin_bind_it_once() {
    explore(
        "unmask | unmask",
        Machine::new,
        [&[(0, Event::Unmask(LEVEL))], &[(0, Event::Unmask(LEVEL))]],
        |machine, [first, second]| {
            assert_eq!((codes(&first), codes(&second)), (vec![0], vec![0]));
            assert_eq!(machine.at_end(0), bound_once(LEVEL));
        },
    );
}

#[test]
fn two_unmasks_with_different_modes_bind_the_first_and_refuse_the_second() {
    explore(
        "unmask | unmask, other mode",
        Machine::new,
        [&[(0, Event::Unmask(LEVEL))], &[(0, Event::Unmask(EDGE))]],
        |machine, [level, edge]| {
            let (codes, mode) = match (level[0].0, edge[0].0) {
                codes @ (0, _) => (codes, LEVEL),
                codes => ((codes.1, codes.0), EDGE),
            };
            assert_eq!(codes, (0, EBUSY));
            assert_eq!(machine.at_end(0), bound_once(mode));
        },
    );
}

#[test]
fn setup_and_unmask_of_a_pin_register_it_once() {
    explore(
        "setup | unmask",
        Machine::new,
        [&[(0, Event::Setup(LEVEL))], &[(0, Event::Unmask(LEVEL))]],
        |machine, [setup, unmask]| {
            assert!([0, EEXIST].contains(&setup[0].0));
            assert_eq!(codes(&unmask), [0]);
            assert_eq!(machine.at_end(0), bound_once(LEVEL));
        },
    );
}

#[test]
fn setup_and_unmask_with_different_modes_give_the_pin_that_of_the_unmask() {
    explore(
        "setup, other mode | unmask",
        Machine::new,
        [&[(0, Event::Setup(EDGE))], &[(0, Event::Unmask(LEVEL))]],
        |machine, [setup, unmask]| {
            assert!([0, EBUSY].contains(&setup[0].0));
            assert_eq!(codes(&unmask), [0]);
            assert_eq!(machine.at_end(0), bound_once(LEVEL));
        },
    );
}

#[test]
fn unmap_takes_a_pin_back_whole_or_finds_it_unbound() {
    explore(
        "unmask | unmap",
        Machine::new,
        [&[(0, Event::Unmask(LEVEL))], &[(0, Event::Unmap)]],
        |machine, [unmask, unmap]| {
            assert_eq!(codes(&unmask), [0]);
            let (stage, xen) = machine.at_end(0);
            assert_eq!((xen.registrations, xen.maps, xen.binds), (1, 1, 1));
            match unmap[0].0 {
                0 => assert_eq!(stage, Stage::Registered),
                rc => assert_eq!((rc, stage), (EINVAL, Stage::Bound)),
            }
        },
    );
}

#[test]
fn a_failed_bind_is_undone_before_the_other_thread_tries() {
    fn machine() -> Machine {
        let mut machine = Machine::new();
        machine.xen[0] = UnsafeCell::new(Xen {
            bad_binds: 1,
            ..Xen::default()
        });
        machine
    }
    explore(
        "unmask, its bind failing | unmask",
        machine,
        [&[(0, Event::Unmask(LEVEL))], &[(0, Event::Unmask(LEVEL))]],
        |machine, [first, second]| {
            let mut codes = [first[0].0, second[0].0];
            codes.sort_unstable();
            assert_eq!(codes, [ENOMEM, 0]);
            let (stage, mut xen) = machine.at_end(0);
            assert_eq!(xen.maps, 2);
            xen.maps = 1;
            assert_eq!((stage, xen), bound_once(LEVEL));
        },
    );
}

#[test]
fn different_pins_do_not_wait_for_each_other() {
    explore(
        "unmask | unmask of another pin",
        Machine::new,
        [&[(0, Event::Unmask(LEVEL))], &[(1, Event::Unmask(EDGE))]],
        |machine, [first, second]| {
            assert_eq!((codes(&first), codes(&second)), (vec![0], vec![0]));
            assert_eq!(machine.at_end(0), bound_once(LEVEL));
            assert_eq!(machine.at_end(1), bound_once(EDGE));
        },
    );
}

#[test]
fn two_pins_in_opposite_orders_are_each_bound_once() {
    explore(
        "unmask 0, setup 1 | unmask 1, setup 0",
        Machine::new,
        [
            &[(0, Event::Unmask(LEVEL)), (1, Event::Setup(EDGE))],
            &[(1, Event::Unmask(EDGE)), (0, Event::Setup(LEVEL))],
        ],
        |machine, outcomes| {
            for outcome in &outcomes {
                assert_eq!(outcome[0].0, 0);
                assert!([0, EEXIST].contains(&outcome[1].0));
            }
            assert_eq!(machine.at_end(0), bound_once(LEVEL));
            assert_eq!(machine.at_end(1), bound_once(EDGE));
        },
    );
}

#[test]
fn the_lock_of_the_table_is_the_innermost() {
    fn machine() -> Machine {
        let mut machine = Machine::new();
        machine.event_lock = Some(Mutex::new(()));
        machine
    }
    explore(
        "setup | setup, with Xen's lock",
        machine,
        [&[(0, Event::Setup(LEVEL))], &[(0, Event::Setup(LEVEL))]],
        |machine, [first, second]| {
            let mut codes = [first[0].0, second[0].0];
            codes.sort_unstable();
            assert_eq!(codes, [EEXIST, 0]);
            let (stage, xen) = machine.at_end(0);
            assert_eq!((stage, xen.registrations), (Stage::Registered, 1));
        },
    );
}
