// SPDX-License-Identifier: GPL-2.0-only
//! Every transition of a GSI, held against the tables in `docs/states.md`.
//!
//! Every state that a pin can reach is found, given every event and completion,
//! and rendered; the document's tables are the expectation. `XPT_BLESS=1` writes
//! them anew, to be read before they are committed.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test by panicking"
)]

mod document;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use xen_passthrough::errno::Errno;
use xen_passthrough::gsi::{Action, Event, Pin, Stage};
use xen_passthrough::spec::ioapic::{PinMode, Polarity, Trigger};

const MODES: [PinMode; 4] = [
    mode(Trigger::Edge, Polarity::High),
    mode(Trigger::Edge, Polarity::Low),
    mode(Trigger::Level, Polarity::High),
    mode(Trigger::Level, Polarity::Low),
];

const fn mode(trigger: Trigger, polarity: Polarity) -> PinMode {
    PinMode::new(trigger, polarity)
}

/// What is in flight on a pin.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Flight {
    event: Event,
    action: Action,
    /// How the bind failed that this action undoes.
    bind: Option<Errno>,
}

impl Flight {
    fn begun(event: Event, action: Action) -> Option<Self> {
        let bind = None;
        (!matches!(action, Action::Done(_))).then_some(Self {
            event,
            action,
            bind,
        })
    }

    fn next(self, result: Result<(), Errno>, action: Action) -> Option<Self> {
        let mut next = Self::begun(self.event, action)?;
        if self.action == Action::Bind {
            next.bind = result.err();
        }
        Some(next)
    }
}

/// The two modes of a table: one, and any other.
#[derive(Clone, Copy)]
struct Names {
    m: PinMode,
    other: PinMode,
}

impl Names {
    fn mode(self, mode: PinMode) -> &'static str {
        if mode == self.m {
            return "m";
        }
        assert_eq!(mode, self.other, "a mode that no event had");
        "other"
    }

    fn recorded(self, pin: Pin) -> &'static str {
        pin.mode().map_or("unknown", |mode| self.mode(mode))
    }

    fn events(self) -> [Event; 5] {
        [
            Event::Setup(self.m),
            Event::Setup(self.other),
            Event::Unmask(self.m),
            Event::Unmask(self.other),
            Event::Unmap,
        ]
    }

    fn action(self, action: Action) -> String {
        match action {
            Action::Register(mode) => format!("Register {}", self.mode(mode)),
            Action::Reprogram(mode) => format!("Reprogram {}", self.mode(mode)),
            Action::Done(Ok(())) => "0".to_owned(),
            Action::Done(Err(errno)) => format!("-{errno:?}"),
            Action::Map | Action::Bind | Action::Unbind | Action::Unmap | Action::Wait => {
                format!("{action:?}")
            }
        }
    }

    fn flight(self, flight: Flight) -> String {
        let event = match flight.event {
            Event::Setup(_) => "setup",
            Event::Unmask(_) => "unmask",
            Event::Unmap => "unmap",
        };
        let undo = flight.bind.map_or("", |_| ", as Bind failed");
        format!("{event}: {}{undo}", self.action(flight.action))
    }

    /// What is to be done, and what has become of the pin if it changed.
    fn cell(self, what: &str, before: Pin, after: Pin) -> String {
        if (before.stage(), before.mode()) == (after.stage(), after.mode()) {
            return what.to_owned();
        }
        format!("{what} → {:?}, {}", after.stage(), self.recorded(after))
    }

    /// The same for a completion of `flight`.
    fn completed(self, pin: Pin, flight: Flight, result: Result<(), Errno>) -> String {
        let mut after = pin;
        let action = after.complete(result);
        let what = match (action, flight.bind, result) {
            (Action::Done(outcome), Some(bind), _) => {
                assert_eq!(outcome, Err(bind), "the bind's error is what counts");
                "Bind's error".to_owned()
            }
            (Action::Done(Err(errno)), None, Err(given))
                if errno == given && is_other_error(errno) =>
            {
                "that error".to_owned()
            }
            (Action::Unmap, None, Err(_)) if flight.action == Action::Bind => {
                "Unmap, as Bind failed".to_owned()
            }
            _ => self.action(action),
        };
        assert_eq!(after.is_busy(), !matches!(action, Action::Done(_)));
        self.cell(&what, pin, after)
    }
}

/// Whether the machine is to have no use for this error but to pass it on.
fn is_other_error(errno: Errno) -> bool {
    !matches!(errno, Errno::EEXIST | Errno::EBUSY)
}

/// Every outcome that an action can have.
fn results() -> impl Iterator<Item = Result<(), Errno>> {
    [Ok(())]
        .into_iter()
        .chain(Errno::ALL.iter().map(|&errno| Err(errno)))
}

/// Every pin that these events lead to, whatever comes of the actions.
fn reachable(events: &[Event]) -> HashMap<Pin, Option<Flight>> {
    let mut found = HashMap::new();
    let mut open = vec![(Pin::new(), None)];
    while let Some((pin, flight)) = open.pop() {
        if found.contains_key(&pin) {
            continue;
        }
        found.insert(pin, flight);
        assert_eq!(pin.is_busy(), flight.is_some());
        let mut next = pin;
        match flight {
            None => open.extend(events.iter().map(|&event| {
                next = pin;
                let action = next.begin(event);
                (next, Flight::begun(event, action))
            })),
            Some(flight) => open.extend(results().map(|result| {
                next = pin;
                let action = next.complete(result);
                (next, flight.next(result, action))
            })),
        }
    }
    found
}

