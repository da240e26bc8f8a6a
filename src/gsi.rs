// SPDX-License-Identifier: GPL-2.0-only
//! The life of a GSI of a PVH hardware domain: registered, mapped, bound.
//!
//! A pin of the vIO-APIC reaches the domain once Xen has registered the GSI
//! (`mp_register_gsi`), mapped a pirq to it (`allocate_and_map_gsi_pirq`) and
//! bound that pirq (`pt_irq_create_bind`). Two events start a GSI on that way:
//! `PHYSDEVOP_setup_gsi` registers it, unmasking the pin takes it from wherever
//! it is to bound.
//!
//! ```text
//!             setup, unmask        unmask           unmask
//! Unregistered ──Register──▶ Registered ──Map──▶ Mapped ──Bind──▶ Bound
//!                                 ▲                 │
//!                                 └─────Unmap───────┘  when Bind fails
//! ```
//!
//! Each arrow is an [`Action`] that C performs and reports by
//! [`Pin::complete`]; a step that fails leaves the GSI where it was, so the next
//! event tries again. While a step is in flight the pin is busy and any other
//! event is told to [`Action::Wait`].
//!
//! Callers: `vioapic_write_redirent` with `hvm.irq_lock` dropped, and
//! `do_physdev_op`; the hardware domain only. Locks: the caller holds the GSI
//! table's lock for each call and never across an action.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;

use crate::errno::Errno;
use crate::spec::ioapic::{PinMode, Polarity, Trigger};

/// State of one GSI, in memory that C owns; all zero is a GSI never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Pin {
    stage: u8,
    mode: u8,
    step: u8,
    error: u8,
}

const_assert_eq!(size_of::<Pin>(), 4);

/// What happened to a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `PHYSDEVOP_setup_gsi` with this mode.
    Setup(PinMode),
    /// The hardware domain unmasked the pin, programmed with this mode.
    Unmask(PinMode),
}

/// What C shall do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a pin whose action is dropped stays busy for ever"]
pub enum Action {
    /// Register the GSI with this mode (`mp_register_gsi`), then complete: with
    /// [`Errno::EEXIST`] when it is registered, [`Errno::EBUSY`] when Xen itself
    /// uses the interrupt.
    Register(PinMode),
    /// Map a pirq of the hardware domain to it, then complete.
    Map,
    /// Bind that pirq to the pin, then complete.
    Bind,
    /// Unmap that pirq again, with the domain's access to the interrupt left as
    /// it was, then complete.
    Unmap,
    /// Another CPU is at work on this GSI: begin again with the same event,
    /// with no lock held in between.
    Wait,
    /// The event is dealt with; nothing more to do.
    Done(Result<(), Errno>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Unregistered,
    Registered,
    Mapped,
    Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    SetupRegister,
    UnmaskRegister,
    Map,
    Bind,
    Unmap,
}

impl Pin {
    /// A GSI never seen.
    pub const fn new() -> Self {
        Self {
            stage: 0,
            mode: 0,
            step: 0,
            error: 0,
        }
    }

    /// Starts on `event`.
    ///
    /// `Done` carries, for [`Event::Setup`]: `Ok` when the GSI is newly
    /// registered, [`Errno::EEXIST`] when it was already, which Linux takes for
    /// success, [`Errno::EBUSY`] when it was with another mode. For
    /// [`Event::Unmask`]: `Ok` once the GSI is bound. Either also gives what the
    /// failed step gave. A GSI that Xen itself uses, such as the serial
    /// console's, is answered as Xen without this crate does: [`Errno::EEXIST`]
    /// and `Ok`, and is never the domain's.
    pub const fn begin(&mut self, event: Event) -> Action {
        match self.step() {
            Step::Idle => {}
            Step::SetupRegister | Step::UnmaskRegister | Step::Map | Step::Bind | Step::Unmap => {
                return Action::Wait;
            }
        }
        match (event, self.stage()) {
            (Event::Setup(mode), Stage::Unregistered) => {
                self.go(Step::SetupRegister);
                self.mode = encode(mode);
                Action::Register(mode)
            }
            (Event::Setup(mode), Stage::Registered | Stage::Mapped | Stage::Bound) => {
                // A GSI that was registered before this table saw it has a mode
                // that nobody recorded; it cannot be told to differ.
                if self.mode == MODE_UNKNOWN || self.mode == encode(mode) {
                    Action::Done(Err(Errno::EEXIST))
                } else {
                    Action::Done(Err(Errno::EBUSY))
                }
            }
            (Event::Unmask(mode), Stage::Unregistered) => {
                self.go(Step::UnmaskRegister);
                self.mode = encode(mode);
                Action::Register(mode)
            }
            (Event::Unmask(_), Stage::Registered | Stage::Mapped | Stage::Bound) => self.onward(),
        }
    }

