// SPDX-License-Identifier: GPL-2.0-only
//! The life of a GSI of a PVH hardware domain: registered, mapped, bound.
//!
//! A pin of the vIO-APIC reaches the domain once Xen has programmed the physical
//! pin (`mp_register_gsi`), mapped a pirq to the interrupt (`map_domain_pirq`)
//! and bound that pirq (`pt_irq_create_bind`). `PHYSDEVOP_setup_gsi` registers a
//! GSI, unmasking the pin takes it from wherever it is to bound, and an unmap
//! takes it back to registered.
//!
//! ```text
//!        setup, unmask            unmask           unmask
//! Unregistered ──Register──▶ Registered ──Map──▶ Mapped ──Bind──▶ Bound
//!                             │  ▲  ▲               │  ▲             │
//!                             └──┘  └────Unmap──────┘  └───Unbind────┘
//!                           Reprogram   unmap, or          unmap
//!                             unmask    Bind failed
//! ```
//!
//! Each arrow is an [`Action`] that C performs and reports by
//! [`Pin::complete`]; a step that fails leaves the GSI where it was, so the next
//! event tries again. While a step is in flight the pin is busy and any other
//! event is told to [`Action::Wait`]. The whole of it is the table in
//! `docs/states.md`.
//!
//! Callers: `vioapic_write_redirent` with `hvm.irq_lock` dropped,
//! `do_physdev_op`; the hardware domain only. Locks: the caller holds the GSI
//! table's lock for each call and never across an action.

#![forbid(unsafe_code)]

use static_assertions::const_assert_eq;

#[cfg(any(kani, all(kani_stub, test)))]
#[path = "gsi_proofs.rs"]
mod proofs;

use crate::errno::Errno;
use crate::spec::ioapic::PinMode;

/// State of one GSI, in memory that C owns; all zero is a GSI never seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Pin {
    stage: u8,
    /// The mode that the physical pin has; 0 when unknown.
    mode: u8,
    step: u8,
    /// While the pin is programmed: the mode it is to have. While a failed bind
    /// is undone: the error to give.
    held: u8,
}

const_assert_eq!(size_of::<Pin>(), 4);

/// What happened to a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// `PHYSDEVOP_setup_gsi` with this mode.
    Setup(PinMode),
    /// The hardware domain unmasked the pin, programmed with this mode.
    Unmask(PinMode),
    /// The pirq is to be taken from the hardware domain.
    Unmap,
}

/// What C shall do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a pin whose action is dropped stays busy for ever"]
pub enum Action {
    /// Register the GSI with this mode (`mp_register_gsi`), then complete: with
    /// [`Errno::EEXIST`] when it is registered, [`Errno::EBUSY`] when Xen itself
    /// uses the interrupt.
    Register(PinMode),
    /// Give the registered GSI this mode, then complete: with [`Errno::EBUSY`],
    /// and nothing changed, when any domain has the interrupt bound.
    Reprogram(PinMode),
    /// Map a pirq of the hardware domain to it, then complete.
    Map,
    /// Bind that pirq to the pin, then complete.
    Bind,
    /// Undo the bind, then complete.
    Unbind,
    /// Unmap that pirq again, with the domain's access to the interrupt left as
    /// it was, then complete.
    Unmap,
    /// Another CPU is at work on this GSI: begin again with the same event,
    /// with no lock held in between.
    Wait,
    /// The event is dealt with; nothing more to do.
    Done(Result<(), Errno>),
}

/// How far a GSI has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is known of it.
    Unregistered,
    /// The physical pin is programmed.
    Registered,
    /// And a pirq of the hardware domain stands for it.
    Mapped,
    /// And that pirq raises the pin of its vIO-APIC.
    Bound,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    SetupRegister,
    UnmaskRegister,
    Reprogram,
    Map,
    Bind,
    Rollback,
    Unbind,
    Unmap,
}

impl Pin {
    /// A GSI never seen.
    pub const fn new() -> Self {
        Self {
            stage: 0,
            mode: MODE_UNKNOWN,
            step: 0,
            held: 0,
        }
    }

    /// How far the GSI has come.
    pub const fn stage(&self) -> Stage {
        match self.stage {
            1 => Stage::Registered,
            2 => Stage::Mapped,
            3 => Stage::Bound,
            _ => Stage::Unregistered,
        }
    }

    /// The mode that the physical pin was given; `None` when this table did not
    /// give it one.
    pub const fn mode(&self) -> Option<PinMode> {
        decode(self.mode)
    }

    /// Whether a step is in flight.
    pub const fn is_busy(&self) -> bool {
        !matches!(self.step(), Step::Idle)
    }

