// SPDX-License-Identifier: GPL-2.0-only
//! Everything that two virtual CPUs, their hypercalls and the hardware can do to
//! one device, in every order and with every step failing in every way, against a
//! model of what Xen and the hardware have: `vpci_model`, which says what must
//! hold in each state that is reached. That whatever is on its way ends is
//! [`Search::ends`].

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test by panicking"
)]

mod vpci_model;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};

use xen_passthrough::errno::Errno;
use xen_passthrough::spec::pci::{BASE_ADDRESS_0, COMMAND, ROM_ADDRESS};
use xen_passthrough::spec::physdev::ResetKind;
use xen_passthrough::vpci::Owner;

use vpci_model::*;

/// The library, called as Rust.
mod api {
    use xen_passthrough::errno::Errno;
    use xen_passthrough::ids::NR_BARS;
    use xen_passthrough::spec::physdev::ResetKind;
    use xen_passthrough::vpci::bar::BarSet;
    use xen_passthrough::vpci::header::Snapshot;
    use xen_passthrough::vpci::msix::Entry;
    use xen_passthrough::vpci::{Action, Device, Owner};

    pub(crate) type Result = core::result::Result<BarSet, Errno>;

    pub(crate) fn init(
        device: &mut Device,
        snapshot: &Snapshot,
        sizes: &[u64; NR_BARS],
    ) -> core::result::Result<(), Errno> {
        device.init(snapshot, sizes)
    }

    pub(crate) fn write(device: &mut Device, entries: &mut [Entry], at: u16, value: u32) -> Action {
        device.write(entries, at, value)
    }

    pub(crate) fn write_entry(
        device: &mut Device,
        entries: &mut [Entry],
        entry: u16,
        offset: u16,
        size: u32,
        value: u64,
    ) -> Action {
        device.write_entry(entries, entry, offset, size, value)
    }

    pub(crate) fn passes_command(device: &mut Device, value: u16) -> bool {
        device.passes_command(value)
    }

    pub(crate) fn reset(device: &mut Device, entries: &mut [Entry], kind: ResetKind) -> Action {
        device.reset(entries, kind)
    }

    pub(crate) fn detach(device: &mut Device, entries: &mut [Entry]) -> Action {
        device.detach(entries)
    }

    pub(crate) fn attach(device: &mut Device, owner: Owner) -> Action {
        device.attach(owner)
    }

    pub(crate) fn work(device: &Device, epoch: u32) -> Action {
        device.work(epoch)
    }

    pub(crate) fn resume(device: &Device) -> Action {
        device.resume()
    }

    pub(crate) fn worked(device: &mut Device, epoch: u32, result: Result) -> Action {
        device.worked(epoch, result)
    }

    pub(crate) fn complete(device: &mut Device, entries: &mut [Entry], result: Result) -> Action {
        device.complete(entries, result)
    }

    pub(crate) fn probed(
        device: &mut Device,
        entries: &mut [Entry],
        snapshot: &Snapshot,
    ) -> Action {
        device.probed(entries, snapshot)
    }
}

/// The move that led to a state first, from which, and the one that is its way on.
struct Reached {
    from: u32,
    by: Option<Move>,
    on: u32,
}

struct Search {
    plan: Plan,
    found: HashMap<State, u32>,
    open: VecDeque<State>,
    reached: Vec<Reached>,
    transitions: usize,
    seen: Seen,
}

impl Search {
    fn run(plan: Plan) -> Self {
        let mut search = Self {
            plan,
            found: HashMap::new(),
            open: VecDeque::new(),
            reached: Vec::new(),
            transitions: 0,
            seen: Seen::default(),
        };
        search.add(State::new().canonical(), 0, None);
        let mut at = 0;
        while let Some(state) = search.open.pop_front() {
            let on = state.way_on();
            for with in state.moves(&search.plan) {
                search.transitions += 1;
                match state.step(&search.plan, with, &mut search.seen) {
                    Ok(next) => {
                        let to = search.add(next, at, Some(with));
                        if on == Some(with) {
                            search.reached[at as usize].on = to;
                        }
                    }
                    Err(what) => search.fail(at, &format!("{with:?}"), &what),
                }
            }
            at += 1;
        }
        search
    }