    /// Reports how the action that was in flight went, and gives the next one.
    ///
    /// A completion that nothing waits for changes nothing and is answered
    /// `Done(Err(EIO))`.
    pub const fn complete(&mut self, result: Result<(), Errno>) -> Action {
        match (self.step(), result) {
            (Step::Idle, _) => Action::Done(Err(Errno::EIO)),
            (Step::SetupRegister, result) => {
                let result = match self.registered(result) {
                    Err(Errno::EBUSY) => Err(Errno::EEXIST),
                    result => result,
                };
                self.finish(result)
            }
            (Step::UnmaskRegister, result) => match self.registered(result) {
                Ok(()) | Err(Errno::EEXIST) => self.onward(),
                Err(Errno::EBUSY) => self.finish(Ok(())),
                Err(errno) => self.finish(Err(errno)),
            },
            (Step::Map, Ok(())) => {
                self.reach(Stage::Mapped);
                self.onward()
            }
            (Step::Bind, Ok(())) => {
                self.reach(Stage::Bound);
                self.onward()
            }
            (Step::Map, Err(errno)) => self.finish(Err(errno)),
            (Step::Bind, Err(errno)) => {
                self.error = errno as u8;
                self.go(Step::Unmap);
                Action::Unmap
            }
            (Step::Unmap, result) => {
                // A pirq that cannot be unmapped is still mapped: the next
                // event goes on from there.
                if result.is_ok() {
                    self.reach(Stage::Registered);
                }
                let error = Errno::check(-(self.error as i32));
                self.error = 0;
                self.finish(error)
            }
        }
    }

    /// Takes in the outcome of a registration and gives the caller's answer.
    const fn registered(&mut self, result: Result<(), Errno>) -> Result<(), Errno> {
        match result {
            Ok(()) => self.reach(Stage::Registered),
            Err(Errno::EEXIST) => {
                self.reach(Stage::Registered);
                self.mode = MODE_UNKNOWN;
            }
            Err(_) => self.mode = MODE_UNKNOWN,
        }
        result
    }

    /// The next step of an unmask from the stage that is reached.
    const fn onward(&mut self) -> Action {
        match self.stage() {
            // Reached only through a registration that did not succeed.
            Stage::Unregistered => self.finish(Err(Errno::EIO)),
            Stage::Registered => {
                self.go(Step::Map);
                Action::Map
            }
            Stage::Mapped => {
                self.go(Step::Bind);
                Action::Bind
            }
            Stage::Bound => self.finish(Ok(())),
        }
    }

    const fn finish(&mut self, result: Result<(), Errno>) -> Action {
        self.go(Step::Idle);
        Action::Done(result)
    }

    const fn stage(&self) -> Stage {
        match self.stage {
            1 => Stage::Registered,
            2 => Stage::Mapped,
            3 => Stage::Bound,
            _ => Stage::Unregistered,
        }
    }

    const fn reach(&mut self, stage: Stage) {
        self.stage = match stage {
            Stage::Unregistered => 0,
            Stage::Registered => 1,
            Stage::Mapped => 2,
            Stage::Bound => 3,
        };
    }