    /// Starts on `event`.
    ///
    /// `Done` carries, for [`Event::Setup`]: `Ok` when the GSI is newly
    /// registered, [`Errno::EEXIST`] when it was already, which Linux takes for
    /// success, [`Errno::EBUSY`] when it was with another mode. For
    /// [`Event::Unmask`]: `Ok` once the GSI is bound, [`Errno::EBUSY`] when it is
    /// bound, for this domain or another, with another mode. For
    /// [`Event::Unmap`]: `Ok`, or [`Errno::EINVAL`] when there is no pirq. Each
    /// also gives what the failed step gave. A GSI that Xen itself uses, such as
    /// the serial console's, is answered as Xen without this crate does:
    /// [`Errno::EEXIST`] and `Ok`, and is never the domain's.
    #[inline(always)]
    pub const fn begin(&mut self, event: Event) -> Action {
        if self.is_busy() {
            return Action::Wait;
        }
        match (event, self.stage()) {
            (Event::Setup(mode), Stage::Unregistered) => {
                self.program(Step::SetupRegister, mode);
                Action::Register(mode)
            }
            (Event::Setup(mode), Stage::Registered | Stage::Mapped | Stage::Bound) => {
                if self.differs(mode) {
                    Action::Done(Err(Errno::EBUSY))
                } else {
                    Action::Done(Err(Errno::EEXIST))
                }
            }
            (Event::Unmask(mode), Stage::Unregistered) => {
                self.program(Step::UnmaskRegister, mode);
                Action::Register(mode)
            }
            // Nobody is served by the mode it was registered with yet, and the
            // domain's own view of the pin is what it will be served by.
            (Event::Unmask(mode), Stage::Registered | Stage::Mapped) if self.differs(mode) => {
                self.program(Step::Reprogram, mode);
                Action::Reprogram(mode)
            }
            (Event::Unmask(mode), Stage::Bound) if self.differs(mode) => {
                Action::Done(Err(Errno::EBUSY))
            }
            (Event::Unmask(_), Stage::Registered | Stage::Mapped | Stage::Bound) => self.onward(),
            (Event::Unmap, Stage::Unregistered | Stage::Registered) => {
                Action::Done(Err(Errno::EINVAL))
            }
            (Event::Unmap, Stage::Mapped) => {
                self.go(Step::Unmap);
                Action::Unmap
            }
            (Event::Unmap, Stage::Bound) => {
                self.go(Step::Unbind);
                Action::Unbind
            }
        }
    }

    /// Reports how the action that was in flight went, and gives the next one.
    ///
    /// A completion that nothing waits for changes nothing and is answered
    /// `Done(Err(EIO))`.
    pub const fn complete(&mut self, result: Result<(), Errno>) -> Action {
        match (self.step(), result) {
            (Step::Idle, _) => Action::Done(Err(Errno::EIO)),

            (Step::SetupRegister, Ok(())) => {
                self.registered();
                self.finish(Ok(()))
            }
            (Step::UnmaskRegister, Ok(())) => {
                self.registered();
                self.onward()
            }
            // Registered before this table saw it, with a mode it cannot know.
            (Step::SetupRegister, Err(Errno::EEXIST)) => {
                self.reach(Stage::Registered);
                self.finish(Err(Errno::EEXIST))
            }
            (Step::UnmaskRegister, Err(Errno::EEXIST)) => {
                self.reach(Stage::Registered);
                self.onward()
            }
            (Step::SetupRegister, Err(Errno::EBUSY)) => self.finish(Err(Errno::EEXIST)),
            (Step::UnmaskRegister, Err(Errno::EBUSY)) => self.finish(Ok(())),

            (Step::Reprogram, Ok(())) => {
                self.mode = self.held;
                self.onward()
            }
            (Step::Map, Ok(())) => {
                self.reach(Stage::Mapped);
                self.onward()
            }
            (Step::Bind, Ok(())) => {
                self.reach(Stage::Bound);
                self.onward()
            }
            (Step::Bind, Err(errno)) => {
                self.held = errno as u8;
                self.step = Step::Rollback as u8;
                Action::Unmap
            }
            (Step::Unbind, Ok(())) => {
                self.reach(Stage::Mapped);
                self.go(Step::Unmap);
                Action::Unmap
            }
            (Step::Unmap, Ok(())) => {
                self.reach(Stage::Registered);
                self.finish(Ok(()))
            }

            (Step::Rollback, result) => {
                // A pirq that cannot be unmapped is still mapped: the next
                // event goes on from there.
                if result.is_ok() {
                    self.reach(Stage::Registered);
                }
                let error = Errno::check(-(self.held as i32));
                self.finish(error)
            }

            (
                Step::SetupRegister
                | Step::UnmaskRegister
                | Step::Reprogram
                | Step::Map
                | Step::Unbind
                | Step::Unmap,
                Err(errno),
            ) => self.finish(Err(errno)),
        }
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

    const fn registered(&mut self) {
        self.mode = self.held;
        self.reach(Stage::Registered);
    }

    /// Whether the pin is known to have another mode; one whose mode nobody
    /// recorded cannot be told to.
    const fn differs(&self, mode: PinMode) -> bool {
        self.mode != MODE_UNKNOWN && self.mode != encode(mode)
    }

    const fn program(&mut self, step: Step, mode: PinMode) {
        self.go(step);
        self.held = encode(mode);
    }

    const fn finish(&mut self, result: Result<(), Errno>) -> Action {
        self.go(Step::Idle);
        Action::Done(result)
    }

    const fn go(&mut self, step: Step) {
        self.step = step as u8;
        self.held = 0;
    }

    const fn reach(&mut self, stage: Stage) {
        self.stage = stage as u8;
    }

    const fn step(&self) -> Step {
        match self.step {
            1 => Step::SetupRegister,
            2 => Step::UnmaskRegister,
            3 => Step::Reprogram,
            4 => Step::Map,
            5 => Step::Bind,
            6 => Step::Rollback,
            7 => Step::Unbind,
            8 => Step::Unmap,
            _ => Step::Idle,
        }
    }
}

impl Default for Pin {
    fn default() -> Self {
        Self::new()
    }
}

const MODE_UNKNOWN: u8 = 0;

/// A mode as a byte that is never [`MODE_UNKNOWN`].
const fn encode(mode: PinMode) -> u8 {
    0x80 | mode.bits()
}

const fn decode(mode: u8) -> Option<PinMode> {
    if mode & 0x80 == 0 {
        return None;
    }
    PinMode::from_bits(mode as u32 & 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::ioapic::{Polarity, Trigger};

    const LEVEL_LOW: PinMode = PinMode::new(Trigger::Level, Polarity::Low);
    const EDGE_HIGH: PinMode = PinMode::new(Trigger::Edge, Polarity::High);

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
    fn unmask_of_an_unbound_pin_with_another_mode_reprograms_it() {
        let mut pin = Pin::new();
        let _ = play(&mut pin, Event::Setup(EDGE_HIGH), &[Ok(())]);
        assert_eq!(
            play(
                &mut pin,
                Event::Unmask(LEVEL_LOW),
                &[Ok(()), Ok(()), Ok(())]
            ),
            [
                Action::Reprogram(LEVEL_LOW),
                Action::Map,
                Action::Bind,
                Action::Done(Ok(()))
            ]
        );
        assert_eq!(pin.mode(), Some(LEVEL_LOW));
    }

    #[test]
    fn a_failed_reprogram_keeps_the_mode_and_is_tried_again() {
        let mut pin = Pin::new();
        let _ = play(&mut pin, Event::Setup(EDGE_HIGH), &[Ok(())]);
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &[Err(Errno::EBUSY)]),
            [
                Action::Reprogram(LEVEL_LOW),
                Action::Done(Err(Errno::EBUSY))
            ]
        );
        assert_eq!(pin.mode(), Some(EDGE_HIGH));
        assert_eq!(
            pin.begin(Event::Unmask(LEVEL_LOW)),
            Action::Reprogram(LEVEL_LOW)
        );
    }

