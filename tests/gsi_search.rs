// SPDX-License-Identifier: GPL-2.0-only
//! Everything that two virtual CPUs can do to two GSIs, in every order and with
//! every step failing in every way, against a model of what Xen has.
//!
//! The model is told by the actions alone. What must hold in each state that is
//! reached is [`State::check`], what must hold of an action before it is performed
//! [`World::perform`], what an outcome means [`outcome_is_true`], and that the next
//! unmask leads to the end [`retry`].

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test by panicking"
)]

use std::collections::{BTreeSet, HashSet};

use xen_passthrough::errno::{Errno, to_c};
use xen_passthrough::gsi::{Action, Event, Pin, Stage};
use xen_passthrough::spec::ioapic::{PinMode, Polarity, Trigger};

/// The modes, named by their index.
const MODES: [PinMode; 2] = [
    PinMode::new(Trigger::Level, Polarity::Low),
    PinMode::new(Trigger::Edge, Polarity::High),
];

const EEXIST: i32 = Errno::EEXIST.to_c();
const EBUSY: i32 = Errno::EBUSY.to_c();
const ENOMEM: i32 = Errno::ENOMEM.to_c();
const EINVAL: i32 = Errno::EINVAL.to_c();

/// The most actions that one event takes: Register or Reprogram, Map, Bind, and
/// Unmap when that failed.
const MOST_ACTIONS: u32 = 4;

fn index(mode: PinMode) -> usize {
    MODES.iter().position(|&known| known == mode).unwrap()
}

/// What a virtual CPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Call {
    Setup(usize),
    Unmask(usize),
    Unmap,
}

const CALLS: [Call; 5] = [
    Call::Setup(0),
    Call::Setup(1),
    Call::Unmask(0),
    Call::Unmask(1),
    Call::Unmap,
];

impl Call {
    fn event(self) -> Event {
        match self {
            Self::Setup(mode) => Event::Setup(MODES[mode]),
            Self::Unmask(mode) => Event::Unmask(MODES[mode]),
            Self::Unmap => Event::Unmap,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Setup(_) => "setup",
            Self::Unmask(_) => "unmask",
            Self::Unmap => "unmap",
        }
    }
}

/// An action that Xen is to perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Job {
    Register(usize),
    Reprogram(usize),
    Map,
    Bind,
    Unbind,
    Unmap,
}

enum Told {
    Job(Job),
    Wait,
    Done(i32),
}

fn told(action: Action) -> Told {
    match action {
        Action::Register(mode) => Told::Job(Job::Register(index(mode))),
        Action::Reprogram(mode) => Told::Job(Job::Reprogram(index(mode))),
        Action::Map => Told::Job(Job::Map),
        Action::Bind => Told::Job(Job::Bind),
        Action::Unbind => Told::Job(Job::Unbind),
        Action::Unmap => Told::Job(Job::Unmap),
        Action::Wait => Told::Wait,
        Action::Done(result) => Told::Done(to_c(result)),
    }
}

/// Who programmed the physical pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wiring {
    /// Nobody, or so it was when last asked.
    Nobody,
    /// This table, with this mode.
    Table(usize),
    /// Somebody before it, with a mode that it cannot know.
    Before,
    /// Xen, for itself.
    Xen,
}

/// What Xen has of a GSI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    wiring: Wiring,
    mapped: bool,
    /// Bound, by an unmask with this mode.
    bound: Option<usize>,
}

impl World {
    const NEW: Self = Self {
        wiring: Wiring::Nobody,
        mapped: false,
        bound: None,
    };

    fn registered(self) -> bool {
        matches!(self.wiring, Wiring::Table(_) | Wiring::Before)
    }