    const fn step(&self) -> Step {
        match self.step {
            1 => Step::SetupRegister,
            2 => Step::UnmaskRegister,
            3 => Step::Map,
            4 => Step::Bind,
            5 => Step::Unmap,
            _ => Step::Idle,
        }
    }

    const fn go(&mut self, step: Step) {
        self.step = match step {
            Step::Idle => 0,
            Step::SetupRegister => 1,
            Step::UnmaskRegister => 2,
            Step::Map => 3,
            Step::Bind => 4,
            Step::Unmap => 5,
        };
    }
}

impl Default for Pin {
    fn default() -> Self {
        Self::new()
    }
}

const MODE_UNKNOWN: u8 = 0;

const fn encode(mode: PinMode) -> u8 {
    let trigger = match mode.trigger {
        Trigger::Edge => 0,
        Trigger::Level => 1,
    };
    let polarity = match mode.polarity {
        Polarity::High => 0,
        Polarity::Low => 2,
    };
    0x80 | trigger | polarity
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL_LOW: PinMode = PinMode {
        trigger: Trigger::Level,
        polarity: Polarity::Low,
    };
    const EDGE_HIGH: PinMode = PinMode {
        trigger: Trigger::Edge,
        polarity: Polarity::High,
    };

    /// Plays `event`, answering each action from `results`, and returns the
    /// actions in order.
    fn play(pin: &mut Pin, event: Event, results: &[Result<(), Errno>]) -> Vec<Action> {
        let mut actions = vec![pin.begin(event)];
        for &result in results {
            actions.push(pin.complete(result));
        }
        actions
    }

    #[test]
    fn unmask_of_a_new_pin_registers_maps_and_binds() {
        let mut pin = Pin::new();
        assert_eq!(
            play(
                &mut pin,
                Event::Unmask(LEVEL_LOW),
                &[Ok(()), Ok(()), Ok(())]
            ),
            [
                Action::Register(LEVEL_LOW),
                Action::Map,
                Action::Bind,
                Action::Done(Ok(()))
            ]
        );
        assert_eq!(pin.begin(Event::Unmask(LEVEL_LOW)), Action::Done(Ok(())));
    }

    #[test]
    fn unmask_after_setup_maps_and_binds() {
        let mut pin = Pin::new();
        assert_eq!(
            play(&mut pin, Event::Setup(LEVEL_LOW), &[Ok(())]),
            [Action::Register(LEVEL_LOW), Action::Done(Ok(()))]
        );
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &[Ok(()), Ok(())]),
            [Action::Map, Action::Bind, Action::Done(Ok(()))]
        );
    }

    #[test]
    fn unmask_of_a_pin_registered_elsewhere_goes_on_to_bind() {
        let mut pin = Pin::new();
        assert_eq!(
            play(
                &mut pin,
                Event::Unmask(EDGE_HIGH),
                &[Err(Errno::EEXIST), Ok(()), Ok(())]
            ),
            [
                Action::Register(EDGE_HIGH),
                Action::Map,
                Action::Bind,
                Action::Done(Ok(()))
            ]
        );
    }

    #[test]
    fn setup_again_is_eexist_and_with_another_mode_ebusy() {
        let mut pin = Pin::new();
        let _ = play(&mut pin, Event::Setup(LEVEL_LOW), &[Ok(())]);
        assert_eq!(
            pin.begin(Event::Setup(LEVEL_LOW)),
            Action::Done(Err(Errno::EEXIST))
        );
        assert_eq!(
            pin.begin(Event::Setup(EDGE_HIGH)),
            Action::Done(Err(Errno::EBUSY))
        );
        assert_eq!(
            pin.begin(Event::Setup(LEVEL_LOW)),
            Action::Done(Err(Errno::EEXIST))
        );
    }

    #[test]
    fn setup_of_a_pin_registered_elsewhere_is_eexist_whatever_the_mode() {
        let mut pin = Pin::new();
        assert_eq!(
            play(&mut pin, Event::Setup(LEVEL_LOW), &[Err(Errno::EEXIST)]),
            [
                Action::Register(LEVEL_LOW),
                Action::Done(Err(Errno::EEXIST))
            ]
        );
        assert_eq!(
            pin.begin(Event::Setup(EDGE_HIGH)),
            Action::Done(Err(Errno::EEXIST))
        );
    }

    #[test]
    fn a_gsi_that_xen_uses_is_left_to_it() {
        let mut pin = Pin::new();
        assert_eq!(
            play(&mut pin, Event::Unmask(EDGE_HIGH), &[Err(Errno::EBUSY)]),
            [Action::Register(EDGE_HIGH), Action::Done(Ok(()))]
        );
        assert_eq!(
            play(&mut pin, Event::Setup(EDGE_HIGH), &[Err(Errno::EBUSY)]),
            [
                Action::Register(EDGE_HIGH),
                Action::Done(Err(Errno::EEXIST))
            ]
        );
        assert_eq!(pin, Pin::new());
    }

    #[test]
    fn a_failed_registration_leaves_the_pin_as_new() {
        for event in [Event::Setup(LEVEL_LOW), Event::Unmask(LEVEL_LOW)] {
            let mut pin = Pin::new();
            assert_eq!(
                play(&mut pin, event, &[Err(Errno::EINVAL)]),
                [
                    Action::Register(LEVEL_LOW),
                    Action::Done(Err(Errno::EINVAL))
                ]
            );
            assert_eq!(pin, Pin::new());
        }
    }

    #[test]
    fn a_failed_map_is_tried_again_by_the_next_unmask() {
        let mut pin = Pin::new();
        assert_eq!(
            play(
                &mut pin,
                Event::Unmask(LEVEL_LOW),
                &[Ok(()), Err(Errno::ENOMEM)]
            ),
            [
                Action::Register(LEVEL_LOW),
                Action::Map,
                Action::Done(Err(Errno::ENOMEM))
            ]
        );
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &[Ok(()), Ok(())]),
            [Action::Map, Action::Bind, Action::Done(Ok(()))]
        );
    }

    #[test]
    fn a_failed_bind_is_unmapped_and_tried_again_from_the_map() {
        let mut pin = Pin::new();
        let results = [Ok(()), Ok(()), Err(Errno::EBUSY), Ok(())];
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &results)[3..],
            [Action::Unmap, Action::Done(Err(Errno::EBUSY))]
        );
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &[Ok(()), Ok(())]),
            [Action::Map, Action::Bind, Action::Done(Ok(()))]
        );
    }

    #[test]
    fn a_pirq_that_stays_mapped_is_bound_by_the_next_unmask() {
        let mut pin = Pin::new();
        let results = [Ok(()), Ok(()), Err(Errno::EBUSY), Err(Errno::EINVAL)];
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &results)[4],
            Action::Done(Err(Errno::EBUSY))
        );
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &[Ok(())]),
            [Action::Bind, Action::Done(Ok(()))]
        );
    }

    #[test]
    fn any_event_waits_while_a_step_is_in_flight() {
        for steps in 0..5 {
            let mut pin = Pin::new();
            let _ = pin.begin(Event::Unmask(LEVEL_LOW));
            let results = [Ok(()), Ok(()), Err(Errno::EBUSY), Ok(())];
            for &result in &results[..steps.min(3)] {
                let _ = pin.complete(result);
            }
            let before = pin;
            assert_eq!(pin.begin(Event::Setup(EDGE_HIGH)), Action::Wait);
            assert_eq!(pin.begin(Event::Unmask(EDGE_HIGH)), Action::Wait);
            assert_eq!(pin, before);
        }
    }

    #[test]
    fn a_completion_that_nothing_waits_for_changes_nothing() {
        for setup in [false, true] {
            let mut pin = Pin::new();
            if setup {
                let _ = play(&mut pin, Event::Setup(LEVEL_LOW), &[Ok(())]);
            }
            let before = pin;
            assert_eq!(pin.complete(Ok(())), Action::Done(Err(Errno::EIO)));
            assert_eq!(pin, before);
        }
    }
}