    #[test]
    fn another_mode_of_a_bound_pin_is_refused_and_changes_nothing() {
        let mut pin = Pin::new();
        let _ = play(
            &mut pin,
            Event::Unmask(LEVEL_LOW),
            &[Ok(()), Ok(()), Ok(())],
        );
        let before = pin;
        for event in [Event::Unmask(EDGE_HIGH), Event::Setup(EDGE_HIGH)] {
            assert_eq!(pin.begin(event), Action::Done(Err(Errno::EBUSY)));
            assert_eq!(pin, before);
        }
    }

    #[test]
    fn unmap_unbinds_and_unmaps_and_the_next_unmask_binds_again() {
        let mut pin = Pin::new();
        let _ = play(
            &mut pin,
            Event::Unmask(LEVEL_LOW),
            &[Ok(()), Ok(()), Ok(())],
        );
        assert_eq!(
            play(&mut pin, Event::Unmap, &[Ok(()), Ok(())]),
            [Action::Unbind, Action::Unmap, Action::Done(Ok(()))]
        );
        assert_eq!(pin.begin(Event::Unmap), Action::Done(Err(Errno::EINVAL)));
        assert_eq!(
            play(&mut pin, Event::Unmask(LEVEL_LOW), &[Ok(()), Ok(())]),
            [Action::Map, Action::Bind, Action::Done(Ok(()))]
        );
    }

    #[test]
    fn a_failed_unbind_or_unmap_is_tried_again_from_there() {
        let mut pin = Pin::new();
        let _ = play(
            &mut pin,
            Event::Unmask(LEVEL_LOW),
            &[Ok(()), Ok(()), Ok(())],
        );
        assert_eq!(
            play(&mut pin, Event::Unmap, &[Err(Errno::EINVAL)]),
            [Action::Unbind, Action::Done(Err(Errno::EINVAL))]
        );
        assert_eq!(
            play(&mut pin, Event::Unmap, &[Ok(()), Err(Errno::EINVAL)]),
            [
                Action::Unbind,
                Action::Unmap,
                Action::Done(Err(Errno::EINVAL))
            ]
        );
        assert_eq!(
            play(&mut pin, Event::Unmap, &[Ok(())]),
            [Action::Unmap, Action::Done(Ok(()))]
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
            assert_eq!(pin.begin(Event::Unmap), Action::Wait);
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
