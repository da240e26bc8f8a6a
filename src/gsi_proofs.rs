// SPDX-License-Identifier: GPL-2.0-only
//! Proof harnesses on the life of a GSI, see [`crate::proofs`].

#![forbid(unsafe_code)]

use super::{Action, Event, Pin};
use crate::errno::Errno;
use crate::proofs::{kani, outcome, proof};
use crate::spec::ioapic::PinMode;

fn pin() -> Pin {
    Pin {
        stage: kani::any(),
        mode: kani::any(),
        step: kani::any(),
        held: kani::any(),
    }
}

fn event() -> Event {
    let bits: u32 = kani::any();
    match (PinMode::from_bits(bits & 3), bits >> 2 & 3) {
        (Some(mode), 0) => Event::Setup(mode),
        (Some(mode), 1) => Event::Unmask(mode),
        _ => Event::Unmap,
    }
}

proof! {
    /// A busy pin has every event wait and changes nothing.
    50, fn busy_pin_waits() {
        let (before, event) = (pin(), event());
        let mut pin = before;
        let action = pin.begin(event);
        assert!((action == Action::Wait) == before.is_busy());
        assert!(pin == before || !before.is_busy());
    }
}

proof! {
    /// A mode that is programmed is the event's.
    50, fn modes_are_those_of_the_event() {
        let (mut pin, event) = (pin(), event());
        let action = pin.begin(event);
        if let Action::Register(told) | Action::Reprogram(told) = action {
            assert!(matches!(event, Event::Setup(mode) | Event::Unmask(mode) if mode == told));
        }
    }
}

proof! {
    /// A pin at rest takes no completion.
    50, fn idle_pin_is_not_completed() {
        let before = pin();
        kani::assume(!before.is_busy());
        let mut pin = before;
        assert!(pin.complete(outcome()) == Action::Done(Err(Errno::EIO)));
        assert!(pin == before);
    }
}

proof! {
    /// Whatever is in flight ends, whatever comes of it, in at most four steps.
    50, fn every_step_ends() {
        let mut pin = pin();
        for _ in 0..4 {
            if pin.is_busy() {
                let action = pin.complete(outcome());
                assert!(matches!(action, Action::Done(_)) != pin.is_busy());
            }
        }
        assert!(!pin.is_busy());
    }
}