    /// What may come of a job, the first being the way on.
    fn results(self, job: Job) -> &'static [i32] {
        match (job, self.wiring) {
            (Job::Register(_), Wiring::Nobody) => &[0, EEXIST, EBUSY, ENOMEM],
            (Job::Register(_), Wiring::Table(_) | Wiring::Before) => &[EEXIST, ENOMEM],
            (Job::Register(_), Wiring::Xen) => &[EBUSY, ENOMEM],
            // Busy: another domain has it bound.
            (Job::Reprogram(_), _) => &[0, EBUSY, ENOMEM],
            (Job::Map | Job::Bind | Job::Unbind | Job::Unmap, _) => &[0, EEXIST, EBUSY, ENOMEM],
        }
    }

    /// Performs a job of `call` with this result.
    fn perform(&mut self, call: Call, job: Job, rc: i32) -> Result<(), String> {
        let need = |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| what.to_owned());
        match job {
            Job::Register(mode) => {
                need(!self.registered() || rc != 0, "registered twice")?;
                need(
                    !matches!(self.wiring, Wiring::Table(_)),
                    "registered again by the same table",
                )?;
                need(
                    call == Call::Setup(mode) || call == Call::Unmask(mode),
                    "registered with a mode that nobody asked for",
                )?;
                self.wiring = match rc {
                    0 => Wiring::Table(mode),
                    EEXIST => Wiring::Before,
                    EBUSY => Wiring::Xen,
                    _ => self.wiring,
                };
            }
            Job::Reprogram(mode) => {
                need(
                    matches!(self.wiring, Wiring::Table(old) if old != mode),
                    "reprogrammed a pin that is not this table's, or for nothing",
                )?;
                need(self.bound.is_none(), "reprogrammed while bound")?;
                need(call == Call::Unmask(mode), "reprogrammed by no unmask")?;
                if rc == 0 {
                    self.wiring = Wiring::Table(mode);
                }
            }
            Job::Map => {
                need(self.registered(), "mapped and not registered")?;
                need(!self.mapped, "mapped twice")?;
                self.mapped = rc == 0;
            }
            Job::Bind => {
                need(self.mapped, "bound and not mapped")?;
                need(self.bound.is_none(), "bound twice")?;
                let Call::Unmask(mode) = call else {
                    return Err("bound by no unmask".to_owned());
                };
                need(
                    matches!(self.wiring, Wiring::Before) || self.wiring == Wiring::Table(mode),
                    "bound with a stale mode",
                )?;
                self.bound = (rc == 0).then_some(mode);
            }
            Job::Unbind => {
                need(call == Call::Unmap, "unbound by no unmap")?;
                need(self.bound.is_some(), "unbound and not bound")?;
                if rc == 0 {
                    self.bound = None;
                }
            }
            Job::Unmap => {
                need(self.mapped, "unmapped and not mapped")?;
                need(self.bound.is_none(), "unmapped while bound")?;
                self.mapped = rc != 0;
            }
        }
        Ok(())
    }
}

/// The failure that the outcome of an event has to give: its first one. What
/// Register answers of a GSI that is taken is no failure.
fn failure(before: i32, job: Job, rc: i32) -> i32 {
    let answer = matches!(job, Job::Register(_)) && (rc == EEXIST || rc == EBUSY);
    if before == 0 && !answer { rc } else { before }
}