    fn add(&mut self, state: State, from: u32, by: Option<Move>) -> u32 {
        let index = u32::try_from(self.reached.len()).unwrap();
        match self.found.entry(state) {
            Entry::Occupied(there) => *there.get(),
            Entry::Vacant(free) => {
                free.insert(index);
                self.open.push_back(state);
                self.reached.push(Reached {
                    from,
                    by,
                    on: index,
                });
                index
            }
        }
    }

    /// The shortest way to where it went wrong.
    fn fail(&self, mut at: u32, last: &str, what: &str) -> ! {
        let mut way = vec![last.to_owned()];
        while let Reached {
            from,
            by: Some(with),
            ..
        } = self.reached[at as usize]
        {
            way.push(format!("{with:?}"));
            at = from;
        }
        way.reverse();
        panic!("{}: {what}, after\n{}", self.plan.name, way.join("\n"));
    }

    /// Whatever is on its way ends: the way on from each state leads to one at
    /// rest, or where nothing but a hypercall that was given up is left.
    fn ends(&self) {
        // How far it is to a state that is its own way on.
        let mut left = vec![0_u32; self.reached.len()];
        for mut at in 0..self.reached.len() {
            let mut way = Vec::new();
            while left[at] == 0 && self.reached[at].on as usize != at {
                way.push(at);
                assert!(way.len() <= MOST_STEPS, "it does not end");
                at = self.reached[at].on as usize;
            }
            for (steps, at) in (left[at] + 1..).zip(way.into_iter().rev()) {
                left[at] = steps;
            }
        }
        let most = left.into_iter().max().unwrap();
        assert!(most as usize <= MOST_STEPS, "{most} steps until it ends");
        for (state, &at) in &self.found {
            let ends = self.reached[at as usize].on == at;
            if ends != (state.is_at_rest() && state.is_alone()) {
                self.fail(at, "nothing more", "it does not end");
            }
        }
    }

    /// From every state in which no lock is held.
    fn each(&self, check: impl Fn(&State, &Plan) -> Result<(), String>) -> usize {
        let mut checked = 0;
        for (state, &at) in &self.found {
            if state.is_alone() {
                checked += 1;
                if let Err(what) = check(state, &self.plan) {
                    self.fail(at, "and so on", &what);
                }
            }
        }
        checked
    }
}

/// What is seen of an action in any search.
const PERFORMED: [(&str, &[&str]); 8] = [
    ("BarMapped", &["good"]),
    ("ConfWrite", &["good", "preempted"]),
    ("Defer", &["fails", "good"]),
    ("Map", &["fails", "good", "in part", "preempted"]),
    ("MsixClear", &["good", "preempted"]),
    ("Probe", &["fails", "good", "preempted"]),
    ("Retry", &["good"]),
    ("Unmap", &["fails", "good", "preempted"]),
];

/// ... and where the domain has interrupts of the device.
const WITH_INTERRUPTS: [(&str, &[&str]); 6] = [
    ("MsiDisable", &["fails", "good", "preempted"]),
    ("MsiEnable", &["fails", "good"]),
    ("MsixControl", &["good"]),
    ("MsixDisable", &["fails", "good", "preempted"]),
    ("MsixMask", &["good"]),
    ("MsixUpdate", &["fails", "good"]),
];

