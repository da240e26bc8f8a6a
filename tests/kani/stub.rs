// SPDX-License-Identifier: GPL-2.0-only
//! As much of Kani's interface as the proof harnesses use, with random numbers in
//! place of all numbers: `--cfg kani_stub` has them compiled and tried. That is a
//! test and proves nothing; a proof is Kani's (`cargo kani`).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How often each harness is tried.
const ROUNDS: u32 = 20_000;

thread_local! {
    /// xorshift64*: the same numbers each time.
    static STATE: Cell<u64> = const { Cell::new(0x5eed) };
}

/// What [`assume`] ends a round with.
struct Assumed;

fn next() -> u64 {
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    })
}

/// What Kani can make any of.
pub(crate) trait Arbitrary {
    /// Some value.
    fn any() -> Self;
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Arbitrary for $kind {
            fn any() -> Self {
                // Small ones are those that matter, mostly.
                let value = next();
                let kept = match next() >> 62 {
                    0 => value & 1,
                    1 => value & 7,
                    2 => value & 0xff,
                    _ => value,
                };
                let bytes = kept.to_le_bytes();
                Self::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; size_of::<Self>()]))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64, i32);

impl Arbitrary for bool {
    fn any() -> Self {
        next() >> 63 == 0
    }
}

impl<T: Arbitrary, const N: usize> Arbitrary for [T; N] {
    fn any() -> Self {
        core::array::from_fn(|_| T::any())
    }
}

/// Any value.
pub(crate) fn any<T: Arbitrary>() -> T {
    T::any()
}

/// Nothing is asked where this does not hold.
pub(crate) fn assume(holds: bool) {
    if !holds {
        resume_unwind(Box::new(Assumed));
    }
}

/// Tries a harness; too few rounds that nothing was assumed away of are none.
pub(crate) fn tried(harness: fn()) {
    let mut asked = 0;
    for _ in 0..ROUNDS {
        match catch_unwind(AssertUnwindSafe(harness)) {
            Ok(()) => asked += 1,
            Err(end) if <dyn Any>::is::<Assumed>(&*end) => {}
            Err(end) => resume_unwind(end),
        }
    }
    assert!(asked > 50, "asked {asked} times of {ROUNDS}");
}