/// Whether `rc` is what became of `call`, of which a step failed with `failed`.
fn outcome_is_true(world: World, call: Call, failed: i32, rc: i32) -> Result<(), String> {
    let is = match (call, rc) {
        (_, rc) if failed != 0 => rc == failed,
        (Call::Setup(mode), 0) => world.wiring == Wiring::Table(mode),
        (Call::Setup(mode), EEXIST) => match world.wiring {
            Wiring::Table(programmed) => programmed == mode,
            Wiring::Before | Wiring::Xen => true,
            Wiring::Nobody => false,
        },
        (Call::Setup(mode), EBUSY) => {
            matches!(world.wiring, Wiring::Table(programmed) if programmed != mode)
        }
        (Call::Unmask(mode), 0) => match world.wiring {
            Wiring::Table(programmed) => programmed == mode && world.bound == Some(mode),
            Wiring::Before => world.bound.is_some(),
            Wiring::Xen => true,
            Wiring::Nobody => false,
        },
        (Call::Unmask(mode), EBUSY) => {
            matches!(world.wiring, Wiring::Table(_))
                && world.bound.is_some_and(|bound| bound != mode)
        }
        (Call::Unmap, 0 | EINVAL) => !world.mapped && world.bound.is_none(),
        (Call::Setup(_) | Call::Unmask(_) | Call::Unmap, _) => false,
    };
    is.then_some(())
        .ok_or_else(|| format!("{call:?} was answered {rc}, which is not so"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Cpu {
    Idle,
    /// Told to wait: has to begin again.
    Waiting {
        gsi: usize,
        call: Call,
    },
    /// Has an action of the pin to perform.
    Holding {
        gsi: usize,
        call: Call,
        job: Job,
        failed: i32,
    },
    /// Has performed it, and has to complete.
    Performed {
        gsi: usize,
        call: Call,
        job: Job,
        rc: i32,
        failed: i32,
    },
}

impl Cpu {
    /// The GSI on which it is at work.
    fn at_work(self) -> Option<usize> {
        match self {
            Self::Idle | Self::Waiting { .. } => None,
            Self::Holding { gsi, .. } | Self::Performed { gsi, .. } => Some(gsi),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    pins: [Pin; 2],
    worlds: [World; 2],
    cpus: [Cpu; 2],
}

/// A move of one virtual CPU.
#[derive(Clone, Copy, Debug)]
enum Move {
    Begin(usize, Call),
    BeginAgain,
    Perform(i32),
    Complete,
}

/// What was seen on the way, to know that something was.
#[derive(Default)]
struct Seen {
    performed: BTreeSet<(Job, i32)>,
    outcomes: BTreeSet<(&'static str, i32)>,
    waited: BTreeSet<(Call, Call)>,
    both_at_work: bool,
}

impl State {
    const NEW: Self = Self {
        pins: [Pin::new(); 2],
        worlds: [World::NEW; 2],
        cpus: [Cpu::Idle; 2],
    };

    fn moves(&self, cpu: usize) -> Vec<Move> {
        match self.cpus[cpu] {
            Cpu::Idle => (0..self.pins.len())
                .flat_map(|gsi| CALLS.map(|call| Move::Begin(gsi, call)))
                .collect(),
            Cpu::Waiting { .. } => vec![Move::BeginAgain],
            Cpu::Holding { gsi, job, .. } => self.worlds[gsi]
                .results(job)
                .iter()
                .map(|&rc| Move::Perform(rc))
                .collect(),
            Cpu::Performed { .. } => vec![Move::Complete],
        }
    }

    fn step(&self, cpu: usize, with: Move, seen: &mut Seen) -> Result<Self, String> {
        let mut next = *self;
        next.cpus[cpu] = match (self.cpus[cpu], with) {
            (Cpu::Idle, Move::Begin(gsi, call))
            | (Cpu::Waiting { gsi, call }, Move::BeginAgain) => next.begin(cpu, gsi, call, seen)?,
            (
                Cpu::Holding {
                    gsi,
                    call,
                    job,
                    failed,
                },
                Move::Perform(rc),
            ) => {
                next.worlds[gsi].perform(call, job, rc)?;
                seen.performed.insert((job, rc));
                let failed = failure(failed, job, rc);
                Cpu::Performed {
                    gsi,
                    call,
                    job,
                    rc,
                    failed,
                }
            }
            (
                Cpu::Performed {
                    gsi,
                    call,
                    job,
                    rc,
                    failed,
                },
                Move::Complete,
            ) => {
                let action = next.pins[gsi].complete(Errno::check(rc));
                if job == Job::Bind && rc != 0 && action != Action::Unmap {
                    return Err("a failed bind is not undone".to_owned());
                }
                next.follow(gsi, call, failed, action, seen)?
            }
            (state, with) => panic!("{with:?} is no move of {state:?}"),
        };
        next.check()?;
        Ok(next)
    }

    fn begin(
        &mut self,
        cpu: usize,
        gsi: usize,
        call: Call,
        seen: &mut Seen,
    ) -> Result<Cpu, String> {
        let other = self.cpus[1 - cpu];
        let before = self.pins[gsi];
        let action = self.pins[gsi].begin(call.event());
        if other.at_work() == Some(gsi) {
            if action != Action::Wait || self.pins[gsi] != before {
                return Err(format!("a busy pin answered {action:?} to {call:?}"));
            }
            if let Cpu::Holding { call: at, .. } | Cpu::Performed { call: at, .. } = other {
                seen.waited.insert((at, call));
            }
            return Ok(Cpu::Waiting { gsi, call });
        }
        if matches!(action, Action::Done(_)) && self.pins[gsi] != before {
            return Err(format!("a step that nobody took, of {call:?}"));
        }
        self.follow(gsi, call, 0, action, seen)
    }

    /// What the CPU does with the action that it was given.
    fn follow(
        &self,
        gsi: usize,
        call: Call,
        failed: i32,
        action: Action,
        seen: &mut Seen,
    ) -> Result<Cpu, String> {
        match told(action) {
            Told::Job(job) => Ok(Cpu::Holding {
                gsi,
                call,
                job,
                failed,
            }),
            Told::Wait => Err(format!("{call:?} waits for nobody")),
            Told::Done(rc) => {
                outcome_is_true(self.worlds[gsi], call, failed, rc)?;
                seen.outcomes.insert((call.name(), rc));
                Ok(Cpu::Idle)
            }
        }
    }

    /// What holds in every state.
    fn check(&self) -> Result<(), String> {
        for (gsi, (pin, world)) in self.pins.iter().zip(&self.worlds).enumerate() {
            let at_work = self.cpus.iter().filter(|cpu| cpu.at_work() == Some(gsi));
            let at_work = at_work.count();
            if at_work > 1 {
                return Err(format!("two CPUs at work on GSI {gsi}"));
            }
            // Hence nothing is in flight once both CPUs are idle.
            if pin.is_busy() != (at_work == 1) {
                return Err(format!("GSI {gsi} is busy for nobody, or not for somebody"));
            }
            if world.bound.is_some() && !world.mapped || world.mapped && !world.registered() {
                return Err(format!("GSI {gsi}: {world:?}"));
            }
            if let (Some(bound), Wiring::Table(programmed)) = (world.bound, world.wiring)
                && bound != programmed
            {
                return Err(format!("GSI {gsi} is bound with a stale mode"));
            }
            if !pin.is_busy() {
                same(*pin, *world)?;
            }
        }
        Ok(())
    }
}

/// At rest the record says what Xen has, no more and no less.
fn same(pin: Pin, world: World) -> Result<(), String> {
    let stage = match (world.bound.is_some(), world.mapped, world.registered()) {
        (true, ..) => Stage::Bound,
        (false, true, _) => Stage::Mapped,
        (false, false, true) => Stage::Registered,
        (false, false, false) => Stage::Unregistered,
    };
    let mode = match world.wiring {
        Wiring::Table(mode) => Some(MODES[mode]),
        Wiring::Nobody | Wiring::Before | Wiring::Xen => None,
    };
    if (pin.stage(), pin.mode()) == (stage, mode) {
        Ok(())
    } else {
        Err(format!("the record {pin:?} is not what Xen has: {world:?}"))
    }
}

/// Every end of an event whose CPU has performed an action, in at most so many
/// more actions.
fn ends(pin: Pin, world: World, call: Call, action: Action, left: u32) -> Vec<(Pin, World)> {
    let Told::Job(job) = told(action) else {
        return vec![(pin, world)];
    };
    assert!(left > 0, "{call:?} does not end");
    let results = world.results(job).iter();
    results
        .flat_map(|&rc| {
            let (mut pin, mut world) = (pin, world);
            world.perform(call, job, rc).unwrap();
            let next = pin.complete(Errno::check(rc));
            ends(pin, world, call, next, left - 1)
        })
        .collect()
}

/// From a pin at rest, an unmask of which each step goes well binds the pin, or is
/// refused for one of two reasons.
fn retry(pin: Pin, world: World, mode: usize) {
    let (mut after, mut now) = (pin, world);
    let call = Call::Unmask(mode);
    let mut action = after.begin(call.event());
    let mut steps = 0;
    let rc = loop {
        match told(action) {
            Told::Job(job) => {
                let rc = now.results(job)[0];
                now.perform(call, job, rc).unwrap();
                action = after.complete(Errno::check(rc));
            }
            Told::Wait => panic!("a pin at rest is busy: {pin:?}"),
            Told::Done(rc) => break rc,
        }
        steps += 1;
        assert!(steps < MOST_ACTIONS, "{pin:?}, {world:?}: does not end");
    };
    match (world.wiring, world.bound) {
        // It is Xen's.
        (Wiring::Xen, _) => assert_eq!((rc, after, now), (0, pin, world)),
        // It serves the domain with the other mode.
        (Wiring::Table(_), Some(bound)) if bound != mode => {
            assert_eq!((rc, after, now), (EBUSY, pin, world));
        }
        (Wiring::Before, Some(_)) => assert_eq!((rc, after, now), (0, pin, world)),
        (Wiring::Nobody | Wiring::Table(_) | Wiring::Before, _) => {
            assert_eq!((rc, now.bound), (0, Some(mode)), "{pin:?}, {world:?}");
            assert_eq!(after.stage(), Stage::Bound);
        }
    }
    same(after, now).unwrap();
}

/// A state, and the move that led to it first, from the one of this index.
struct Reached {
    state: State,
    from: usize,
    by: Option<(usize, Move)>,
}

/// All states in the order in which they were reached.
#[derive(Default)]
struct Search {
    states: Vec<Reached>,
    found: HashSet<State>,
    transitions: usize,
    seen: Seen,
}

impl Search {
    fn add(&mut self, state: State, from: usize, by: Option<(usize, Move)>) {
        if self.found.insert(state) {
            self.states.push(Reached { state, from, by });
        }
    }

    fn run(&mut self) {
        self.add(State::NEW, 0, None);
        let mut at = 0;
        while let Some(&Reached { state, .. }) = self.states.get(at) {
            let [a, b] = state.cpus.map(Cpu::at_work);
            self.seen.both_at_work |= a.is_some() && b.is_some();
            for cpu in 0..state.cpus.len() {
                for with in state.moves(cpu) {
                    self.transitions += 1;
                    match state.step(cpu, with, &mut self.seen) {
                        Ok(next) => self.add(next, at, Some((cpu, with))),
                        Err(what) => self.fail(at, cpu, with, &what),
                    }
                }
            }
            at += 1;
        }
    }

    /// The shortest way to where it went wrong.
    fn fail(&self, mut at: usize, cpu: usize, with: Move, what: &str) -> ! {
        let mut way = vec![format!("cpu {cpu}: {with:?}")];
        while let Some((cpu, with)) = self.states[at].by {
            way.push(format!("cpu {cpu}: {with:?}"));
            at = self.states[at].from;
        }
        way.reverse();
        panic!("{what}, after\n{}", way.join("\n"));
    }
}

#[test]
fn two_cpus_on_two_gsis_keep_what_xen_has_and_the_record_alike() {
    let mut search = Search::default();
    search.run();

    // A GSI knows nothing of the other one: each of its states once.
    let mut rest = HashSet::new();
    let mut work = HashSet::new();
    for Reached { state, .. } in &search.states {
        for gsi in 0..state.pins.len() {
            let (pin, world) = (state.pins[gsi], state.worlds[gsi]);
            if pin.is_busy() {
                for cpu in state.cpus {
                    if let Cpu::Performed {
                        gsi: at, call, rc, ..
                    } = cpu
                        && at == gsi
                    {
                        work.insert((pin, world, call, rc));
                    }
                }
            } else {
                rest.insert((pin, world));
            }
        }
    }
    // Whatever is in flight ends soon, at one of the states at rest.
    for &(pin, world, call, rc) in &work {
        let mut pin = pin;
        let action = pin.complete(Errno::check(rc));
        for end in ends(pin, world, call, action, MOST_ACTIONS - 1) {
            assert!(rest.contains(&end), "{end:?} was not found");
        }
    }
    for &(pin, world) in &rest {
        for mode in 0..MODES.len() {
            retry(pin, world, mode);
        }
    }
    println!(
        "{} states, {} transitions; of one GSI {} at rest, {} at work",
        search.states.len(),
        search.transitions,
        rest.len(),
        work.len(),
    );

    let failures = [0, EEXIST, EBUSY, ENOMEM];
    let mut performed = BTreeSet::new();
    for rc in failures {
        performed.extend([
            (Job::Register(0), rc),
            (Job::Register(1), rc),
            (Job::Map, rc),
            (Job::Bind, rc),
            (Job::Unbind, rc),
            (Job::Unmap, rc),
        ]);
        if rc != EEXIST {
            performed.extend([(Job::Reprogram(0), rc), (Job::Reprogram(1), rc)]);
        }
    }
    assert_eq!(search.seen.performed, performed);
    let mut outcomes: BTreeSet<_> = ["setup", "unmask", "unmap"]
        .into_iter()
        .flat_map(|call| failures.map(|rc| (call, rc)))
        .collect();
    outcomes.insert(("unmap", EINVAL));
    assert_eq!(search.seen.outcomes, outcomes);
    assert_eq!(search.seen.waited.len(), CALLS.len() * CALLS.len());
    assert!(search.seen.both_at_work);
}