/// Each with each of its own.
fn pairs<T: Copy + Ord>(of: &[(&'static str, &[T])]) -> BTreeSet<(&'static str, T)> {
    of.iter()
        .flat_map(|&(name, each)| each.iter().map(move |&one| (name, one)))
        .collect()
}

/// Goes through all of the plan, which is to come across just this.
fn search(
    plan: Plan,
    performed: &[(&'static str, &[&'static str])],
    outcomes: &[(&'static str, &[i32])],
) {
    let search = Search::run(plan);
    search.ends();
    let checked = search.each(State::resets);
    search.each(State::works);
    search.each(State::heals);
    println!(
        "{}: {} states, {checked} of them with no lock held, {} transitions",
        search.plan.name,
        search.found.len(),
        search.transitions
    );
    assert_eq!(search.seen.performed, pairs(performed));
    assert_eq!(search.seen.outcomes, pairs(outcomes));
}

const EIO: i32 = Errno::EIO.to_c();
const EOPNOTSUPP: i32 = Errno::EOPNOTSUPP.to_c();
const FAILED: i32 = FAILURE.to_c();

#[test]
fn bars_and_rom_are_where_the_record_says() {
    let plan = Plan {
        name: "BARs",
        calls: [
            &[
                Call::Write(COMMAND, DECODE),
                Call::Write(COMMAND, 0),
                Call::Write(BASE_ADDRESS_0, PLACES[1]),
                Call::Write(ROM_ADDRESS, PLACES[1] | ROM_ON),
                Call::Write(ROM_ADDRESS, PLACES[2]),
            ],
            &[WAITS, Call::Reset, Call::Detach, Call::Attach],
        ],
        happens: &[Happens::Reset, Happens::Restored],
        kind: ResetKind::Flr,
        owner: Owner::Hardware,
    };
    search(
        plan,
        &PERFORMED,
        &[
            ("BAR", &[FAILED, 0]),
            ("ROM", &[FAILED, 0]),
            ("attach", &[EIO, 0]),
            ("detach", &[FAILED, 0]),
            ("reset", &[FAILED, EIO, 0]),
            ("work", &[FAILED, EIO, 0]),
        ],
    );
}

const INTERRUPTS: [&[Call]; 2] = [
    &[
        Call::Write(COMMAND, DECODE),
        Call::Write(COMMAND, 0),
        Call::Write(BASE_ADDRESS_0, PLACES[1]),
        Call::Write(MSI_CONTROL, ENABLE_MSI),
        Call::Write(MSI_CONTROL, 0),
        Call::Write(MSIX_CONTROL, ENABLE_MSIX),
        Call::Write(MSIX_CONTROL, 0),
        Call::Entry(true),
        Call::Entry(false),
    ],
    &[WAITS, Call::Reset, Call::Detach, Call::Attach],
];

#[test]
fn vectors_are_those_of_the_record() {
    let plan = Plan {
        name: "interrupts",
        calls: INTERRUPTS,
        happens: &[Happens::Reset, Happens::Exchanged],
        kind: ResetKind::Cold,
        owner: Owner::Hardware,
    };
    let performed: Vec<_> = PERFORMED.into_iter().chain(WITH_INTERRUPTS).collect();
    search(
        plan,
        &performed,
        &[
            ("BAR", &[FAILED, 0]),
            ("MSI", &[FAILED]),
            ("MSI-X", &[FAILED]),
            ("attach", &[EOPNOTSUPP, EIO, 0]),
            ("detach", &[FAILED, 0]),
            ("entry", &[FAILED, 0]),
            ("reset", &[EOPNOTSUPP, FAILED, EIO, 0]),
            ("work", &[EOPNOTSUPP, FAILED, EIO, 0]),
        ],
    );
}

#[test]
fn hidden_device_has_no_vectors() {
    let plan = Plan {
        name: "hidden",
        calls: INTERRUPTS,
        happens: &[Happens::Reset, Happens::Gone],
        kind: ResetKind::Hot,
        owner: Owner::Hidden,
    };
    search(
        plan,
        &PERFORMED,
        &[
            ("BAR", &[FAILED, EIO, 0]),
            ("attach", &[EIO, 0]),
            ("detach", &[FAILED, 0]),
            ("entry", &[0]),
            ("reset", &[FAILED, EIO, 0]),
            ("work", &[FAILED, EIO, 0]),
        ],
    );
}