/// Rows by where they stand in the table.
type Rows = BTreeMap<(u8, usize, String), Vec<String>>;

/// Adds a row, or holds it against the one that stands there: states that the
/// table does not tell apart behave alike.
fn add(rows: &mut Rows, key: (u8, usize, String), cells: Vec<String>) {
    let there = rows.entry(key.clone()).or_insert_with(|| cells.clone());
    assert_eq!(*there, cells, "{key:?} stands for two kinds of pin");
}

fn render(heads: &[&str], rows: Rows) -> String {
    let mut out = String::new();
    writeln!(out, "| {} |", heads.join(" | ")).unwrap();
    writeln!(out, "|{}", "---|".repeat(heads.len())).unwrap();
    for cells in rows.into_values() {
        assert_eq!(cells.len(), heads.len());
        writeln!(out, "| {} |", cells.join(" | ")).unwrap();
    }
    out
}

/// The tables of pins at rest and of pins with a step in flight.
fn tables(names: Names) -> [String; 2] {
    let mut rest = Rows::new();
    let mut busy = Rows::new();
    for (pin, flight) in reachable(&names.events()) {
        let register = Action::Register(names.other);
        if pin.mode() == Some(names.other) || flight.is_some_and(|now| now.action == register) {
            // The same with the two modes exchanged.
            continue;
        }
        let recorded = names.recorded(pin);
        let state = [format!("{:?}", pin.stage()), recorded.to_owned()];
        let place = (pin.stage() as u8, recorded.len());
        let Some(flight) = flight else {
            let cells = names.events().map(|event| {
                let mut after = pin;
                let action = after.begin(event);
                assert_ne!(action, Action::Wait);
                names.cell(&names.action(action), pin, after)
            });
            let cells = state.into_iter().chain(cells).collect();
            add(&mut rest, (place.0, place.1, String::new()), cells);
            continue;
        };
        let name = names.flight(flight);
        let mut others: Vec<String> = results()
            .filter(|result| result.is_err_and(is_other_error))
            .map(|result| names.completed(pin, flight, result))
            .collect();
        others.dedup();
        assert_eq!(others.len(), 1, "{name}: errors that are alike: {others:?}");
        let known = [Ok(()), Err(Errno::EEXIST), Err(Errno::EBUSY)]
            .map(|result| names.completed(pin, flight, result));
        let cells = state.into_iter().chain([name.clone()]);
        let cells = cells.chain(known).chain(others).collect();
        add(&mut busy, (place.0, place.1, name), cells);
    }
    [
        render(
            &[
                "stage",
                "mode",
                "setup m",
                "setup other",
                "unmask m",
                "unmask other",
                "unmap",
            ],
            rest,
        ),
        render(
            &[
                "stage",
                "mode",
                "in flight",
                "0",
                "-EEXIST",
                "-EBUSY",
                "another error",
            ],
            busy,
        ),
    ]
}

#[test]
fn transitions_are_those_of_the_document() {
    let [m, other, ..] = MODES;
    let [rest, busy] = tables(Names { m, other });
    document::check("states", "gsi_states", "a GSI at rest", &rest);
    document::check("states", "gsi_states", "a GSI with a step in flight", &busy);
}

#[test]
fn which_modes_they_are_makes_no_difference() {
    let [m, other, ..] = MODES;
    let first = tables(Names { m, other });
    for m in MODES {
        for other in MODES {
            // Each takes Miri a minute; the last pair is all others there.
            let told = !cfg!(miri) || other == MODES[3];
            if m != other && told {
                assert_eq!(tables(Names { m, other }), first);
            }
        }
    }
}

#[test]
fn a_busy_pin_has_every_event_wait_and_changes_nothing() {
    let events: Vec<Event> = MODES
        .into_iter()
        .flat_map(|mode| [Event::Setup(mode), Event::Unmask(mode)])
        .chain([Event::Unmap])
        .collect();
    let mut busy = 0;
    for (pin, flight) in reachable(&events) {
        if flight.is_none() {
            continue;
        }
        busy += 1;
        for &event in &events {
            let mut after = pin;
            assert_eq!(after.begin(event), Action::Wait);
            assert_eq!(after, pin);
        }
    }
    assert!(busy > 0);
}

#[test]
fn a_pin_at_rest_takes_no_completion() {
    let [m, other, ..] = MODES;
    let pins = reachable(&Names { m, other }.events());
    for (pin, _) in pins.into_iter().filter(|(_, flight)| flight.is_none()) {
        for result in results() {
            let mut after = pin;
            assert_eq!(after.complete(result), Action::Done(Err(Errno::EIO)));
            assert_eq!(after, pin);
        }
    }
}

#[test]
fn every_stage_is_reached() {
    let [m, other, ..] = MODES;
    let pins = reachable(&Names { m, other }.events());
    for stage in [
        Stage::Unregistered,
        Stage::Registered,
        Stage::Mapped,
        Stage::Bound,
    ] {
        assert!(pins.keys().any(|pin| pin.stage() == stage), "{stage:?}");
    }
}
