// SPDX-License-Identifier: GPL-2.0-only
//! Proof harnesses for Kani, and what they share; not part of any other build.
//!
//! `cargo kani` proves each for all values within its bounds. Where there is no Kani,
//! `RUSTFLAGS="--cfg kani_stub" cargo test --lib proofs` compiles them and tries each
//! with random values.

#![forbid(unsafe_code)]

#[cfg(kani_stub)]
#[path = "../tests/kani/stub.rs"]
pub(crate) mod kani;
#[cfg(kani)]
pub(crate) use ::kani;

/// A harness: for Kani a proof whose loops have at most so many rounds.
macro_rules! proof {
    ($(#[doc = $doc:literal])* $rounds:literal, fn $name:ident() $body:block) => {
        $(#[doc = $doc])*
        #[cfg_attr(kani, kani::proof)]
        #[cfg_attr(kani, kani::unwind($rounds))]
        #[cfg_attr(kani_stub, test)]
        fn $name() {
            fn harness() $body
            #[cfg(kani)]
            harness();
            #[cfg(kani_stub)]
            kani::tried(harness);
        }
    };
}
pub(crate) use proof;

use crate::errno::Errno;
use crate::ids::NR_BARS;
use crate::pirq::{self, Caller, Kind, Target, Verdict};
use crate::spec::physdev::{MapPirqType, PhysdevOp};
use crate::vpci::access::{self, Masks};
use crate::vpci::bar::BarSet;

/// Any outcome that C can report.
pub(crate) fn outcome() -> Result<(), Errno> {
    Errno::check(kani::any())
}

/// The same with the BARs that are in place.
pub(crate) fn placed() -> Result<BarSet, Errno> {
    outcome().map(|()| BarSet::from_bits(kani::any()))
}

fn caller() -> Caller {
    Caller {
        kind: if kani::any() { Kind::Pv } else { Kind::Hvm },
        hardware: kani::any(),
        pirqs: kani::any(),
    }
}

fn target() -> Target {
    if kani::any() {
        Target::Itself
    } else {
        Target::Other { pirqs: kani::any() }
    }
}

proof! {
    /// A code that is negative is never success, and one that is not is no error.
    50, fn failures_are_never_dropped() {
        let rc: i32 = kani::any();
        assert!(Errno::check(rc).is_err() == (rc < 0));
    }
}

proof! {
    /// A hardware domain without pirqs never maps for itself.
    4, fn hardware_domain_never_maps_for_itself() {
        let caller = Caller { kind: Kind::Hvm, hardware: true, pirqs: false };
        let kind = MapPirqType::new(kani::any());
        let refused = Verdict::Refused(Errno::EOPNOTSUPP);
        assert!(pirq::map(caller, Target::Itself, kind) == refused);
        assert!(pirq::unmap(caller, Target::Itself) == refused);
    }
}

proof! {
    /// What tells Xen of the host is closed to whoever is not the hardware domain.
    4, fn guests_never_reach_the_hosts_devices() {
        let (number, caller) = (kani::any(), caller());
        let hosts = matches!(
            PhysdevOp::new(number),
            Some(
                PhysdevOp::SetupGsi
                    | PhysdevOp::PciMmcfgReserved
                    | PhysdevOp::PciDeviceAdd
                    | PhysdevOp::PciDeviceRemove
                    | PhysdevOp::PciDeviceReset
                    | PhysdevOp::PrepareMsix
                    | PhysdevOp::ReleaseMsix
                    | PhysdevOp::DbgpOp
            )
        );
        kani::assume(hosts && !caller.hardware);
        assert!(pirq::gate(number, caller) == Err(Errno::ENOSYS));
    }
}

proof! {
    /// An emulated pirq is an HVM domain's own.
    4, fn emulated_pirqs_are_ones_own() {
        let (caller, target) = (caller(), target());
        let verdict = pirq::map(caller, target, MapPirqType::new(kani::any()));
        kani::assume(verdict == Verdict::Emulated);
        assert!(target == Target::Itself && caller.kind == Kind::Hvm && caller.pirqs);
    }
}

proof! {
    /// The parts of an access are in it, and there is one as long as bytes are left.
    4, fn pieces_are_within_their_access() {
        let (start, size, offset, length) =
            (kani::any(), kani::any::<u32>(), kani::any(), kani::any());
        kani::assume(size != 0);
        let piece = access::piece(start, size, offset, length);
        assert!(piece.size <= size && piece.emulated <= 1);
        assert!(piece.size != 0 || start == u32::MAX);
        assert!(piece.emulated == 0 || piece.offset < length);
    }
}

proof! {
    /// A bit that is read-only or reserved is never changed, none beyond the register
    /// is written, and no more than what was written is.
    4, fn writes_keep_what_is_not_theirs() {
        let masks = Masks {
            ro: kani::any(),
            rw1c: kani::any(),
            rsvdp: kani::any(),
            rsvdz: kani::any(),
        };
        kani::assume(masks.check(0, 4).is_ok());
        let (held, data, written, offset): (u32, u32, u32, u32) =
            (kani::any(), kani::any(), kani::any(), kani::any());
        kani::assume(written <= 4 && offset <= 4);
        let to = masks.write(held, data, written, offset, 4);
        let kept = masks.ro | masks.rsvdp;
        assert!((to ^ held) & kept == 0);
        assert!(to & masks.rsvdz == 0);
        let touched = access::merge(0, !0, written, offset);
        let others = !touched & !masks.rw1c & !masks.rsvdz;
        assert!((to ^ held) & others == 0);
        // Nothing is cleared that was not written.
        assert!(to & masks.rw1c & !touched == 0);
    }
}

proof! {
    /// There are seven BARs.
    4, fn sets_have_no_bar_that_there_is_not() {
        let set = BarSet::from_bits(kani::any());
        assert!(u32::from(set.bits()) < 1 << NR_BARS);
        assert!(!set.contains(NR_BARS));
    }
}
